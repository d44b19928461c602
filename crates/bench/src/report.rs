//! The table of all that was measured.

use std::{fmt::Write as _, time::Duration};

use crate::{
    figures::{Percentiles, float, milliseconds},
    findings::Findings,
    machine::Machine,
    resources::Usage,
    sink::Verdict,
};

const HEADER: &str = "\
| scenario | bare/s | rate/s | of bare | published/s | p50 ms | p99 ms | p99.9 ms | CPU-ms each | API | dispatcher | PostgreSQL | API MB | dispatcher MB | WAL bytes each | commits each | lost | doubled | notes |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
";
const LEGEND: &str = "
bare: requests a second that the load generator can post into the sink, measured just before. rate: deliveries a second, or
events where nothing is delivered; each: per delivery or event likewise. CPU: user and system time. MB: the most that one
process has had resident. commits: transactions that wrote. Latency: from the time at which an event was to be published to
its receipt (to its 202 where nothing is delivered).
";

/// What was measured in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Which scenario.
    pub name: String,
    /// What the machine could do at best.
    pub bare_rate: Option<f64>,
    /// Deliveries a second, or events where nothing is delivered.
    pub rate: Option<f64>,
    /// Events that were accepted a second, where that is another figure.
    pub publish_rate: Option<f64>,
    /// How long it took from publishing to receipt.
    pub latency: Option<Percentiles>,
    /// What it cost, and for how many deliveries.
    pub cost: Option<Cost>,
    /// Whether all came, once each.
    pub verdict: Option<Verdict>,
    /// What else there is to say.
    pub notes: String,
}

/// What some deliveries cost together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// All that was used.
    pub usage: Usage,
    /// For how many deliveries, or events where nothing is delivered.
    pub count: usize,
}

impl Row {
    /// An empty row.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Its name, if deliveries were lost, or doubled without a reason.
    pub fn fault(&self) -> Option<&str> {
        let is_right = self
            .verdict
            .is_none_or(|verdict| verdict == Verdict::default());
        (!is_right).then_some(&self.name)
    }

    fn write(&self, table: &mut String) {
        let share = self.rate.zip(self.bare_rate);
        let share = share.map(|(rate, bare)| format!("{:.1} %", 100.0 * rate / bare));
        let mut cells = vec![
            self.name.clone(),
            shown(self.bare_rate.map(whole)),
            shown(self.rate.map(whole)),
            shown(share),
            shown(self.publish_rate.map(whole)),
        ];
        cells.extend(latency_cells(self.latency));
        cells.extend(cost_cells(self.cost));
        cells.push(shown(self.verdict.map(|one| one.lost.to_string())));
        cells.push(shown(self.verdict.map(|one| one.doubled.to_string())));
        cells.push(self.notes.clone());
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
}

/// The whole report, in Markdown.
pub fn markdown(machine: &Machine, findings: &Findings) -> String {
    let mut text = format!("{machine}\n{HEADER}");
    for row in &findings.rows {
        row.write(&mut text);
    }
    text.push_str(LEGEND);
    for section in &findings.sections {
        let _ = write!(text, "\n{section}");
    }
    text
}

fn latency_cells(latency: Option<Percentiles>) -> [String; 3] {
    [
        latency.map(|times| times.p50),
        latency.map(|times| times.p99),
        latency.map(|times| times.p999),
    ]
    .map(|time| shown(time.map(|time| format!("{:.1}", milliseconds(time)))))
}

fn cost_cells(cost: Option<Cost>) -> [String; 8] {
    let Some(Cost { usage, count }) = cost else {
        return [(); 8].map(|()| shown(None));
    };
    let count = float(count).max(1.0);
    let each = |time: Duration| format!("{:.3}", milliseconds(time) / count);
    let megabytes = |bytes: u64| match bytes {
        0 => shown(None),
        bytes => format!("{:.0}", float(bytes) / 1e6),
    };
    [
        each(usage.cpu()),
        each(usage.apis),
        each(usage.dispatchers),
        each(usage.postgres),
        megabytes(usage.api_peak_bytes),
        megabytes(usage.dispatcher_peak_bytes),
        whole(float(usage.wal_bytes) / count),
        format!("{:.3}", float(usage.commits) / count),
    ]
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn shown(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}
