//! The dispatcher as a program: real PostgreSQL, real receivers, real signals.
#![expect(
    unused_crate_dependencies,
    reason = "the dependencies are the program's"
)]

mod crash;
mod fairness;
mod hostile;
mod life;
mod limits;
mod maintenance;
mod outage;
mod program;
mod rotation;
mod world;
