//! A new master key: everything is sealed anew with it, and the old one can go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reprise_core::custom_headers::CustomHeaders;
use reprise_core::endpoint::{EndpointSettings, EndpointStatus};
use reprise_core::ids::EndpointId;
use reprise_core::sealing::{KeyRing, SecretKey};
use reprise_core::signing::{Overlap, SignatureScheme, SigningSecret};
use reprise_core::store::endpoints::{self, reseal};
use reprise_testkit::fixture::SECRET_KEY;
use time::{Duration, OffsetDateTime};

use crate::world::{World, settings};

fn key(byte: u8) -> SecretKey {
    SecretKey::parse(&STANDARD.encode([byte; 32])).expect("a key")
}

/// A new key, and the one that the world seals with.
fn new_and_old() -> KeyRing {
    let old = SecretKey::parse(SECRET_KEY).expect("the testkit's key");
    KeyRing::new(key(1), vec![old])
}

/// The new key alone.
fn new_alone() -> KeyRing {
    KeyRing::new(key(1), Vec::new())
}

/// Settings with something in every sealed column.
fn with_all_secrets() -> EndpointSettings {
    let mut settings = settings();
    let new = SigningSecret::generate_for(&SignatureScheme::default());
    let overlap = Overlap {
        ends_at: OffsetDateTime::now_utc()
            .replace_microsecond(0)
            .expect("a time")
            + Duration::DAY,
        is_asked_for: false,
    };
    let scheme = SignatureScheme::default();
    let rotated = settings
        .secrets
        .rotate(&scheme, new, Some(overlap), OffsetDateTime::now_utc());
    settings.secrets = rotated.expect("another secret");
    settings.custom_headers = CustomHeaders::parse([("x-token", "hunter2")]).expect("a header");
    settings
}

/// Seals everything anew; returns how many endpoints were, and which could not be.
async fn reseal_all(world: &mut World, keys: &KeyRing) -> (usize, Vec<EndpointId>) {
    let (mut count, mut unreadable, mut after) = (0, Vec::new(), None);
    loop {
        let batch = reseal(&mut world.conn, keys, after)
            .await
            .expect("resealed");
        count += batch.resealed;
        unreadable.extend(batch.unreadable);
        match batch.last {
            Some(last) => after = Some(last),
            None => return (count, unreadable),
        }
    }
}

#[tokio::test]
async fn what_an_earlier_key_has_sealed_opens_with_the_new_one_alone_afterwards() {
    let (mut world, account, id) = World::with_endpoint(with_all_secrets()).await;
    let deleted = world.endpoint(account).await;
    world
        .set_status(account, deleted, EndpointStatus::Deleted)
        .await;
    let others = "SELECT (to_jsonb(e) - '{secret_sealed,previous_secret_sealed,custom_headers_sealed}'::text[])::text
                  FROM endpoints e ORDER BY 1";
    let before = world.texts(others).await;
    let settings = world.find_endpoint(account, id).await.settings;

    assert_eq!(
        reseal_all(&mut world, &new_and_old()).await,
        (2, Vec::new())
    );

    for (id, settings) in [(id, Some(settings)), (deleted, None)] {
        let found = endpoints::find(&mut world.conn, &new_alone(), account.tenant, id).await;
        let found = found.expect("it opens").expect("it is there");
        assert!(settings.is_none_or(|settings| settings == found.settings));
    }
    assert_eq!(
        world.texts(others).await,
        before,
        "nothing else was changed"
    );
    assert_eq!(
        reseal_all(&mut world, &new_and_old()).await,
        (0, Vec::new())
    );
}

#[tokio::test]
async fn all_of_more_than_one_batch_are_sealed_anew_but_those_that_no_key_opens() {
    let mut world = World::create().await;
    let account = world.account().await;
    for _ in 0..103 {
        world.endpoint(account).await;
    }
    let lost = world.endpoint(account).await;
    world
        .sql(&format!(
            "UPDATE endpoints SET secret_sealed = set_byte(secret_sealed, 2, 255 - get_byte(secret_sealed, 2))
             WHERE id = '{lost}'"
        ))
        .await;
    assert_eq!(
        reseal_all(&mut world, &new_and_old()).await,
        (103, vec![lost])
    );
}
