//! Claiming as a dispatcher does that remembers nothing: finding what is ready, and taking of it.

use reprise_core::store::AsyncPgConnection;
use reprise_core::store::delivery_queue::{
    Candidate, Claim, ClaimRequest, LimitedEndpoint, WalkPosition, claim_ready, find_ready,
};
use reprise_core::store::messages::Messages;

/// What was taken.
#[derive(Debug)]
pub struct FairClaim {
    /// The deliveries that are leased now.
    pub claims: Vec<Claim>,
    /// What is to be sent.
    pub messages: Messages,
    /// Endpoints with ready deliveries and a limit.
    pub limited: Vec<LimitedEndpoint>,
    /// Where the next walk begins.
    pub next: WalkPosition,
}

/// Walks from `position` on, and claims from what was found.
///
/// # Panics
///
/// When PostgreSQL can't be asked.
pub async fn claim_fairly(
    conn: &mut AsyncPgConnection,
    request: &ClaimRequest<'_>,
    position: &WalkPosition,
) -> FairClaim {
    let walk = find_ready(conn, position, &[]).await.expect("walked");
    let candidates: Vec<_> = walk
        .found
        .iter()
        .map(|(tenant_id, endpoint_id)| Candidate {
            tenant_id: *tenant_id,
            endpoint_id: *endpoint_id,
            after: None,
        })
        .collect();
    let taken = claim_ready(conn, request, &candidates)
        .await
        .expect("claimed");
    FairClaim {
        claims: taken.claims,
        messages: taken.messages,
        limited: walk.limited,
        next: walk.next,
    }
}
