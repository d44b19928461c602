//! Rotating an endpoint's signing secret.

use std::time::Duration;

use diesel::IntoSql;
use diesel::dsl;
use diesel::sql_types::Timestamptz;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;

use super::{Changed, EndpointChange, change};
use crate::endpoint::{Endpoint, EndpointSettings};
use crate::ids::{EndpointId, TenantId};
use crate::sealing::KeyRing;
use crate::signing::{Overlap, RotationRefusal, SigningSecret};
use crate::store::StoreError;
use crate::store::statement::statement;

/// How long the old secret goes on signing beside the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlapLength {
    /// From now on, by the database's clock; zero for none.
    pub length: Duration,
    /// Whether the owner said so; see [`Overlap::is_asked_for`].
    pub is_asked_for: bool,
}

/// Gives an endpoint another secret, if [`rotate`](crate::signing::SigningSecrets::rotate) allows it; `make` is given
/// the endpoint as it stands.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn rotate_secret<Refusal: From<RotationRefusal> + Send>(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
    tenant_id: TenantId,
    id: EndpointId,
    overlap: OverlapLength,
    make: impl FnOnce(&Endpoint) -> Result<SigningSecret, Refusal> + Send,
) -> Result<Changed<Refusal>, StoreError> {
    conn.transaction(async move |conn| {
        let clock = diesel::select(dsl::now.into_sql::<Timestamptz>());
        let now: OffsetDateTime = clock.get_result(conn).await?;
        change(conn, keys, tenant_id, id, |endpoint| {
            let new = make(endpoint)?;
            let old = &endpoint.settings;
            let overlap = (!overlap.length.is_zero()).then(|| Overlap {
                ends_at: now + overlap.length,
                is_asked_for: overlap.is_asked_for,
            });
            let secrets = old.secrets.rotate(&old.signature, new, overlap, now)?;
            Ok(EndpointChange {
                settings: EndpointSettings {
                    secrets,
                    ..old.clone()
                },
                status: endpoint.status.clone(),
            })
        })
        .await
    })
    .await
}

/// Forgets secrets whose overlap has ended, some at a time, and returns their number. They sign no more in any case.
///
/// Index: `endpoints_previous_secret_idx`.
///
/// # Errors
///
/// [`StoreError`], with nothing changed.
pub async fn forget_expired_secrets(conn: &mut AsyncPgConnection) -> Result<usize, StoreError> {
    Ok(statement(
        "WITH expired AS MATERIALIZED (
             SELECT tenant_id, id FROM endpoints WHERE previous_secret_expires_at < now()
             LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
         )
         UPDATE endpoints
         SET previous_secret_sealed = NULL, previous_secret_expires_at = NULL, previous_secret_signs_first = false
         FROM expired
         WHERE endpoints.tenant_id = expired.tenant_id AND endpoints.id = expired.id",
    )
    .execute(conn)
    .await?)
}
