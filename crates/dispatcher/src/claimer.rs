//! The claimer: takes permits, leases as many deliveries as it has permits for, and starts an attempt for each.
//!
//! One task. It claims again as long as there is something to claim and room for it, and waits for a hint otherwise.

mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::ids::DispatcherId;
use reprise_core::store::delivery_queue::{
    self, Claim, ClaimRequest, ExpressLimits, LimitedRequest,
};
use reprise_core::store::messages::{self, Message};
use reprise_core::store::{AsyncPgConnection, Database, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::attempt::{self, Job, Sender};
use crate::in_flight::{Capacity, Permits, Room};
use crate::limited::Limited;
use crate::metrics::Metrics;
use crate::outage::Watch;
use crate::recorder::Ended;
use crate::targets::Targets;
use crate::wakeup::Wakeup;
use walk::Progress;

pub(crate) use walk::Walk;

/// How long a lease lasts beyond the endpoint's timeout: [`attempt::BEGIN_WITHIN`], and the rest to record the result
/// while PostgreSQL is busy. Longer, and what a killed dispatcher held waits longer where no peer notices its death;
/// shorter, and a slow commit costs a second send.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// Between claims that found nothing on a part of the walk. Longer, and a walk round many tenants takes long; shorter,
/// and it costs PostgreSQL for nothing.
const EMPTY_PAUSE: Duration = Duration::from_millis(5);

/// Endpoints with a limit that are claimed for at once at most. More, and one statement takes long and holds many locks.
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
    pub(crate) walk: Walk,
    pub(crate) limited: Limited,
    /// Whether a single permit goes to the endpoints with a limit this time.
    pub(crate) is_turn_of_limited: bool,
}

/// Claims with their permits.
struct Claimed {
    claims: Vec<Claim>,
    permits: Permits,
    /// Before the claim was made, so that the lease began no earlier.
    at: Instant,
}

impl Claimer {
    /// Claims until told to stop. What is claimed then is still sent.
    pub(crate) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            match self.claim().await {
                Ok(Progress::MayBeMore) => self.watch.worked(),
                Ok(Progress::NothingLeft) => {
                    self.watch.worked();
                    let next = self.limited.next_after(Instant::now());
                    let at_most = next.unwrap_or(self.poll_interval);
                    self.rest(at_most.min(self.poll_interval)).await;
                }
                Err(error) => {
                    let wait = self.watch.failed(&error);
                    self.pause(wait).await;
                }
            }
        }
    }

    /// Waits for a hint.
    async fn rest(&self, at_most: Duration) {
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
        let express = self.claim_express().await?;
        let limited = self.claim_limited(self.capacity.room()).await?;
        let room = self.capacity.room();
        if room.ready == 0 || room.payload_bytes <= 0 {
            return Ok(express.or(limited));
        }
        let ready = self.claim_ready(room).await?;
        Ok(express.or(limited).or(ready))
    }

    /// Claims for the endpoints with a limit: with half of the room at most, so that neither they nor the others starve.
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
        let capacity = &self.capacity;
        let due = self.limited.due(now).into_iter();
        let endpoints: Vec<_> = due
            .map(|(tenant_id, id)| ((tenant_id, id), capacity.room_at(tenant_id, id)))
            .filter(|(_, room)| *room > 0)
            .take(MAX_LIMITED)
            .collect();
        if share == 0 || room.payload_bytes <= 0 || endpoints.is_empty() {
            return Ok(Progress::NothingLeft);
        }
        let permits = self.capacity.take_permits(share);
        let database = self.database.clone();
        let mut conn = database.connection().await?;
        let at = Instant::now();
        let request = LimitedRequest {
            dispatcher_id: self.dispatcher_id,
            endpoints: &endpoints,
            max_rows: permits.count(),
            max_payload_bytes: room.payload_bytes,
            lease_margin: LEASE_MARGIN,
        };
        let taken = delivery_queue::claim_limited(&mut conn, &request).await?;
        let is_cut = taken.claims.len() >= usize::from(share);
        let asked = endpoints.iter().map(|(endpoint, _)| *endpoint);
        self.limited
            .note(asked, &taken.states, is_cut, Instant::now());
        if taken.claims.is_empty() {
            return Ok(Progress::NothingLeft);
        }
        let claimed = Claimed {
            claims: taken.claims,
            permits,
            at,
        };
        self.start(&mut conn, claimed).await?;
        Ok(Progress::MayBeMore)
    }

    async fn claim_express(&mut self) -> Result<Progress, StoreError> {
        let permits = self.capacity.take_permits(self.capacity.room().express);
        if permits.count() == 0 {
            return Ok(Progress::NothingLeft);
        }
        let database = self.database.clone();
        let mut conn = database.connection().await?;
        let at = Instant::now();
        let (in_flight, max_per_tenant) = self.capacity.express();
        let limits = ExpressLimits {
            max_per_tenant,
            in_flight_by_tenant: &in_flight,
        };
        let taken = delivery_queue::claim_express(
            &mut conn,
            self.dispatcher_id,
            permits.count(),
            &limits,
            LEASE_MARGIN,
        )
        .await?;
        self.limited.meet(&taken.limited, at);
        if taken.claims.is_empty() {
            return Ok(Progress::NothingLeft);
        }
        let claimed = Claimed {
            claims: taken.claims,
            permits,
            at,
        };
        self.start(&mut conn, claimed).await?;
        Ok(Progress::MayBeMore)
    }

    async fn claim_ready(&mut self, room: Room) -> Result<Progress, StoreError> {
        let permits = self.capacity.take_permits(room.ready);
        let limits = self.capacity.limits();
        let database = self.database.clone();
        let mut conn = database.connection().await?;
        let at = Instant::now();
        let request = ClaimRequest {
            dispatcher_id: self.dispatcher_id,
            max_rows: permits.count(),
            max_payload_bytes: room.payload_bytes,
            lease_margin: LEASE_MARGIN,
            max_per_endpoint: i32::from(limits.per_endpoint),
            max_per_tenant: i32::from(limits.per_tenant),
            in_flight: &self.capacity.in_flight(),
            position: &self.walk.position,
        };
        let claimed = delivery_queue::claim_ready(&mut conn, &request).await?;
        let has_met_new = self.limited.meet(&claimed.limited, at);
        let progress = self.walk.advance(claimed.next, claimed.claims.len());
        if !claimed.claims.is_empty() {
            let claims = claimed.claims;
            let claimed = Claimed {
                claims,
                permits,
                at,
            };
            self.start(&mut conn, claimed).await?;
        } else if progress == Progress::MayBeMore {
            // Ready rows that can't be taken now must not make it spin.
            self.pause(EMPTY_PAUSE).await;
        }
        Ok(if has_met_new {
            Progress::MayBeMore
        } else {
            progress
        })
    }

    /// Loads what the claims need and starts their attempts. When that fails all are given back.
    async fn start(
        &mut self,
        conn: &mut AsyncPgConnection,
        claimed: Claimed,
    ) -> Result<(), StoreError> {
        let Claimed {
            claims,
            mut permits,
            at,
        } = claimed;
        self.metrics.claim_batch.observe_count(claims.len());
        let messages = match self.load(conn, &claims).await {
            Ok(messages) => messages,
            Err(error) => {
                self.give_back(&claims, permits, attempt::unused).await;
                return Err(error);
            }
        };
        let mut unsendable = Vec::new();
        for (claim, message) in claims.into_iter().zip(messages) {
            let (Some(message), Some(target)) = (message, self.targets.get(&claim)) else {
                unsendable.push(claim);
                continue;
            };
            let Some(mut permit) = permits.split_one() else {
                error!("More was claimed than there were permits for");
                unsendable.push(claim);
                continue;
            };
            permit.announce_end_of(&claim, &self.capacity);
            let slot = self.capacity.take_slot(&claim);
            let job = Job {
                claim,
                target,
                message,
                claimed_at: at,
                slot,
                permit,
            };
            self.attempts.spawn(self.sender.clone().run(job));
        }
        self.give_back(&unsendable, permits, attempt::unsendable)
            .await;
        Ok(())
    }

    /// Ends leases under which nothing is sent; each keeps its permit until that is written.
    async fn give_back(
        &self,
        claims: &[Claim],
        mut permits: Permits,
        how: impl Fn(&Claim) -> crate::recorder::Outcome,
    ) {
        for claim in claims {
            let ended = Ended {
                outcome: how(claim),
                permit: permits.split_one(),
            };
            if self.sender.ended.send(ended).await.is_err() {
                error!("The recorder is gone, a lease is left to expire");
            }
        }
    }

    /// The messages of the claims, in their order, and their targets into the cache.
    async fn load(
        &mut self,
        conn: &mut AsyncPgConnection,
        claims: &[Claim],
    ) -> Result<Vec<Option<Message>>, StoreError> {
        self.targets.refresh(conn, claims).await?;
        let loaded = messages::load_messages(conn, claims).await;
        match loaded {
            Ok(mut messages) => Ok(claims
                .iter()
                .map(|claim| messages.remove(&claim.delivery_id))
                .collect()),
            Err(StoreError::Corrupt(_)) => load_one_by_one(conn, claims).await,
            Err(error) => Err(error),
        }
    }
}

/// So that one delivery that can't be read costs only itself.
async fn load_one_by_one(
    conn: &mut AsyncPgConnection,
    claims: &[Claim],
) -> Result<Vec<Option<Message>>, StoreError> {
    let mut messages = Vec::with_capacity(claims.len());
    for claim in claims {
        let loaded = messages::load_messages(conn, std::slice::from_ref(claim)).await;
        messages.push(match loaded {
            Ok(mut loaded) => loaded.remove(&claim.delivery_id),
            Err(StoreError::Corrupt(what)) => {
                error!(delivery.id = %claim.delivery_id, "A delivery can't be read, it waits: {what}");
                None
            }
            Err(error) => return Err(error),
        });
    }
    Ok(messages)
}
