//! The queue: claiming what is due, and making due what waited. Its rows are inserted with their deliveries.

mod depth;
mod express;
mod limited;
mod ready;
mod vacuum;

use std::time::Duration;

use diesel::prelude::QueryableByName;
use diesel::sql_types::{self, BigInt, Bool, Integer, Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::statement::{Bind, statement};
use super::{StoreError, stored};
pub use depth::{OldestReady, QueueDepth, depth, oldest_ready};
pub use express::{ExpressClaim, ExpressLimits, claim_express};
pub use limited::{
    LimitState, LimitedClaim, LimitedEndpoint, LimitedRequest, SeenCircuit, claim_limited,
    find_limited,
};
pub use ready::{
    Candidate, ClaimRequest, MAX_ENDPOINT_HOPS, MAX_TENANT_HOPS, ReadyClaim, Walk, WalkPosition,
    claim_ready, find_ready,
};
pub use vacuum::{dead_rows, vacuum};

use crate::ids::{AttemptId, DeliveryId, DispatcherId, EndpointId, EventId, LeaseToken, TenantId};

/// Who claims, and the token of all leases that it gets. Chosen by who claims, so that a claim whose answer is lost can
/// be [undone](super::leases::release_unanswered).
#[derive(Clone, Copy, Debug)]
pub struct Claimant {
    /// The dispatcher.
    pub dispatcher_id: DispatcherId,
    /// Of this claim alone.
    pub lease_token: LeaseToken,
}

impl Claimant {
    /// For one claim.
    #[must_use]
    pub fn new(dispatcher_id: DispatcherId) -> Self {
        Self {
            dispatcher_id,
            lease_token: LeaseToken::random(),
        }
    }
}

/// The right to make one attempt.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The delivery that is leased.
    pub delivery_id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// The endpoint's `version`, which tells whether a cached endpoint is still right.
    pub endpoint_version: i64,
    /// The endpoint's timeout that the lease was made for; an attempt may take no longer.
    pub timeout: Duration,
    /// What it brings.
    pub event_id: EventId,
    /// The attempt to make.
    pub attempt_id: AttemptId,
    /// Its number, from 1.
    pub attempt_number: u32,
    /// The payload's size.
    pub payload_bytes: u32,
    /// The delivery that this one replays.
    pub replay_of: Option<DeliveryId>,
    /// Whether somebody waits for it.
    pub is_express: bool,
    /// Whether its endpoint has a limit, so that others may wait for this one to end.
    pub is_limited: bool,
    /// When it last became ready, having waited; `None` if it has been ready since it was made.
    pub ready_at: Option<OffsetDateTime>,
    /// Named by every later write.
    pub lease_token: LeaseToken,
}

impl Claim {
    /// Since when it could have been claimed.
    #[must_use]
    pub fn ready_since(&self) -> OffsetDateTime {
        self.ready_at.unwrap_or_else(|| self.delivery_id.made_at())
    }
}

/// A claim as it is read.
#[derive(QueryableByName)]
struct ClaimRow {
    #[diesel(sql_type = sql_types::Uuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    delivery_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = BigInt)]
    endpoint_version: i64,
    #[diesel(sql_type = Integer)]
    timeout_seconds: i32,
    #[diesel(sql_type = sql_types::Uuid)]
    event_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    attempt_id: Uuid,
    #[diesel(sql_type = Integer)]
    attempt_number: i32,
    #[diesel(sql_type = Integer)]
    payload_bytes: i32,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    replay_of_delivery_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    express: bool,
    #[diesel(sql_type = Bool)]
    limited: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ready_at: Option<OffsetDateTime>,
    #[diesel(sql_type = sql_types::Uuid)]
    lease_token: Uuid,
}

/// The columns of a claim in rows that may hold something else: all of them are null then.
#[derive(QueryableByName)]
struct MaybeClaim {
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    delivery_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    endpoint_version: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    timeout_seconds: Option<i32>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    event_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    attempt_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Integer>)]
    attempt_number: Option<i32>,
    #[diesel(sql_type = Nullable<Integer>)]
    payload_bytes: Option<i32>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    replay_of_delivery_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Bool>)]
    express: Option<bool>,
    #[diesel(sql_type = Nullable<Bool>)]
    limited: Option<bool>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ready_at: Option<OffsetDateTime>,
    #[diesel(sql_type = Nullable<sql_types::Uuid>)]
    lease_token: Option<Uuid>,
}

impl MaybeClaim {
    fn read(&self, tenant_id: Uuid, endpoint_id: Option<Uuid>) -> Option<ClaimRow> {
        Some(ClaimRow {
            tenant_id,
            delivery_id: self.delivery_id?,
            endpoint_id: endpoint_id?,
            endpoint_version: self.endpoint_version?,
            timeout_seconds: self.timeout_seconds?,
            event_id: self.event_id?,
            attempt_id: self.attempt_id?,
            attempt_number: self.attempt_number?,
            payload_bytes: self.payload_bytes?,
            replay_of_delivery_id: self.replay_of_delivery_id,
            express: self.express?,
            limited: self.limited?,
            ready_at: self.ready_at,
            lease_token: self.lease_token?,
        })
    }
}

impl ClaimRow {
    fn read(self) -> Result<Claim, StoreError> {
        Ok(Claim {
            tenant_id: TenantId::from_uuid(self.tenant_id),
            delivery_id: DeliveryId::from_uuid(self.delivery_id),
            endpoint_id: EndpointId::from_uuid(self.endpoint_id),
            endpoint_version: self.endpoint_version,
            timeout: Duration::from_secs(stored("timeout", u64::try_from(self.timeout_seconds))?),
            event_id: EventId::from_uuid(self.event_id),
            attempt_id: AttemptId::from_uuid(self.attempt_id),
            attempt_number: stored("attempt number", u32::try_from(self.attempt_number))?,
            payload_bytes: stored("payload size", u32::try_from(self.payload_bytes))?,
            replay_of: self.replay_of_delivery_id.map(DeliveryId::from_uuid),
            is_express: self.express,
            is_limited: self.limited,
            ready_at: self.ready_at,
            lease_token: LeaseToken(self.lease_token),
        })
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Makes ready what has waited until its `due_at`: at most `max_rows` retries. Those of disabled endpoints are kept
/// back instead. Returns their number.
///
/// Index: `delivery_queue_waiting_idx`.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn promote_due(conn: &mut AsyncPgConnection, max_rows: i32) -> Result<usize, StoreError> {
    Ok(statement(include_str!("sql/promote_due.sql"))
        .bind::<Integer, _>(max_rows)
        .execute(conn)
        .await?)
}
