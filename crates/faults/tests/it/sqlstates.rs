//! Errors of PostgreSQL that pass: a full disk, no connection left, a conflict, a deadlock, a server that only reads; and
//! one that is none of them.

use reprise_faults::repeat::each;
use reprise_faults::stage::{PATIENCE, Setting, Stage, tell};
use reprise_testkit::database::TestDatabase;
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

/// Lets the statements of all places fail with `code`, each [`FAILURES`] times. A sequence counts, since nothing rolls it back.
async fn inject(sql: &Sql, code: &str) {
    let mut statements = format!(
        "CREATE FUNCTION inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval(TG_ARGV[0]) <= {FAILURES} THEN
                RAISE EXCEPTION 'injected at %', TG_ARGV[0] USING ERRCODE = '{code}';
            END IF;
            RETURN NULL;
         END $$;"
    );
    for (table, event) in PLACES {
        statements += &format!(
            "CREATE SEQUENCE injected_{table};
             CREATE TRIGGER inject BEFORE {event} ON {table}
             FOR EACH STATEMENT EXECUTE FUNCTION inject('injected_{table}');"
        );
    }
    sql.execute(&statements).await;
}

/// Waits until each place has failed as often as it should, and works again.
async fn wait_until_over(sql: &Sql) {
    for (table, _) in PLACES {
        let is_over = format!("SELECT (last_value > {FAILURES})::int FROM injected_{table}");
        sql.wait_for(&is_over, 1, PATIENCE).await;
    }
}

/// Injects an error under load and holds the account.
async fn fail_with(code: &str) {
    let database = TestDatabase::create().await;
    let mut stage = Stage::start(database.url(), &Setting::default()).await;
    stage.wait_for_more(1).await;
    inject(&stage.sql, code).await;
    wait_until_over(&stage.sql).await;
    stage.wait_for_more(10).await;
    let verdict = stage.settle().await;
    tell(&format!("SQLSTATE {code} at five places"), 0, &verdict);
    verdict.hold(0);
}

#[test]
fn errors_that_pass_lose_nothing_and_double_nothing() {
    // Disk full, too many connections, serialization failure, deadlock, read-only server.
    let codes = ["53100", "53300", "40001", "40P01", "25006"];
    each(&codes, async |code| fail_with(code).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_at_commit_lose_nothing_and_double_nothing() {
    let database = TestDatabase::create().await;
    let mut stage = Stage::start(database.url(), &Setting::default()).await;
    stage.wait_for_more(1).await;
    // All that the statement has done is done; its commit fails.
    let mut statements = format!(
        "CREATE FUNCTION inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval(TG_ARGV[0]) <= {FAILURES} THEN
                RAISE EXCEPTION 'injected at commit' USING ERRCODE = '40001';
            END IF;
            RETURN NULL;
         END $$;"
    );
    for table in ["events", "idempotency_keys", "delivery_queue", "attempts"] {
        statements += &format!(
            "CREATE SEQUENCE injected_{table};
             CREATE CONSTRAINT TRIGGER inject AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION inject('injected_{table}');"
        );
    }
    stage.sql.execute(&statements).await;
    for table in ["events", "idempotency_keys", "delivery_queue", "attempts"] {
        let is_over = format!("SELECT (last_value > {FAILURES})::int FROM injected_{table}");
        stage.sql.wait_for(&is_over, 1, PATIENCE).await;
    }
    stage.wait_for_more(10).await;
    let verdict = stage.settle().await;
    tell("40001 at COMMIT at four places", 0, &verdict);
    verdict.hold(0);
}
