//! `failing_since` and `last_success_at` of endpoints, kept without a write per attempt.

use std::collections::BTreeMap;

use diesel::sql_types::{Array, Bool, Uuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::StoreError;
use super::leases::FinishedAttempt;
use super::statement::{Bind, statement};
use crate::attempt_outcome::{ErrorKind, FailureKind};
use crate::ids::{EndpointId, TenantId};

/// What a batch says about one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Whether its last attempt did.
    has_succeeded: bool,
    /// Whether any attempt was answered with 410.
    is_gone: bool,
}

/// Notes of each endpoint whether its last attempt here succeeded. Writes only what changes: the first failure, the
/// first success after it, and a success at most every ten seconds. A lost attempt says nothing about the receiver.
/// What was answered with 410 is locked as well, since the caller's transaction disables it next.
pub(super) async fn note<'a>(
    conn: &mut AsyncPgConnection,
    finished: impl Iterator<Item = &'a FinishedAttempt>,
) -> Result<(), StoreError> {
    let mut outcomes: BTreeMap<(TenantId, EndpointId), Outcome> = BTreeMap::new();
    for one in finished {
        let error_kind = one.attempt.error.as_ref().map(|error| error.kind);
        if error_kind != Some(ErrorKind::Failure(FailureKind::Lost)) {
            let outcome = outcomes
                .entry((one.tenant_id, one.endpoint_id))
                .or_default();
            outcome.has_succeeded = error_kind.is_none();
            outcome.is_gone |= one.is_gone();
        }
    }
    statement(include_str!("sql/note_endpoint_health.sql"))
        .bind::<Array<Uuid>, _>(
            outcomes
                .keys()
                .map(|(tenant_id, _)| tenant_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Uuid>, _>(
            outcomes
                .keys()
                .map(|(_, id)| id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Bool>, _>(
            outcomes
                .values()
                .map(|outcome| outcome.has_succeeded)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Bool>, _>(
            outcomes
                .values()
                .map(|outcome| outcome.is_gone)
                .collect::<Vec<_>>(),
        )
        .execute(conn)
        .await?;
    Ok(())
}
