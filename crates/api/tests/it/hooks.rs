//! B's family: hooks, which are endpoints shown in another way.

use reprise_testkit::http::Response;
use serde_json::{Value, json};

use crate::stage::{Stage, UNKNOWN_ID, URL, code, faults, text};

const HOOKS: &str = "/hooks";

async fn make(stage: &Stage, body: Value) -> Value {
    stage
        .client
        .post(HOOKS, &body)
        .await
        .expect_status(201)
        .json()
}

fn path(hook: &Value) -> String {
    format!("{HOOKS}/{}", text(&hook["id"]))
}

async fn endpoint(stage: &Stage, hook: &Value) -> Value {
    let path = format!("/v1/webhooks/endpoints/{}", text(&hook["id"]));
    stage.client.get(&path).await.expect_status(200).json()
}

#[tokio::test]
async fn hook_is_written_flat_shown_nested_and_is_an_endpoint() {
    let stage = Stage::start().await;
    let body = json!({"url": URL, "events": ["application_form:inactive", "invoice"], "header": "X-Tenant: seven",
                      "secret": "a-secret-of-some-length"});
    let made = make(&stage, body).await;
    let mut fields: Vec<_> = made.as_object().expect("an object").keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "active",
            "config",
            "confirmed",
            "created_at",
            "events",
            "id",
            "owner_id",
            "tenant_id",
            "updated_at"
        ]
    );
    assert_eq!(made["active"], false, "as B's default is");
    assert_eq!(made["confirmed"], false);
    assert_eq!(
        made["events"],
        json!(["application_form:inactive", "invoice"])
    );
    let config =
        json!({"url": URL, "secret": "a-secret-of-some-length", "header": "X-Tenant: seven"});
    assert_eq!(made["config"], config);
    assert_eq!(made["owner_id"], stage.tenant.user_id);
    assert_eq!(made["tenant_id"], stage.tenant.tenant_id.to_string());
    assert_eq!(
        text(&made["created_at"]).len(),
        "2020-09-30T21:18:03.353Z".len()
    );

    let shown = stage
        .client
        .get(&path(&made))
        .await
        .expect_status(200)
        .json();
    assert_eq!(shown["config"]["secret"], "…ngth", "masked from here on");
    assert_eq!(
        stage.client.get(HOOKS).await.expect_status(200).json(),
        json!([shown])
    );

    let endpoint = endpoint(&stage, &made).await;
    assert_eq!(endpoint["status"], "disabled");
    assert_eq!(
        endpoint["event_patterns"],
        json!(["application_form:inactive", "invoice", "invoice.*"])
    );
    let signature = json!({"scheme": "body", "header": "X-Signature", "prefix": "", "algorithm": "hmac-sha256"});
    assert_eq!(endpoint["signature"], signature);
    assert_eq!(endpoint["headers"], json!({"X-Tenant": "seven"}));
}

#[tokio::test]
async fn put_and_patch_both_change_only_what_they_name() {
    let stage = Stage::start().await;
    let body = json!({"url": URL, "events": ["a"], "header": "X-A: 1", "active": true});
    let made = make(&stage, body).await;
    assert!(text(&made["config"]["secret"]).len() > 30, "made by us");
    let path = path(&made);
    let put = async |body: Value| {
        stage
            .client
            .put(&path, &body)
            .await
            .expect_status(200)
            .json()
    };
    let patch = async |body: Value| {
        stage
            .client
            .patch(&path, &body)
            .await
            .expect_status(200)
            .json()
    };

    let changed = put(json!({"active": false})).await;
    assert_eq!(changed["active"], false);
    assert_eq!(changed["events"], json!(["a"]));
    assert_eq!(changed["config"]["header"], "X-A: 1");
    let changed = patch(json!({"events": ["b:c", "*"], "active": true})).await;
    assert_eq!(changed["events"], json!(["b:c", "*"]));
    assert_eq!(changed["config"]["url"], URL);
    let changed = put(json!({"header": null, "secret": "another-secret-text"})).await;
    assert_eq!(changed["config"]["header"], Value::Null);
    assert_eq!(changed["config"]["secret"], "…text");
    // What was shown may be given back.
    let same = json!({"secret": "…text", "events": ["b:c", "*"], "url": URL, "active": true, "header": ""});
    assert_eq!(put(same).await, changed);
    assert_eq!(patch(json!({})).await, changed);
}

#[tokio::test]
async fn endpoint_of_the_other_family_is_a_hook_and_is_not_widened_by_giving_it_back() {
    let stage = Stage::start().await;
    let extra = json!({"event_patterns": ["invoice.paid", "single", "order.*"], "headers": {"X-A": "1", "X-B": "2"}});
    let id = stage.endpoint(extra).await;
    let path = format!("{HOOKS}/{id}");
    let hook = stage.client.get(&path).await.expect_status(200).json();
    assert_eq!(hook["events"], json!(["invoice:paid", "single", "order.*"]));
    assert_eq!(hook["config"]["header"], "X-A: 1", "the first one");
    assert_eq!(hook["active"], true);
    let back = json!({"events": hook["events"], "active": true});
    let again = stage
        .client
        .put(&path, &back)
        .await
        .expect_status(200)
        .json();
    assert_eq!(again, hook);
    let endpoint = endpoint(&stage, &hook).await;
    assert_eq!(
        endpoint["event_patterns"],
        json!(["invoice.paid", "single", "order.*"])
    );
}

#[tokio::test]
async fn deleted_hook_is_gone_from_this_family() {
    let stage = Stage::start().await;
    let made = make(&stage, json!({"url": URL, "active": true})).await;
    let path = path(&made);
    let deleted = stage.client.delete(&path).await.expect_status(204);
    assert_eq!(deleted.text(), "");
    let gone = |answer: Response| assert_eq!(code(answer, 404), "not_found");
    gone(stage.client.delete(&path).await);
    gone(stage.client.get(&path).await);
    gone(stage.client.put(&path, &json!({"active": true})).await);
    gone(stage.client.get(&format!("{HOOKS}/{UNKNOWN_ID}")).await);
    assert_eq!(stage.client.get(HOOKS).await.json(), json!([]));
    assert_eq!(endpoint(&stage, &made).await["status"], "deleted");
}

#[tokio::test]
async fn faults_of_a_hook_are_told_all_at_once() {
    let stage = Stage::start().await;
    let bad = json!({"active": "maybe", "events": ["a b", 7], "header": "no colon", "secret": "ä", "config": {}});
    assert_eq!(
        faults(stage.client.post(HOOKS, &bad).await),
        [
            "body.active: bool_parsing",
            "body.config: extra_forbidden",
            "body.events.0: value_error",
            "body.events.1: string_type",
            "body.header: value_error",
            "body.secret: value_error",
            "body.url: missing",
        ]
    );
    for (body, fault) in [
        (json!({"url": URL, "events": []}), "body.events: too_short"),
        (
            json!({"url": URL, "header": "Host: x"}),
            "body.header: value_error",
        ),
        (
            json!({"url": URL, "header": "X-A: a\r\nX-B: b"}),
            "body.header: value_error",
        ),
        (json!({"url": null}), "body.url: string_type"),
    ] {
        assert_eq!(faults(stage.client.post(HOOKS, &body).await), [fault]);
    }
    assert_eq!(stage.client.get(HOOKS).await.json(), json!([]));
}

#[tokio::test]
async fn null_is_refused_where_a_change_can_not_mean_anything_by_it() {
    let stage = Stage::start().await;
    let made = make(
        &stage,
        json!({"url": URL, "events": ["a"], "active": true, "header": "X-A: 1"}),
    )
    .await;
    let path = path(&made);
    let before = stage.client.get(&path).await.json();
    let nulls = json!({"url": null, "active": null, "events": null, "secret": null});
    for refused in [
        stage.client.patch(&path, &nulls).await,
        stage.client.put(&path, &nulls).await,
    ] {
        assert_eq!(
            faults(refused),
            [
                "body.active: bool_type",
                "body.events: list_type",
                "body.secret: string_type",
                "body.url: string_type"
            ]
        );
    }
    assert_eq!(stage.client.get(&path).await.json(), before);
    // In a new one it is as good as nothing, as in the other family.
    let nulls = json!({"url": URL, "active": null, "events": null, "secret": null, "header": null});
    let made = make(&stage, nulls).await;
    assert_eq!(made["active"], false);
    assert_eq!(made["events"], json!(["*"]));
    assert!(text(&made["config"]["secret"]).len() > 30, "made by us");
    assert_eq!(made["config"]["header"], Value::Null);
}

#[tokio::test]
async fn hooks_come_in_pages_with_links() {
    let stage = Stage::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(make(&stage, json!({"url": URL})).await["id"].clone());
    }
    let first = stage.client.get("/hooks?limit=2").await.expect_status(200);
    let link = first.header("link").expect("a link").to_owned();
    let next = link
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"next\""));
    let second = stage
        .client
        .get(next.expect("a link to the next page"))
        .await
        .expect_status(200);
    assert_eq!(second.header("link"), None);
    let shown: Vec<Value> = [first.json(), second.json()]
        .iter()
        .flat_map(|page| page.as_array().expect("a list").clone())
        .map(|hook| hook["id"].clone())
        .collect();
    ids.reverse();
    assert_eq!(shown, ids);
}
