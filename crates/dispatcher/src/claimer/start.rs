//! From claims to attempts.

use std::time::Instant;

use reprise_core::failpoint;
use reprise_core::store::StoreError;
use reprise_core::store::delivery_queue::Claim;
use reprise_core::store::messages::load_messages;
use tracing::{error, warn};

use super::{Claimer, DEADLINE};
use crate::attempt::{self, Job};
use crate::in_flight::Permits;
use crate::messages::Messages;
use crate::recorder::{Ended, Outcome};

/// Claims with their permits.
pub(super) struct Claimed {
    pub(super) claims: Vec<Claim>,
    pub(super) permits: Permits,
    /// Before the claim was made, so that the lease began no earlier.
    pub(super) at: Instant,
    /// What is to be sent, if it was read already.
    pub(super) messages: Option<Messages>,
}

impl Claimed {
    /// Of which nothing was read yet that is to be sent.
    pub(super) fn unread(claims: Vec<Claim>, permits: Permits, at: Instant) -> Self {
        Self {
            claims,
            permits,
            at,
            messages: None,
        }
    }
}

impl Claimer {
    /// Loads what the claims need and starts their attempts. When that fails all are given back.
    pub(super) async fn start(&mut self, claimed: Claimed) -> Result<(), StoreError> {
        let Claimed {
            claims,
            mut permits,
            at,
            messages,
        } = claimed;
        failpoint::hit("after_claim");
        self.metrics.claimed(&claims);
        let messages = match self.load(&claims, messages).await {
            Ok(messages) => messages,
            Err(error) => {
                self.give_back(&claims, permits, attempt::unused).await;
                return Err(error);
            }
        };
        let mut unsendable = Vec::new();
        for claim in claims {
            let (Some(content), Some(target)) = (messages.of(&claim), self.targets.get(&claim))
            else {
                unsendable.push(claim);
                continue;
            };
            let Some(mut permit) = permits.split_one() else {
                error!("More was claimed than there were permits for");
                unsendable.push(claim);
                continue;
            };
            permit.announce_end_of(&claim);
            let slot = self.capacity.take_slot(&claim);
            let job = Job {
                claim,
                target,
                content,
                claimed_at: at,
                slot,
                permit,
            };
            self.attempts.spawn(self.sender.clone().run(job));
        }
        self.metrics.claim_seconds.observe(at.elapsed());
        if let Some(one) = unsendable.first() {
            let count = unsendable.len();
            warn!(
                count,
                delivery.id = %one.delivery_id,
                endpoint.id = %one.endpoint_id,
                "{count} claimed deliveries can't be sent now, and are set aside for a minute"
            );
        }
        self.give_back(&unsendable, permits, attempt::unsendable)
            .await;
        Ok(())
    }

    /// Ends leases under which nothing is sent; each keeps its permit until that is written.
    async fn give_back(
        &self,
        claims: &[Claim],
        mut permits: Permits,
        how: impl Fn(&Claim) -> Outcome,
    ) {
        for claim in claims {
            let ended = Ended {
                outcome: how(claim),
                permit: permits.split_one(),
                at: Instant::now(),
            };
            if self.sender.ended.send(ended).await.is_err() {
                error!("The recorder is gone, a lease is left to expire");
            }
        }
    }

    /// The messages of the claims, and their targets into the cache.
    async fn load(
        &mut self,
        claims: &[Claim],
        messages: Option<Messages>,
    ) -> Result<Messages, StoreError> {
        let missing = self.targets.missing(claims);
        let targets = &mut self.targets;
        match messages {
            Some(messages) if missing.is_empty() => Ok(messages),
            messages => {
                let loading = async |conn: &mut _| {
                    targets.load(conn, &missing).await?;
                    match messages {
                        Some(messages) => Ok(messages),
                        None => Ok(load_messages(conn, claims).await?.into()),
                    }
                };
                self.database.run(DEADLINE, loading).await.flatten()
            }
        }
    }
}
