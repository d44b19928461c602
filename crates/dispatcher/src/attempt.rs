//! One attempt: build, sign, send, judge. Each runs as a task of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_core::attempt::{Attempt, AttemptError, RecordedResponse};
use reprise_core::attempt_outcome::{AttemptOutcome, FailureKind};
use reprise_core::event_type::EventType;
use reprise_core::failpoint;
use reprise_core::retry::{Jitter, RetryPolicy};
use reprise_core::retry_after::parse_retry_after;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::leases::UnusedLease;
use reprise_core::store::recording::FinishedAttempt;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::in_flight::{Permit, Slot};
use crate::messages::{Content, Message};
use crate::metrics::Metrics;
use crate::outbound::{Exchange, Failure, Outbound};
use crate::recorder::{Ended, Outcome};
use crate::request::{self, Envelope};
use crate::targets::Target;

/// How long after its claim an attempt may begin. What comes later (the process was frozen, or PostgreSQL slow) is
/// given back unsent: its lease might end while the request is under way.
pub(crate) const BEGIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a delivery waits that can't be sent because of what is stored of it: until an operator has looked.
pub(crate) const UNSENDABLE_WAIT: Duration = Duration::from_mins(1);
/// How long a delivery waits that this machine had no file descriptor or memory for. Longer, and it waits when there is
/// enough again; shorter, and what is ready goes round in claims that come to nothing.
const SHORTAGE_WAIT: Duration = Duration::from_secs(5);

/// What one attempt needs and holds.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) claim: Claim,
    pub(crate) target: Arc<Target>,
    pub(crate) content: Content,
    /// Before the claim was made.
    pub(crate) claimed_at: Instant,
    pub(crate) slot: Slot,
    pub(crate) permit: Permit,
}

/// What all attempts share.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) outbound: Outbound,
    /// To the recorder.
    pub(crate) ended: mpsc::Sender<Ended>,
    pub(crate) metrics: Arc<Metrics>,
    /// The drain is over: attempts that still run are given up.
    pub(crate) abort: CancellationToken,
}

impl Sender {
    /// Makes the attempt and hands what came of it to the recorder.
    pub(crate) async fn run(self, job: Job) {
        let unused = give_back(&job.claim, Duration::ZERO);
        let Job {
            mut slot, permit, ..
        } = job;
        let attempting = async {
            let left = BEGIN_WITHIN.saturating_sub(job.claimed_at.elapsed());
            let Ok(_place) = tokio::time::timeout(left, slot.place()).await else {
                debug!(delivery.id = %job.claim.delivery_id, "Had no place at its endpoint in time, giving it back");
                return give_back(&job.claim, Duration::ZERO);
            };
            self.attempt(&job.claim, &job.target, job.content, job.claimed_at)
                .await
        };
        // Biased: an attempt that is over counts, even if it is given up in the same moment.
        let outcome = tokio::select! {
            biased;
            outcome = attempting => outcome,
            () = self.abort.cancelled() => unused,
        };
        slot.note(outcome.took());
        drop(slot);
        let ended = Ended {
            outcome,
            permit: Some(permit),
            at: Instant::now(),
        };
        if self.ended.send(ended).await.is_err() {
            error!("The recorder is gone, a result is lost; its lease will expire");
        }
    }

    /// Cancel safety: dropping the future closes the connection; the receiver may have got the request.
    async fn attempt(
        &self,
        claim: &Claim,
        target: &Target,
        content: Content,
        claimed_at: Instant,
    ) -> Outcome {
        if claimed_at.elapsed() > BEGIN_WITHIN {
            debug!(delivery.id = %claim.delivery_id, "Began too late after the claim, giving it back");
            return give_back(claim, Duration::ZERO);
        }
        self.metrics
            .start_wait_seconds
            .observe(claimed_at.elapsed());
        let started_at = OffsetDateTime::now_utc();
        let Content::Message(message) = content else {
            return Outcome::Finished(Box::new(expired(claim, target, started_at)));
        };
        failpoint::hit_for("attempt", message.event_type.as_str());
        let retry = policy(target, &message);
        let envelope = Envelope {
            event_type: message.event_type.as_str(),
            payload: &message.payload,
            sent_at: started_at,
        };
        let request = match request::build(claim, target, &envelope) {
            Ok(request) => request,
            Err(error) => {
                error!(endpoint.id = %claim.endpoint_id, delivery.id = %claim.delivery_id, "A request can't be built, its delivery waits: {error:#}");
                return give_back(claim, UNSENDABLE_WAIT);
            }
        };
        let request_headers = request::kept_headers(request.headers());
        let started = Instant::now();
        let sending = self
            .outbound
            .send(request, target.timeout.min(claim.timeout));
        // The client tells the operator.
        let Ok(exchange) = sending.await else {
            return give_back(claim, SHORTAGE_WAIT);
        };
        failpoint::hit("after_send");
        let sent = Sent {
            started_at,
            duration: started.elapsed(),
            request_headers,
            exchange,
        };
        let finished = finish(claim, target, &retry, sent);
        self.metrics.attempt_ended(&finished);
        Outcome::Finished(Box::new(finished))
    }
}

/// A request that was sent, or whose sending failed.
struct Sent {
    started_at: OffsetDateTime,
    duration: Duration,
    request_headers: Vec<(String, String)>,
    exchange: Exchange,
}

fn give_back(claim: &Claim, wait: Duration) -> Outcome {
    Outcome::Unused(UnusedLease {
        tenant_id: claim.tenant_id,
        delivery_id: claim.delivery_id,
        lease_token: claim.lease_token,
        wait,
    })
}

/// The lease of a claim that can't be sent now.
pub(crate) fn unsendable(claim: &Claim) -> Outcome {
    give_back(claim, UNSENDABLE_WAIT)
}

/// The lease of a claim that was not begun.
pub(crate) fn unused(claim: &Claim) -> Outcome {
    give_back(claim, Duration::ZERO)
}

/// The endpoint's policy, but for a challenge: nobody waits for a later answer to it.
fn policy(target: &Target, message: &Message) -> RetryPolicy {
    if message.event_type == EventType::challenge() {
        RetryPolicy::never()
    } else {
        target.retry.clone()
    }
}

fn expired(claim: &Claim, target: &Target, started_at: OffsetDateTime) -> FinishedAttempt {
    let sent = Sent {
        started_at,
        duration: Duration::ZERO,
        request_headers: Vec::new(),
        exchange: Exchange {
            failure: Some(Failure::of(FailureKind::PayloadExpired)),
            ..Exchange::default()
        },
    };
    finish(claim, target, &target.retry, sent)
}

fn finish(claim: &Claim, target: &Target, retry: &RetryPolicy, sent: Sent) -> FinishedAttempt {
    let outcome = judge(&sent.exchange);
    let jitter = Jitter::from_random_bits(rand::random());
    let decision = retry.decide(claim.attempt_number, &outcome, jitter);
    FinishedAttempt {
        tenant_id: claim.tenant_id,
        delivery_id: claim.delivery_id,
        endpoint_id: claim.endpoint_id,
        endpoint_version: target.version,
        lease_token: claim.lease_token,
        is_express: claim.is_express,
        attempt: Attempt {
            id: claim.attempt_id,
            number: claim.attempt_number,
            started_at: sent.started_at,
            duration: Some(sent.duration),
            request_headers: sent.request_headers,
            error: error_of(&outcome, sent.exchange.failure),
            response: sent.exchange.response,
            remote_ip: sent.exchange.remote_ip,
        },
        decision,
    }
}

/// A success counts only when it is complete: a receiver that breaks off may not have taken the payload. What else it
/// said (gone, later) it has said with its status and headers.
fn judge(exchange: &Exchange) -> AttemptOutcome {
    let is_success = |response: &RecordedResponse| (200..300).contains(&response.status);
    match (&exchange.failure, &exchange.response) {
        (Some(failure), response) if response.as_ref().is_none_or(is_success) => {
            AttemptOutcome::Failed(failure.kind)
        }
        (_, Some(response)) => AttemptOutcome::Answered {
            status: response.status,
            retry_after: exchange
                .retry_after
                .as_ref()
                .and_then(|value| parse_retry_after(value.as_bytes(), OffsetDateTime::now_utc())),
        },
        // Neither comes out of `Outbound::send`; saying that the connection was lost is true enough.
        (_, None) => AttemptOutcome::Failed(FailureKind::ConnectionLost),
    }
}

fn error_of(outcome: &AttemptOutcome, failure: Option<Failure>) -> Option<AttemptError> {
    let kind = outcome.error_kind()?;
    Some(match (failure, outcome) {
        (_, AttemptOutcome::Answered { status, .. }) => AttemptError {
            kind,
            message: format!("The receiver answered {status}"),
        },
        (Some(failure), AttemptOutcome::Failed(_)) => failure.into(),
        (None, AttemptOutcome::Failed(kind)) => Failure::of(*kind).into(),
    })
}
