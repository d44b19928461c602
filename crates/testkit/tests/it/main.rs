//! The testkit's own tests: what all other tests trust.

mod cluster;
mod database;
mod leaks;
mod process;
mod receiver;
mod verify;
