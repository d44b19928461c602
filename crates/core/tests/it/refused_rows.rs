//! Which rows PostgreSQL refuses, and by which constraint.

use diesel_async::SimpleAsyncConnection;
use reprise_core::delivery::DeliveryStatus;

use crate::world::{World, settings};

/// Whether PostgreSQL refuses a statement, and by which constraint.
async fn refused(world: &mut World, statement: &str) -> Option<String> {
    match world.conn.batch_execute(statement).await {
        Ok(()) => None,
        Err(diesel::result::Error::DatabaseError(_, information)) => Some(
            information
                .constraint_name()
                .unwrap_or("no constraint")
                .to_owned(),
        ),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_refused() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let by = refused(&mut world, "UPDATE deliveries SET status = 'vanished'").await;
    assert_eq!(by.as_deref(), Some("deliveries_status_check"));
    let by = refused(&mut world, "UPDATE endpoints SET status = 'vanished'").await;
    assert_eq!(by.as_deref(), Some("endpoints_status_check"));
    // What is read from a lease is not stored; all others are, with what belongs to them.
    for status in DeliveryStatus::ALL {
        let by = refused(
            &mut world,
            &format!(
                "UPDATE deliveries SET status = '{status}',
                 unsuccessful_status = CASE WHEN '{status}' IN ('failed', 'canceled', 'skipped') THEN '{status}' END,
                 delivered_at = CASE WHEN '{status}' = 'delivered' THEN now() END,
                 next_retry_at = CASE WHEN '{status}' = 'retrying' THEN now() END"
            ),
        )
        .await;
        assert_eq!(
            by.is_some(),
            status == DeliveryStatus::Delivering,
            "{status}: {by:?}"
        );
    }
}

/// What contradicts itself, by the constraint that refuses it.
const CONTRADICTIONS: &[(&str, &[&str])] = &[
    (
        "deliveries_status_check",
        &[
            "UPDATE deliveries SET status = 'delivered'",
            "UPDATE deliveries SET delivered_at = now()",
            "UPDATE deliveries SET next_retry_at = now()",
            "UPDATE deliveries SET status = 'retrying'",
            "UPDATE deliveries SET status = 'failed'",
            "UPDATE deliveries SET unsuccessful_status = 'failed'",
        ],
    ),
    (
        "unsuccessful_status_check",
        &["UPDATE deliveries SET status = 'vanished', unsuccessful_status = 'vanished'"],
    ),
    (
        "deliveries_one_status_check",
        &[
            "UPDATE deliveries SET status = 'failed', unsuccessful_status = 'failed', delivered_at = now()",
            "UPDATE deliveries SET status = 'delivered', delivered_at = now(), next_retry_at = now()",
        ],
    ),
    (
        "non_negative_check",
        &[
            "UPDATE deliveries SET attempt_count = -1",
            "UPDATE attempts SET duration_ms = -1",
        ],
    ),
    (
        "http_status_check",
        &[
            "UPDATE deliveries SET status = 'delivered', delivered_at = now(), final_http_status = 1000",
            "UPDATE attempts SET response_status = 99",
        ],
    ),
    (
        "deliveries_final_http_status_check",
        &["UPDATE deliveries SET final_http_status = 200"],
    ),
    (
        "deliveries_first_delivery_check",
        &[
            "UPDATE deliveries SET first_delivery_id = gen_random_uuid()",
            "UPDATE deliveries SET replay_of_delivery_id = gen_random_uuid()",
        ],
    ),
    (
        "endpoints_check",
        &[
            "UPDATE endpoints SET status = 'disabled'",
            "UPDATE endpoints SET disabled_reason = 'none'",
        ],
    ),
    (
        "endpoints_check1",
        &["UPDATE endpoints SET signature_header = 'X-Signature'"],
    ),
    (
        "endpoints_event_patterns_number_check",
        &["UPDATE endpoints SET event_patterns = array_fill('a'::text, ARRAY[101])"],
    ),
    (
        "delivery_queue_check",
        &["UPDATE delivery_queue SET lease_token = gen_random_uuid()"],
    ),
    (
        "delivery_queue_check1",
        &[
            "UPDATE delivery_queue SET lease_token = gen_random_uuid(), leased_by = gen_random_uuid(), leased_at = now()",
        ],
    ),
    (
        "delivery_queue_attempt_number_check",
        &["UPDATE delivery_queue SET attempt_number = 0"],
    ),
    (
        "delivery_queue_payload_bytes_check",
        &["UPDATE delivery_queue SET payload_bytes = -1"],
    ),
    ("event_type_check", &["UPDATE events SET event_type = ''"]),
    (
        "event_payload_check",
        &["UPDATE events SET payload = convert_to(repeat('a', 1048577), 'UTF8')"],
    ),
    ("attempt_number_check", &["UPDATE attempts SET number = 0"]),
    (
        "response_body_check",
        &["UPDATE attempts SET response_body = convert_to(repeat('a', 16385), 'UTF8')"],
    ),
];

/// What comes closest to a contradiction, and is none.
const SOUND: [&str; 3] = [
    "UPDATE attempts SET response_status = 100, response_body = convert_to(repeat('a', 16384), 'UTF8')",
    "UPDATE events SET event_type = repeat('a', 128), payload = convert_to(repeat('a', 1048576), 'UTF8')",
    "UPDATE deliveries SET status = 'failed', unsuccessful_status = 'failed', final_http_status = 999",
];

#[tokio::test]
async fn a_row_that_contradicts_itself_is_refused() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    world.enqueue(account, endpoint, 1).await;
    let attempt =
        "INSERT INTO attempts (tenant_id, id, delivery_id, number, started_at, duration_ms)
         SELECT tenant_id, attempt_id, id, 1, now(), 0 FROM deliveries";
    assert_eq!(refused(&mut world, attempt).await, None);
    for (constraint, contradictions) in CONTRADICTIONS {
        for contradiction in *contradictions {
            let by = refused(&mut world, contradiction).await;
            assert_eq!(by.as_deref(), Some(*constraint), "{contradiction}");
        }
    }
    for sound in SOUND {
        assert_eq!(refused(&mut world, sound).await, None, "{sound}");
    }
}

#[tokio::test]
async fn an_endpoint_is_never_removed() {
    let mut world = World::with_endpoint(settings()).await.0;
    for removal in ["DELETE FROM endpoints", "TRUNCATE endpoints CASCADE"] {
        let by = refused(&mut world, removal).await;
        assert_eq!(
            by.as_deref(),
            Some("endpoints_are_never_removed"),
            "{removal}"
        );
    }
}

#[tokio::test]
async fn a_row_can_refer_to_rows_of_its_own_tenant_only() {
    let (mut world, account, endpoint) = World::with_endpoint(settings()).await;
    let stranger = world.account().await;
    let foreign = world.endpoint(stranger).await;
    world.enqueue(account, endpoint, 1).await;
    for (statement, key) in [
        (format!("UPDATE deliveries SET endpoint_id = '{foreign}'"), "deliveries_keep_their_endpoint"),
        (format!("UPDATE deliveries SET tenant_id = '{}'", stranger.tenant), "deliveries_keep_their_endpoint"),
        (
            format!(
                "INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, status, attempt_id,
                                         first_delivery_id)
                 SELECT tenant_id, attempt_id, '{foreign}', event_id, user_id, event_type, 'pending', attempt_id, attempt_id
                 FROM deliveries"
            ),
            "deliveries_have_an_endpoint",
        ),
        (format!("UPDATE endpoints SET id = gen_random_uuid() WHERE id = '{endpoint}'"), "endpoints_keep_their_keys"),
        (format!("UPDATE endpoints SET tenant_id = '{}' WHERE id = '{endpoint}'", stranger.tenant), "endpoints_keep_their_keys"),
        (format!("UPDATE endpoints SET user_id = {} WHERE id = '{endpoint}'", stranger.owner), "endpoints_tenant_id_user_id_fkey"),
        (
            format!(
                "INSERT INTO api_keys (tenant_id, id, user_id, name, prefix, key_hash, scopes)
                 VALUES ('{}', gen_random_uuid(), {}, 'key', 'prefix', decode(repeat('00', 32), 'hex'), '{{}}')",
                account.tenant, stranger.owner
            ),
            "api_keys_tenant_id_user_id_fkey",
        ),
        (
            format!(
                "INSERT INTO endpoint_limits (tenant_id, endpoint_id) VALUES ('{}', '{foreign}')",
                account.tenant
            ),
            "endpoint_limits_tenant_id_endpoint_id_fkey",
        ),
    ] {
        let by = refused(&mut world, &statement).await;
        assert_eq!(by.as_deref(), Some(key), "{statement}");
    }
}
