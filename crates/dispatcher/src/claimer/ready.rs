//! Claiming ready deliveries: from the endpoints that are known, and from what the walk finds besides.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reprise_core::ids::TenantId;
use reprise_core::ready_hint::ReadyHint;
use reprise_core::store::delivery_queue::{
    self, Candidate, Claim, ClaimRequest, LimitedEndpoint, ReadyClaim,
};
use reprise_core::store::{AsyncPgConnection, StoreError};
use tracing::debug;

use super::known::KnownEndpoints;
use super::progress::Progress;
use super::walk::{Step, Walk};
use crate::limited::Limited;
use crate::messages::Messages;

/// What this dispatcher knows of endpoints with ready deliveries.
#[derive(Debug)]
pub(crate) struct ReadyEndpoints {
    known: KnownEndpoints,
    walk: Walk,
}

/// Why the claimer looks.
#[derive(Clone, Debug)]
pub(super) struct Hints {
    /// Where deliveries may have become ready.
    pub(super) ready: ReadyHint,
    /// Deliveries may have become ready where another dispatcher looks first.
    pub(super) is_put_off: bool,
    /// Deliveries may have become ready that were made long ago.
    pub(super) returned: bool,
}

/// What was taken, and what was met.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) claims: Vec<Claim>,
    pub(super) messages: Messages,
    /// Endpoints with ready deliveries and a limit.
    pub(super) limited: Vec<LimitedEndpoint>,
    /// Tenants with an endpoint that got less than it may have, for the sake of others.
    pub(super) held_back: HashSet<TenantId>,
    pub(super) progress: Progress,
}

impl ReadyEndpoints {
    pub(crate) fn new() -> Self {
        Self {
            known: KnownEndpoints::default(),
            walk: Walk::at_random(),
        }
    }

    /// How long to wait before the walk goes on, if it is to.
    pub(super) fn next_walk(&self, now: Instant) -> Option<Duration> {
        self.walk.next_after(now)
    }

    /// Takes hints, and tells whether there is anything to ask PostgreSQL for.
    pub(super) fn is_worth_a_look(&mut self, hints: &Hints) -> bool {
        let now = Instant::now();
        if hints.returned {
            self.known.look_from_start();
        }
        match &hints.ready {
            ReadyHint::Anywhere => {
                self.known.wake_quiet();
                self.walk.want();
            }
            ReadyHint::At(endpoints) => {
                if !self.known.add(endpoints, now).are_all {
                    self.walk.want();
                }
            }
        }
        let has_candidates = self.known.has_candidates();
        let is_walk_due = if hints.is_put_off {
            // A walk without a hint would find what is left to the other.
            self.walk.next_after(now).is_some()
        } else {
            self.walk.is_due(has_candidates, now)
        };
        has_candidates || is_walk_due
    }

    /// Walks on if it is time to, and claims.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Leases that were committed all the same are given back later.
    pub(super) async fn claim(
        &mut self,
        conn: &mut AsyncPgConnection,
        request: &ClaimRequest<'_>,
        known_limited: &Limited,
    ) -> Result<Taken, StoreError> {
        let now = Instant::now();
        let mut limited = if self.walk.is_due(self.known.has_candidates(), now) {
            self.go_on(conn, known_limited, now).await?
        } else {
            Vec::new()
        };
        let (taken, doubtful, held_back) = self.claim_known(conn, request, now).await?;
        limited.extend(self.find_limited(conn, &doubtful).await);
        // What has nothing more has kept its share from those.
        let shared: i32 = taken.shares.iter().sum();
        let is_share_unused = usize::try_from(shared).is_ok_and(|count| count > taken.claims.len());
        let may_be_more = !taken.claims.is_empty()
            || (is_share_unused && !held_back.is_empty())
            || self.walk.is_due(self.known.has_candidates(), now);
        Ok(Taken {
            progress: Progress::more_if(may_be_more),
            claims: taken.claims,
            messages: taken.messages.into(),
            limited,
            held_back,
        })
    }

    /// Walks on, and returns the endpoints with a limit that were met.
    async fn go_on(
        &mut self,
        conn: &mut AsyncPgConnection,
        known_limited: &Limited,
        now: Instant,
    ) -> Result<Vec<LimitedEndpoint>, StoreError> {
        let (known, begun) = (self.known.keys(), Instant::now());
        let walked = delivery_queue::find_ready(conn, &self.walk.position, &known).await?;
        let took = begun.elapsed();
        let mut remembered = self.known.add(&walked.found, now);
        remembered.is_any_new |= !walked.limited.iter().all(|one| known_limited.knows(one));
        let step = Step { remembered, took };
        self.walk.advance(walked.next, step, Instant::now());
        Ok(walked.limited)
    }

    async fn claim_known(
        &mut self,
        conn: &mut AsyncPgConnection,
        request: &ClaimRequest<'_>,
        now: Instant,
    ) -> Result<(ReadyClaim, Vec<LimitedEndpoint>, HashSet<TenantId>), StoreError> {
        let candidates = self.known.candidates(now);
        let taken = delivery_queue::claim_ready(conn, request, &candidates).await?;
        let is_cut = payload_bytes(&taken) >= request.max_payload_bytes;
        self.known.note(&candidates, &taken, is_cut, now);
        let doubtful = self.known.doubtful(&candidates, &taken, now);
        let held_back = held_back(request, &candidates, &taken.shares);
        Ok((taken, doubtful, held_back))
    }

    /// Those of these endpoints that have got a limit; they are forgotten here. An error must not cost the claims that
    /// were made, and is left to the next look.
    async fn find_limited(
        &mut self,
        conn: &mut AsyncPgConnection,
        doubtful: &[LimitedEndpoint],
    ) -> Vec<LimitedEndpoint> {
        if doubtful.is_empty() {
            return Vec::new();
        }
        let found = delivery_queue::find_limited(conn, doubtful).await;
        let limited = found.unwrap_or_else(|error| {
            debug!(%error, "Endpoints can't be asked for limits");
            Vec::new()
        });
        self.known.forget(&limited);
        limited
    }
}

/// The tenants of candidates that got less than they may have, whether or not they have it.
fn held_back(
    request: &ClaimRequest<'_>,
    candidates: &[Candidate],
    shares: &[i32],
) -> HashSet<TenantId> {
    let room = |one: &Candidate| request.in_flight.room_at(&one.endpoint_id, request.caps);
    let shared = candidates.iter().zip(shares);
    let held_back = shared.filter(|(one, share)| **share < room(one));
    held_back.map(|(one, _)| one.tenant_id).collect()
}

fn payload_bytes(taken: &ReadyClaim) -> i64 {
    let bytes = |claim: &Claim| i64::from(claim.payload_bytes);
    taken.claims.iter().map(bytes).sum()
}
