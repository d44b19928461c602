//! The pool: what becomes of a connection whose statement took too long.

use std::time::Duration;

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use reprise_core::store::{Database, StoreError};
use reprise_testkit::polling::poll_until;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use crate::world::World;

/// Long enough for a statement that does nothing, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// Of a statement that takes too long.
const SHORT: Duration = Duration::from_millis(200);

/// Carries connections to the server, all but the second, which hears nothing.
async fn relay_all_but_the_second(listener: TcpListener, server: String) {
    let mut connections = JoinSet::new();
    let mut unheard = Vec::new();
    for number in 1.. {
        let (mut client, _) = listener.accept().await.expect("a connection");
        if number == 2 {
            unheard.push(client);
            continue;
        }
        let mut server = TcpStream::connect(&server).await.expect("the server");
        connections.spawn(async move { copy_bidirectional(&mut client, &mut server).await });
    }
}

async fn hang(database: &Database) -> Result<Result<(), StoreError>, StoreError> {
    database
        .run(SHORT, async |conn| {
            Ok(conn.batch_execute("SELECT pg_sleep(600)").await?)
        })
        .await
}

async fn select_one(database: &Database) {
    database
        .run(SOON, async |conn| {
            Ok::<_, StoreError>(diesel::sql_query("SELECT 1").execute(conn).await?)
        })
        .await
        .expect("in time")
        .expect("done");
}

#[tokio::test]
async fn statement_that_takes_too_long_is_cancelled() {
    let mut world = World::create().await;
    let database = Database::new(world.url(), 1);
    assert!(hang(&database).await.is_err());
    let sleeping = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let woken = poll_until(SOON, async || {
        (world.number(sleeping).await == 0).then_some(())
    });
    woken.await.expect("it runs no longer");
    select_one(&database).await;
}

#[tokio::test]
async fn connection_whose_statement_could_not_be_cancelled_is_not_used_again() {
    let world = World::create().await;
    let mut url = Url::parse(world.url()).expect("a URL");
    let server = format!("127.0.0.1:{}", url.port().expect("a port"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    url.set_port(Some(port)).expect("a port");
    let mut relay = JoinSet::new();
    relay.spawn(relay_all_but_the_second(listener, server));
    let database = Database::new(url.as_str(), 1);
    select_one(&database).await;
    assert!(hang(&database).await.is_err(), "the second cancels in vain");
    select_one(&database).await;
}

#[tokio::test]
async fn connection_of_work_whose_caller_went_away_is_not_used_again() {
    let mut world = World::create().await;
    let database = Database::new(world.url(), 1);
    let sleeping = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let work = database.run(SOON, async |conn| {
        Ok::<_, StoreError>(conn.batch_execute("SELECT pg_sleep(600)").await?)
    });
    let is_asleep = poll_until(SOON, async || {
        (world.number(sleeping).await == 1).then_some(())
    });
    tokio::select! {
        _ = work => panic!("it sleeps"),
        asleep = is_asleep => asleep.expect("the statement begins"),
    }
    select_one(&database).await;
}

#[tokio::test]
async fn connection_to_a_server_that_takes_no_writes_is_not_used_again() {
    let world = World::create().await;
    let database = Database::new(world.url(), 1);
    let execute = async |sql: &str| {
        let work = database.run(SOON, async |conn| {
            Ok::<_, StoreError>(conn.batch_execute(sql).await?)
        });
        work.await.flatten()
    };
    // What becomes of a primary that was made a standby.
    execute("SET default_transaction_read_only = on")
        .await
        .expect("a setting");
    let insert = "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'late')";
    let refused = execute(insert).await.expect_err("it takes no writes");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    execute(insert).await.expect("another connection does");
}

#[tokio::test]
async fn why_there_is_no_connection_is_told() {
    let world = World::create().await;
    let mut url = Url::parse(world.url()).expect("a URL");
    url.set_path("/no_such_database");
    let database = Database::new(url.as_str(), 1);
    let refused = database
        .run(SOON, async |conn| {
            Ok::<_, StoreError>(conn.batch_execute("SELECT 1").await?)
        })
        .await
        .expect_err("no connection");
    assert!(
        refused.to_string().contains("no_such_database"),
        "{refused}"
    );
}
