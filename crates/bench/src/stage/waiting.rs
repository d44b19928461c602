//! Waiting until what was published has arrived, and is recorded.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reprise_testkit::polling::poll_until;

use super::{Stage, queue::unfinished};
use crate::sink::Lane;

/// After so long without any progress, nothing more is going to come.
const PATIENCE: Duration = Duration::from_secs(60);

impl Stage {
    /// How many deliveries of events have not arrived yet.
    pub fn behind(&self, sequences: &[u64]) -> usize {
        let lanes = self.sink.lanes().iter();
        lanes.map(|lane| lane.missing(sequences).count).sum()
    }

    /// Waits until events have come to all lanes, and their deliveries are finished and recorded.
    pub async fn wait_for_all(&mut self, sequences: &[u64]) -> Result<()> {
        for lane in 0..self.sink.lanes().len() {
            self.wait_for_lane(lane, sequences).await?;
        }
        self.wait_for_empty_queue().await
    }

    /// [`Stage::wait_for_all`], but no longer than some time.
    pub async fn wait_for_all_or(&mut self, sequences: &[u64], duration: Duration) -> Result<()> {
        let waiting = self.wait_for_all(sequences);
        tokio::time::timeout(duration, waiting)
            .await
            .unwrap_or(Ok(()))
    }

    /// Waits until events have come to a lane.
    pub async fn wait_for_lane(&self, lane: usize, sequences: &[u64]) -> Result<()> {
        let lane = self.sink.lane(lane);
        loop {
            let missing = lane.missing(sequences);
            if missing.count == 0 {
                return Ok(());
            }
            self.wait_for_arrivals(lane, missing.arrived + missing.count)
                .await?;
        }
    }

    /// Waits until a lane has got so many events, of whatever number: counting is cheaper than comparing.
    async fn wait_for_arrivals(&self, lane: &Lane, wanted: usize) -> Result<()> {
        let mut arrived = lane.arrived();
        while arrived < wanted {
            let more = poll_until(PATIENCE, async || {
                let now = lane.arrived();
                (now > arrived).then_some(now)
            });
            let Some(now) = more.await else {
                bail!("{arrived} of {wanted} events have arrived, and no more in {PATIENCE:?}");
            };
            arrived = now;
        }
        Ok(())
    }

    /// Waits until all deliveries are finished and recorded.
    pub(super) async fn wait_for_empty_queue(&mut self) -> Result<()> {
        let conn = &mut self.conn;
        let empty = poll_until(PATIENCE, async || {
            let left = unfinished(conn).await;
            left.map(|left| (left == 0).then_some(())).transpose()
        });
        empty.await.context("deliveries stay unfinished")?
    }
}
