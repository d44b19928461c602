//! What work costs: CPU time, memory, WAL and commits of API, dispatchers and PostgreSQL.

mod database;
mod process;

pub use self::{
    database::{Counters, find_postmaster},
    process::{Pid, peak_memory_bytes},
};

use std::time::Duration;

use anyhow::Result;
use diesel_async::AsyncPgConnection;

use self::process::{cpu_time, cpu_time_with_children};

/// The processes to look at.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The APIs that run.
    pub apis: Vec<Pid>,
    /// The dispatchers that run.
    pub dispatchers: Vec<Pid>,
    /// PostgreSQL's first process, the parent of all others.
    pub postmaster: Pid,
}

/// What had been used at some time.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    apis: Duration,
    dispatchers: Duration,
    postgres: Duration,
    counters: Counters,
}

/// What has been used between two times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time of all APIs, user and system.
    pub apis: Duration,
    /// CPU time of all dispatchers.
    pub dispatchers: Duration,
    /// CPU time of all of PostgreSQL's processes, those that have ended included.
    pub postgres: Duration,
    /// Bytes of write-ahead log.
    pub wal_bytes: u64,
    /// Transactions that wrote something.
    pub commits: u64,
    /// The most memory that the API has had resident since it began.
    pub api_peak_bytes: u64,
    /// The most memory that any one dispatcher has had resident since it began.
    pub dispatcher_peak_bytes: u64,
}

impl Usage {
    /// Adds what the programs of another stage have used in the same time. PostgreSQL is the same one: what it has used
    /// is what the last of them has seen, whose meter was read last.
    pub fn add_programs(&mut self, other: &Self) {
        *self = Self {
            apis: self.apis + other.apis,
            dispatchers: self.dispatchers + other.dispatchers,
            api_peak_bytes: self.api_peak_bytes.max(other.api_peak_bytes),
            dispatcher_peak_bytes: self.dispatcher_peak_bytes.max(other.dispatcher_peak_bytes),
            ..*other
        };
    }

    /// CPU time of everything but load generator and sink.
    pub fn cpu(&self) -> Duration {
        self.apis + self.dispatchers + self.postgres
    }
}

impl Meter {
    /// Reads the meters.
    pub async fn read(processes: &Processes, conn: &mut AsyncPgConnection) -> Result<Self> {
        Ok(Self {
            apis: cpu_time_of_all(&processes.apis)?,
            dispatchers: cpu_time_of_all(&processes.dispatchers)?,
            postgres: cpu_time_with_children(processes.postmaster)?,
            counters: Counters::read(conn).await?,
        })
    }

    /// What has been used since, by the same processes.
    pub async fn since(self, processes: &Processes, conn: &mut AsyncPgConnection) -> Result<Usage> {
        let now = Self::read(processes, conn).await?;
        Ok(Usage {
            apis: now.apis.saturating_sub(self.apis),
            dispatchers: now.dispatchers.saturating_sub(self.dispatchers),
            postgres: now.postgres.saturating_sub(self.postgres),
            wal_bytes: now
                .counters
                .wal_bytes
                .saturating_sub(self.counters.wal_bytes),
            commits: now.counters.commits.saturating_sub(self.counters.commits),
            api_peak_bytes: largest_peak_bytes(&processes.apis)?,
            dispatcher_peak_bytes: largest_peak_bytes(&processes.dispatchers)?,
        })
    }
}

fn cpu_time_of_all(processes: &[Pid]) -> Result<Duration> {
    processes.iter().map(|pid| cpu_time(*pid)).sum()
}

/// The most that any of them has had resident; zero where there is none.
fn largest_peak_bytes(processes: &[Pid]) -> Result<u64> {
    let mut largest = 0;
    for pid in processes {
        largest = largest.max(peak_memory_bytes(*pid)?);
    }
    Ok(largest)
}
