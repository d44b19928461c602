//! Which URLs an endpoint may have.

use reprise_testkit::fixture::create_endpoint;
use serde_json::json;

use crate::stage::{Stage, faults, text};

const PATH: &str = "/v1/webhooks/endpoints";

fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// URLs that no endpoint may have, where the operator allows nothing beyond the rule.
const REFUSED_URLS: [&str; 54] = [
    "http://hooks.example/x",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0/",
    "https://10.0.0.1/",
    "https://172.16.5.4/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::808:808]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fe80::1%25eth0]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://a.localhost/",
    "https://%6cocalhost/",
    "https://127。0。0。1/",
    "https://①②⑦.0.0.1/",
    "https://user@hooks.example/",
    "https://user:secret@hooks.example/",
    "https://hooks.example@127.0.0.1/",
    "https://hooks.example/#top",
    "https://hooks.example:22/",
    "https://hooks.example:0/",
    "https://hooks.example:99999/",
    "https://hooks.example\\@127.0.0.1/",
    "https://hooks.example/a b",
    " https://hooks.example/",
    "https://hooks.example/\n",
    "https:hooks.example",
    "https:///hooks.example",
    "https://",
    "ftp://hooks.example/",
    "file:///etc/passwd",
    "gopher://hooks.example/",
    "hooks.example",
    "",
];

#[tokio::test]
async fn urls_that_are_not_public_are_refused_in_every_notation() {
    let closed = [
        ("REPRISE_ALLOW_NETWORKS", ""),
        ("REPRISE_ALLOW_HTTP", "false"),
    ];
    let stage = Stage::start_with(&closed).await;
    let long = format!("https://hooks.example/{}", "x".repeat(2_048));
    for url in REFUSED_URLS.into_iter().chain([long.as_str()]) {
        let answer = stage.client.post(PATH, &json!({"url": url})).await;
        assert_eq!(answer.status, 422, "{url}: {}", answer.text());
        assert!(!answer.text().contains("secret@"), "{}", answer.text());
        assert_eq!(faults(answer), ["body.url: value_error"], "{url}");
    }
    for url in [
        "https://hooks.example/x?y=1",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]:8443/",
    ] {
        assert_eq!(
            create_endpoint(&stage.client, url, json!({})).await["url"],
            url
        );
    }
    assert_eq!(
        stage.client.get(PATH).await.json().as_array().map(Vec::len),
        Some(3),
        "nothing that was refused was made"
    );
}

#[tokio::test]
async fn changed_url_is_judged_as_a_new_one_is() {
    let closed = [
        ("REPRISE_ALLOW_NETWORKS", ""),
        ("REPRISE_ALLOW_HTTP", "false"),
    ];
    let stage = Stage::start_with(&closed).await;
    let url = "https://hooks.example/";
    let id = text(&create_endpoint(&stage.client, url, json!({})).await["id"]);
    for bad in ["https://127.0.0.1/", "http://hooks.example/"] {
        let answer = stage.client.patch(&path(&id), &json!({"url": bad})).await;
        assert_eq!(faults(answer), ["body.url: value_error"]);
    }
    assert_eq!(stage.client.get(&path(&id)).await.json()["url"], url);
}

#[tokio::test]
async fn hooks_may_have_no_url_that_endpoints_may_not() {
    let closed = [
        ("REPRISE_ALLOW_NETWORKS", ""),
        ("REPRISE_ALLOW_HTTP", "false"),
    ];
    let stage = Stage::start_with(&closed).await;
    let hook = json!({"url": "https://hooks.example/", "events": ["*"]});
    let hook = stage.client.post("/hooks", &hook).await;
    let hook = text(&hook.expect_status(201).json()["id"]);
    let hook = format!("/hooks/{hook}");
    for url in REFUSED_URLS {
        let new = json!({"url": url, "events": ["*"]});
        let changed = json!({"url": url});
        for answer in [
            stage.client.post("/hooks", &new).await,
            stage.client.patch(&hook, &changed).await,
            stage.client.put(&hook, &changed).await,
        ] {
            assert_eq!(faults(answer), ["body.url: value_error"], "{url}");
        }
    }
    let shown = stage.client.get(&hook).await.json();
    assert_eq!(shown["config"]["url"], "https://hooks.example/");
    let all = stage.client.get("/hooks").await.json();
    assert_eq!(all.as_array().map(Vec::len), Some(1), "none was made");
}
