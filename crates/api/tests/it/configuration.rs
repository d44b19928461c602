//! What `reprise-api serve` can be told, and what it does when it is told nothing.

use std::time::Duration;

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::{SECRET_KEY, Tenant};
use reprise_testkit::http::Client;
use reprise_testkit::process::Process;
use serde_json::json;

use crate::command::{run, stderr, stdout};
use crate::stage::faults;

/// Every variable with its default; none where there is none, or it is nothing.
const VARIABLES: [(&str, &str); 13] = [
    ("DATABASE_URL", ""),
    ("REPRISE_SECRET_KEY", ""),
    ("REPRISE_SECRET_KEY_PREVIOUS", ""),
    ("REPRISE_LISTEN", "127.0.0.1:8080"),
    ("REPRISE_ALLOW_NETWORKS", ""),
    ("REPRISE_ALLOW_HTTP", "false"),
    ("REPRISE_RATE_LIMIT_PER_KEY", "0"),
    ("REPRISE_LOGIN_FAILURES_PER_MINUTE", "10"),
    ("REPRISE_TRUSTED_PROXIES", ""),
    ("REPRISE_MAX_CONNECTIONS_PER_ADDRESS", "256"),
    ("REPRISE_DATABASE_CONNECTIONS", "16"),
    ("REPRISE_LOG", "info,actix_server=warn,actix_http=off"),
    ("REPRISE_LOG_FORMAT", "text"),
];

#[test]
fn help_documents_every_variable_of_serve_with_its_default() {
    for arguments in [["serve", "--help"].as_slice(), &["--help"]] {
        let help = stdout(&run(arguments, &[]));
        for (variable, default) in VARIABLES {
            // What follows a variable up to the next one is its own.
            let named = [format!("{variable}]"), format!("{variable}=]")];
            let mut parts = help.split("[env: ");
            let own = parts.find(|part| named.iter().any(|name| part.starts_with(name)));
            let own = own.unwrap_or_else(|| panic!("{variable} in {help}"));
            if !default.is_empty() {
                assert!(own.contains(&format!("[default: {default}]")), "{own}");
            }
        }
    }
    for command in ["tenant", "user"] {
        let help = stdout(&run(&[command, "create", "--help"], &[]));
        assert!(help.contains("REPRISE_PASSWORD"), "{help}");
    }
}

#[test]
fn all_bad_variables_of_serve_are_named_at_once_and_no_secret_is_shown() {
    let environment = [
        ("DATABASE_URL", "mysql://user:hunter2@host/db"),
        ("REPRISE_SECRET_KEY", "hunter2"),
        ("REPRISE_SECRET_KEY_PREVIOUS", "hunter2"),
        ("REPRISE_LISTEN", "everywhere"),
        ("REPRISE_ALLOW_NETWORKS", "10.0.0.0/99"),
        ("REPRISE_ALLOW_HTTP", "maybe"),
        ("REPRISE_RATE_LIMIT_PER_KEY", "-1"),
        ("REPRISE_LOGIN_FAILURES_PER_MINUTE", "few"),
        ("REPRISE_TRUSTED_PROXIES", "10.0.0.1/x"),
        ("REPRISE_MAX_CONNECTIONS_PER_ADDRESS", "-1"),
        ("REPRISE_DATABASE_CONNECTIONS", "-1"),
        ("REPRISE_LOG", "reprise_api=loud"),
        ("REPRISE_LOG_FORMAT", "xml"),
    ];
    for arguments in [["serve"].as_slice(), &[]] {
        let refused = run(arguments, &environment);
        assert_eq!(refused.status.code(), Some(1));
        let message = stderr(&refused);
        for (variable, _) in environment {
            assert!(
                message.contains(&format!("{variable}: ")),
                "{variable}: {message}"
            );
        }
        assert!(!message.contains("hunter2"), "{message}");
    }
    let missing = stderr(&run(&["serve"], &[]));
    for variable in ["DATABASE_URL", "REPRISE_SECRET_KEY"] {
        assert!(
            missing.contains(&format!("{variable}: must be set")),
            "{missing}"
        );
    }
}

#[test]
fn taken_port_is_an_error_that_names_the_variable() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has an address").to_string();
    let environment = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
        ("REPRISE_SECRET_KEY", SECRET_KEY),
        ("REPRISE_LISTEN", &address),
    ];
    let refused = run(&["serve"], &environment);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("REPRISE_LISTEN"),
        "{}",
        stderr(&refused)
    );
}

#[tokio::test]
async fn endpoints_are_public_and_encrypted_unless_the_operator_says_otherwise() {
    let database = TestDatabase::create().await;
    let tenant = Tenant::create(database.url(), "acme").await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_SECRET_KEY", SECRET_KEY),
        ("REPRISE_LISTEN", "127.0.0.1:0"),
    ];
    let api = Process::start("reprise-api", &[], &environment);
    let address = |line: &str| {
        line.split_once("listening on ")
            .map(|(_, address)| address.to_owned())
    };
    let address = api.wait_for_line(address, Duration::from_secs(30)).await;
    let client = Client::new(&format!("http://{address}")).api_key(&tenant.api_key);
    for url in [
        "http://hooks.example/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
    ] {
        let refused = client
            .post("/v1/webhooks/endpoints", &json!({"url": url}))
            .await;
        assert_eq!(faults(refused), ["body.url: value_error"], "{url}");
    }
    let taken = client
        .post(
            "/v1/webhooks/endpoints",
            &json!({"url": "https://hooks.example/"}),
        )
        .await;
    assert_eq!(taken.status, 201, "{}", taken.text());
}
