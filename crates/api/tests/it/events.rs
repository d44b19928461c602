//! Reading events, and their deliveries.

use diesel_async::SimpleAsyncConnection;
use reprise_testkit::http::Content;
use serde_json::{Value, json};

use crate::played_dispatcher::Played;
use crate::stage::{Stage, UNKNOWN_ID, code, faults, text};

const EVENTS: &str = "/v1/webhooks/events";

async fn page(stage: &Stage, path: &str) -> Value {
    stage.client.get(path).await.expect_status(200).json()
}

/// The values of a field of all items, going on from page to page.
async fn all(stage: &Stage, path: &str, field: &str) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), path.to_owned());
    loop {
        let page = page(stage, &next).await;
        let items = page["items"].as_array().expect("items");
        found.extend(items.iter().map(|item| text(&item[field])));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn event_is_shown_with_the_bytes_that_were_published() {
    let stage = Stage::start().await;
    let payload = r#"{ "b": 1.0, "a": "\u0000\ud800", "a": 1e400 }"#;
    let body = format!(r#"{{"event_type": "odd.one", "event_group": "g", "payload": {payload}}}"#);
    let content = Content::new("application/json", body);
    let method = reprise_testkit::http::Method::POST;
    let published = stage.client.send(method, EVENTS, Some(content)).await;
    let published = published.expect_status(202).json();
    let path = format!("{EVENTS}/{}", text(&published["id"]));
    let shown = stage.client.get(&path).await.expect_status(200).text();
    let expected = format!(
        r#"{{"id":{},"event_type":"odd.one","event_group":"g","created_at":{},"payload":{payload}}}"#,
        published["id"], published["created_at"]
    );
    assert_eq!(shown, expected);
    let unknown = stage.client.get(&format!("{EVENTS}/{UNKNOWN_ID}")).await;
    assert_eq!(code(unknown, 404), "not_found");
}

#[tokio::test]
async fn events_are_listed_newest_first_by_filters_and_pages() {
    let stage = Stage::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let body = json!({"event_type": format!("t.{}", n % 2), "payload": n, "event_group": format!("g{}", n % 3)});
        let event = stage
            .client
            .post(EVENTS, &body)
            .await
            .expect_status(202)
            .json();
        ids.push((text(&event["id"]), text(&event["created_at"])));
    }
    let id = |n: usize| ids[n].0.clone();
    let listed = page(&stage, &format!("{EVENTS}?limit=1")).await;
    let fields: Vec<_> = listed["items"][0]
        .as_object()
        .expect("an event")
        .keys()
        .collect();
    assert_eq!(
        fields,
        ["created_at", "event_group", "event_type", "id"],
        "no payload"
    );
    for (query, expected) in [
        ("limit=2", vec![4, 3, 2, 1, 0]),
        ("limit=2&event_type=t.1", vec![3, 1]),
        ("event_group=g0", vec![3, 0]),
        ("event_type=t.0&event_group=g2", vec![2]),
        ("event_type=nothing", vec![]),
        (&format!("created_after={}", ids[2].1), vec![4, 3, 2]),
        (&format!("created_before={}", ids[2].1), vec![1, 0]),
    ] {
        let found = all(&stage, &format!("{EVENTS}?{query}"), "id").await;
        assert_eq!(
            found,
            expected.into_iter().map(id).collect::<Vec<_>>(),
            "{query}"
        );
    }
    let bad = stage
        .client
        .get(&format!(
            "{EVENTS}?limit=0&event_type=a%20b&created_after=x&cursor=y"
        ))
        .await;
    assert_eq!(
        faults(bad),
        [
            "query.created_after: datetime_parsing",
            "query.cursor: value_error",
            "query.event_type: value_error",
            "query.limit: greater_than_equal",
        ]
    );
}

#[tokio::test]
async fn rare_filter_gives_short_pages_that_lead_to_everything() {
    let stage = Stage::start().await;
    stage.endpoint(json!({})).await;
    let rare = stage.publish("rare").await;
    let mut conn = stage.database.connect().await;
    // Some thousands that are newer, as copies of one with ids of later times.
    let copies = "INSERT INTO events (tenant_id, id, event_type, event_group, payload)
        SELECT tenant_id, (lpad(to_hex((extract(epoch FROM now()) * 1000)::int8 + n), 12, '0') || '70008000000000000000')::uuid,
               'common', 'g', payload
        FROM events, generate_series(1, 4500) n;
        INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, user_id, event_type, event_group, status,
                                unsuccessful_status, attempt_id, first_delivery_id)
        SELECT tenant_id, e.id, endpoint_id, e.id, user_id, 'common', 'g', 'skipped', 'skipped', gen_random_uuid(), e.id
        FROM deliveries d JOIN events e USING (tenant_id) WHERE e.event_type = 'common'";
    conn.batch_execute(copies).await.expect("copied");
    let first = page(&stage, &format!("{EVENTS}?event_type=rare")).await;
    assert_eq!(
        first["items"],
        json!([]),
        "it is further back than one page looks"
    );
    assert!(first["next_cursor"].is_string());
    assert_eq!(
        all(&stage, &format!("{EVENTS}?event_type=rare"), "id").await,
        std::slice::from_ref(&rare)
    );
    assert_eq!(
        all(
            &stage,
            &format!("{EVENTS}?event_type=common&limit=250"),
            "id"
        )
        .await
        .len(),
        4_500
    );

    let deliveries = "/v1/webhooks/deliveries";
    for query in ["status=pending", "event_type=rare"] {
        let page = page(&stage, &format!("{deliveries}?{query}")).await;
        assert_eq!(page["items"][0]["event_id"], rare, "an index knows {query}");
        assert_eq!(page["next_cursor"], Value::Null);
    }
    let delivering = page(&stage, &format!("{deliveries}?status=delivering")).await;
    assert_eq!(delivering["items"], json!([]));
    assert_eq!(delivering["next_cursor"], Value::Null, "the queue knows");
    for query in ["http_status=200&limit=250", "event_group=nobody&limit=250"] {
        let path = format!("{deliveries}?{query}");
        let first = page(&stage, &path).await;
        assert_eq!(first["items"], json!([]));
        assert!(first["next_cursor"].is_string(), "{query}");
        assert_eq!(all(&stage, &path, "id").await, [""; 0]);
    }
    let skipped = format!("{deliveries}?event_group=g&status=skipped&limit=250");
    assert_eq!(all(&stage, &skipped, "id").await.len(), 4_500);
}

#[tokio::test]
async fn deliveries_of_an_event_are_listed_with_its_replays() {
    let stage = Stage::start().await;
    for _ in 0..2 {
        stage.endpoint(json!({})).await;
    }
    let mut dispatcher = stage.dispatcher().await;
    let event = stage.publish("invoice.paid").await;
    stage.publish("another").await;
    let path = format!("{EVENTS}/{event}/deliveries?limit=2");
    assert_eq!(
        all(&stage, &path, "event_id").await,
        [event.clone(), event.clone()]
    );
    let claims = dispatcher.claim_ready(10).await;
    for claim in &claims {
        dispatcher.finish(claim, Played::Answered(200)).await;
    }
    let first = text(&page(&stage, &path).await["items"][0]["id"]);
    let replay = stage.replay(&first).await.expect_status(200).json();
    let ids = all(&stage, &path, "id").await;
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], text(&replay["id"]), "newest first");
    assert_eq!(all(&stage, &path, "event_id").await, vec![event; 3]);

    let list = stage.client.get("/v1/webhooks/endpoints").await.json();
    for endpoint in list.as_array().expect("a list") {
        stage.delete_endpoint(&text(&endpoint["id"])).await;
    }
    let of_nobody = stage.publish("x").await;
    let path = format!("{EVENTS}/{}/deliveries", of_nobody);
    assert_eq!(
        page(&stage, &path).await,
        json!({"items": [], "next_cursor": null})
    );
    let unknown = stage
        .client
        .get(&format!("{EVENTS}/{UNKNOWN_ID}/deliveries"))
        .await;
    assert_eq!(code(unknown, 404), "not_found");
}
