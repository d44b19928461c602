//! The command line: what is printed where, and what a mistake looks like.

use reprise_testkit::database::TestDatabase;
use reprise_testkit::fixture::SECRET_KEY;
use serde_json::Value;

use crate::command::{json, run, run_with_input, stderr, stdout};
use crate::stage::{Stage, UNKNOWN_ID};

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

#[tokio::test]
async fn password_is_read_from_the_standard_input_where_no_variable_has_it() {
    let stage = Stage::start().await;
    let environment = [("DATABASE_URL", stage.database.url())];
    for (username, line) in [
        ("unix", "pass word of unix\n"),
        ("windows", "pass word of windows\r\n"),
    ] {
        let create = ["tenant", "create", "--name", "Acme", "--username", username];
        let made = json(&run_with_input(&create, &environment, line));
        assert!(made["tenant_id"].is_string(), "{made}");
        let form = [("username", username), ("password", line.trim_end())];
        let answer = stage
            .api
            .anonymous()
            .post_form("/v1/auth/token", &form)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let refused = run_with_input(&CREATE, &environment, "\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("no password"),
        "{}",
        stderr(&refused)
    );
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
fn flag_before_the_command_that_it_is_for_is_refused_and_not_passed_over() {
    for (flag, value, command) in [
        ("--listen", "127.0.0.1:0", "serve"),
        ("--secret-key-previous", "x", "reseal"),
        ("--allow-http", "true", "migrate"),
    ] {
        let refused = run(&[flag, value, command], &[]);
        assert_eq!(refused.status.code(), Some(2), "{flag}");
        let message = stderr(&refused);
        assert!(
            message.contains(&format!("{flag} must stand behind the command")),
            "{message}"
        );
    }
    // One that all commands have may stand anywhere, and is used.
    for arguments in [
        ["--database-url", "nonsense", "migrate"],
        ["migrate", "--database-url", "nonsense"],
    ] {
        let refused = stderr(&run(&arguments, &[]));
        assert!(refused.contains("  DATABASE_URL: "), "{refused}");
    }
}

#[tokio::test]
async fn flags_without_a_command_and_variables_with_one_are_used() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let database = TestDatabase::create().await;
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REPRISE_SECRET_KEY", SECRET_KEY),
    ];
    let variable = [environment.as_slice(), &[("REPRISE_LISTEN", &address)]].concat();
    for refused in [
        run(&["--listen", &address], &environment),
        run(&["serve", "--listen", &address], &environment),
        run(&["serve"], &variable),
    ] {
        assert_eq!(refused.status.code(), Some(1));
        let message = stderr(&refused);
        assert!(message.contains(&address), "{message}");
    }
}

#[test]
fn every_command_has_help() {
    let help = run(&["--help"], &[]);
    assert!(help.status.success());
    for command in ["serve", "migrate", "tenant", "user", "api-key", "openapi"] {
        assert!(stdout(&help).contains(command), "{command}");
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
    let nobody = format!("there is no tenant {UNKNOWN_ID}");
    for (arguments, why) in [
        (
            "api-key create --username bob --scope everything".to_owned(),
            "--scope",
        ),
        (
            "api-key create --username carol --scope admin".to_owned(),
            "there is no user 'carol'",
        ),
        (
            format!("user create --tenant-id {UNKNOWN_ID} --username dave"),
            &nobody,
        ),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let refused = run(&arguments, &environment);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stdout(&refused), "");
        let message = stderr(&refused);
        assert!(message.contains(why), "{message}");
        assert!(!message.contains("constraint"), "{message}");
    }
}
