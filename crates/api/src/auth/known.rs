//! Credentials that were seen lately, so that checking them again costs no round trip.
//!
//! What is revoked or changed elsewhere works for [`LIFETIME`] longer at most; in this process a revoked key ends at
//! once, also where it was being looked up meanwhile. When a credential ends by itself is looked at each time. Tokens
//! that are not good are not remembered; keys that are not, for [`REFUSED_LIFETIME`], so that whoever keeps trying one
//! costs little.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use reprise_core::ids::{TenantId, UserId};
use reprise_core::scope::Scopes;
use reprise_core::store::api_keys::ApiKey;

use crate::error::ApiError;

/// How long a credential is taken for good without asking PostgreSQL. The contract promises that a revocation works
/// within five seconds; a check that was under way may end a moment after it.
const LIFETIME: Duration = Duration::from_secs(4);
/// How long a key is refused without asking PostgreSQL again. Nobody has a key before it was made, so that what is
/// remembered is seldom wrong: only where another process made a key that somebody had guessed.
const REFUSED_LIFETIME: Duration = Duration::from_secs(2);
/// Refused keys remembered at most, some 100 bytes each.
const MAX_REFUSED: u64 = 10_000;
/// Credentials remembered at most, some 300 bytes each.
const MAX_REMEMBERED: u64 = 50_000;

/// A user as tokens name it: with the password's version.
pub type UserVersion = (TenantId, UserId, i32);

/// A key, and how many revocations there had been when looking it up began.
#[derive(Clone)]
struct KnownKey {
    key: Arc<ApiKey>,
    generation: u64,
}

/// The credentials seen lately.
pub struct KnownCredentials {
    /// By the hash of the whole key.
    keys: Cache<[u8; 32], KnownKey>,
    /// Hashes of keys that nobody has.
    refused: Cache<[u8; 32], ()>,
    /// Counts revocations: what was looked up before the last one may have been revoked by it.
    generation: AtomicU64,
    /// What the user may do.
    users: Cache<UserVersion, Arc<Scopes>>,
}

impl Default for KnownCredentials {
    fn default() -> Self {
        Self::new(LIFETIME)
    }
}

impl KnownCredentials {
    fn new(lifetime: Duration) -> Self {
        Self {
            keys: Cache::builder()
                .max_capacity(MAX_REMEMBERED)
                .time_to_live(lifetime)
                .build(),
            refused: Cache::builder()
                .max_capacity(MAX_REFUSED)
                .time_to_live(REFUSED_LIFETIME)
                .build(),
            generation: AtomicU64::new(0),
            users: Cache::builder()
                .max_capacity(MAX_REMEMBERED)
                .time_to_live(lifetime)
                .build(),
        }
    }

    /// The key with this hash, as `load` finds it unless it was seen lately. Calls at once share one `load`.
    ///
    /// # Errors
    ///
    /// What `load` returns.
    pub async fn key(
        &self,
        hash: [u8; 32],
        load: impl AsyncFn() -> Result<ApiKey, ApiError>,
    ) -> Result<Arc<ApiKey>, ApiError> {
        if self.refused.contains_key(&hash) {
            return Err(ApiError::NotAuthenticated);
        }
        let begun = self.generation.load(Ordering::SeqCst);
        loop {
            let generation = self.generation.load(Ordering::SeqCst);
            let load = async {
                let key = Arc::new(load().await?);
                Ok(KnownKey { key, generation })
            };
            let found = self.keys.try_get_with(hash, load).await;
            let known = match found {
                Ok(known) => known,
                Err(error) => return Err(self.refuse(hash, &error).await),
            };
            if known.generation >= begun {
                return Ok(known.key);
            }
            self.keys.invalidate(&hash).await;
        }
    }

    /// The error for one of those who asked for a key; that nobody has the key is remembered.
    async fn refuse(&self, hash: [u8; 32], error: &ApiError) -> ApiError {
        if matches!(error, ApiError::NotAuthenticated) {
            self.refused.insert(hash, ()).await;
        }
        own(error)
    }

    /// What the user may do, as `load` finds it unless it was seen lately. Calls at once share one `load`.
    ///
    /// # Errors
    ///
    /// What `load` returns.
    pub async fn user(
        &self,
        user: UserVersion,
        load: impl Future<Output = Result<Scopes, ApiError>>,
    ) -> Result<Arc<Scopes>, ApiError> {
        let load = async { load.await.map(Arc::new) };
        let found = self.users.try_get_with(user, load).await;
        found.map_err(|error| own(&error))
    }

    /// Forgets all keys, after one was revoked: that happens seldom, and asking anew is cheap.
    pub fn forget_keys(&self) {
        // What is being looked up at this moment comes into the cache after it was emptied; this tells it by.
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.keys.invalidate_all();
    }
}

/// An error that several calls share, for one of them.
fn own(error: &ApiError) -> ApiError {
    if let ApiError::NotAuthenticated = error {
        return ApiError::NotAuthenticated;
    }
    if let ApiError::Unavailable(cause) = error {
        return ApiError::Unavailable(cause.clone());
    }
    ApiError::Internal(format!("checking a credential: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use reprise_core::ids::ApiKeyId;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    fn user() -> UserVersion {
        (TenantId::new(), UserId(1), 1)
    }

    struct Asked(AtomicUsize);

    impl Asked {
        async fn scopes(&self) -> Result<Scopes, ApiError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(Scopes::all())
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[actix_web::test]
    async fn a_credential_is_asked_for_once_also_when_it_comes_many_times_at_once() {
        let (known, asked) = (KnownCredentials::default(), Asked(AtomicUsize::new(0)));
        let user = user();
        let calls = (0..10).map(|_| known.user(user, asked.scopes()));
        futures_util::future::join_all(calls).await;
        assert!(known.user(user, asked.scopes()).await.is_ok());
        assert_eq!(asked.count(), 1);
        let other_password = (user.0, user.1, 2);
        assert!(known.user(other_password, asked.scopes()).await.is_ok());
        assert_eq!(asked.count(), 2, "a changed password is another credential");
    }

    #[actix_web::test]
    async fn what_is_no_good_is_asked_for_again() {
        let (known, asked) = (KnownCredentials::default(), Asked(AtomicUsize::new(0)));
        let user = user();
        let refused = known.user(user, async { Err(ApiError::NotAuthenticated) });
        assert!(matches!(refused.await, Err(ApiError::NotAuthenticated)));
        assert!(known.user(user, asked.scopes()).await.is_ok());
        assert_eq!(asked.count(), 1);
    }

    #[actix_web::test]
    async fn a_credential_is_asked_for_again_after_its_lifetime() {
        let (known, asked) = (
            KnownCredentials::new(Duration::ZERO),
            Asked(AtomicUsize::new(0)),
        );
        let user = user();
        for _ in 0..2 {
            assert!(known.user(user, asked.scopes()).await.is_ok());
        }
        assert_eq!(asked.count(), 2);
        assert!(
            LIFETIME < Duration::from_secs(5),
            "as the contract promises"
        );
    }

    #[actix_web::test]
    async fn a_key_that_nobody_has_is_asked_for_once_in_a_while() {
        let (known, asked) = (KnownCredentials::default(), AtomicUsize::new(0));
        let refuse = async || {
            asked.fetch_add(1, Ordering::SeqCst);
            Err(ApiError::NotAuthenticated)
        };
        for _ in 0..10 {
            let refused = known.key([1; 32], refuse).await;
            assert!(matches!(refused, Err(ApiError::NotAuthenticated)));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(known.key([2; 32], async || Ok(api_key())).await.is_ok());
        let away = async || Err(ApiError::Unavailable("away".to_owned()));
        for _ in 0..2 {
            let failed = known.key([3; 32], away).await;
            assert!(matches!(failed, Err(ApiError::Unavailable(_))));
        }
        assert!(known.key([3; 32], async || Ok(api_key())).await.is_ok());
    }

    fn api_key() -> ApiKey {
        ApiKey {
            tenant_id: TenantId::new(),
            id: ApiKeyId::new(),
            user_id: UserId(1),
            key_hash: Vec::new(),
            scopes: Scopes::all(),
            expires_at: None,
            is_use_unnoted: false,
        }
    }

    #[actix_web::test]
    async fn a_key_that_was_being_looked_up_when_it_was_revoked_is_not_remembered() {
        let (known, answered) = (KnownCredentials::default(), Notify::new());
        let mut before = Box::pin(known.key([1; 32], async || {
            answered.notified().await;
            Ok(api_key())
        }));
        assert!(before.as_mut().now_or_never().is_none(), "it is on its way");
        known.forget_keys();
        let revoked = async || Err(ApiError::NotAuthenticated);
        let mut during = Box::pin(known.key([1; 32], revoked));
        assert!(during.as_mut().now_or_never().is_none(), "both share one");
        answered.notify_one();
        assert!(before.await.is_ok(), "it began before");
        assert!(matches!(during.await, Err(ApiError::NotAuthenticated)));
        let after = known.key([1; 32], revoked).await;
        assert!(matches!(after, Err(ApiError::NotAuthenticated)));
    }
}
