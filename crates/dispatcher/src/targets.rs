//! Endpoints, prepared for sending and cached: secrets are decrypted and headers are made once per version.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use reprise_core::ids::{EndpointId, TenantId};
use reprise_core::retry::RetryPolicy;
use reprise_core::sealing::KeyRing;
use reprise_core::signing::{SignatureScheme, SigningSecret, SigningSecrets};
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::endpoints::{self, LoadedEndpoint};
use reprise_core::store::{AsyncPgConnection, StoreError};
use time::OffsetDateTime;
use tracing::error;

/// Endpoints cached at most: some 2 KiB each. Past it the cache starts anew, which costs one load per batch for a
/// moment; a cleverer eviction would have to earn its keep.
const MAX_CACHED: usize = 10_000;

/// What is needed of an endpoint to send to it.
pub(crate) struct Target {
    pub(crate) version: i64,
    pub(crate) url: Uri,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) signature: SignatureScheme,
    secrets: SigningSecrets,
    /// The database's time when they were read, and the moment here.
    read_at: (OffsetDateTime, Instant),
    pub(crate) custom_headers: Vec<(HeaderName, HeaderValue)>,
}

/// Without the URL, whose path and query may be a secret, and without the headers.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Target {
    fn prepare(loaded: LoadedEndpoint) -> Result<Self> {
        let settings = loaded.endpoint.settings;
        let custom_headers = settings
            .custom_headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_str().as_bytes())?;
                let mut value = HeaderValue::from_str(value.expose())?;
                value.set_sensitive(true);
                Ok((name, value))
            })
            .collect::<Result<_>>()
            .context("custom headers")?;
        Ok(Self {
            version: loaded.version,
            url: settings.url.as_str().parse().context("URL")?,
            timeout: settings.timeout,
            retry: settings.retry,
            signature: settings.signature,
            secrets: settings.secrets,
            read_at: (loaded.read_at, Instant::now()),
            custom_headers,
        })
    }

    /// What signs now, the preferred one first. The overlap of a rotation ends by the database's clock, however often
    /// this machine's is set.
    pub(crate) fn live_secrets(&self) -> Vec<&SigningSecret> {
        let (read_at, read) = self.read_at;
        self.secrets.live(read_at + read.elapsed())
    }
}

/// The targets of recent claims.
#[derive(Debug)]
pub(crate) struct Targets {
    keys: KeyRing,
    cache: HashMap<EndpointId, Arc<Target>>,
}

impl Targets {
    pub(crate) fn new(keys: KeyRing) -> Self {
        Self {
            keys,
            cache: HashMap::new(),
        }
    }

    /// The target of a claim, as it is since the version that was claimed. `None` when [`load`](Self::load) could not
    /// read it.
    pub(crate) fn get(&self, claim: &Claim) -> Option<Arc<Target>> {
        self.cache
            .get(&claim.endpoint_id)
            .filter(|target| target.version >= claim.endpoint_version)
            .cloned()
    }

    /// The endpoints of claims that are to be loaded first. Where there is no room for them the cache starts anew, here
    /// and not while they are loaded: what the claims have in the cache goes with it, and has to be loaded with the
    /// rest.
    pub(crate) fn missing(&mut self, claims: &[Claim]) -> Vec<(TenantId, EndpointId)> {
        let missing = self.not_cached(claims);
        if self.cache.len() + missing.len() <= MAX_CACHED {
            return missing;
        }
        self.cache.clear();
        self.not_cached(claims)
    }

    fn not_cached(&self, claims: &[Claim]) -> Vec<(TenantId, EndpointId)> {
        let missing: HashSet<_> = claims
            .iter()
            .filter(|claim| self.get(claim).is_none())
            .map(|claim| (claim.tenant_id, claim.endpoint_id))
            .collect();
        missing.into_iter().collect()
    }

    /// Loads what the cache lacks. An endpoint that can't be read is logged and left out.
    ///
    /// # Errors
    ///
    /// PostgreSQL can't be asked.
    pub(crate) async fn load(
        &mut self,
        conn: &mut AsyncPgConnection,
        missing: &[(TenantId, EndpointId)],
    ) -> Result<(), StoreError> {
        if missing.is_empty() {
            return Ok(());
        }
        match endpoints::load(conn, &self.keys, missing).await {
            Err(StoreError::Corrupt(_)) => self.load_one_by_one(conn, missing).await,
            Err(error) => Err(error),
            Ok(loaded) => {
                self.insert(loaded);
                Ok(())
            }
        }
    }

    /// So that one endpoint that can't be read costs only its own deliveries.
    async fn load_one_by_one(
        &mut self,
        conn: &mut AsyncPgConnection,
        ids: &[(TenantId, EndpointId)],
    ) -> Result<(), StoreError> {
        for id in ids {
            match endpoints::load(conn, &self.keys, std::slice::from_ref(id)).await {
                Ok(loaded) => self.insert(loaded),
                Err(StoreError::Corrupt(what)) => {
                    error!(endpoint.id = %id.1, "An endpoint can't be read, its deliveries wait: {what}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn insert(&mut self, loaded: Vec<LoadedEndpoint>) {
        for loaded in loaded {
            let id = loaded.endpoint.id;
            match Target::prepare(loaded) {
                Ok(target) => {
                    self.cache.insert(id, Arc::new(target));
                }
                Err(error) => {
                    error!(endpoint.id = %id, "An endpoint can't be sent to, its deliveries wait: {error:#}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../../../fuzz/checks/endpoint_url.rs"]
mod endpoint_url_check;
