//! TLS to PostgreSQL: `sslmode=require` encrypts, and verifies who answers.

use std::fs;

use diesel_async::SimpleAsyncConnection;
use reprise_core::store::connect;
use reprise_testkit::cluster::Cluster;

use crate::command::{run, stderr};

/// Has the server speak TLS with this certificate and key, which it writes into its own folder.
async fn turn_tls_on(cluster: &Cluster, certificate: &str, key: &str) {
    let mut conn = connect(cluster.url()).await.expect("a plain connection");
    for (file, pem) in [("server.crt", certificate), ("server.key", key)] {
        let copy = format!(
            "COPY (SELECT regexp_split_to_table('{pem}', '\n')) TO PROGRAM 'umask 077; cat > {file}'"
        );
        conn.batch_execute(&copy)
            .await
            .expect("the file is written");
    }
    conn.batch_execute("ALTER SYSTEM SET ssl = on")
        .await
        .expect("set");
    drop(conn);
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn required_tls_is_spoken_to_a_server_that_is_trusted_and_to_no_other() {
    let mut cluster = Cluster::start().await;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    turn_tls_on(
        &cluster,
        &made.cert.pem(),
        &made.signing_key.serialize_pem(),
    )
    .await;
    cluster.restart();
    let folder = tempfile::tempdir().expect("a folder");
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, made.cert.pem()).expect("written");
    let url = format!("{}?sslmode=require", cluster.url());
    let trusted = trusted.to_str().expect("a path in UTF-8");
    let known = run(
        &["migrate"],
        &[("DATABASE_URL", &url), ("SSL_CERT_FILE", trusted)],
    );
    assert!(known.status.success(), "{}", stderr(&known));
    let unknown = run(&["migrate"], &[("DATABASE_URL", &url)]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        stderr(&unknown).contains("certificate"),
        "{}",
        stderr(&unknown)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn required_tls_is_never_done_without() {
    let cluster = Cluster::start().await;
    let url = format!("{}?sslmode=require", cluster.url());
    let refused = run(&["migrate"], &[("DATABASE_URL", &url)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("TLS"), "{}", stderr(&refused));
}
