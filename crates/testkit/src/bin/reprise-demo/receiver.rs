//! The demo's receiver: verifies each webhook and shows it in one line.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow};
use reprise_testkit::{
    receiver::{Answer, Received, Receiver},
    verify::verify_standard,
};

use crate::screen;

const PATH: &str = "/webhooks";

/// Longer payloads are cut, so that each webhook stays on one line.
const SHOWN_CHARACTERS: usize = 60;

/// A receiver that answers 200 to what is signed well and 401 to what is not.
pub(crate) struct DemoReceiver {
    receiver: Receiver,
    secret: Arc<Mutex<Option<String>>>,
}

impl DemoReceiver {
    /// Starts it; until it knows a secret it asks everybody to come back later.
    pub(crate) async fn start() -> Self {
        let receiver = Receiver::start().await;
        let secret: Arc<Mutex<Option<String>>> = Arc::default();
        let known = Arc::clone(&secret);
        receiver.answer_by(PATH, move |received| {
            match &*known.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(secret) => judge(secret, received),
                None => Answer::status(503).header("retry-after", "1"),
            }
        });
        Self { receiver, secret }
    }

    /// Where webhooks should be sent.
    pub(crate) fn url(&self) -> String {
        self.receiver.url(PATH)
    }

    /// Takes the secret that all webhooks are verified with from now on.
    pub(crate) fn trust(&self, secret: &str) {
        let mut known = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(secret.to_owned());
    }

    /// Waits until the event has come.
    pub(crate) async fn wait_for_event(&self, event_id: &str, timeout: Duration) -> Result<()> {
        let is_here = |received: &[Received]| {
            let mut ids = received.iter().map(|request| request.header("webhook-id"));
            ids.any(|id| id == Some(event_id))
        };
        let waited = self.receiver.try_wait_until(is_here, timeout).await;
        waited.map_err(|_| anyhow!("event {event_id} has not arrived within {timeout:?}"))?;
        Ok(())
    }
}

fn judge(secret: &str, received: &Received) -> Answer {
    let (verdict, answer) = match verify_standard(secret, received) {
        Ok(()) => ("signature valid".to_owned(), Answer::status(200)),
        Err(fault) => (format!("REFUSED, {fault}"), Answer::status(401)),
    };
    let payload = String::from_utf8_lossy(&received.body);
    let shown: String = payload.chars().take(SHOWN_CHARACTERS).collect();
    let header = |name| received.header(name).unwrap_or("?");
    let kind = match received.header("webhook-replay-of") {
        Some(_) => "replay",
        None => "webhook",
    };
    screen::fact(
        &format!("  < {kind}"),
        format_args!(
            "{:<14}  attempt {}  {verdict}  {shown}",
            header("webhook-event-type"),
            header("webhook-attempt"),
        ),
    );
    answer
}
