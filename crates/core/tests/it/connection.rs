//! Connecting, where servers are frozen or take no writes, and what sessions are set to.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use reprise_core::store::connect;
use reprise_testkit::database::TestDatabase;
use tokio::net::TcpListener;
use url::Url;

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The URL of a database with another host before its own.
fn after(first: &str, database: &TestDatabase) -> String {
    let url = Url::parse(database.url()).expect("a URL");
    let own = format!("127.0.0.1:{}", url.port().expect("a port"));
    let (before, behind) = database
        .url()
        .split_once(&own)
        .expect("the server's address");
    format!("{before}{first},{own}{behind}?connect_timeout=1")
}

#[tokio::test]
async fn host_that_accepts_and_never_answers_is_passed_over() {
    let database = TestDatabase::create().await;
    let frozen = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = frozen.local_addr().expect("bound").to_string();
    let mut conn = connect(&after(&address, &database))
        .await
        .expect("the second host answers");
    conn.batch_execute("SELECT 1").await.expect("a connection");
}

#[tokio::test]
async fn one_host_that_never_answers_is_an_error() {
    let frozen = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = frozen.local_addr().expect("bound");
    let url = format!("postgres://nobody@{address}/none?connect_timeout=1");
    let refused = connect(&url).await.err().expect("no connection");
    assert!(
        refused.to_string().contains("no answer within 1 s"),
        "{refused}"
    );
}

/// As a standby does, the first database takes no writes.
#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_connected_to() {
    let database = TestDatabase::create().await;
    let mut conn = database.connect().await;
    let name = Url::parse(database.url()).expect("a URL").path()[1..].to_owned();
    conn.batch_execute(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ))
    .await
    .expect("a setting");
    let url = Url::parse(database.url()).expect("a URL");
    let own = format!("127.0.0.1:{}", url.port().expect("a port"));
    let refused = connect(&after(&own, &database)).await;
    assert!(refused.is_err(), "neither takes writes");
    connect(database.url())
        .await
        .expect("a single host is taken as it is");
}

/// A program that was frozen or cut off in the middle of a transaction must not keep its locks.
#[tokio::test]
async fn sessions_that_were_abandoned_end_by_themselves() {
    let database = TestDatabase::create().await;
    let mut conn = connect(database.url()).await.expect("a connection");
    for (setting, expected) in [
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "20"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "4"),
        ("tcp_user_timeout", "20000"),
    ] {
        let sql = format!("SELECT current_setting('{setting}') AS value");
        let found: Setting = diesel::sql_query(sql)
            .get_result(&mut conn)
            .await
            .expect("a setting");
        assert_eq!(found.value, expected, "{setting}");
    }
}
