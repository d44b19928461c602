//! Events for one endpoint alone: tests and challenges. Somebody waits for them, so they go ahead of everything else.

use diesel::prelude::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::statement::{Bind, statement};
use super::{StoreError, notifications, only_row, stored};
use crate::delivery::{Delivery, DeliveryStatus};
use crate::endpoint_url::EndpointUrl;
use crate::event_type::EventType;
use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, TenantId, UserId};

/// What came of it.
#[derive(Clone, Debug)]
pub enum DirectEvent {
    /// The event is durable, and on its way.
    Stored {
        /// Its delivery.
        delivery: Box<Delivery>,
        /// Where the endpoint's requests went in that instant.
        url: EndpointUrl,
    },
    /// The endpoint is disabled or deleted, and nothing was stored.
    NotEnabled,
    /// The tenant has no such endpoint.
    NotFound,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<OffsetDateTime>,
}

/// Stores an event with its one delivery, in one statement, and wakes a dispatcher.
///
/// # Errors
///
/// [`StoreError`]. [`StoreError::Unavailable`] leaves open whether the commit happened.
pub async fn insert(
    conn: &mut AsyncPgConnection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    event_type: EventType,
    payload: &[u8],
) -> Result<DirectEvent, StoreError> {
    let (event_id, id, attempt_id) = (EventId::new(), DeliveryId::new(), AttemptId::new());
    let rows: Vec<Row> = statement(include_str!("sql/insert_direct_event.sql"))
        .bind::<Uuid, _>(tenant_id.as_uuid())
        .bind::<Uuid, _>(endpoint_id.as_uuid())
        .bind::<Uuid, _>(event_id.as_uuid())
        .bind::<Text, _>(event_type.as_str())
        .bind::<Binary, _>(payload)
        .bind::<Uuid, _>(id.as_uuid())
        .bind::<Uuid, _>(attempt_id.as_uuid())
        .bind::<Text, _>(notifications::EXPRESS)
        .load(conn)
        .await?;
    let Some(row) = only_row(rows) else {
        return Ok(DirectEvent::NotFound);
    };
    let Some(created_at) = row.created_at else {
        return Ok(DirectEvent::NotEnabled);
    };
    let delivery = Delivery {
        tenant_id,
        id,
        endpoint_id,
        owner: UserId(row.user_id),
        event_id,
        event_type,
        event_group: None,
        status: DeliveryStatus::Pending,
        attempt_count: 0,
        attempt_id,
        attempt_enqueued_at: created_at,
        first_delivery_id: id,
        replay_of: None,
        next_retry_at: None,
        last_attempt_at: None,
        delivered_at: None,
        final_http_status: None,
        error_message: None,
        created_at,
        updated_at: created_at,
    };
    Ok(DirectEvent::Stored {
        delivery: Box::new(delivery),
        url: stored("url", EndpointUrl::from_stored(&row.url))?,
    })
}
