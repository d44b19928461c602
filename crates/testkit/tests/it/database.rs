//! Databases of tests: apart from each other, and gone afterwards.

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use reprise_testkit::database::TestDatabase;

#[tokio::test]
async fn databases_of_two_tests_are_apart() {
    let (one, two) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    let create = "CREATE TABLE only_here (id int)";
    one.connect()
        .await
        .batch_execute(create)
        .await
        .expect("it is new");
    two.connect()
        .await
        .batch_execute(create)
        .await
        .expect("it is new here too");
}

#[tokio::test]
async fn database_is_gone_after_a_panic_and_with_open_connections() {
    let database = TestDatabase::create_empty().await;
    let url = database.url().to_owned();
    let _connection = database.connect().await;
    let panicked = std::panic::catch_unwind(move || {
        let _database = database;
        panic!("a test fails");
    });
    assert!(panicked.is_err());
    assert!(AsyncPgConnection::establish(&url).await.is_err());
}
