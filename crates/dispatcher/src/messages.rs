//! What is to be sent for a batch of claims.

use std::collections::{HashMap, HashSet};
use std::fmt;

use hyper::body::Bytes;
use reprise_core::event_type::EventType;
use reprise_core::ids::EventId;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::messages as store;
use tracing::error;

/// What is to be sent of an event, to however many endpoints.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) event_type: EventType,
    pub(crate) payload: Bytes,
}

/// Without the payload.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
}

/// What came of looking for a claim's message.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// It is there.
    Message(Message),
    /// Retention has removed it.
    Expired,
}

/// The messages of claims.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    by_event: HashMap<EventId, Message>,
    /// Events that are there and can't be read.
    unreadable: HashSet<EventId>,
}

/// One that can't be read is logged, and costs only its own deliveries.
impl From<store::Messages> for Messages {
    fn from(loaded: store::Messages) -> Self {
        let mut messages = Self::default();
        for (id, message) in loaded {
            match message {
                Ok(message) => {
                    let message = Message {
                        event_type: message.event_type,
                        payload: message.payload.into(),
                    };
                    messages.by_event.insert(id, message);
                }
                Err(error) => {
                    error!(event.id = %id, "An event can't be read, its deliveries wait: {error}");
                    messages.unreadable.insert(id);
                }
            }
        }
        messages
    }
}

impl Messages {
    /// What is to be sent for a claim; `None` if it can't be read.
    pub(crate) fn of(&self, claim: &Claim) -> Option<Content> {
        if self.unreadable.contains(&claim.event_id) {
            return None;
        }
        let message = self.by_event.get(&claim.event_id).cloned();
        Some(message.map_or(Content::Expired, Content::Message))
    }
}
