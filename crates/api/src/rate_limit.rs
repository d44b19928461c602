//! Token buckets, one per key: so many at once, and so many a second after that.
//!
//! Written here, since what was taken in vain must be given back (a login that succeeds costs nothing), which the
//! libraries for rate limits do not know. Counted per process: N replicas let through N times as much.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keys remembered at most, some 100 bytes each. Beyond it buckets that are full again are forgotten first, since that
/// changes nothing; then all, which lets some through once more.
const MAX_KEYS: usize = 100_000;

/// Buckets of one size.
pub struct Buckets<Key> {
    /// Tokens that a bucket holds.
    size: f64,
    /// Tokens that flow into it a second.
    per_second: f64,
    by_key: Mutex<HashMap<Key, Bucket>>,
}

/// What was in a bucket at an instant.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<Key: Eq + Hash> Buckets<Key> {
    /// Buckets that hold `size` tokens and fill with `per_second`; both are at least a small part of one.
    #[must_use]
    pub fn new(size: u32, per_second: f64) -> Self {
        Self {
            size: f64::from(size.max(1)),
            per_second: per_second.max(f64::MIN_POSITIVE),
            by_key: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Bucket>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens_at(&self, bucket: Bucket, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + elapsed * self.per_second).min(self.size)
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
    pub fn take(&self, key: Key, now: Instant) -> Result<(), Duration> {
        let mut by_key = self.lock();
        if by_key.len() >= MAX_KEYS && !by_key.contains_key(&key) {
            by_key.retain(|_, bucket| self.tokens_at(*bucket, now) < self.size);
            if by_key.len() >= MAX_KEYS {
                by_key.clear();
            }
        }
        let full = Bucket {
            tokens: self.size,
            at: now,
        };
        let bucket = by_key.entry(key).or_insert(full);
        let tokens = self.tokens_at(*bucket, now);
        if tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - tokens) / self.per_second));
        }
        *bucket = Bucket {
            tokens: tokens - 1.0,
            at: now,
        };
        Ok(())
    }

    /// Gives a token back that was taken in vain.
    pub fn give_back(&self, key: &Key) {
        if let Some(bucket) = self.lock().get_mut(key) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_through_its_size_and_then_its_rate() {
        let buckets = Buckets::new(2, 0.5);
        let start = Instant::now();
        assert_eq!(buckets.take("a", start), Ok(()));
        assert_eq!(buckets.take("a", start), Ok(()));
        assert_eq!(buckets.take("a", start), Err(Duration::from_secs(2)));
        assert_eq!(buckets.take("b", start), Ok(()), "each key has its own");
        let later = start + Duration::from_secs(1);
        assert_eq!(buckets.take("a", later), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take("a", start + Duration::from_secs(2)), Ok(()));
        let rested = start + Duration::from_hours(1);
        assert_eq!(buckets.take("a", rested), Ok(()));
        assert_eq!(buckets.take("a", rested), Ok(()));
        assert!(
            buckets.take("a", rested).is_err(),
            "it holds no more than its size"
        );
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let buckets = Buckets::new(1, 0.001);
        let now = Instant::now();
        for _ in 0..5 {
            assert_eq!(buckets.take("a", now), Ok(()));
            buckets.give_back(&"a");
        }
        assert_eq!(buckets.take("a", now), Ok(()));
        assert!(buckets.take("a", now).is_err());
    }

    #[test]
    fn memory_is_bounded_and_full_buckets_go_first() {
        let buckets = Buckets::new(1, 1.0);
        let start = Instant::now();
        assert_eq!(buckets.take(0, start), Ok(()));
        let later = start + Duration::from_secs(5);
        for key in 1..MAX_KEYS {
            assert_eq!(buckets.take(key, later), Ok(()));
        }
        assert_eq!(buckets.take(MAX_KEYS, later), Ok(()));
        assert!(
            buckets.take(1, later).is_err(),
            "those still in use are remembered"
        );
        assert!(buckets.lock().len() <= MAX_KEYS);
    }
}
