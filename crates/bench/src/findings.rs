//! What a scenario yields.

use std::time::Duration;

use crate::report::Row;

/// What was measured in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Rows of the table.
    pub rows: Vec<Row>,
    /// Further tables, in Markdown.
    pub sections: Vec<String>,
    /// Dispatchers, and the deliveries a second that so many made together.
    pub replicas: Vec<(usize, f64)>,
    /// Latency under rates of publishing.
    pub latencies: Vec<LatencyAtRate>,
}

/// Latency under a rate of publishing.
#[derive(Clone, Copy, Debug)]
pub struct LatencyAtRate {
    /// Events a second.
    pub rate: f64,
    /// The median.
    pub p50: Duration,
    /// What one in a hundred exceeds.
    pub p99: Duration,
}

impl Findings {
    /// Adds what another scenario found.
    pub fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.sections.extend(other.sections);
        self.replicas.extend(other.replicas);
        self.latencies.extend(other.latencies);
    }
}

impl From<Vec<Row>> for Findings {
    fn from(rows: Vec<Row>) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }
}

impl From<Row> for Findings {
    fn from(row: Row) -> Self {
        vec![row].into()
    }
}

impl From<()> for Findings {
    fn from((): ()) -> Self {
        Self::default()
    }
}
