//! Users and API keys: who is found, and what they may do.

use reprise_core::display_name::DisplayName;
use reprise_core::ids::ApiKeyId;
use reprise_core::scope::{Scope, Scopes};
use reprise_core::store::api_keys::{self, ApiKey, Inserted, MAX_KEYS, NewApiKey};
use reprise_core::store::{StoreError, users};
use time::OffsetDateTime;

use crate::deadlocks::wait_for_lock;
use crate::world::{Account, World, begin, commit};

fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

fn key_name() -> DisplayName {
    DisplayName::parse("a key").expect("a name")
}

async fn insert_key(
    world: &mut World,
    account: Account,
    prefix: &str,
    scopes: &Scopes,
) -> ApiKeyId {
    let id = ApiKeyId::new();
    let key = NewApiKey {
        id,
        user_id: account.owner,
        name: &key_name(),
        prefix,
        key_hash: &[9; 32],
        scopes,
        expires_at: None,
    };
    api_keys::insert(&mut world.conn, account.tenant, &key)
        .await
        .expect("kept");
    id
}

async fn find_key(world: &mut World, prefix: &str) -> Option<ApiKey> {
    api_keys::find_by_prefix(&mut world.conn, prefix)
        .await
        .expect("readable")
}

#[tokio::test]
async fn a_username_is_taken_over_all_tenants() {
    let mut world = World::create().await;
    let (one, other) = (world.account().await, world.account().await);
    let ada = users::insert(&mut world.conn, one.tenant, "ada", "hash", &Scopes::all())
        .await
        .expect("the first");
    for account in [one, other] {
        let again = users::insert(
            &mut world.conn,
            account.tenant,
            "ada",
            "hash",
            &Scopes::all(),
        )
        .await;
        assert!(
            matches!(&again, Err(StoreError::Taken(constraint)) if constraint == "users_username_key"),
            "{again:?}"
        );
    }
    let found = users::find_by_name(&mut world.conn, "ada")
        .await
        .expect("readable")
        .expect("there");
    assert_eq!((found.tenant_id, found.id), (one.tenant, ada));
    for name in ["Ada", "ada ", ""] {
        let found = users::find_by_name(&mut world.conn, name)
            .await
            .expect("readable");
        assert!(found.is_none(), "{name:?}");
    }
}

#[tokio::test]
async fn user_ids_are_unique_over_all_tenants_and_found_in_their_own_only() {
    let mut world = World::create().await;
    let (one, other) = (world.account().await, world.account().await);
    assert_ne!(one.owner, other.owner);
    let found = users::find(&mut world.conn, other.tenant, one.owner)
        .await
        .expect("readable");
    assert!(found.is_none());
    let found = users::find(&mut world.conn, one.tenant, one.owner)
        .await
        .expect("readable");
    assert!(found.is_some());
}

#[tokio::test]
async fn a_changed_password_counts_up_what_tokens_name() {
    let mut world = World::create().await;
    let account = world.account().await;
    users::insert(
        &mut world.conn,
        account.tenant,
        "ada",
        "old",
        &Scopes::all(),
    )
    .await
    .expect("made");
    for version in [2, 3] {
        let changed = users::set_password(&mut world.conn, "ada", "new").await;
        assert_eq!(changed.ok(), Some(true));
        let ada = users::find_by_name(&mut world.conn, "ada")
            .await
            .expect("readable")
            .expect("there");
        assert_eq!(
            (ada.password_version, ada.password_hash.as_str()),
            (version, "new")
        );
    }
    let changed = users::set_password(&mut world.conn, "nobody", "new").await;
    assert_eq!(changed.ok(), Some(false));
}

#[tokio::test]
async fn a_key_is_found_by_its_prefix_with_its_tenant_and_user() {
    let mut world = World::create().await;
    let account = world.account().await;
    let id = insert_key(&mut world, account, "rk_one", &Scopes::all()).await;
    let key = find_key(&mut world, "rk_one").await.expect("there");
    assert_eq!(
        (key.tenant_id, key.id, key.user_id),
        (account.tenant, id, account.owner)
    );
    assert_eq!(key.key_hash, [9; 32]);
    assert_eq!(key.scopes, Scopes::all());
    for prefix in ["rk_two", "rk_on", "rk_%", ""] {
        assert!(find_key(&mut world, prefix).await.is_none(), "{prefix:?}");
    }
}

#[tokio::test]
async fn a_revoked_or_expired_key_is_not_found() {
    let mut world = World::create().await;
    let account = world.account().await;
    insert_key(&mut world, account, "rk_revoked", &Scopes::all()).await;
    world.sql("UPDATE api_keys SET revoked_at = now()").await;
    assert!(find_key(&mut world, "rk_revoked").await.is_none());
    let now = OffsetDateTime::now_utc();
    for (prefix, expires_at, is_found) in [
        ("rk_expired", now - time::Duration::MINUTE, false),
        ("rk_live", now + time::Duration::HOUR, true),
    ] {
        let key = NewApiKey {
            id: ApiKeyId::new(),
            user_id: account.owner,
            name: &key_name(),
            prefix,
            key_hash: &[9; 32],
            scopes: &Scopes::all(),
            expires_at: Some(expires_at),
        };
        api_keys::insert(&mut world.conn, account.tenant, &key)
            .await
            .expect("kept");
        assert_eq!(
            find_key(&mut world, prefix).await.is_some(),
            is_found,
            "{prefix}"
        );
    }
    world
        .sql("UPDATE api_keys SET expires_at = now() WHERE prefix = 'rk_live'")
        .await;
    assert!(find_key(&mut world, "rk_live").await.is_none());
}

#[tokio::test]
async fn a_key_may_do_what_both_it_and_its_user_may() {
    let mut world = World::create().await;
    let account = world.account().await;
    let owner = users::insert(
        &mut world.conn,
        account.tenant,
        "ada",
        "hash",
        &scopes(&[Scope::WebhooksRead, Scope::EventsWrite]),
    )
    .await
    .expect("made");
    let ada = Account { owner, ..account };
    for (prefix, of_key, both) in [
        (
            "rk_more",
            &[Scope::WebhooksRead, Scope::Admin][..],
            &[Scope::WebhooksRead][..],
        ),
        ("rk_less", &[Scope::EventsWrite], &[Scope::EventsWrite]),
        ("rk_other", &[Scope::Admin], &[]),
        ("rk_none", &[], &[]),
    ] {
        insert_key(&mut world, ada, prefix, &scopes(of_key)).await;
        let key = find_key(&mut world, prefix).await.expect("there");
        assert_eq!(key.scopes, scopes(both), "{prefix}");
    }
    // What the user may no longer do, its keys may not either.
    world
        .sql("UPDATE users SET scopes = '{}' WHERE username = 'ada'")
        .await;
    let key = find_key(&mut world, "rk_less").await.expect("there");
    assert_eq!(key.scopes, Scopes::default());
}

#[tokio::test]
async fn a_scope_of_a_later_version_is_an_error_and_no_permission() {
    let mut world = World::create().await;
    let account = world.account().await;
    insert_key(&mut world, account, "rk_one", &Scopes::all()).await;
    world.sql("UPDATE api_keys SET scopes = '{root}'").await;
    let found = api_keys::find_by_prefix(&mut world.conn, "rk_one").await;
    assert!(matches!(found.err(), Some(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_prefix_is_taken_once() {
    let mut world = World::create().await;
    let account = world.account().await;
    insert_key(&mut world, account, "rk_one", &Scopes::all()).await;
    let key = NewApiKey {
        id: ApiKeyId::new(),
        user_id: account.owner,
        name: &key_name(),
        prefix: "rk_one",
        key_hash: &[8; 32],
        scopes: &Scopes::all(),
        expires_at: None,
    };
    let again = api_keys::insert(&mut world.conn, account.tenant, &key).await;
    assert!(
        matches!(&again, Err(StoreError::Taken(constraint)) if constraint == "api_keys_prefix_key"),
        "{again:?}"
    );
}

#[tokio::test]
async fn the_use_of_a_key_is_noted_at_most_once_a_minute() {
    let mut world = World::create().await;
    let account = world.account().await;
    let id = insert_key(&mut world, account, "rk_one", &Scopes::all()).await;
    assert!(
        find_key(&mut world, "rk_one")
            .await
            .expect("there")
            .is_use_unnoted
    );
    api_keys::touch(&mut world.conn, account.tenant, id)
        .await
        .expect("noted");
    assert!(
        !find_key(&mut world, "rk_one")
            .await
            .expect("there")
            .is_use_unnoted
    );
    let row = "SELECT xmin::text || last_used_at::text FROM api_keys";
    let noted = world.texts(row).await;
    api_keys::touch(&mut world.conn, account.tenant, id)
        .await
        .expect("noted");
    assert_eq!(world.texts(row).await, noted, "nothing was written");
    world
        .sql("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
        .await;
    assert!(
        find_key(&mut world, "rk_one")
            .await
            .expect("there")
            .is_use_unnoted
    );
    let stale = world.texts(row).await;
    api_keys::touch(&mut world.conn, account.tenant, id)
        .await
        .expect("noted");
    assert_ne!(world.texts(row).await, stale);
}

#[tokio::test]
async fn keys_of_a_user_are_bounded_also_when_made_at_once() {
    let mut world = World::create().await;
    let account = world.account().await;
    for index in 1..MAX_KEYS {
        insert_key(&mut world, account, &format!("rk_{index}"), &Scopes::all()).await;
    }
    let (mut one, mut other) = (world.connect().await, world.connect().await);
    let name = key_name();
    let scopes = Scopes::all();
    let key = |prefix| NewApiKey {
        id: ApiKeyId::new(),
        user_id: account.owner,
        name: &name,
        prefix,
        key_hash: &[9; 32],
        scopes: &scopes,
        expires_at: None,
    };
    let (last, too_many) = (key("rk_last"), key("rk_too_many"));
    begin(&mut one).await;
    let kept = api_keys::insert(&mut one, account.tenant, &last).await;
    assert!(matches!(kept.expect("asked"), Inserted::At(_)));
    // The first is not committed when the second is asked for: it waits, and counts what there is then.
    let (refused, ()) = tokio::join!(
        api_keys::insert(&mut other, account.tenant, &too_many),
        async {
            wait_for_lock(&mut world).await;
            commit(&mut one).await;
        },
    );
    assert_eq!(refused.expect("asked"), Inserted::TooMany);
}
