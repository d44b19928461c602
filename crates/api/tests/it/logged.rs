//! What both programs log when they are asked to log everything: nothing that is a secret or a payload.

use std::time::Duration;

use reprise_testkit::fixture::{
    Dispatcher, SECRET_KEY, create_endpoint, deliveries_of, publish, wait_for_delivery,
};
use reprise_testkit::receiver::Receiver;
use serde_json::json;

use crate::stage::{Stage, text};

const PATIENCE: Duration = Duration::from_secs(30);
/// The exact directive is there since one of these beats any shorter one that would cap it.
const EVERYTHING: [(&str, &str); 1] = [("REPRISE_LOG", "trace,tokio_postgres::query=trace")];

const PAYLOAD: &str = "correct-horse-payload";
const HEADER: &str = "Bearer correct-horse-header";
const QUERY: &str = "token=correct-horse-query";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A text as it may stand in a line: itself, and as the bytes that Rust prints of a buffer.
fn spellings(text: &str) -> [String; 2] {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    [text.to_owned(), bytes.join(", ")]
}

#[track_caller]
fn assert_clean(lines: &[String], secrets: &[&str]) {
    for line in lines {
        for secret in secrets {
            for spelling in spellings(secret) {
                assert!(!line.contains(&spelling), "{secret} is logged: {line}");
            }
        }
    }
}

#[tokio::test]
async fn asked_to_log_everything_both_programs_log_neither_secrets_nor_payloads() {
    let stage = Stage::start_with(&EVERYTHING).await;
    let receiver = Receiver::start().await;
    let dispatcher = Dispatcher::start_with(stage.database.url(), &EVERYTHING).await;
    let token = stage.token("webhooks:read events:write").await;
    let url = receiver.url(&format!("/?{QUERY}"));
    let extra = json!({"secret": SECRET, "headers": {"Authorization": HEADER}});
    let _ = create_endpoint(&stage.client, &url, extra).await;
    let bearer = stage.api.anonymous().bearer(&token);
    let event = publish(&bearer, "invoice.paid", json!({"card": PAYLOAD})).await;
    let delivery = deliveries_of(&bearer, &text(&event["id"])).await.remove(0);
    let is_delivered = |delivery: &serde_json::Value| delivery["status"] == "delivered";
    wait_for_delivery(&bearer, &text(&delivery["id"]), is_delivered, PATIENCE).await;
    let received = receiver.wait_for(1, PATIENCE).await.remove(0);
    let signature = received.header("webhook-signature").expect("it is signed");

    let secrets = [
        PAYLOAD,
        HEADER,
        QUERY,
        SECRET,
        SECRET.trim_start_matches("whsec_"),
        SECRET_KEY,
        signature,
        &token,
        &stage.tenant.api_key,
        &stage.tenant.password,
        "$argon2id$",
    ];
    let (api, dispatcher) = (stage.api.process.lines(), dispatcher.process.lines());
    for lines in [&api, &dispatcher] {
        assert_clean(lines, &secrets);
    }
    let detail = api
        .iter()
        .any(|line| line.contains("DEBUG") && line.contains("Answered"));
    assert!(detail, "our own lines are there: {api:#?}");
}
