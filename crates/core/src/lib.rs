//! What both programs of Reprise share: the domain, which is pure, and the store, which holds all SQL.
//!
//! Inside this crate arrows go one way: `store` uses the domain, the domain does not know it.

pub mod address;
pub mod attempt;
pub mod attempt_answer;
pub mod attempt_outcome;
pub mod circuit;
pub mod custom_headers;
pub mod delivery;
pub mod descriptors;
pub mod display_name;
pub mod endpoint;
pub mod endpoint_url;
pub mod event_type;
pub mod failpoint;
pub mod fair_share;
pub mod hook_events;
pub mod ids;
pub mod log_lines;
pub mod panic_alarm;
pub mod ready_hint;
pub mod retry;
pub mod retry_after;
pub mod scope;
pub mod sealing;
pub mod secret;
pub mod settings;
pub mod signing;
pub mod store;
pub mod subscriptions;
