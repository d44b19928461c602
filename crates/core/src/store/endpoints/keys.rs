//! Whether the master keys are those that the database was sealed with.

use std::time::Duration;

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tracing::warn;
use uuid::Uuid;

use super::present::IsPresent;
use super::row::{SECRET, seal_context};
use crate::sealing::KeyRing;
use crate::store::schema::endpoints;
use crate::store::{Database, StoreError};

/// How many secrets are tried. One would do, but for an endpoint whose key was lost long ago, which must not keep a
/// program from starting; more would take long where a whole database has another key.
const MAX_TRIED: i64 = 100;
/// How long a program that starts waits for PostgreSQL to tell.
const DEADLINE: Duration = Duration::from_secs(5);

/// The keys open nothing that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "REPRISE_SECRET_KEY opens none of the endpoint secrets in the database; where it was changed, \
     REPRISE_SECRET_KEY_PREVIOUS must name the former key"
)]
pub struct WrongKeys;

/// Looks at some endpoints' secrets whether the keys open any; for a program that starts. It may start before
/// PostgreSQL has, or has been migrated: then nothing is refused, and the log says that nothing was checked.
///
/// # Errors
///
/// [`WrongKeys`] when there are secrets, and no key opens any of those that were tried.
pub async fn check_keys(database: &Database, keys: &KeyRing) -> Result<(), WrongKeys> {
    let looked = database
        .run(DEADLINE, async |conn| open_any(conn, keys).await)
        .await;
    match looked.and_then(|opened| opened) {
        Ok(Some(false)) => Err(WrongKeys),
        Ok(Some(true) | None) => Ok(()),
        Err(error) => {
            warn!(%error, "Could not check REPRISE_SECRET_KEY against the database");
            Ok(())
        }
    }
}

/// Whether the keys open any of the secrets that are tried; `None` when there are none.
///
/// Index: `endpoints_present_idx`.
async fn open_any(
    conn: &mut AsyncPgConnection,
    keys: &KeyRing,
) -> Result<Option<bool>, StoreError> {
    let sealed: Vec<(Uuid, Uuid, Vec<u8>)> = endpoints::table
        .filter(IsPresent)
        .order((endpoints::tenant_id.desc(), endpoints::id.desc()))
        .limit(MAX_TRIED)
        .select((
            endpoints::tenant_id,
            endpoints::id,
            endpoints::secret_sealed,
        ))
        .load(conn)
        .await?;
    let opens = |(tenant_id, id, secret): &(Uuid, Uuid, Vec<u8>)| {
        let context = seal_context(*tenant_id, *id, SECRET);
        keys.open(secret, &context).is_ok()
    };
    Ok((!sealed.is_empty()).then(|| sealed.iter().any(opens)))
}
