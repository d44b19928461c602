//! Re-encrypting, from the command line, what earlier master keys have encrypted.

use anyhow::{Context, bail};
use diesel_async::AsyncPgConnection;
use reprise_core::ids::EndpointId;
use reprise_core::sealing::KeyRing;
use reprise_core::secret::SecretText;
use reprise_core::store::StoreError;
use reprise_core::store::endpoints::reseal;
use serde_json::{Value, json};

/// How many endpoints that can't be read are named.
const MAX_NAMED: usize = 10;

/// Runs `reseal` and returns what it prints.
///
/// # Errors
///
/// What is wrong with the database, and that there are endpoints which no key opens; the others were re-encrypted then.
pub async fn run(database_url: &SecretText, keys: &KeyRing) -> anyhow::Result<Value> {
    let mut conn = reprise_core::store::connect(database_url.expose())
        .await
        .context("connecting to PostgreSQL (DATABASE_URL)")?;
    let mut resealed = 0;
    // Until there was nothing to do: a program that runs with the old keys may have sealed behind its back.
    let unreadable = loop {
        let pass = reseal_all(&mut conn, keys).await?;
        resealed += pass.resealed;
        if pass.resealed == 0 {
            break pass.unreadable;
        }
    };
    if !unreadable.is_empty() {
        bail!(
            "{resealed} endpoints were re-encrypted, but REPRISE_SECRET_KEY_PREVIOUS lacks the key of {} others: {}",
            unreadable.len(),
            name_some(&unreadable)
        );
    }
    Ok(json!({"resealed": resealed}))
}

/// One pass over all endpoints.
struct Pass {
    resealed: usize,
    unreadable: Vec<EndpointId>,
}

async fn reseal_all(conn: &mut AsyncPgConnection, keys: &KeyRing) -> Result<Pass, StoreError> {
    let mut pass = Pass {
        resealed: 0,
        unreadable: Vec::new(),
    };
    let mut after = None;
    loop {
        let batch = reseal(conn, keys, after).await?;
        pass.resealed += batch.resealed;
        pass.unreadable.extend(batch.unreadable);
        if batch.last.is_none() {
            return Ok(pass);
        }
        after = batch.last;
    }
}

fn name_some(ids: &[EndpointId]) -> String {
    let mut named: Vec<String> = ids
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect();
    if ids.len() > MAX_NAMED {
        named.push("…".to_owned());
    }
    named.join(", ")
}
