//! Deliveries: the duty to bring one event to one endpoint, and what has come of it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use time::OffsetDateTime;

use crate::endpoint::EndpointStatus;
use crate::event_type::{EventGroup, EventType};
use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, TenantId, UserId};

/// Where a delivery stands. The last four are terminal and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Waits for its first attempt.
    Pending,
    /// A dispatcher holds a live lease on it.
    Delivering,
    /// Failed at least once; `next_retry_at` is set.
    Retrying,
    /// Got a 2xx.
    Delivered,
    /// Attempts used up, or refused for good.
    Failed,
    /// Called off before it was delivered.
    Canceled,
    /// The endpoint was disabled when the event came: kept, and replayable.
    Skipped,
}

/// The text names no delivery status.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown delivery status {0:?}")]
pub struct UnknownStatus(String);

impl DeliveryStatus {
    /// All there are, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Delivering,
        Self::Retrying,
        Self::Delivered,
        Self::Failed,
        Self::Canceled,
        Self::Skipped,
    ];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Skipped => "skipped",
        }
    }

    /// Whether it will never change again.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Delivering | Self::Retrying => false,
            Self::Delivered | Self::Failed | Self::Canceled | Self::Skipped => true,
        }
    }

    /// The status of a delivery that is stored with this one: a live lease makes an unfinished one `delivering`.
    #[must_use]
    pub const fn with_lease(self, is_leased: bool) -> Self {
        if is_leased && !self.is_terminal() {
            Self::Delivering
        } else {
            self
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// A delivery as it stands.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// The endpoint's owner.
    pub owner: UserId,
    /// What it brings.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The event's group.
    pub event_group: Option<EventGroup>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts that have ended, lost ones included.
    pub attempt_count: u32,
    /// The attempt that is next or was last.
    pub attempt_id: AttemptId,
    /// When that attempt was queued.
    pub attempt_enqueued_at: OffsetDateTime,
    /// The first delivery of this event to this endpoint: itself unless it is a replay.
    pub first_delivery_id: DeliveryId,
    /// The delivery that someone asked to replay.
    pub replay_of: Option<DeliveryId>,
    /// Set while `retrying`.
    pub next_retry_at: Option<OffsetDateTime>,
    /// When the last attempt began.
    pub last_attempt_at: Option<OffsetDateTime>,
    /// When it got its 2xx.
    pub delivered_at: Option<OffsetDateTime>,
    /// The receiver's last answer, once the delivery is terminal.
    pub final_http_status: Option<u16>,
    /// Why the last attempt failed, or why it ended undelivered.
    pub error_message: Option<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it changed last.
    pub updated_at: OffsetDateTime,
}

impl Delivery {
    /// The number, from 1, of the attempt that is next or was last.
    #[must_use]
    pub fn scheduled_attempt(&self) -> u32 {
        if self.status.is_terminal() {
            self.attempt_count.max(1)
        } else {
            self.attempt_count.saturating_add(1)
        }
    }
}

/// What decides whether a delivery can be replayed.
#[derive(Clone, Debug)]
pub struct ReplaySource {
    /// Where the delivery stands; in B's family the first one of the event to the endpoint, whichever is named.
    pub status: DeliveryStatus,
    /// Where its endpoint stands now.
    pub endpoint_status: EndpointStatus,
    /// The payload's size, or `None` once retention has removed it.
    pub payload_bytes: Option<i32>,
}

/// Why a delivery can't be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplayRefusal {
    /// It is `pending` or `delivering`: its own attempt comes first.
    #[error("The delivery is not finished: its first or next attempt is still to come")]
    NotFinished,
    /// Its endpoint is disabled or deleted.
    #[error("The endpoint is disabled or deleted")]
    EndpointDisabled,
    /// Retention has removed the payload.
    #[error("The payload has expired and can no longer be sent")]
    PayloadExpired,
}

impl ReplaySource {
    /// The contract's replay rules. A `retrying` delivery can be replayed: the receiver is mended, send it now; the
    /// original goes its way.
    ///
    /// # Errors
    ///
    /// The first rule that forbids it.
    pub fn check(&self) -> Result<(), ReplayRefusal> {
        match self.status {
            DeliveryStatus::Pending | DeliveryStatus::Delivering => {
                return Err(ReplayRefusal::NotFinished);
            }
            DeliveryStatus::Retrying
            | DeliveryStatus::Delivered
            | DeliveryStatus::Failed
            | DeliveryStatus::Canceled
            | DeliveryStatus::Skipped => {}
        }
        match self.endpoint_status {
            EndpointStatus::Enabled => {}
            EndpointStatus::Disabled { .. } | EndpointStatus::Deleted => {
                return Err(ReplayRefusal::EndpointDisabled);
            }
        }
        if self.payload_bytes.is_none() {
            return Err(ReplayRefusal::PayloadExpired);
        }
        Ok(())
    }
}
