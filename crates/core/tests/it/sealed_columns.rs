//! What is sealed opens in its own column of its own row alone, so that whoever can write to the database can't have
//! one endpoint sign, or another tenant send, with a secret that is not theirs.

use reprise_core::custom_headers::CustomHeaders;
use reprise_core::endpoint::EndpointSettings;
use reprise_core::ids::EndpointId;

use reprise_core::signing::{RotationRefusal, SignatureScheme, SigningSecret};
use reprise_core::store::StoreError;
use reprise_core::store::endpoints::{self, OverlapLength, rotate_secret};

use crate::world::{Account, World, settings};

const SEALED: [&str; 3] = [
    "secret_sealed",
    "previous_secret_sealed",
    "custom_headers_sealed",
];

fn with_headers() -> EndpointSettings {
    let mut settings = settings();
    settings.custom_headers = CustomHeaders::parse([("x-token", "hunter2")]).expect("a header");
    settings
}

/// An endpoint with something in every sealed column.
async fn endpoint(world: &mut World, account: Account) -> EndpointId {
    let id = world.endpoint_with(account, with_headers()).await;
    let overlap = OverlapLength {
        length: std::time::Duration::from_hours(1),
        is_asked_for: false,
    };
    let make =
        |_: &_| Ok::<_, RotationRefusal>(SigningSecret::generate_for(&SignatureScheme::default()));
    let keys = world.keys().clone();
    let rotated = rotate_secret(&mut world.conn, &keys, account.tenant, id, overlap, make).await;
    assert!(rotated.is_ok());
    id
}

/// What reading an endpoint says against it; none if it is read.
async fn complaint(world: &mut World, account: Account, id: EndpointId) -> Option<String> {
    let keys = world.keys().clone();
    match endpoints::find(&mut world.conn, &keys, account.tenant, id).await {
        Ok(found) => {
            assert!(found.is_some(), "it is there");
            None
        }
        Err(StoreError::Corrupt(complaint)) => Some(complaint),
        Err(other) => panic!("{other}"),
    }
}

/// Copies a column of one endpoint over one of another, looks at that, and puts it back.
async fn complaint_after_copy(
    world: &mut World,
    (from, from_column): (EndpointId, &str),
    (account, to, to_column): (Account, EndpointId, &str),
) -> Option<String> {
    let keep = format!("CREATE TEMP TABLE kept AS SELECT * FROM endpoints WHERE id = '{to}'");
    let copy = format!(
        "UPDATE endpoints SET {to_column} = (SELECT {from_column} FROM endpoints WHERE id = '{from}')
         WHERE id = '{to}'"
    );
    world.sql(&format!("{keep}; {copy}")).await;
    let complaint = complaint(world, account, to).await;
    let restore = format!(
        "UPDATE endpoints SET {to_column} = (SELECT {to_column} FROM kept) WHERE id = '{to}'; DROP TABLE kept"
    );
    world.sql(&restore).await;
    complaint
}

#[tokio::test]
async fn sealed_columns_open_in_their_own_row_alone() {
    let mut world = World::create().await;
    let (account, stranger) = (world.account().await, world.account().await);
    let own = endpoint(&mut world, account).await;
    let sibling = endpoint(&mut world, account).await;
    let foreign = endpoint(&mut world, stranger).await;
    for column in SEALED {
        for from in [sibling, foreign] {
            let to = (account, own, column);
            let complaint = complaint_after_copy(&mut world, (from, column), to).await;
            assert!(complaint.is_some(), "{column} of another endpoint opens");
        }
        let own = (account, own, column);
        let complaint = complaint_after_copy(&mut world, (own.1, column), own).await;
        assert_eq!(complaint, None, "{column} of its own opens");
    }
}

#[tokio::test]
async fn sealed_columns_open_under_their_own_name_alone() {
    let mut world = World::create().await;
    let account = world.account().await;
    let id = endpoint(&mut world, account).await;
    for from in SEALED {
        for to in SEALED {
            let complaint = complaint_after_copy(&mut world, (id, from), (account, id, to)).await;
            assert_eq!(
                complaint.is_none(),
                from == to,
                "{from} as {to}: {complaint:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_endpoint_moved_to_another_tenant_does_not_open() {
    let mut world = World::create().await;
    let (account, stranger) = (world.account().await, world.account().await);
    let id = world.endpoint_with(account, with_headers()).await;
    let user = format!(
        "SELECT id FROM users WHERE tenant_id = '{}'",
        stranger.tenant
    );
    world
        .sql(&format!(
            "ALTER TABLE endpoints DISABLE TRIGGER endpoints_keep_their_keys;
             UPDATE endpoints SET tenant_id = '{}', user_id = ({user}) WHERE id = '{id}'",
            stranger.tenant
        ))
        .await;
    assert!(complaint(&mut world, stranger, id).await.is_some());
}

#[tokio::test]
async fn what_is_wrong_with_a_sealed_column_does_not_quote_it() {
    let mut world = World::create().await;
    let account = world.account().await;
    let id = world.endpoint(account).await;
    let (tenant_id, endpoint_id) = (account.tenant.as_uuid(), id.as_uuid());
    let context = [
        tenant_id.as_bytes().as_slice(),
        endpoint_id.as_bytes(),
        b"custom_headers",
    ];
    let sealed = world
        .keys()
        .seal(br#"[["x-token", "ok"], "hunter2"]"#, &context.concat());
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    world
        .sql(&format!(
            "UPDATE endpoints SET custom_headers_sealed = '\\x{hex}' WHERE id = '{id}'"
        ))
        .await;
    let complaint = complaint(&mut world, account, id)
        .await
        .expect("it is no list of pairs");
    assert!(complaint.starts_with("custom_headers: "), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
}
