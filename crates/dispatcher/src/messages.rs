//! What is to be sent for a batch of claims, read together.

use std::collections::{HashMap, HashSet};

use hyper::body::Bytes;
use reprise_core::event_type::EventType;
use reprise_core::ids::EventId;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::messages::{self as store, load_messages};
use reprise_core::store::{AsyncPgConnection, StoreError};
use tracing::error;

/// What is to be sent of an event, to however many endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) event_type: EventType,
    pub(crate) payload: Bytes,
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

impl Messages {
    /// Reads the messages of claims. One that can't be read is logged, and costs only its own deliveries.
    ///
    /// # Errors
    ///
    /// PostgreSQL can't be asked.
    pub(crate) async fn load(
        conn: &mut AsyncPgConnection,
        claims: &[Claim],
    ) -> Result<Self, StoreError> {
        let mut messages = Self::default();
        match load_messages(conn, claims).await {
            Ok(loaded) => messages.add(loaded),
            Err(StoreError::Corrupt(_)) => {
                for claim in claims {
                    messages.load_one(conn, claim).await?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(messages)
    }

    async fn load_one(
        &mut self,
        conn: &mut AsyncPgConnection,
        claim: &Claim,
    ) -> Result<(), StoreError> {
        match load_messages(conn, std::slice::from_ref(claim)).await {
            Ok(loaded) => self.add(loaded),
            Err(StoreError::Corrupt(what)) => {
                error!(delivery.id = %claim.delivery_id, "An event can't be read, its deliveries wait: {what}");
                self.unreadable.insert(claim.event_id);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add(&mut self, loaded: HashMap<EventId, store::Message>) {
        let loaded = loaded.into_iter().map(|(id, message)| {
            let message = Message {
                event_type: message.event_type,
                payload: message.payload.into(),
            };
            (id, message)
        });
        self.by_event.extend(loaded);
    }

    /// What is to be sent for a claim; `None` if it can't be read.
    pub(crate) fn of(&self, claim: &Claim) -> Option<Content> {
        if self.unreadable.contains(&claim.event_id) {
            return None;
        }
        let message = self.by_event.get(&claim.event_id).cloned();
        Some(message.map_or(Content::Expired, Content::Message))
    }
}
