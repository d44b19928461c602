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
    /// Seconds that load is generated for in a scenario [default: 15, with --quick 2]
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
    /// Ready deliveries in the long backlog of `backlog` [default: 10000000, with --quick 200000]
    #[arg(long)]
    backlog_rows: Option<u32>,
    /// Minutes of `churn`
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Write the charts of `replicas` and `load-latency` into this folder; the last one, if said twice
    #[arg(long, overrides_with = "charts")]
    pub charts: Option<PathBuf>,
    /// Deliveries in the tables of `lists`
    #[arg(long, default_value_t = 10_000_000)]
    pub rows: u32,
    /// Write the plans of `lists` into this file
    #[arg(long)]
    pub plans: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Prepare the server for the others: settings that need a restart
    #[value(hide = true)]
    Configure,
    /// Publish alone, one event per request; no dispatcher runs
    Publish,
    /// Publish alone, 100 events per request
    Batch,
    /// Publish and deliver, saturated
    Deliver,
    /// A backlog that was published before
    Drain,
    /// One event to ten endpoints
    Fanout,
    /// Publish to receipt at 200 a second
    Steady,
    /// A healthy endpoint beside one that takes 10 seconds, hangs, or fails
    Slow,
    /// kill -9 of one of two dispatchers: when is all that it held sent again?
    Kill,
    /// 512 deliveries in flight at a slow receiver
    Memory,
    /// A backlog for 1, 2, 4 and 8 dispatchers
    Replicas,
    /// Publish alone, with 2 and 4 APIs, and with four times the connections
    ApiReplicas,
    /// Publish alone, four times the connections, each of a tenant of its own
    Tenants,
    /// Publish to receipt at 10 to 90 % of the saturated rate
    LoadLatency,
    /// Claims with ten thousand and with ten million ready deliveries
    Backlog,
    /// Minutes of publishing and delivering: the queue's size and the claim's time
    Churn,
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
        let seconds = self.seconds.unwrap_or(if self.quick { 2 } else { 15 });
        Duration::from_secs(u64::from(seconds))
    }

    /// For how long the bare rate is measured.
    pub fn bare_duration(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    /// How many ready deliveries the long backlog has.
    pub fn backlog_rows(&self) -> u32 {
        let rows = self.backlog_rows;
        rows.unwrap_or(if self.quick { 200_000 } else { 10_000_000 })
    }

    /// For how long `churn` goes on.
    pub fn churn_duration(&self) -> Duration {
        Duration::from_secs(60 * self.minutes)
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
            | Self::Batch
            | Self::Deliver
            | Self::Drain
            | Self::Fanout
            | Self::Steady
            | Self::Slow
            | Self::Kill
            | Self::Memory => true,
            Self::Replicas
            | Self::ApiReplicas
            | Self::Tenants
            | Self::LoadLatency
            | Self::Backlog
            | Self::Churn
            | Self::Lists => !settings.quick,
        }
    }
}
