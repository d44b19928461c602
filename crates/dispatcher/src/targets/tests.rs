use reprise_core::ids::{AttemptId, DeliveryId, EventId, LeaseToken};
use reprise_core::sealing::SecretKey;

use super::*;

const KEY: &str = "dGVzdC1vbmx5LXNlY3JldC1rZXktb2YtMzItYnl0ZXM=";

fn target() -> Arc<Target> {
    let signature = SignatureScheme::default();
    let secret = SigningSecret::generate_for(&signature);
    Arc::new(Target {
        version: 1,
        url: Uri::from_static("http://127.0.0.1/"),
        timeout: Duration::from_secs(5),
        retry: RetryPolicy::never(),
        signature,
        secrets: SigningSecrets::new(secret),
        read_at: (OffsetDateTime::now_utc(), Instant::now()),
        custom_headers: Vec::new(),
    })
}

fn claim_for(endpoint_id: EndpointId) -> Claim {
    Claim {
        tenant_id: TenantId::new(),
        delivery_id: DeliveryId::new(),
        endpoint_id,
        endpoint_version: 1,
        timeout: Duration::from_secs(5),
        event_id: EventId::new(),
        attempt_id: AttemptId::new(),
        attempt_number: 1,
        payload_bytes: 0,
        is_express: false,
        replay_of: None,
        is_limited: false,
        ready_at: None,
        lease_token: LeaseToken(EventId::new().as_uuid()),
    }
}

#[test]
fn what_has_to_go_for_others_is_loaded_again_with_them() {
    let key = SecretKey::parse(KEY).expect("a key");
    let mut targets = Targets::new(KeyRing::new(key, Vec::new()));
    let target = target();
    let cached: Vec<_> = (0..MAX_CACHED).map(|_| EndpointId::new()).collect();
    let entries = cached.iter().map(|&id| (id, Arc::clone(&target)));
    targets.cache.extend(entries);
    let claims = [claim_for(cached[0]), claim_for(EndpointId::new())];

    let missing = targets.missing(&claims);

    // As if they had been read.
    for (_, id) in &missing {
        targets.cache.insert(*id, Arc::clone(&target));
    }
    for claim in &claims {
        assert!(targets.get(claim).is_some(), "{missing:?} were loaded");
    }
    assert_eq!(targets.cache.len(), claims.len());
}
