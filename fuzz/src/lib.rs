//! The modules of the API that read what anybody sends, as they are: the API is a program, and can't be linked. The
//! files are links to its own.
#![allow(
    dead_code,
    missing_docs,
    reason = "the API uses more of them, and this is no library"
)]

pub mod events;
mod faults;
mod pagination;

#[path = "../checks/cursor.rs"]
pub mod cursor;
