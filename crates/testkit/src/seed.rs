//! Chance that can be repeated: a fault at a random moment says which moment it was.

use std::fmt;

use rand::{SeedableRng as _, rngs::StdRng};

/// What a run with chance in it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

/// The variable that repeats the run of one seed.
const VARIABLE: &str = "REPRISE_SEED";

/// `count` seeds: the one that `REPRISE_SEED` names, each time, else random ones.
///
/// # Panics
///
/// When `REPRISE_SEED` is no number.
#[must_use]
pub fn seeds(count: usize) -> Vec<Seed> {
    let given = given().map(|text| {
        let number = text.parse();
        number.unwrap_or_else(|error| panic!("{VARIABLE}={text}: {error}"))
    });
    let seed = || Seed(given.unwrap_or_else(rand::random));
    (0..count).map(|_| seed()).collect()
}

impl Seed {
    /// Random numbers, the same each time.
    #[must_use]
    pub fn rng(self) -> StdRng {
        StdRng::seed_from_u64(self.0)
    }

    /// Something that says how to repeat the run, when it is dropped by a panic.
    #[must_use]
    pub fn told_on_panic(self) -> ToldOnPanic {
        ToldOnPanic(self)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{VARIABLE}={}", self.0)
    }
}

/// See [`Seed::told_on_panic`].
#[derive(Debug)]
pub struct ToldOnPanic(Seed);

impl Drop for ToldOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- repeat this run with {}", self.0);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the testkit has no configuration"
)]
fn given() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_each_time() {
        let [one, other] = [Seed(1), Seed(2)];
        assert_eq!(one.rng().next_u64(), one.rng().next_u64());
        assert_ne!(one.rng().next_u64(), other.rng().next_u64());
    }
}
