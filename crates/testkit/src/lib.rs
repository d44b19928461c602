//! What the integration tests and the demo stand on: databases, receivers, processes and fixtures.
//!
//! Nothing here is shipped. A test takes a [`database::TestDatabase`] of its own, starts the real
//! programs on it ([`fixture`]), lets them send to a [`receiver::Receiver`] that does what its
//! script says, and looks at what arrived. Everything cleans up after itself when dropped, also
//! while a test panics.

pub mod claims;
pub mod clock;
pub mod cluster;
pub mod corpus;
pub mod database;
pub mod disk;
pub mod fixture;
pub mod http;
pub mod journal;
pub mod ledger;
pub mod link;
pub mod metrics;
pub mod network;
pub mod polling;
pub mod process;
pub mod publisher;
pub mod receiver;
pub mod sandbox;
pub mod seed;
pub mod sql;
pub mod verify;
pub mod wire;

mod repository;
mod side_runtime;
