//! Faults under load: see `docs/reliability.md`. What takes minutes is in `make faults` only (the feature `full`).

mod clocks;
mod crowd;
mod disconnects;
#[cfg(feature = "full")]
mod disk;
#[cfg(feature = "full")]
mod failover;
mod freeze;
mod kills;
#[cfg(feature = "full")]
mod namespaces;
#[cfg(feature = "full")]
mod network;
mod poison;
mod postgres;
mod sqlstates;
