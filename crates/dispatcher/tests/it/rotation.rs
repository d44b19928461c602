//! Rotated secrets, as receivers see them.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::endpoint::{Endpoint, EndpointSettings};
use reprise_core::ids::EndpointId;
use reprise_core::signing::{
    RotationRefusal, SchemeName, SchemeOptions, SignatureAlgorithm, SignatureScheme, SignedMessage,
    SigningSecret, SigningSecrets, sign,
};
use reprise_core::store::endpoints::{Changed, OverlapLength, rotate_secret};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::Dispatcher;
use reprise_testkit::receiver::{Received, Receiver};
use reprise_testkit::verify::verify_standard;

use crate::world::{PATIENCE, World, settings};

/// Longer than any test.
const HOUR: Duration = Duration::from_hours(1);

/// A dispatcher, and a receiver at an endpoint.
struct Scene {
    world: World,
    receiver: Receiver,
    endpoint: EndpointId,
    scheme: SignatureScheme,
    _dispatcher: Dispatcher,
    _database: TestDatabase,
}

impl Scene {
    async fn start(scheme: SignatureScheme) -> (Self, SigningSecret) {
        let database = TestDatabase::create().await;
        let world = World::create(database.url()).await;
        let receiver = Receiver::start().await;
        let secret = SigningSecret::generate_for(&scheme);
        let settings = EndpointSettings {
            signature: scheme.clone(),
            secrets: SigningSecrets::new(secret.clone()),
            ..settings(&receiver.url("/"))
        };
        let endpoint = world.endpoint(&settings).await;
        let scene = Self {
            _dispatcher: Dispatcher::start(database.url()).await,
            _database: database,
            world,
            receiver,
            endpoint,
            scheme,
        };
        (scene, secret)
    }

    /// Publishes an event and returns what the receiver got of it.
    async fn next(&self) -> Received {
        let before = self.receiver.received().len();
        self.world.publish(b"{}").await;
        let mut received = self.receiver.wait_for(before + 1, PATIENCE).await;
        received.remove(before)
    }

    async fn rotate(&self, length: Duration, is_asked_for: bool) -> SigningSecret {
        let secret = SigningSecret::generate_for(&self.scheme);
        let overlap = OverlapLength {
            length,
            is_asked_for,
        };
        let make = |_: &Endpoint| Ok::<_, RotationRefusal>(secret.clone());
        let mut conn = self.world.conn().await;
        let (keys, tenant) = (&self.world.keys, self.world.tenant_id);
        let changed = rotate_secret(&mut conn, keys, tenant, self.endpoint, overlap, make).await;
        assert!(matches!(changed, Ok(Changed::Done(_))), "{changed:?}");
        secret
    }
}

fn verifies(secret: &SigningSecret, received: &Received) -> bool {
    let key = secret.public_key();
    let key = key.as_deref().unwrap_or(secret.expose());
    verify_standard(key, received).is_ok()
}

#[tokio::test]
async fn both_secrets_sign_until_the_overlap_ends_and_then_only_the_new_one() {
    for algorithm in [SignatureAlgorithm::HmacSha256, SignatureAlgorithm::Ed25519] {
        let (scene, old) = Scene::start(SignatureScheme::Standard(algorithm)).await;
        assert!(verifies(&old, &scene.next().await), "{algorithm:?}");
        let new = scene.rotate(HOUR, false).await;
        let received = scene.next().await;
        assert!(
            verifies(&old, &received) && verifies(&new, &received),
            "{algorithm:?}"
        );

        let end = "UPDATE endpoints SET previous_secret_expires_at = now(), version = version + 1";
        scene
            .world
            .conn()
            .await
            .batch_execute(end)
            .await
            .expect("moved");
        let received = scene.next().await;
        assert!(
            !verifies(&old, &received) && verifies(&new, &received),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn overlap_ends_by_itself_in_a_dispatcher_that_goes_on() {
    let (scene, old) = Scene::start(SignatureScheme::default()).await;
    let new = scene.rotate(Duration::from_secs(2), false).await;
    let began = std::time::Instant::now();
    loop {
        let received = scene.next().await;
        assert!(verifies(&new, &received));
        if !verifies(&old, &received) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the old secret signs for ever");
    }
}

#[tokio::test]
async fn scheme_with_one_signature_changes_at_once_unless_an_overlap_is_asked_for() {
    for name in [SchemeName::Timestamped, SchemeName::Body] {
        for is_asked_for in [false, true] {
            let scheme = SignatureScheme::new(name, SchemeOptions::default()).expect("a scheme");
            let (scene, old) = Scene::start(scheme).await;
            let new = scene.rotate(HOUR, is_asked_for).await;
            let received = scene.next().await;
            let expected = if is_asked_for { &old } else { &new };
            let timestamp = received.header("webhook-timestamp").expect("a timestamp");
            let message = SignedMessage {
                id: "",
                timestamp: timestamp.parse().expect("seconds"),
                body: &received.body,
            };
            let signature = sign(&scene.scheme, &[expected], &message).expect("signed");
            assert_eq!(
                received.header("x-signature"),
                Some(signature.value.as_str()),
                "{name}"
            );
        }
    }
}
