//! Claims whose answers were lost: PostgreSQL may have leased deliveries that nobody here knows of. They are given back
//! as soon as PostgreSQL answers again, instead of waiting for their leases to expire and showing an attempt as lost.

use std::collections::VecDeque;

use reprise_core::ids::LeaseToken;
use reprise_core::store::delivery_queue::Claimant;
use reprise_core::store::{StoreError, leases};
use tracing::info;

use super::{Claimer, DEADLINE};

/// How often a claim is looked for, once PostgreSQL answers: a server that hung goes on with what it had read while
/// others are already answered. Oftener, and each failure costs more statements; less often, and such a claim waits for
/// its leases.
const LOOKS: u8 = 5;
/// Claims that are looked for at most, the last ones. More are of no use: while PostgreSQL is away for long, the leases
/// of the first ones expire.
const MAX_CLAIMS: usize = 32;

/// The claims that got no answer.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    claims: VecDeque<(LeaseToken, u8)>,
}

impl Unanswered {
    /// Notes what came of a claim, and passes it on.
    pub(super) fn note<T>(
        &mut self,
        claimant: Claimant,
        taken: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if taken.as_ref().is_err_and(StoreError::may_pass) {
            self.claims.push_back((claimant.lease_token, LOOKS));
            if self.claims.len() > MAX_CLAIMS {
                let _ = self.claims.pop_front();
            }
        }
        taken
    }

    fn tokens(&self) -> Vec<LeaseToken> {
        self.claims.iter().map(|(token, _)| *token).collect()
    }

    /// They were looked for.
    fn looked(&mut self) {
        self.claims.retain_mut(|(_, looks)| {
            *looks -= 1;
            *looks > 0
        });
    }
}

impl Claimer {
    /// Gives back what was claimed without an answer.
    pub(super) async fn release_unanswered(&mut self) -> Result<(), StoreError> {
        let tokens = self.unanswered.tokens();
        if tokens.is_empty() {
            return Ok(());
        }
        let id = self.dispatcher_id;
        let releasing = async |conn: &mut _| leases::release_unanswered(conn, id, &tokens).await;
        let count = self.database.run(DEADLINE, releasing).await.flatten()?;
        self.unanswered.looked();
        if count > 0 {
            self.metrics.given_back.add(count);
            info!(
                count,
                "Gave back {count} deliveries whose claim had got no answer"
            );
        }
        Ok(())
    }
}
