//! A dispatcher played by the test: it claims and records through the store, and sends nothing.

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use reprise_core::attempt::{Attempt, AttemptError, RecordedResponse};
use reprise_core::attempt_outcome::{AttemptOutcome, FailureKind};
use reprise_core::fair_share::{Caps, InFlight};
use reprise_core::ids::DispatcherId;
use reprise_core::retry::{Jitter, RetryPolicy, RetrySchedule};
use reprise_core::store::delivery_queue::{
    Claim, ClaimRequest, Claimant, ExpressLimits, WalkPosition, claim_express,
};
use reprise_core::store::recording::{FinishedAttempt, record};
use reprise_core::store::settling::{Settled, settle_one};
use reprise_testkit::claims::claim_fairly;
use reprise_testkit::polling::poll_until;
use time::OffsetDateTime;

/// How long an attempt that is played is said to have taken.
pub const DURATION: Duration = Duration::from_millis(293);

const LEASE_MARGIN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(20);

/// What the receiver is said to have done.
#[derive(Clone, Copy, Debug)]
pub enum Played {
    /// It answered with this status; the delivery may be retried.
    Answered(u16),
    /// It answered with this status to the last attempt there is.
    AnsweredAtLast(u16),
    /// It could not be connected to.
    Unreachable,
}

impl Played {
    fn outcome(self) -> AttemptOutcome {
        match self {
            Self::Answered(status) | Self::AnsweredAtLast(status) => AttemptOutcome::Answered {
                status,
                retry_after: None,
            },
            Self::Unreachable => AttemptOutcome::Failed(FailureKind::Connect),
        }
    }

    fn policy(self) -> RetryPolicy {
        let max_retries = match self {
            Self::Answered(_) | Self::Unreachable => None,
            Self::AnsweredAtLast(_) => Some(0),
        };
        RetryPolicy::new(RetrySchedule::Default, max_retries).expect("the policy is a good one")
    }

    fn response(self) -> Option<RecordedResponse> {
        let (Self::Answered(status) | Self::AnsweredAtLast(status)) = self else {
            return None;
        };
        Some(RecordedResponse {
            status,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: b"thanks \xff".to_vec(),
            body_truncated: false,
        })
    }
}

/// A dispatcher without a network.
pub struct PlayedDispatcher {
    id: DispatcherId,
    conn: AsyncPgConnection,
}

impl PlayedDispatcher {
    /// A dispatcher on a database.
    pub async fn start(database_url: &str) -> Self {
        Self {
            id: DispatcherId::new(),
            conn: AsyncPgConnection::establish(database_url)
                .await
                .expect("PostgreSQL is there"),
        }
    }

    /// Leases what is ready, express deliveries left out, at most `max_rows`.
    pub async fn claim_ready(&mut self, max_rows: i32) -> Vec<Claim> {
        let request = ClaimRequest {
            claimant: Claimant::new(self.id),
            max_rows,
            free: i32::MAX,
            max_payload_bytes: i64::MAX,
            lease_margin: LEASE_MARGIN,
            caps: Caps {
                per_endpoint: max_rows,
                per_tenant: i32::MAX,
            },
            in_flight: &InFlight::default(),
        };
        claim_fairly(&mut self.conn, &request, &WalkPosition::default())
            .await
            .claims
    }

    /// Leases the express deliveries that are there now.
    pub async fn claim_express_now(&mut self) -> Vec<Claim> {
        let limits = ExpressLimits {
            max_per_tenant: 100,
            in_flight_by_tenant: &std::collections::HashMap::new(),
        };
        claim_express(
            &mut self.conn,
            Claimant::new(self.id),
            100,
            &limits,
            LEASE_MARGIN,
        )
        .await
        .expect("a claim works")
        .claims
    }

    /// Leases so many express deliveries, and waits until they are there; there must not be more.
    pub async fn claim_all_express(&mut self, count: usize) -> Vec<Claim> {
        let mut claims = Vec::new();
        poll_until(SOON, async || {
            claims.extend(self.claim_express_now().await);
            (claims.len() >= count).then_some(())
        })
        .await
        .expect("the express deliveries come");
        assert_eq!(claims.len(), count, "no more are there");
        claims
    }

    /// Leases the one express delivery that comes.
    pub async fn claim_express(&mut self) -> Claim {
        self.claim_all_express(1).await.remove(0)
    }

    /// Records the attempt of a claim.
    pub async fn finish(&mut self, claim: &Claim, played: Played) {
        let outcome = played.outcome();
        let error = outcome.error_kind().map(|kind| AttemptError {
            kind,
            message: format!("it was played as {played:?}"),
        });
        let finished = FinishedAttempt {
            tenant_id: claim.tenant_id,
            delivery_id: claim.delivery_id,
            endpoint_id: claim.endpoint_id,
            endpoint_version: claim.endpoint_version,
            lease_token: claim.lease_token,
            is_express: claim.is_express,
            attempt: Attempt {
                id: claim.attempt_id,
                number: claim.attempt_number,
                started_at: OffsetDateTime::now_utc(),
                duration: Some(DURATION),
                request_headers: vec![("webhook-attempt".to_owned(), "1".to_owned())],
                response: played.response(),
                error,
                remote_ip: Some([127, 0, 0, 1].into()),
            },
            decision: played
                .policy()
                .decide(claim.attempt_number, &outcome, Jitter::NONE),
        };
        let recorded = record(&mut self.conn, self.id, &[finished])
            .await
            .expect("an attempt can be recorded");
        assert_eq!(recorded.len(), 1, "the lease was still held");
    }

    /// Makes the one attempt that is ready.
    pub async fn play_one(&mut self, played: Played) -> Claim {
        let claims = self.claim_ready(10).await;
        assert_eq!(claims.len(), 1, "exactly one delivery is ready");
        self.finish(&claims[0], played).await;
        claims[0].clone()
    }

    /// Makes the express attempt that comes.
    pub async fn play_express(&mut self, played: Played) -> Claim {
        let claim = self.claim_express().await;
        self.finish(&claim, played).await;
        claim
    }

    /// Does what a dispatcher's maintenance does about endpoints that were disabled, enabled or deleted.
    pub async fn settle(&mut self) {
        while settle_one(&mut self.conn).await.expect("settling works") != Settled::Nothing {}
    }
}
