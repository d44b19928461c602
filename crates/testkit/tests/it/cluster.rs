//! A server of a test's own goes away and comes back where it was.

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use reprise_testkit::cluster::Cluster;

#[tokio::test]
async fn cluster_comes_back_at_the_same_url_with_its_data() {
    let mut cluster = Cluster::start().await;
    let create = "CREATE TABLE kept (id int); CHECKPOINT";
    connect(&cluster)
        .await
        .batch_execute(create)
        .await
        .expect("it works");
    cluster.stop_immediately();
    assert!(AsyncPgConnection::establish(cluster.url()).await.is_err());
    cluster.restart();
    let read = "TABLE kept";
    connect(&cluster)
        .await
        .batch_execute(read)
        .await
        .expect("it is there");
}

async fn connect(cluster: &Cluster) -> AsyncPgConnection {
    AsyncPgConnection::establish(cluster.url())
        .await
        .expect("it runs")
}
