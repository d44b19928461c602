//! Callers that publish all the time, through any fault, and keep a ledger.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use crate::{
    http::{Client, Content, Method, Response},
    ledger::{Answered, Ledger},
};

const EVENTS: &str = "/v1/webhooks/events";
const BATCH: &str = "/v1/webhooks/events/batch";
/// Events of a batch: enough to see half of one stored.
const BATCH_EVENTS: usize = 3;
/// How long a caller waits before it tries again, or goes on after a failure. `Retry-After` says seconds, but more
/// callers find more.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long a call with a key is repeated: longer than any fault of a test.
const REPEATED_FOR: Duration = Duration::from_mins(3);

/// Callers that publish events one after the other: single ones, single ones with an `Idempotency-Key`, and batches.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    callers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    client: Mutex<Client>,
    ledger: Mutex<Ledger>,
    pause: Mutex<Duration>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    /// Starts `callers`, each of which pauses between its calls.
    #[must_use]
    pub fn start(client: Client, callers: usize, pause: Duration) -> Self {
        let shared = Arc::new(Shared {
            client: Mutex::new(client),
            ledger: Mutex::default(),
            pause: Mutex::new(pause),
        });
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for number in 0..callers {
            tasks.spawn(call_until(Arc::clone(&shared), stop.subscribe(), number));
        }
        Self {
            shared,
            stop,
            callers: tasks,
        }
    }

    /// Sends to another API from now on: the former one was killed.
    pub fn turn_to(&self, client: Client) {
        *lock(&self.shared.client) = client;
    }

    /// Pauses so long after each call from now on.
    pub fn pause_for(&self, pause: Duration) {
        *lock(&self.shared.pause) = pause;
    }

    /// How many events were answered 202 so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        lock(&self.shared.ledger).accepted()
    }

    /// How many calls were answered 503 so far.
    #[must_use]
    pub fn unavailable(&self) -> usize {
        lock(&self.shared.ledger).unavailable()
    }

    /// Ends the calls, each with its answer, and hands out the ledger. What has a key is repeated until it is accepted.
    ///
    /// # Panics
    ///
    /// When a caller has panicked.
    pub async fn stop(mut self) -> Ledger {
        let _ = self.stop.send(true);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("callers do not panic");
        }
        std::mem::take(&mut *lock(&self.shared.ledger))
    }
}

async fn call_until(shared: Arc<Shared>, stop: watch::Receiver<bool>, caller: usize) {
    // Callers begin with different kinds, so that a short run has all of them.
    for turn in caller.. {
        if *stop.borrow() {
            return;
        }
        let is_accepted = match turn % 5 {
            0 => shared.publish_keyed().await,
            1 => shared.publish_batch().await,
            _ => shared.publish_one().await,
        };
        let pause = if is_accepted {
            *lock(&shared.pause)
        } else {
            AFTER_FAILURE
        };
        tokio::time::sleep(pause).await;
    }
}

impl Shared {
    async fn publish_one(&self) -> bool {
        let sequence = lock(&self.ledger).begin(1);
        self.call(sequence, EVENTS, &event(sequence), None).await
    }

    async fn publish_batch(&self) -> bool {
        let first = lock(&self.ledger).begin(BATCH_EVENTS);
        let events = (first..).take(BATCH_EVENTS).map(event);
        self.call(first, BATCH, &events.collect(), None).await
    }

    /// Repeats the call until it is accepted, and once more.
    async fn publish_keyed(&self) -> bool {
        let sequence = lock(&self.ledger).begin(1);
        let key = Uuid::new_v4().to_string();
        let body = event(sequence);
        let began = Instant::now();
        while !self.call(sequence, EVENTS, &body, Some(&key)).await {
            if began.elapsed() > REPEATED_FOR {
                let odd = format!("event {sequence} was not accepted within {REPEATED_FOR:?}");
                lock(&self.ledger).note(sequence, Answered::Odd(odd), Duration::ZERO);
                return false;
            }
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        self.call(sequence, EVENTS, &body, Some(&key)).await
    }

    /// Sends a call and writes down what is answered; whether it was accepted.
    async fn call(&self, first: u64, path: &str, body: &Value, key: Option<&str>) -> bool {
        let mut client = lock(&self.client).clone();
        if let Some(key) = key {
            client = client.header("idempotency-key", key);
        }
        let content = Some(Content::json(body));
        let began = Instant::now();
        let answered = match client.try_send(Method::POST, path, content).await {
            Ok(response) => read(&response),
            Err(_) => Answered::Nothing,
        };
        let is_accepted = matches!(answered, Answered::Accepted(_));
        lock(&self.ledger).note(first, answered, began.elapsed());
        is_accepted
    }
}

/// An event that a [`Journal`](crate::journal::Journal) can count.
#[must_use]
pub fn event(sequence: u64) -> Value {
    json!({ "event_type": "ledger.entry", "payload": { "sequence": sequence } })
}

fn read(response: &Response) -> Answered {
    match response.status {
        202 => accepted_ids(&response.body).map_or_else(
            || Answered::Odd(format!("202 without ids: {}", response.text())),
            Answered::Accepted,
        ),
        503 if response.header("retry-after").is_some() => Answered::Unavailable,
        status => Answered::Odd(format!("{status}: {}", response.text())),
    }
}

/// The ids of the events in an answer: one, or those of a batch.
fn accepted_ids(body: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let single = std::slice::from_ref(&answer);
    let events = answer.as_array().map_or(single, Vec::as_slice);
    let id = |event: &Value| event["id"].as_str().map(str::to_owned);
    events.iter().map(id).collect()
}
