//! The addresses that the demo's programs listen on.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use crate::screen;

/// Where the API and the dispatcher will listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) api: SocketAddr,
    pub(crate) dispatcher: SocketAddr,
}

impl Ports {
    /// The programs' default ports, or free ones where those are taken, which it says.
    pub(crate) fn choose() -> io::Result<Self> {
        Ok(Self {
            api: free_port("The API", 8080)?,
            dispatcher: free_port("The dispatcher", 9090)?,
        })
    }
}

/// Another program may take the port before ours does: then ours ends, and the demo says so.
fn free_port(whose: &str, preferred: u16) -> io::Result<SocketAddr> {
    if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, preferred)) {
        return listener.local_addr();
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    screen::fact(
        "Note",
        format_args!("port {preferred} is taken. {whose} listens on {free} instead."),
    );
    Ok(free)
}
