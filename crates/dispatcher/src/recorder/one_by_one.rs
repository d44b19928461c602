//! Leases that are ended one by one, since together they could not be: one of them may be at fault, and the others must
//! not wait for it.

use std::slice;

use reprise_core::ids::DeliveryId;
use reprise_core::store::StoreError;
use reprise_core::store::leases::UnusedLease;
use reprise_core::store::recording::FinishedAttempt;
use tracing::{debug, error, warn};

use super::Recorder;
use super::batch::Batch;

/// After so many passes in which no result is taken, one that is refused is written without what may be at fault.
/// Fewer, and a disk that is full for a moment costs responses; more, and what is at fault holds its permit for longer.
const REFUSED_ALONE: u32 = 8;

impl Recorder {
    /// Ends each lease in a transaction of its own, and what is refused again without what may be at fault.
    pub(super) async fn write_one_by_one(
        &self,
        batch: &mut Batch,
        passes: u32,
    ) -> Result<(), StoreError> {
        let mut records = OneByOne::through(&mut batch.finished);
        while let Some(one) = records.next() {
            let recorded = self.record(slice::from_ref(one)).await;
            records.note(recorded);
        }
        let mut returns = OneByOne::through(&mut batch.unused);
        while let Some(one) = returns.next() {
            let given_back = self.give_back(slice::from_ref(one)).await;
            returns.note(given_back);
        }
        let (finished, unused) = (records.end(), returns.end());
        let are_others_taken = finished.ended > 0;
        if passes >= REFUSED_ALONE || (passes > 0 && are_others_taken) {
            // From the back, so that the places of the others stay what they are.
            for place in finished.refused.into_iter().rev() {
                if self
                    .end_refused(&batch.finished[place], are_others_taken)
                    .await
                {
                    drop(batch.finished.swap_remove(place));
                }
            }
            for place in unused
                .refused
                .into_iter()
                .rev()
                .filter(|_| are_others_taken)
            {
                give_up(&batch.unused.swap_remove(place), "it was refused again");
            }
        }
        let waits_for = finished.waits_for.or(unused.waits_for);
        waits_for
            .filter(|_| batch.open_leases() > 0)
            .map_or(Ok(()), Err)
    }

    /// Ends what PostgreSQL refuses again and again; whether it is ended. First without what the receiver sent: a value
    /// that PostgreSQL never takes is in there if anywhere. If that is refused, too, the fault is in this one where
    /// others are taken, and may be a full disk's where none is.
    async fn end_refused(
        &self,
        refused: &FinishedAttempt,
        although_others_are_taken: bool,
    ) -> bool {
        let mut bare = refused.clone();
        if let Some(response) = &mut bare.attempt.response {
            response.headers.clear();
            response.body_truncated |= !response.body.is_empty();
            response.body.clear();
        }
        let id = refused.delivery_id;
        match self.record(slice::from_ref(&bare)).await {
            Ok(()) => {
                warn!(delivery.id = %id, "PostgreSQL refused a response, recorded without its headers and body");
                true
            }
            Err(error @ StoreError::Refused(_)) if although_others_are_taken => {
                give_up(refused, error);
                true
            }
            Err(error) => {
                debug!(delivery.id = %id, %error, "Still refused");
                false
            }
        }
    }
}

/// What ends a lease, as far as the log shows it.
pub(super) trait Ending {
    fn delivery_id(&self) -> DeliveryId;
}

impl Ending for FinishedAttempt {
    fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }
}

impl Ending for UnusedLease {
    fn delivery_id(&self) -> DeliveryId {
        self.delivery_id
    }
}

/// The way through leases of which each is ended in a transaction of its own. Those that PostgreSQL was not available
/// for, or that it refused, stay; where the statement failed for a mistake of ours the lease is given up.
///
/// Cancel safety: dropped half-way, what has not been ended, or perhaps has, is still open.
#[derive(Debug)]
pub(super) struct OneByOne<'a, T> {
    open: &'a mut Vec<T>,
    /// So many stay, at the front.
    staying: usize,
    pass: Pass,
}

/// What a pass through them came to.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// How many were ended.
    pub(super) ended: usize,
    /// The places of those that were refused, in their order.
    pub(super) refused: Vec<usize>,
    /// Why some are still open, if any are.
    pub(super) waits_for: Option<StoreError>,
}

impl<'a, T: Ending> OneByOne<'a, T> {
    pub(super) fn through(open: &'a mut Vec<T>) -> Self {
        Self {
            open,
            staying: 0,
            pass: Pass::default(),
        }
    }

    /// The one to end next.
    pub(super) fn next(&self) -> Option<&T> {
        self.open.get(self.staying)
    }

    /// Notes what came of it.
    pub(super) fn note(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                drop(self.open.swap_remove(self.staying));
                self.pass.ended += 1;
            }
            Err(error) if error.may_pass() => {
                if matches!(error, StoreError::Refused(_)) {
                    self.pass.refused.push(self.staying);
                }
                self.pass.waits_for = Some(error);
                self.staying += 1;
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                give_up(
                    &self.open.swap_remove(self.staying),
                    format_args!("{error:#}"),
                );
            }
        }
    }

    pub(super) fn end(self) -> Pass {
        self.pass
    }
}

/// Leaves a lease to its end, after which the attempt shows as lost.
pub(super) fn give_up(ending: &impl Ending, why: impl std::fmt::Display) {
    let id = ending.delivery_id();
    error!(delivery.id = %id, "A lease can't be ended, it will expire: {why}");
}
