//! What came at a receiver, counted: it outlives every program that is killed, and runs for hours.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::receiver::{Answer, Received, Receiver};

/// A receiver that counts what it accepts, by the number in the payload (`{"sequence": 7}`) and by `webhook-id`. It
/// keeps no bodies.
#[derive(Debug)]
pub struct Journal {
    receiver: Receiver,
    receipts: Arc<Mutex<HashMap<u64, Receipt>>>,
}

/// How an event came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Its `webhook-id`, as it came first.
    pub event_id: String,
    /// How often it came under that id.
    pub count: usize,
    /// How often it came under other ids: it was stored more than once.
    pub strangers: usize,
}

impl Journal {
    /// Accepts everything.
    pub async fn start() -> Self {
        Self::start_with(|_| Answer::status(200)).await
    }

    /// Answers what `decide` says, and counts what it accepts (2xx).
    pub async fn start_with(decide: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::over(Receiver::start_without_record().await, decide)
    }

    /// The same, made of a receiver that forgets what it was sent.
    pub fn over(
        receiver: Receiver,
        decide: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let receipts: Arc<Mutex<HashMap<u64, Receipt>>> = Arc::default();
        let counted = Arc::clone(&receipts);
        receiver.answer_by_default(move |request| {
            let answer = decide(request);
            if answer.is_success() {
                note(&mut lock(&counted), request);
            }
            answer
        });
        Self { receiver, receipts }
    }

    /// The URL of an endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.receiver.url("/")
    }

    /// The receiver behind it.
    #[must_use]
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// How an event came, if it did.
    #[must_use]
    pub fn find(&self, sequence: u64) -> Option<Receipt> {
        lock(&self.receipts).get(&sequence).cloned()
    }

    /// How many events came, each counted once.
    #[must_use]
    pub fn arrived(&self) -> usize {
        lock(&self.receipts).len()
    }

    /// How often something came that had come before.
    #[must_use]
    pub fn repeats(&self) -> usize {
        let receipts = lock(&self.receipts);
        receipts.values().map(|one| one.count - 1).sum()
    }
}

fn lock(receipts: &Mutex<HashMap<u64, Receipt>>) -> MutexGuard<'_, HashMap<u64, Receipt>> {
    receipts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has no number is nobody's: a challenge, or a test's own event.
fn note(receipts: &mut HashMap<u64, Receipt>, request: &Received) {
    let body: Option<serde_json::Value> = serde_json::from_slice(&request.body).ok();
    let Some(sequence) = body.and_then(|body| body["sequence"].as_u64()) else {
        return;
    };
    let id = request.header("webhook-id").unwrap_or_default();
    let receipt = receipts.entry(sequence).or_insert_with(|| Receipt {
        event_id: id.to_owned(),
        ..Receipt::default()
    });
    if receipt.event_id == id {
        receipt.count += 1;
    } else {
        receipt.strangers += 1;
    }
}
