//! The command line: what is printed where, and what a mistake looks like.

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::SECRET_KEY;
use serde_json::Value;

use crate::command::{json, run, stderr, stdout};

const CREATE: [&str; 6] = ["tenant", "create", "--name", "Acme", "--username", "acme"];

#[tokio::test]
async fn new_tenant_is_printed_as_json_and_nothing_else() {
    let database = TestDatabase::create().await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_PASSWORD", "a long password"),
    ];
    let created = json(&run(&CREATE, &environment));
    assert!(created["tenant_id"].is_string(), "{created}");
    assert!(created["user_id"].is_i64(), "{created}");
    let key = created["api_key"].as_str().expect("a key");
    assert!(key.starts_with("rpk_"), "{key}");
    assert_eq!(created.as_object().map(|fields| fields.len()), Some(3));
}

#[tokio::test]
async fn taken_username_is_a_clear_error_and_makes_nothing() {
    let database = TestDatabase::create().await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_PASSWORD", "a long password"),
    ];
    json(&run(&CREATE, &environment));
    let again = run(&CREATE, &environment);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(stdout(&again), "");
    assert!(
        stderr(&again).contains("'acme' is taken"),
        "{}",
        stderr(&again)
    );
    let mut conn = database.connect().await;
    assert_eq!(crate::rows::count(&mut conn, "tenants").await, 1);
}

#[tokio::test]
async fn bad_passwords_and_names_are_refused_before_anything_is_made() {
    let database = TestDatabase::create().await;
    let attempt = |arguments: &[&str], password: Option<&str>| {
        let mut environment = vec![("DATABASE_URL", database.url())];
        environment.extend(password.map(|password| ("REPRISE_PASSWORD", password)));
        let refused = run(arguments, &environment);
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(stdout(&refused), "");
        stderr(&refused)
    };
    let long = "x".repeat(1_025);
    for password in ["short", "", &long] {
        let message = attempt(&CREATE, Some(password));
        assert!(message.contains("REPRISE_PASSWORD"), "{message}");
    }
    let message = attempt(&CREATE, None);
    assert!(message.contains("no password"), "{message}");
    for (name, username, flag) in [("", "acme", "--name"), ("Acme", " ", "--username")] {
        let arguments = ["tenant", "create", "--name", name, "--username", username];
        let message = attempt(&arguments, Some("a long password"));
        assert!(message.contains(flag), "{message}");
    }
    let mut conn = database.connect().await;
    assert_eq!(crate::rows::count(&mut conn, "tenants").await, 0);
}

#[test]
fn missing_database_is_named() {
    for arguments in [
        ["migrate"].as_slice(),
        &CREATE,
        &["api-key", "create", "--username", "acme"],
        &["user", "set-password", "--username", "acme"],
    ] {
        let refused = run(arguments, &[("REPRISE_PASSWORD", "a long password")]);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        let message = stderr(&refused);
        assert!(message.contains("DATABASE_URL: must be set"), "{message}");
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

#[test]
fn help_documents_every_variable() {
    let help = run(&["--help"], &[]);
    assert!(help.status.success());
    for word in [
        "DATABASE_URL",
        "REPRISE_SECRET_KEY",
        "REPRISE_SECRET_KEY_PREVIOUS",
        "REPRISE_LISTEN",
        "REPRISE_ALLOW_NETWORKS",
        "REPRISE_ALLOW_HTTP",
        "REPRISE_LOG",
        "migrate",
        "openapi",
    ] {
        assert!(stdout(&help).contains(word), "{word}");
    }
    for command in ["serve", "migrate", "tenant", "user", "api-key", "openapi"] {
        assert!(run(&[command, "--help"], &[]).status.success(), "{command}");
    }
}

#[test]
fn openapi_document_needs_nothing_and_holds_both_references() {
    let document = json(&run(&["openapi"], &[]));
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    let paths = &document["paths"];
    assert!(paths["/v1/webhooks/deliveries/{delivery_id}/replay"]["post"].is_object());
    assert!(paths["/hooks/{hook_id}/requests/{request_id}/redeliver"]["post"].is_object());
    let schemas = &document["components"]["schemas"];
    for name in [
        "WebhookDeliveryResponse",
        "HTTPValidationError",
        "ValidationError",
    ] {
        assert!(schemas[name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn migrating_twice_is_fine_and_prints_nothing_to_the_standard_output() {
    let database = TestDatabase::create_empty().await;
    let environment = [("DATABASE_URL", database.url())];
    for time in ["first", "second"] {
        let migrated = run(&["migrate"], &environment);
        assert!(migrated.status.success(), "{time}: {}", stderr(&migrated));
        assert_eq!(stdout(&migrated), "");
    }
    let mut conn = database.connect().await;
    assert_eq!(crate::rows::count(&mut conn, "deliveries").await, 0);
}

#[tokio::test]
async fn unmigrated_database_is_an_error_that_says_what_to_do() {
    let database = TestDatabase::create_empty().await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_PASSWORD", "a long password"),
    ];
    let refused = run(&CREATE, &environment);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("migrate"), "{}", stderr(&refused));
}

#[tokio::test]
async fn further_users_and_keys_can_be_made() {
    let database = TestDatabase::create().await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_PASSWORD", "a long password"),
    ];
    let tenant = json(&run(&CREATE, &environment));
    let tenant_id = tenant["tenant_id"].as_str().expect("an id");
    let arguments = [
        "user",
        "create",
        "--tenant-id",
        tenant_id,
        "--username",
        "bob",
    ];
    let user: Value = json(&run(&arguments, &environment));
    assert_eq!(user["tenant_id"], tenant["tenant_id"]);
    assert_ne!(user["user_id"], tenant["user_id"]);
    let arguments = [
        "api-key",
        "create",
        "--username",
        "bob",
        "--scope",
        "webhooks:read",
    ];
    let key = json(&run(&arguments, &environment));
    assert_eq!(key["user_id"], user["user_id"]);
    for arguments in [
        [
            "api-key",
            "create",
            "--username",
            "bob",
            "--scope",
            "everything",
        ],
        [
            "api-key",
            "create",
            "--username",
            "carol",
            "--scope",
            "admin",
        ],
        [
            "user",
            "create",
            "--tenant-id",
            crate::stage::UNKNOWN_ID,
            "--username",
            "dave",
        ],
    ] {
        let refused = run(&arguments, &environment);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&refused), "");
    }
}
