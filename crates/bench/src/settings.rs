//! What is measured, and for how long: the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

/// Benchmarks of Reprise. Without scenarios all are run, one after the other.
#[derive(Clone, Debug, Parser)]
pub struct Settings {
    /// What to measure
    #[arg(value_enum)]
    pub scenarios: Vec<Scenario>,
    /// Measure briefly, and leave out what takes minutes
    #[arg(long)]
    pub quick: bool,
    /// Write the table to this file too
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Seconds that load is generated for in a scenario [default: 15, with --quick 3]
    #[arg(long)]
    seconds: Option<u32>,
    /// Deliveries of a backlog to drain [default: 200000, with --quick 20000]
    #[arg(long)]
    events: Option<u32>,
    /// Connections of the load generator in a closed loop
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Bytes of a payload
    #[arg(long, default_value_t = 500)]
    pub payload_bytes: usize,
    /// Dispatchers that serve where a scenario does not say another number
    #[arg(long, default_value_t = 1)]
    pub dispatchers: usize,
    /// Deliveries in the tables of `lists`
    #[arg(long, default_value_t = 10_000_000)]
    pub rows: u32,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Prepare the server for the others: settings that need a restart
    #[value(hide = true)]
    Configure,
    /// Publish alone, one event per request; no dispatcher runs
    Publish,
    /// Publish and deliver, saturated
    Deliver,
    /// A backlog that was published before
    Drain,
    /// Publish to receipt at 200 a second
    Steady,
    /// A healthy endpoint beside one that takes 10 seconds, hangs, or fails
    Slow,
    /// 512 deliveries in flight at a slow receiver
    Memory,
    /// Lists over a long history: every filter, the first page and a late one
    Lists,
}

impl Settings {
    /// The scenarios to run, in their order.
    pub fn wanted(&self) -> Vec<Scenario> {
        if !self.scenarios.is_empty() {
            return self.scenarios.clone();
        }
        let all = Scenario::value_variants().iter().copied();
        all.filter(|scenario| scenario.is_in(self)).collect()
    }

    /// For how long load is generated.
    pub fn duration(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.quick { 3 } else { 15 });
        Duration::from_secs(u64::from(seconds))
    }

    /// For how long the bare rate is measured.
    pub fn bare_duration(&self) -> Duration {
        self.duration().min(Duration::from_secs(2))
    }

    /// How many deliveries a backlog has.
    pub fn backlog(&self) -> u64 {
        let events = self.events;
        u64::from(events.unwrap_or(if self.quick { 20_000 } else { 200_000 }))
    }
}

impl Scenario {
    /// Its name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it is run where no scenario is named.
    fn is_in(self, settings: &Settings) -> bool {
        match self {
            Self::Configure => false,
            Self::Publish
            | Self::Deliver
            | Self::Drain
            | Self::Steady
            | Self::Slow
            | Self::Memory => true,
            Self::Lists => !settings.quick,
        }
    }
}
