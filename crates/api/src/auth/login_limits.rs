//! How many wrong passwords may be tried, and what API keys that nobody has may cost. Only failures count: a token is
//! taken before the password is looked at, so that guesses made at once can't pass together, and given back unless it
//! was wrong.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::rate_limit::Buckets;

/// What an address may fail over all accounts, and an account over all addresses, as a multiple of what one address may
/// at one account. The first stops who tries many accounts, the second who has many addresses; as multiples, so that
/// nobody at one address can lock an account's owner out from another.
const WIDE: u32 = 10;

/// API keys that are looked up at once for addresses that have tried too many: few beside the connections there are to
/// PostgreSQL, so that the others are left to everybody else.
const KEYS_AT_ONCE: usize = 2;

/// Logins of one address that are under way at once. More, and a few addresses take all places in which passwords wait
/// for their turn; fewer, and an office behind one address waits when its day begins.
const AT_ONCE: usize = 8;
/// When to come again with one more. Each of those before it takes some tens of milliseconds.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Limits on failed logins.
pub struct LoginLimits {
    pairs: Buckets<(Account, IpAddr)>,
    addresses: Buckets<IpAddr>,
    accounts: Buckets<Account>,
    keys: Buckets<IpAddr>,
    under_way: Mutex<HashMap<IpAddr, usize>>,
    /// Turns for those who have tried too many keys.
    key_turns: Semaphore,
}

/// A username as a hash: whoever logs in chooses its length.
type Account = [u8; 32];

/// A try that has been let through, and counts as failed unless it is taken back. It is under way until it is dropped.
pub struct Try<'a> {
    limits: &'a LoginLimits,
    account: Account,
    address: IpAddr,
}

impl LoginLimits {
    /// Lets this many failures a minute through, at once or one by one; `None` for any number.
    #[must_use]
    pub fn new(failures_per_minute: u32) -> Option<Self> {
        let per_second = f64::from(failures_per_minute) / 60.0;
        let wide = failures_per_minute.saturating_mul(WIDE);
        (failures_per_minute > 0).then(|| Self {
            pairs: Buckets::new(failures_per_minute, per_second),
            addresses: Buckets::new(wide, per_second * f64::from(WIDE)),
            accounts: Buckets::new(wide, per_second * f64::from(WIDE)),
            keys: Buckets::new(wide, per_second * f64::from(WIDE)),
            under_way: Mutex::default(),
            key_turns: Semaphore::new(KEYS_AT_ONCE),
        })
    }

    /// Looks an API key up: at once, or, for an address that has tried too many which nobody has, in turn with others
    /// of its kind. To guess a key is hopeless; what is bounded is what the guesses cost PostgreSQL. Nobody is refused,
    /// since good keys may come from the same address.
    ///
    /// # Errors
    ///
    /// What `find` returns.
    pub async fn look_up_key<T>(
        &self,
        address: IpAddr,
        find: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        if self.keys.take(address, Instant::now()).is_err() {
            // Closed it never is.
            let _turn = self.key_turns.acquire().await.ok();
            return find.await;
        }
        let found = find.await;
        if !matches!(found, Err(ApiError::NotAuthenticated)) {
            self.keys.give_back(&address);
        }
        found
    }

    /// Lets a try through, or says how long to wait.
    ///
    /// # Errors
    ///
    /// How long it takes until another try is let through.
    pub fn begin(&self, username: &str, address: IpAddr) -> Result<Try<'_>, Duration> {
        let now = Instant::now();
        let account: Account = Sha256::digest(username).into();
        if self
            .under_way()
            .get(&address)
            .is_some_and(|count| *count >= AT_ONCE)
        {
            return Err(COME_AGAIN);
        }
        self.addresses.take(address, now)?;
        if let Err(wait) = self.pairs.take((account, address), now) {
            self.addresses.give_back(&address);
            return Err(wait);
        }
        if let Err(wait) = self.accounts.take(account, now) {
            self.addresses.give_back(&address);
            self.pairs.give_back(&(account, address));
            return Err(wait);
        }
        *self.under_way().entry(address).or_default() += 1;
        Ok(Try {
            limits: self,
            account,
            address,
        })
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Try<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.limits.under_way().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Try<'_> {
    /// It was no wrong password.
    pub fn take_back(self) {
        self.limits.addresses.give_back(&self.address);
        self.limits.pairs.give_back(&(self.account, self.address));
        self.limits.accounts.give_back(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::{pending, ready};

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn failures(limits: &LoginLimits, username: &str, last: u8) -> usize {
        (0..1_000)
            .take_while(|_| limits.begin(username, address(last)).is_ok())
            .count()
    }

    #[test]
    fn an_address_has_a_few_logins_under_way_and_leaves_places_to_others() {
        let limits = LoginLimits::new(10).unwrap();
        let begin = |number, last| limits.begin(&format!("user-{number}"), address(last));
        let mut under_way: Vec<_> = (0..AT_ONCE).map(|number| begin(number, 1)).collect();
        assert!(under_way.iter().all(Result::is_ok));
        assert!(matches!(begin(AT_ONCE, 1), Err(COME_AGAIN)));
        assert!(begin(AT_ONCE, 2).is_ok());
        drop(under_way.pop());
        assert!(begin(AT_ONCE, 1).is_ok());
        drop(under_way);
        assert!(limits.under_way().is_empty());
    }

    #[test]
    fn an_address_is_stopped_at_one_account_and_its_owner_elsewhere_is_not() {
        let limits = LoginLimits::new(10).unwrap();
        assert_eq!(failures(&limits, "ada", 1), 10);
        assert_eq!(failures(&limits, "ada", 2), 10);
        assert_eq!(failures(&limits, "bob", 1), 10);
    }

    #[test]
    fn many_accounts_from_one_address_and_many_addresses_at_one_account_are_stopped() {
        let limits = LoginLimits::new(10).unwrap();
        let tried = (0..20).map(|n| failures(&limits, &format!("user{n}"), 1));
        assert_eq!(tried.sum::<usize>(), 100);
        let limits = LoginLimits::new(10).unwrap();
        let tried = (0..20).map(|last| failures(&limits, "ada", last));
        assert_eq!(tried.sum::<usize>(), 100);
    }

    #[test]
    fn tries_that_are_taken_back_cost_nothing() {
        let limits = LoginLimits::new(1).unwrap();
        for _ in 0..50 {
            let Ok(tried) = limits.begin("ada", address(1)) else {
                panic!("a login that succeeds is counted")
            };
            tried.take_back();
        }
        assert_eq!(failures(&limits, "ada", 1), 1);
        assert!(LoginLimits::new(0).is_none());
    }

    /// Whether a look-up from there begins at once.
    fn begins(limits: &LoginLimits, last: u8) -> bool {
        let found = limits.look_up_key(address(last), ready(Ok(())));
        found.now_or_never().is_some()
    }

    #[actix_web::test]
    async fn who_has_tried_too_many_keys_waits_for_a_turn_and_nobody_else_does() {
        let limits = LoginLimits::new(1).unwrap();
        for _ in 0..WIDE {
            let nobodys = ready(Err::<(), _>(ApiError::NotAuthenticated));
            let refused = limits.look_up_key(address(1), nobodys).now_or_never();
            assert!(matches!(refused, Some(Err(ApiError::NotAuthenticated))));
        }
        assert!(begins(&limits, 1), "nobody else waits for a turn");
        let mut under_way: Vec<_> = (0..KEYS_AT_ONCE)
            .map(|_| Box::pin(limits.look_up_key(address(1), pending::<Result<(), _>>())))
            .collect();
        for one in &mut under_way {
            assert!(one.as_mut().now_or_never().is_none(), "it takes a turn");
        }
        assert!(!begins(&limits, 1));
        assert!(begins(&limits, 2));
        drop(under_way);
        assert!(begins(&limits, 1), "turns come free");
    }

    #[actix_web::test]
    async fn keys_that_somebody_has_cost_nothing() {
        let limits = LoginLimits::new(1).unwrap();
        let turns = limits.key_turns.acquire_many(2).await;
        assert!(turns.is_ok());
        for _ in 0..10 * WIDE {
            assert!(begins(&limits, 1));
        }
    }
}
