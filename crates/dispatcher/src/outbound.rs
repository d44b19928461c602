//! The one outbound client. Everything that is sent to a receiver goes through [`Outbound::send`]: guarded addresses,
//! verified TLS, HTTP/1.1, no redirects, no proxy, one deadline, bounded headers and body.

mod bounded;
mod client;
mod failure;
mod guard;
mod interim;
mod resolver;
mod response;
mod shortage;
mod tls;

pub(crate) use client::{Exchange, Outbound};
pub(crate) use failure::Failure;
