//! Failpoints: places where a test lets this process die, freeze or panic.
//!
//! They exist only with the cargo feature `failpoints`, which only the tests of `crates/faults` ask for, as a
//! dev-dependency: whoever builds programs without tests, as every release is built, gets empty functions, and no
//! variable is read. A feature and not `debug_assertions`, so that what a program does never depends on its profile,
//! and a fast build can be tested to death too. `scripts/check/arrows` looks that nothing else asks for the feature.

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use self::armed::{hit, hit_for};

/// Says that this place was reached. Nothing happens unless a test has armed it.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_place: &str) {}

/// [`hit`] for what is done to one of many, which a test can tell apart by `subject`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit_for(_place: &str, _subject: &str) {}
