//! Passwords: Argon2id, off the event loop, a bounded number at once, and the same time for unknown users.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Hashes computed at once. Each takes 19 MiB and some tens of milliseconds of a core; more would starve deliveries
/// on a small machine and help nobody.
const MAX_AT_ONCE: usize = 2;
/// Logins that wait for their turn at most: some seconds' work. More would wait longer than their callers do.
const MAX_WAITING: usize = 64;
/// OWASP's parameters of Argon2id: 19 MiB, 2 passes, 1 lane. Less, and stolen hashes are guessed faster; more, and a
/// login takes longer, which is bounded by [`MAX_AT_ONCE`] cores. Named, so that another version of the crate changes
/// nothing unnoticed. Hashes made with others still verify by their own.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Longer passwords are refused: hashing one costs time in proportion to its length.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

/// Checks passwords.
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// Places to wait for a turn, those whose turn it is included.
    places: Arc<Semaphore>,
    /// The hash of a password that nobody knows, for users that do not exist.
    nobody: String,
}

impl Passwords {
    /// # Errors
    ///
    /// [`ApiError::Internal`] when hashing does not work at all.
    pub fn new() -> Result<Self, ApiError> {
        let nobody = hash(&uuid::Uuid::new_v4().to_string())?;
        Ok(Self {
            turns: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            places: Arc::new(Semaphore::new(MAX_AT_ONCE + MAX_WAITING)),
            nobody,
        })
    }

    /// Whether the password belongs to the hash. Without a hash the answer is no, after the same time.
    ///
    /// # Errors
    ///
    /// [`ApiError::TooManyLogins`] when too many wait already; [`ApiError::Internal`] when the hash can't be read.
    pub async fn check(&self, password: String, hash: Option<String>) -> Result<bool, ApiError> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let matches = self.in_turn(move || verify(&password, &hash)).await??;
        Ok(matches && is_known)
    }

    /// Does something off the event loop when its turn comes. The turn ends with the work, not with the caller: what is
    /// being computed goes on when the caller has hung up.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| ApiError::TooManyLogins)?;
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(internal)?;
        actix_web::web::block(move || {
            let _held = (place, turn);
            work()
        })
        .await
        .map_err(internal)
    }
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::Internal(error.to_string())
}

fn verify(password: &str, hash: &str) -> Result<bool, ApiError> {
    match Argon2::default().verify_password(password.as_bytes(), hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(internal(error)),
    }
}

/// Hashes a password with Argon2id, in PHC string format.
///
/// # Errors
///
/// [`ApiError::Internal`] when hashing does not work.
pub fn hash(password: &str) -> Result<String, ApiError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes())
        .map_err(internal)?
        .to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[actix_web::test]
    async fn a_password_is_right_for_its_own_hash_only() {
        let passwords = Passwords::new().unwrap();
        let hash = hash("correct horse").unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            passwords
                .check("correct horse".into(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(!passwords.check("wrong".into(), Some(hash)).await.unwrap());
        assert!(!passwords.check("correct horse".into(), None).await.unwrap());
    }

    #[actix_web::test]
    async fn a_caller_who_hangs_up_makes_no_room_for_another_computation() {
        let passwords = Passwords::new().unwrap();
        let (begin, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let mut computing = Box::pin(passwords.in_turn(move || (begin.send(()), ended.recv())));
        assert!(computing.as_mut().now_or_never().is_none());
        begun.recv().unwrap();
        drop(computing);
        assert_eq!(passwords.turns.available_permits(), MAX_AT_ONCE - 1);
        assert_eq!(
            passwords.places.available_permits(),
            MAX_AT_ONCE + MAX_WAITING - 1
        );
        drop(end);
        let all = u32::try_from(MAX_AT_ONCE).unwrap();
        assert!(passwords.turns.acquire_many(all).await.is_ok());
    }

    #[actix_web::test]
    async fn a_user_that_does_not_exist_waits_for_a_turn_like_any_other() {
        let passwords = Passwords::new().unwrap();
        let all = u32::try_from(MAX_AT_ONCE).unwrap();
        let turns = passwords.turns.acquire_many(all).await.unwrap();
        let mut checking = Box::pin(passwords.check("a guess".into(), None));
        assert!(checking.as_mut().now_or_never().is_none(), "it hashes too");
        drop(turns);
        assert!(!checking.await.unwrap());
    }

    #[actix_web::test]
    async fn those_who_find_no_place_to_wait_are_told_at_once() {
        let passwords = Passwords::new().unwrap();
        let all = u32::try_from(MAX_AT_ONCE).unwrap();
        let _turns = passwords.turns.acquire_many(all).await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_AT_ONCE + MAX_WAITING)
            .map(|_| Box::pin(passwords.check("a guess".into(), None)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none(), "it waits");
        }
        let one_more = passwords.check("a guess".into(), None).now_or_never();
        assert!(matches!(one_more, Some(Err(ApiError::TooManyLogins))));
    }
}
