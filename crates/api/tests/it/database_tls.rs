//! TLS to PostgreSQL: `sslmode=require` encrypts, and verifies who answers.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use reprise_core::store::connect;
use reprise_testkit::cluster::Cluster;
use reprise_testkit::fixture::{Api, Tenant};
use reprise_testkit::polling::poll_until;
use tempfile::TempDir;

use crate::command::{run, stderr};
use crate::rows;
use crate::stage::code;

const SOON: Duration = Duration::from_secs(10);

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

/// A server that insists on TLS, and who must be trusted to speak to it.
struct Encrypted {
    cluster: Cluster,
    url: String,
    trusted: PathBuf,
    _folder: TempDir,
}

impl Encrypted {
    async fn start() -> Self {
        let mut cluster = Cluster::start().await;
        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        turn_tls_on(&cluster, &certificate, &key).await;
        cluster.restart();
        let folder = tempfile::tempdir().expect("a folder");
        let trusted = folder.path().join("trusted.pem");
        fs::write(&trusted, certificate).expect("written");
        Self {
            url: format!("{}?sslmode=require", cluster.url()),
            cluster,
            trusted,
            _folder: folder,
        }
    }

    /// What makes a program trust the server.
    fn trust(&self) -> (&str, &str) {
        (
            "SSL_CERT_FILE",
            self.trusted.to_str().expect("a path in UTF-8"),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn required_tls_is_spoken_to_a_server_that_is_trusted_and_to_no_other() {
    let server = Encrypted::start().await;
    let url = ("DATABASE_URL", server.url.as_str());
    let known = run(&["migrate"], &[url, server.trust()]);
    assert!(known.status.success(), "{}", stderr(&known));
    let unknown = run(&["migrate"], &[url]);
    assert_eq!(unknown.status.code(), Some(1));
    let message = stderr(&unknown);
    assert!(
        message.contains("the server's certificate is of no authority that is trusted"),
        "{message}"
    );
    assert!(!message.contains("UnknownIssuer"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_that_takes_too_long_is_cancelled_over_required_tls_too() {
    let server = Encrypted::start().await;
    let api = Api::start_with(&server.url, &[server.trust()]).await;
    let tenant = Tenant::create(server.cluster.url(), "acme").await;
    let client = api.client(&tenant);
    let mut holder = connect(server.cluster.url()).await.expect("a connection");
    holder
        .batch_execute("SET idle_in_transaction_session_timeout = 0; BEGIN; LOCK TABLE endpoints")
        .await
        .expect("locked");
    assert_eq!(code(client.get("/hooks").await, 503), "unavailable");
    let waiting = "pg_stat_activity WHERE wait_event_type = 'Lock'";
    let cancelled = poll_until(SOON, async || {
        (rows::count(&mut holder, waiting).await == 0).then_some(())
    });
    cancelled.await.expect("it waits no longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn required_tls_is_never_done_without() {
    let cluster = Cluster::start().await;
    let url = format!("{}?sslmode=require", cluster.url());
    let refused = run(&["migrate"], &[("DATABASE_URL", &url)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("TLS"), "{}", stderr(&refused));
}
