//! Which credential opens which operation: the document says it, and the handlers do it.

use std::collections::HashMap;

use reprise_testkit::http::{Client, Content, Method, Response};
use serde_json::json;

use crate::document::{Operation, operations};
use crate::stage::{Stage, UNKNOWN_ID, code};

const SCOPES: [&str; 4] = ["events:write", "webhooks:read", "webhooks:write", "admin"];

async fn call(client: &Client, operation: &Operation) -> Response {
    let takes_body = operation.method != Method::GET && operation.method != Method::DELETE;
    let content = takes_body.then(|| Content::json(&json!({})));
    let path = operation.fill_all(UNKNOWN_ID);
    client.send(operation.method.clone(), &path, content).await
}

/// Clients by scope, made with the scopes that `choose` gives for it.
async fn clients(
    stage: &Stage,
    choose: impl Fn(&str) -> Vec<&'static str>,
) -> HashMap<&'static str, Client> {
    let mut clients = HashMap::new();
    for scope in SCOPES {
        let token = stage.token(&choose(scope).join(" ")).await;
        clients.insert(scope, stage.api.anonymous().bearer(&token));
    }
    clients
}

#[tokio::test]
async fn every_operation_asks_for_its_scope_and_for_no_other() {
    let stage = Stage::start().await;
    let nobody = stage.api.anonymous();
    let without = clients(&stage, |scope| {
        SCOPES.into_iter().filter(|one| *one != scope).collect()
    })
    .await;
    let with = clients(&stage, |scope| {
        SCOPES.into_iter().filter(|one| *one == scope).collect()
    })
    .await;
    let mut guarded = 0;
    for operation in operations(&nobody).await {
        let called = operation.called();
        let refused = call(&nobody, &operation).await;
        let Some(scope) = operation.scope() else {
            assert!(![401, 403].contains(&refused.status), "{called}");
            continue;
        };
        guarded += 1;
        assert_eq!(
            refused.header("www-authenticate"),
            Some("Bearer"),
            "{called}"
        );
        assert_eq!(code(refused, 401), "not_authenticated");
        let refused = call(&without[scope], &operation).await;
        assert_eq!(refused.status, 403, "{called}: {}", refused.text());
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(
            refused.header("www-authenticate"),
            Some(challenge.as_str()),
            "{called}"
        );
        let taken = call(&with[scope], &operation).await;
        assert!(
            [200, 201, 404, 422].contains(&taken.status),
            "{called}: {}",
            taken.text()
        );
    }
    assert!(guarded > 25, "{guarded} operations need credentials");
}
