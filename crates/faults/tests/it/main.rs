//! Faults under load: see `docs/reliability.md`.

mod clocks;
mod crowd;
mod disconnects;
mod failover;
mod freeze;
mod kills;
mod network;
mod poison;
mod postgres;
mod sqlstates;
