//! The claimer: takes permits, leases as many deliveries as it has permits for, and starts an attempt for each.
//!
//! One task. It claims again as long as there is something to claim and room for it, and waits for a hint otherwise.

mod known;
mod progress;
mod put_off;
mod ready;
mod start;
mod unanswered;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::ids::DispatcherId;
use reprise_core::store::delivery_queue::{
    self, ClaimRequest, Claimant, ExpressLimits, LimitedEndpoint, LimitedRequest,
};
use reprise_core::store::{Database, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::Sender;
use crate::circuits::Circuits;
use crate::homes::Homes;
use crate::in_flight::{Capacity, Room};
use crate::limited::Limited;
use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::targets::Targets;
use crate::wakeup::Wakeup;
use progress::Progress;
use ready::Hints;
use start::Claimed;

pub(crate) use put_off::PutOff;
pub(crate) use ready::ReadyEndpoints;
pub(crate) use unanswered::Unanswered;

/// How long a lease lasts beyond the endpoint's timeout: [`BEGIN_WITHIN`](crate::attempt::BEGIN_WITHIN), and the rest
/// to record the result while PostgreSQL is busy. Longer, and what a killed dispatcher held waits longer where no peer
/// notices its death; shorter, and a slow commit costs a second send.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// Between claims at least. Longer, and places that are free wait for it; shorter, and each claim has but few of them
/// to fill, which costs more for each.
const CLAIM_PAUSE: Duration = Duration::from_millis(1);

/// How long a claim may take, and loading what is sent. Longer, and a dispatcher that is told to stop while PostgreSQL
/// hangs waits for it; shorter, and what a slow PostgreSQL has leased in the end waits for its lease to expire.
const DEADLINE: Duration = Duration::from_secs(5);

/// Endpoints with a limit that are claimed for at once at most. More, and one statement takes long and holds many
/// locks.
const MAX_LIMITED: usize = 64;

/// The one task that claims.
pub(crate) struct Claimer {
    pub(crate) database: Database,
    pub(crate) dispatcher_id: DispatcherId,
    pub(crate) capacity: Capacity,
    pub(crate) targets: Targets,
    pub(crate) sender: Sender,
    pub(crate) attempts: TaskTracker,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) poll_interval: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watch: Watch,
    pub(crate) stop: CancellationToken,
    pub(crate) ready: ReadyEndpoints,
    pub(crate) homes: Homes,
    pub(crate) put_off: PutOff,
    pub(crate) limited: Limited,
    pub(crate) circuits: Arc<Circuits>,
    /// Whether a single permit goes to the endpoints with a limit this time.
    pub(crate) is_turn_of_limited: bool,
    /// When everything was looked at, whatever hints came.
    pub(crate) looked_at: Option<Instant>,
    /// When ready deliveries were claimed.
    pub(crate) claimed_at: Option<Instant>,
    pub(crate) unanswered: Unanswered,
}

impl Claimer {
    /// Claims until told to stop. What is claimed then is still sent.
    pub(crate) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            match self.claim().await {
                Ok(Progress::MayBeMore) => self.watch.worked(),
                Ok(Progress::NothingLeft) => {
                    self.watch.worked();
                    self.rest().await;
                }
                Err(error) => {
                    // The hints that led to it were taken for nothing.
                    self.wakeup.hint_all();
                    let wait = self.watch.failed(&error);
                    self.pause(wait).await;
                }
            }
        }
    }

    /// Waits for a hint, or until it is time to look at something without one.
    async fn rest(&self) {
        let now = Instant::now();
        let age = |at| now.saturating_duration_since(at);
        let next_look = self
            .looked_at
            .map(|at| self.poll_interval.saturating_sub(age(at)));
        // Where there is no room these wait for it too, and not for time.
        let is_room = self.capacity.room().is_any();
        let next_walk = self.ready.next_walk(now).filter(|_| is_room);
        let next_put_off = self.put_off.next_after(now).filter(|_| is_room);
        let next_limited = self.limited.next_after(now);
        let next = [next_look, next_limited, next_walk, next_put_off];
        let at_most = next.into_iter().flatten().min();
        let at_most = at_most.unwrap_or(self.poll_interval);
        tokio::select! {
            () = self.wakeup.wait(at_most) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits out an error, whatever hints come.
    async fn pause(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.stop.cancelled()).await;
    }

    async fn claim(&mut self) -> Result<Progress, StoreError> {
        if self
            .looked_at
            .is_none_or(|at| at.elapsed() >= self.poll_interval)
        {
            self.looked_at = Some(Instant::now());
            self.wakeup.hint_all();
            self.release_unanswered().await?;
        }
        let express = self.claim_express().await?;
        let limited = self.claim_limited(self.capacity.room()).await?;
        let room = self.capacity.room();
        if !room.is_any() {
            return Ok(express.or(limited));
        }
        let ready = self.claim_ready(room).await?;
        Ok(express.or(limited).or(ready))
    }

    /// Claims for the endpoints with a limit: with half of the room at most, so that neither they nor the others
    /// starve.
    async fn claim_limited(&mut self, room: Room) -> Result<Progress, StoreError> {
        let now = Instant::now();
        self.limited
            .free(&self.capacity.take_ended_at_limited(), now);
        self.is_turn_of_limited = !self.is_turn_of_limited;
        let share = if self.is_turn_of_limited {
            room.ready.div_ceil(2)
        } else {
            room.ready / 2
        };
        if share == 0 || room.payload_bytes <= 0 {
            return Ok(Progress::NothingLeft);
        }
        let due = self.limited.due(now).into_iter();
        let endpoints = self.capacity.rooms_at(due, room, MAX_LIMITED);
        if endpoints.is_empty() {
            return Ok(Progress::NothingLeft);
        }
        let permits = self.capacity.take_permits(share);
        let at = Instant::now();
        let request = LimitedRequest {
            claimant: Claimant::new(self.dispatcher_id),
            endpoints: &endpoints,
            max_rows: permits.count(),
            max_payload_bytes: room.payload_bytes,
            lease_margin: LEASE_MARGIN,
        };
        let claiming = async |conn: &mut _| delivery_queue::claim_limited(conn, &request).await;
        let taken = self.database.run(DEADLINE, claiming).await.flatten();
        let taken = self.unanswered.note(request.claimant, taken)?;
        let is_cut = taken.claims.len() >= usize::from(share);
        let asked = endpoints.iter().map(|(endpoint, _)| *endpoint);
        let told = |(_, id): &LimitedEndpoint| taken.states.iter().any(|(told, _)| told == id);
        self.circuits
            .note(asked.clone().filter(told), &taken.circuits);
        self.limited
            .note(asked, &taken.states, is_cut, Instant::now());
        // More may be due than were asked for.
        let may_be_more = !taken.claims.is_empty() || endpoints.len() >= MAX_LIMITED;
        if !taken.claims.is_empty() {
            let claimed = Claimed::unread(taken.claims, permits, at);
            self.start(claimed).await?;
        }
        Ok(Progress::more_if(may_be_more))
    }

    async fn claim_express(&mut self) -> Result<Progress, StoreError> {
        let permits = self.capacity.take_permits(self.capacity.room().express);
        if permits.count() == 0 || !self.wakeup.take_express_hint() {
            return Ok(Progress::NothingLeft);
        }
        let at = Instant::now();
        let (in_flight, max_per_tenant) = self.capacity.express();
        let limits = ExpressLimits {
            max_per_tenant,
            in_flight_by_tenant: &in_flight,
        };
        let (claimant, count) = (Claimant::new(self.dispatcher_id), permits.count());
        let claiming = async |conn: &mut _| {
            delivery_queue::claim_express(conn, claimant, count, &limits, LEASE_MARGIN).await
        };
        let taken = self.database.run(DEADLINE, claiming).await.flatten();
        let taken = self.unanswered.note(claimant, taken)?;
        self.limited.meet_express(&taken.limited, at);
        if taken.claims.is_empty() {
            return Ok(Progress::NothingLeft);
        }
        self.wakeup.hint_express();
        let claimed = Claimed::unread(taken.claims, permits, at);
        self.start(claimed).await?;
        Ok(Progress::MayBeMore)
    }

    fn take_hints(&mut self) -> Hints {
        let mut ready = self.wakeup.take_ready_hint();
        let is_home = |endpoint_id| self.homes.is_here(endpoint_id);
        let is_put_off = self.put_off.exchange(&mut ready, is_home, Instant::now());
        // They are asked for in another way, and in vain here.
        ready.take_out(|endpoint| self.limited.knows(endpoint));
        Hints {
            ready,
            is_put_off,
            returned: self.wakeup.take_return_hint(),
        }
    }

    async fn claim_ready(&mut self, room: Room) -> Result<Progress, StoreError> {
        let hints = self.take_hints();
        if !self.ready.is_worth_a_look(&hints) {
            return Ok(Progress::NothingLeft);
        }
        // Not for no time at all: the runtime's timers would make a millisecond of it.
        let early = self
            .claimed_at
            .map(|at| CLAIM_PAUSE.saturating_sub(at.elapsed()));
        if let Some(early) = early.filter(|early| !early.is_zero()) {
            self.pause(early).await;
        }
        let permits = self.capacity.take_permits(room.ready);
        let at = Instant::now();
        self.claimed_at = Some(at);
        let request = ClaimRequest {
            claimant: Claimant::new(self.dispatcher_id),
            max_rows: permits.count(),
            free: permits.count(),
            max_payload_bytes: room.payload_bytes,
            lease_margin: LEASE_MARGIN,
            caps: self.capacity.caps(),
            in_flight: &self.capacity.in_flight(),
        };
        let ready = &mut self.ready;
        let limited = &self.limited;
        let claiming = async |conn: &mut _| ready.claim(conn, &request, limited).await;
        let taken = self.database.run(DEADLINE, claiming).await.flatten();
        let taken = self.unanswered.note(request.claimant, taken)?;
        self.put_off.note(!taken.claims.is_empty());
        self.capacity.hold_back(taken.held_back);
        let has_met_new = self.limited.meet(&taken.limited, at);
        if !taken.claims.is_empty() {
            let claimed = Claimed {
                claims: taken.claims,
                permits,
                at,
                messages: Some(taken.messages),
            };
            self.start(claimed).await?;
        }
        Ok(taken.progress.or(Progress::more_if(has_met_new)))
    }
}
