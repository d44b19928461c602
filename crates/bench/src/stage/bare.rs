//! What this machine can do now without Reprise: what every other figure of the same run stands beside.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;

use super::{EVENT_TYPE, Stage};
use crate::{
    figures::{Percentiles, milliseconds, rate},
    load::{Load, Pace, Sequence, Until},
};

/// What a commit writes at least: a page of the write-ahead log.
const PAGE: [u8; 8192] = [0x5a; 8192];
/// Pages of the file that is written over and over, as PostgreSQL writes over its recycled segments: 16 MiB.
const PAGES: u64 = 2_048;

/// What one event costs this machine without Reprise.
#[derive(Clone, Copy, Debug)]
pub struct BareLatency {
    /// From the load generator to the sink and back.
    pub round_trip: Percentiles,
    /// A page written to the disk that PostgreSQL commits to.
    pub disk: Percentiles,
}

impl BareLatency {
    /// As a note of a row.
    pub fn note(&self) -> String {
        let ms = |time: Duration| format!("{:.1}", milliseconds(time));
        format!(
            "bare p99 {} ms; the disk p50 {}, p99 {}, p99.9 {} ms",
            ms(self.round_trip.p99),
            ms(self.disk.p50),
            ms(self.disk.p99),
            ms(self.disk.p999)
        )
    }
}

#[derive(QueryableByName)]
struct DataDirectory {
    #[diesel(sql_type = Text)]
    path: String,
}

impl Stage {
    /// How many requests a second the load generator can send into the sink: what this machine could do at best now.
    pub async fn bare_rate(&self) -> Result<f64> {
        let until = Until::Elapsed(self.settings.bare_duration());
        let sent = self.bare_load(Pace::Closed(until)).run().await?;
        Ok(rate(sent.latencies.len(), sent.duration()))
    }

    /// How long a request into the sink and a page on the disk take at some rate: latencies can't be better than this.
    pub async fn bare_latency(&mut self, per_second: u32) -> Result<BareLatency> {
        let duration = self.settings.bare_duration();
        let directory: DataDirectory =
            sql_query("SELECT current_setting('data_directory') AS path")
                .get_result(&mut self.conn)
                .await?;
        let file = PathBuf::from(directory.path).with_file_name("bare-disk");
        let disk = thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || write_pages(&file, per_second, duration))?;
        let pace = Pace::Open {
            per_second,
            duration,
        };
        let sent = self.bare_load(pace).run().await?;
        let disk = tokio::task::spawn_blocking(move || disk.join()).await?;
        let disk = disk.map_err(|_| anyhow::anyhow!("the disk's thread panicked"))??;
        Ok(BareLatency {
            round_trip: Percentiles::of(sent.latencies).context("no request was sent")?,
            disk: Percentiles::of(disk).context("no page was written")?,
        })
    }

    fn bare_load(&self, pace: Pace) -> Load {
        Load {
            targets: vec![self.sink.address()],
            expected_status: 200,
            sequence: Sequence::default(),
            ..self.load(EVENT_TYPE, pace)
        }
    }
}

/// Writes pages as commits do, and tells how long each took to be durable.
fn write_pages(path: &Path, per_second: u32, duration: Duration) -> io::Result<Vec<Duration>> {
    let file = File::create(path)?;
    for page in 0..PAGES {
        file.write_all_at(&PAGE, page * 8_192)?;
    }
    file.sync_all()?;
    let pause = Duration::from_secs(1) / per_second;
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed() < duration {
        let at = Instant::now();
        let page = times.len() as u64 % PAGES;
        file.write_all_at(&PAGE, page * 8_192)?;
        file.sync_data()?;
        times.push(at.elapsed());
        thread::park_timeout(pause.saturating_sub(at.elapsed()));
    }
    fs::remove_file(path)?;
    Ok(times)
}
