//! `Idempotency-Key`s: one of two equal requests is done, and both get its answer.

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use reprise_core::ids::TenantId;
use reprise_core::store::StoreError;
use reprise_core::store::idempotency_keys::{self, Begun, KeyedRequest};
use tokio::task::JoinSet;

use crate::deadlocks::wait_for_lock;
use crate::world::World;

fn keyed(tenant_id: TenantId) -> KeyedRequest<'static> {
    KeyedRequest {
        tenant_id,
        key: "double-click",
        method: "POST",
        path: "/v1/webhooks/events",
        fingerprint: [7; 32],
    }
}

/// Begins in a transaction, answers there if it is the first, and commits.
async fn answer(conn: &mut AsyncPgConnection, request: &KeyedRequest<'_>) -> Begun {
    answer_with(conn, request, b"the answer").await
}

async fn answer_with(
    conn: &mut AsyncPgConnection,
    request: &KeyedRequest<'_>,
    text: &[u8],
) -> Begun {
    conn.batch_execute("BEGIN").await.expect("begun");
    let begun = idempotency_keys::begin(conn, request).await.expect("begun");
    if begun == Begun::First {
        idempotency_keys::complete(conn, request, text)
            .await
            .expect("completed");
    }
    conn.batch_execute("COMMIT").await.expect("committed");
    begun
}

/// What a second request learns that came while the first was under way and then ended with `end`.
async fn second_after(end: &str) -> Begun {
    let mut world = World::create().await;
    let account = world.account().await;
    let request = keyed(account.tenant);
    let mut first = world.connect().await;
    first.batch_execute("BEGIN").await.expect("begun");
    let begun = idempotency_keys::begin(&mut first, &request)
        .await
        .expect("begun");
    assert_eq!(begun, Begun::First);
    idempotency_keys::complete(&mut first, &request, b"the answer")
        .await
        .expect("completed");
    let mut second = world.connect().await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { answer(&mut second, &request).await });
    wait_for_lock(&mut world).await;
    first.batch_execute(end).await.expect("ended");
    waiting.join_all().await.remove(0)
}

#[tokio::test]
async fn a_repeat_waits_for_the_first_and_gets_its_answer() {
    assert_eq!(
        second_after("COMMIT").await,
        Begun::Answered(b"the answer".to_vec())
    );
}

#[tokio::test]
async fn a_repeat_of_one_that_was_rolled_back_is_the_first() {
    assert_eq!(second_after("ROLLBACK").await, Begun::First);
}

#[tokio::test]
async fn of_many_at_once_one_is_the_first() {
    let mut world = World::create().await;
    let account = world.account().await;
    let mut clicks = JoinSet::new();
    for _ in 0..8 {
        let mut conn = world.connect().await;
        clicks.spawn(async move { answer(&mut conn, &keyed(account.tenant)).await });
    }
    let begun = clicks.join_all().await;
    assert_eq!(begun.iter().filter(|one| **one == Begun::First).count(), 1);
    let answered = Begun::Answered(b"the answer".to_vec());
    assert_eq!(begun.iter().filter(|one| **one == answered).count(), 7);
}

#[tokio::test]
async fn a_key_used_with_another_body_is_a_conflict() {
    let mut world = World::create().await;
    let account = world.account().await;
    let request = keyed(account.tenant);
    assert_eq!(answer(&mut world.conn, &request).await, Begun::First);
    let other = KeyedRequest {
        fingerprint: [8; 32],
        ..request.clone()
    };
    assert_eq!(answer(&mut world.conn, &other).await, Begun::Conflict);
    let again = answer(&mut world.conn, &request).await;
    assert_eq!(
        again,
        Begun::Answered(b"the answer".to_vec()),
        "it still stands"
    );
}

#[tokio::test]
async fn a_key_stands_for_one_tenant_method_and_path() {
    let mut world = World::create().await;
    let account = world.account().await;
    let stranger = world.account().await;
    let request = keyed(account.tenant);
    let others = [
        request.clone(),
        keyed(stranger.tenant),
        KeyedRequest {
            method: "PUT",
            ..request.clone()
        },
        KeyedRequest {
            path: "/v1/webhooks/events/batch",
            ..request.clone()
        },
        KeyedRequest {
            key: "Double-click",
            ..request.clone()
        },
    ];
    for (text, other) in (b'a'..).zip(&others) {
        let begun = answer_with(&mut world.conn, other, &[text]).await;
        assert_eq!(begun, Begun::First, "{other:?}");
    }
    for (text, other) in (b'a'..).zip(&others) {
        let begun = answer_with(&mut world.conn, other, b"").await;
        assert_eq!(begun, Begun::Answered(vec![text]), "{other:?}");
    }
}

#[tokio::test]
async fn a_first_that_was_committed_without_an_answer_is_an_error_and_no_answer() {
    let mut world = World::create().await;
    let account = world.account().await;
    let request = keyed(account.tenant);
    idempotency_keys::begin(&mut world.conn, &request)
        .await
        .expect("begun");
    let again = idempotency_keys::begin(&mut world.conn, &request).await;
    assert!(matches!(again, Err(StoreError::Corrupt(_))), "{again:?}");
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day_and_not_before() {
    let mut world = World::create().await;
    let account = world.account().await;
    let young = keyed(account.tenant);
    let old = KeyedRequest {
        key: "yesterday",
        ..young.clone()
    };
    for request in [&young, &old] {
        assert_eq!(answer(&mut world.conn, request).await, Begun::First);
    }
    world
        .sql(
            "UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes';
             UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 minute' WHERE key = 'yesterday'",
        )
        .await;
    assert_eq!(
        idempotency_keys::forget_old(&mut world.conn).await.ok(),
        Some(1)
    );
    let answered = Begun::Answered(b"the answer".to_vec());
    assert_eq!(answer(&mut world.conn, &young).await, answered);
    assert_eq!(answer(&mut world.conn, &old).await, Begun::First);
    assert_eq!(
        idempotency_keys::forget_old(&mut world.conn).await.ok(),
        Some(0)
    );
}

#[tokio::test]
async fn a_key_that_is_forgotten_while_it_is_looked_up_is_taken_anew() {
    let mut world = World::create().await;
    let account = world.account().await;
    let request = keyed(account.tenant);
    assert_eq!(answer(&mut world.conn, &request).await, Begun::First);
    world
        .sql(
            "UPDATE idempotency_keys SET created_at = now() - interval '25 hours';
             CREATE FUNCTION forget_old() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'; RETURN NULL; END $$;
             CREATE TRIGGER between AFTER INSERT ON idempotency_keys EXECUTE FUNCTION forget_old()",
        )
        .await;
    assert_eq!(answer(&mut world.conn, &request).await, Begun::First);
    assert_eq!(
        answer(&mut world.conn, &request).await,
        Begun::Answered(b"the answer".to_vec())
    );
}
