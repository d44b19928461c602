//! What publishers send.

mod body;

#[path = "../checks/publish_body.rs"]
pub mod publish_body;
