//! Faults under load: what the tests and the soak of this crate stand on.
//!
//! A [`stage::Stage`] has both programs working on events that callers publish all the time, who keep a ledger; a
//! journal at the receiver counts what comes. A test does harm to one of them, and holds the account to the promise:
//! nothing lost, and nothing sent twice but what was in flight.

pub mod repeat;
pub mod stage;
pub mod usage;
