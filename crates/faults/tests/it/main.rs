//! Faults under load: see `docs/reliability.md`.

mod clocks;
mod disconnects;
mod freeze;
mod kills;
mod network;
mod poison;
mod postgres;
mod sqlstates;
