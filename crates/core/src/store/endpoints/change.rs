//! Changing an endpoint: what it was decides what it becomes.

use diesel::dsl::now;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::note_limits;
use super::row::{self, EndpointRow, SettingsRow};
use crate::endpoint::{Endpoint, EndpointSettings, EndpointStatus};
use crate::ids::{EndpointId, TenantId};
use crate::sealing::KeyRing;
use crate::store::schema::endpoints;
use crate::store::tenants::bump_endpoints_version;
use crate::store::{StoreError, circuits};

/// What an endpoint becomes: the whole of it, what stays as it is included.
#[derive(Clone, Debug)]
pub struct EndpointChange {
    /// The settings from now on.
    pub settings: EndpointSettings,
    /// The status from now on.
    pub status: EndpointStatus,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub enum Changed<Refusal> {
    /// The endpoint as it is now.
    Done(Box<Endpoint>),
    /// The tenant has no such endpoint.
    NotFound,
    /// `decide` refused, and nothing was changed.
    Refused(Refusal),
}

/// Changes an endpoint under its row lock: `decide` is given the endpoint as it stands and says what it becomes. A
/// change that changes nothing is not written.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn change<Refusal: Send>(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    tenant_id: TenantId,
    id: EndpointId,
    decide: impl FnOnce(&Endpoint) -> Result<EndpointChange, Refusal> + Send,
) -> Result<Changed<Refusal>, StoreError> {
    conn.transaction(async move |conn| {
        let row: Option<EndpointRow> = endpoints::table
            .find((tenant_id.as_uuid(), id.as_uuid()))
            .select(EndpointRow::as_select())
            .for_no_key_update()
            .first(conn)
            .await
            .optional()?;
        let Some(row) = row else {
            return Ok(Changed::NotFound);
        };
        let endpoint = row.open(keys)?;
        match decide(&endpoint) {
            Ok(change)
                if change.status == endpoint.status && change.settings == endpoint.settings =>
            {
                Ok(Changed::Done(Box::new(endpoint)))
            }
            Ok(change) => Ok(Changed::Done(Box::new(
                write(conn, keys, &endpoint, &change).await?,
            ))),
            Err(refusal) => Ok(Changed::Refused(refusal)),
        }
    })
    .await
}

async fn write(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    endpoint: &Endpoint,
    change: &EndpointChange,
) -> Result<Endpoint, StoreError> {
    let (tenant_id, id) = (endpoint.tenant_id, endpoint.id);
    let target = endpoints::table.find((tenant_id.as_uuid(), id.as_uuid()));
    bump_endpoints_version(conn, tenant_id).await?;
    if change.status != endpoint.status {
        diesel::update(target)
            .set((
                endpoints::status.eq(change.status.as_str()),
                endpoints::disabled_reason.eq(row::disabled_reason(&change.status)),
                endpoints::unsettled_since.eq(now),
            ))
            .execute(conn)
            .await?;
    }
    note_limits(conn, tenant_id, id, &change.settings).await?;
    let is_elsewhere = change.settings.url != endpoint.settings.url;
    if is_elsewhere || change.status != endpoint.status {
        circuits::forget(conn, tenant_id, id).await?;
    }
    if is_elsewhere {
        // What was verified was another receiver.
        let unverified = endpoints::verified_at.eq(None::<OffsetDateTime>);
        diesel::update(target).set(unverified).execute(conn).await?;
    }
    let row: EndpointRow = diesel::update(target)
        .set((
            &SettingsRow::seal(keys, tenant_id, id, &change.settings),
            endpoints::version.eq(endpoints::version + 1),
            endpoints::updated_at.eq(now),
        ))
        .returning(EndpointRow::as_returning())
        .get_result(conn)
        .await?;
    row.open(keys)
}
