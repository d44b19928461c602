//! A TCP connection between two programs, as good as a test wants it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use url::Url;

/// A relay on loopback in front of a server, stopped when dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// The accept loop, which owns the connections.
    _relay: JoinSet<()>,
}

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    /// They arrive.
    #[default]
    Open,
    /// They wait, until the flow is another one.
    Stalled,
    /// They are gone, and nobody is told: a cable is cut, or a firewall has forgotten the connection. A connection that
    /// has lost bytes is reset when the flow is open again.
    Cut,
}

/// The two directions.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    to_server: Flow,
    to_client: Flow,
    /// Counts resets.
    resets: usize,
}

impl Link {
    /// A relay to the server at this address.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a loopback port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let weather = watch::Sender::new(Weather::default());
        let observed = weather.clone();
        let mut relay = JoinSet::new();
        relay.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, server, observed.subscribe()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            weather,
            _relay: relay,
        }
    }

    /// A relay to the PostgreSQL server of a URL, and the URL that goes through it.
    ///
    /// # Panics
    ///
    /// When the URL names no address, or no port is free.
    pub async fn to_postgres(database_url: &str) -> (Self, String) {
        let mut url = Url::parse(database_url).expect("a URL");
        let host = url.host_str().expect("a host").parse();
        let port = url.port().unwrap_or(5432);
        let link = Self::to(SocketAddr::new(host.expect("an address"), port)).await;
        url.set_port(Some(link.address.port())).expect("a port");
        (link, url.to_string())
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens to bytes that are on their way from now on, towards the server and towards the client.
    pub fn set(&self, to_server: Flow, to_client: Flow) {
        self.weather.send_modify(|weather| {
            weather.to_server = to_server;
            weather.to_client = to_client;
        });
    }

    /// Resets all connections (RST to both sides); new ones are as good as ever.
    pub fn reset(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }
}

/// Carries one connection until either side closes it, or it is reset.
async fn carry(client: TcpStream, server: SocketAddr, weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Closing without lingering sends RST. A side that closes in order has sent FIN before.
    let _ = (client.set_zero_linger(), server.set_zero_linger());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut resets = weather.clone();
    let before = resets.borrow().resets;
    let both = async {
        tokio::try_join!(
            pass(from_client, to_server, weather.clone(), |it| it.to_server),
            pass(from_server, to_client, weather.clone(), |it| it.to_client),
        )
    };
    tokio::select! {
        _ = both => {}
        _ = resets.wait_for(|it| it.resets > before) => {}
    }
}

/// Carries one direction until it is closed, which is passed on.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    flow_of: fn(&Weather) -> Flow,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut has_lost = false;
    loop {
        let length = tokio::select! {
            length = from.read(&mut buffer) => length?,
            // Told at once when the flow opens: nobody may speak on a connection with a hole in it.
            _ = weather.wait_for(|it| flow_of(it) == Flow::Open), if has_lost => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        };
        let settled = weather.wait_for(|it| flow_of(it) != Flow::Stalled).await;
        let flow = settled.map_or(Flow::Cut, |weather| flow_of(&weather));
        match (flow, length) {
            (Flow::Cut, 0) => std::future::pending().await,
            (Flow::Cut, _) => has_lost = true,
            (Flow::Open | Flow::Stalled, _) if has_lost => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            (Flow::Open | Flow::Stalled, 0) => return to.shutdown().await,
            (Flow::Open | Flow::Stalled, _) => to.write_all(&buffer[..length]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        });
        (address, serving)
    }

    async fn say(socket: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        socket.write_all(text).await?;
        let mut heard = vec![0; text.len()];
        socket.read_exact(&mut heard).await?;
        Ok(heard)
    }

    #[tokio::test]
    async fn bytes_that_are_stalled_arrive_later_and_those_that_are_cut_never() {
        let (server, _serving) = echo().await;
        let link = Link::to(server).await;
        let mut socket = TcpStream::connect(link.address()).await.expect("a link");
        assert_eq!(say(&mut socket, b"one").await.expect("heard"), b"one");

        link.set(Flow::Open, Flow::Stalled);
        let short = Duration::from_millis(50);
        socket.write_all(b"two").await.expect("said");
        let mut heard = [0; 3];
        let waiting = tokio::time::timeout(short, socket.read_exact(&mut heard)).await;
        assert!(waiting.is_err(), "{heard:?}");
        link.set(Flow::Open, Flow::Open);
        socket.read_exact(&mut heard).await.expect("heard");
        assert_eq!(&heard, b"two");

        link.set(Flow::Cut, Flow::Open);
        socket.write_all(b"gone").await.expect("said");
        let waiting = tokio::time::timeout(short, socket.read_exact(&mut heard)).await;
        assert!(waiting.is_err(), "{heard:?}");
        link.set(Flow::Open, Flow::Open);
        assert!(socket.read_exact(&mut heard).await.is_err(), "it is reset");
    }

    #[tokio::test]
    async fn reset_ends_what_is_there_and_nothing_else() {
        let (server, _serving) = echo().await;
        let link = Link::to(server).await;
        let mut socket = TcpStream::connect(link.address()).await.expect("a link");
        assert_eq!(say(&mut socket, b"one").await.expect("heard"), b"one");
        link.reset();
        assert!(socket.read_u8().await.is_err(), "it is reset");
        let mut next = TcpStream::connect(link.address()).await.expect("a link");
        assert_eq!(say(&mut next, b"two").await.expect("heard"), b"two");
    }
}
