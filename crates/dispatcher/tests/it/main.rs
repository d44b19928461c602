//! The dispatcher as a program: real PostgreSQL, real receivers, real signals.
#![expect(
    unused_crate_dependencies,
    reason = "the dependencies are the program's"
)]

mod life;
mod world;
