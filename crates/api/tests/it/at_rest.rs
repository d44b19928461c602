//! What stands in PostgreSQL: nothing that opens a door, whoever reads it there.

use serde_json::json;

use crate::rows;
use crate::stage::{Stage, text};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The key that it stands for, as PostgreSQL shows bytes.
const SECRET_KEY: &str = "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0";
const NEXT_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HEADER: &str = "Bearer correct-horse-battery";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn secrets_headers_keys_and_passwords_are_in_no_row() {
    let stage = Stage::start().await;
    let id = stage
        .endpoint(json!({"secret": SECRET, "headers": {"Authorization": HEADER}}))
        .await;
    let rotate = format!("/v1/webhooks/endpoints/{id}/rotate-secret");
    let answer = stage
        .client
        .post(&rotate, &json!({"secret": NEXT_SECRET}))
        .await;
    assert_eq!(
        text(&answer.expect_status(200).json()["secret"]),
        NEXT_SECRET
    );
    let all = rows::everything(&mut stage.database.connect().await).await;
    for column in [
        "secret_sealed",
        "previous_secret_sealed",
        "custom_headers_sealed",
    ] {
        let has_it = format!("endpoints WHERE octet_length({column}) > 24");
        let mut conn = stage.database.connect().await;
        assert_eq!(rows::count(&mut conn, &has_it).await, 1, "{column}");
    }
    assert!(all.contains(&id), "what is no secret is found");
    assert!(!all.contains(SECRET_KEY));
    for secret in [
        SECRET,
        NEXT_SECRET,
        HEADER,
        &stage.tenant.api_key,
        &stage.tenant.password,
    ] {
        let plain = secret.trim_start_matches("whsec_");
        for written in [plain.to_owned(), hex(plain.as_bytes())] {
            assert!(!all.contains(&written), "{secret} as {written}");
        }
    }
}
