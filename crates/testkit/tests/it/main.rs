//! The testkit's own tests: what all other tests trust.

mod cluster;
mod database;
mod process;
mod receiver;
mod verify;
