//! Errors of PostgreSQL that pass: a full disk, no connection left, a conflict, a deadlock, a server that only reads.

use reprise_faults::repeat::each;
use reprise_faults::stage::{PATIENCE, Setting, Stage, tell};
use reprise_testkit::database::TestDatabase;
use reprise_testkit::journal::Journal;
use reprise_testkit::receiver::Answer;
use reprise_testkit::sql::Sql;

/// How often each place fails, before it works again.
const FAILURES: i64 = 6;

/// Where errors are injected, as the table and what is done to it: storing single events and batches; those with a key;
/// claiming; recording; beating.
const PLACES: [(&str, &str); 5] = [
    ("events", "INSERT"),
    ("idempotency_keys", "INSERT"),
    ("delivery_queue", "UPDATE"),
    ("attempts", "INSERT"),
    ("dispatchers", "INSERT OR UPDATE"),
];

/// When a statement fails: as it begins, or when all that it did is to be committed.
#[derive(Clone, Copy)]
enum When {
    AtOnce,
    AtCommit,
}

/// Makes triggers that let statements fail with `code`, the first [`FAILURES`] times after [`begin`]. Sequences count,
/// since nothing rolls them back. Made before there is load, which would wait in a circle with it for locks.
async fn prepare(sql: &Sql, code: &str, when: When) {
    let mut statements = format!(
        "CREATE FUNCTION inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval(TG_ARGV[0]) <= {FAILURES} THEN
                RAISE EXCEPTION 'injected at %', TG_ARGV[0] USING ERRCODE = '{code}';
            END IF;
            RETURN NULL;
         END $$;"
    );
    let over = FAILURES + 1;
    for (table, event) in PLACES {
        let trigger = match when {
            When::AtOnce => format!("TRIGGER inject BEFORE {event} ON {table} FOR EACH STATEMENT"),
            When::AtCommit => format!(
                "CONSTRAINT TRIGGER inject AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW"
            ),
        };
        statements += &format!(
            "CREATE SEQUENCE injected_{table} START {over};
             CREATE {trigger} EXECUTE FUNCTION inject('injected_{table}');"
        );
    }
    sql.execute(&statements).await;
}

async fn begin(sql: &Sql) {
    for (table, _) in PLACES {
        sql.execute(&format!("SELECT setval('injected_{table}', 1, false)"))
            .await;
    }
}

/// Waits until each place has failed as often as it should, and works again.
async fn wait_until_over(sql: &Sql) {
    for (table, _) in PLACES {
        let is_over = format!("SELECT (last_value > {FAILURES})::int FROM injected_{table}");
        sql.wait_for(&is_over, 1, PATIENCE).await;
    }
}

/// Injects an error under load and holds the account.
async fn fail_with(code: &str, when: When) {
    let database = TestDatabase::create().await;
    prepare(&Sql::at(database.url()), code, when).await;
    let mut stage = Stage::start(database.url(), &Setting::default()).await;
    stage.wait_for_more(1).await;
    begin(&stage.sql).await;
    wait_until_over(&stage.sql).await;
    stage.wait_for_more(10).await;
    let verdict = stage.settle().await;
    tell(&format!("SQLSTATE {code}, five places"), 0, &verdict);
    verdict.hold(0);
}

#[test]
fn errors_that_pass_lose_nothing_and_double_nothing() {
    // Disk full, too many connections, serialization failure, deadlock, read-only server.
    let codes = ["53100", "53300", "40001", "40P01", "25006"];
    each(&codes, async |code| fail_with(code, When::AtOnce).await);
}

#[test]
fn errors_at_commit_that_pass_lose_nothing_and_double_nothing() {
    let codes = ["53100", "40001", "40P01"];
    each(&codes, async |code| fail_with(code, When::AtCommit).await);
}

/// A value that can't be stored: of one event (22021 is what a NUL in a text gives), or of one result.
async fn refuse_one(table: &str, condition: &str) -> (TestDatabase, Sql) {
    let database = TestDatabase::create().await;
    let sql = Sql::at(database.url());
    sql.execute(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {condition} THEN
                RAISE EXCEPTION 'refused' USING ERRCODE = '22021';
            END IF;
            RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();"
    ))
    .await;
    (database, sql)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_that_postgresql_refuses_for_ever_is_in_nobodys_way() {
    let (database, _) = refuse_one("events", "NEW.event_type = 'poison.pill'").await;
    let mut stage = Stage::start(database.url(), &Setting::default()).await;
    let client = stage.api.client(&stage.tenant);
    for _ in 0..20 {
        let body = serde_json::json!({"event_type": "poison.pill", "payload": 1});
        let answer = client.post("/v1/webhooks/events", &body).await;
        assert!(answer.status >= 500, "{}", answer.status);
    }
    stage.wait_for_more(20).await;
    let verdict = stage.settle().await;
    tell("an event that is refused for ever", 0, &verdict);
    verdict.hold(0);
    assert_eq!(
        verdict.unavailable, 0,
        "nobody else was told to come again: {verdict}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_that_postgresql_refuses_for_ever_is_in_nobodys_way() {
    let (database, _) = refuse_one("attempts", "NEW.response_status = 418").await;
    let journal = Journal::start_with(|request| {
        let is_poison = request.header("webhook-event-type") == Some("poison.pill");
        Answer::status(if is_poison { 418 } else { 200 })
    })
    .await;
    let setting = Setting {
        dispatchers: 1,
        ..Setting::default()
    };
    let stage = Stage::start_to(database.url(), &setting, &[], journal).await;
    stage.wait_for_more(1).await;
    let client = stage.api.client(&stage.tenant);
    let body = serde_json::json!({"event_type": "poison.pill", "payload": 1});
    let _ = client
        .post("/v1/webhooks/events", &body)
        .await
        .expect_status(202);
    stage.wait_for_more(500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_that_postgresql_refuses_for_ever_costs_its_headers_and_body_and_no_attempt() {
    let (database, sql) = refuse_one("attempts", "NEW.response_body = 'poison'").await;
    let journal = Journal::start_with(|request| {
        let is_poison = request.header("webhook-event-type") == Some("poison.pill");
        Answer::status(200).body(if is_poison { "poison" } else { "" })
    })
    .await;
    let setting = Setting {
        dispatchers: 1,
        ..Setting::default()
    };
    let mut stage = Stage::start_to(database.url(), &setting, &[], journal).await;
    stage.wait_for_more(1).await;
    let client = stage.api.client(&stage.tenant);
    let body = serde_json::json!({"event_type": "poison.pill", "payload": 1});
    let answer = client.post("/v1/webhooks/events", &body).await;
    let _ = answer.expect_status(202);
    let recorded =
        "SELECT count(*) FROM attempts WHERE response_status = 200 AND error_kind IS NULL
                    AND response_body = '' AND response_body_truncated";
    sql.wait_for(recorded, 1, PATIENCE).await;
    let lost = "SELECT count(*) FROM attempts WHERE error_kind IS NOT NULL";
    assert_eq!(sql.number(lost).await, 0);
    let verdict = stage.settle().await;
    tell("a response that is refused for ever", 0, &verdict);
    verdict.hold(0);
}
