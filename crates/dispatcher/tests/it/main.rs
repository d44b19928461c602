//! The dispatcher as a program: real PostgreSQL, real receivers, real signals.
#![expect(
    unused_crate_dependencies,
    reason = "the dependencies are the program's"
)]

mod circuits;
mod crash;
mod fairness;
mod herd;
mod hostile;
mod life;
mod limits;
mod maintenance;
mod metrics;
mod outage;
mod program;
mod rotation;
mod world;
