//! The receiver does what its script says, and records what it gets.

use std::{fs, sync::Arc, time::Duration};

use reprise_testkit::{
    http::{Client, Method},
    receiver::{Answer, Receiver},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

const SOON: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"POST /hook HTTP/1.1\r\nhost: receiver\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let receiver = Receiver::start().await;
    let client = Client::new(&receiver.url("")).header("Webhook-Id", "1");
    let answer = client.post("/hook?a=b", &json!({"n": 1})).await;
    assert_eq!(answer.status, 200);

    let received = receiver.wait_for(1, SOON).await;
    assert_eq!(received[0].method, "POST");
    assert_eq!(received[0].path, "/hook?a=b");
    assert_eq!(received[0].header("webhook-id"), Some("1"));
    assert_eq!(received[0].body, r#"{"n":1}"#);
}

#[tokio::test]
async fn answers_come_in_turn_and_the_last_repeats() {
    let receiver = Receiver::start().await;
    let retry_later = Answer::status(503).header("retry-after", "7").body("busy");
    receiver.answer([retry_later, Answer::status(204)]);
    receiver.answer_on("/moved", Answer::redirect(302, "/elsewhere"));
    receiver.answer_by("/echo", |request| {
        Answer::status(201).body(request.body.clone())
    });
    let client = Client::new(&receiver.url(""));

    let first = client.get("/").await;
    assert_eq!(
        (first.status, first.header("retry-after")),
        (503, Some("7"))
    );
    assert_eq!(first.text(), "busy");
    assert_eq!(client.get("/").await.status, 204);
    assert_eq!(client.get("/").await.status, 204);
    assert_eq!(
        client.get("/moved").await.header("location"),
        Some("/elsewhere")
    );
    assert_eq!(client.post("/echo", &json!([1])).await.text(), "[1]");
    assert_eq!(receiver.received().len(), 5);
}

#[tokio::test]
async fn delayed_answer_comes_late() {
    let receiver = Receiver::start().await;
    let delay = Duration::from_millis(100);
    receiver.answer(Answer::status(200).delay(delay));
    let begun = std::time::Instant::now();
    Client::new(&receiver.url("")).get("/").await;
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn reset_comes_after_the_request_was_recorded() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::reset());
    let mut socket = send_request(&receiver).await;
    let error = socket.read(&mut [0; 1]).await.expect_err("no answer comes");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn hang_answers_nothing_and_drip_never_ends() {
    let receiver = Receiver::start().await;
    receiver.answer([Answer::hang(), Answer::drip(Duration::from_millis(1))]);
    let mut hanging = send_request(&receiver).await;
    receiver.wait_for(1, SOON).await;
    let mut dripping = send_request(&receiver).await;
    let mut some = [0; 512];
    dripping
        .read_exact(&mut some)
        .await
        .expect("the drip goes on");
    assert!(some.starts_with(b"HTTP/1.1 200 OK"));
    let silence = tokio::time::timeout(Duration::from_millis(50), hanging.read(&mut some)).await;
    assert!(silence.is_err(), "a hanging receiver said something");
}

#[tokio::test]
async fn endless_body_goes_past_any_cap() {
    let receiver = Receiver::start().await;
    receiver.answer(Answer::endless_body());
    let mut socket = send_request(&receiver).await;
    let mut much = vec![0; 4 * 1024 * 1024];
    socket
        .read_exact(&mut much)
        .await
        .expect("the body goes on");
}

#[tokio::test]
#[should_panic(expected = "1 came:")]
async fn wait_in_vain_says_what_came() {
    let receiver = Receiver::start().await;
    Client::new(&receiver.url("")).get("/once").await;
    receiver.wait_for(2, Duration::from_millis(10)).await;
}

#[tokio::test]
async fn dropped_receiver_refuses_connections() {
    let receiver = Receiver::start().await;
    let client = Client::new(&receiver.url(""));
    drop(receiver);
    let answer = client.try_send(Method::GET, "/", None).await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn tls_receiver_is_trusted_through_its_authority() {
    let receiver = Receiver::start_tls(&["localhost", "127.0.0.1"]).await;
    assert!(receiver.url("/").starts_with("https://localhost:"));
    let pem = fs::read(receiver.ca_pem_path()).expect("the authority's file is there");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).expect("it is PEM"))
        .expect("it is an authority");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();

    let socket = TcpStream::connect(receiver.address())
        .await
        .expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .expect("the certificate is trusted");
    stream.write_all(REQUEST).await.expect("it reads");
    receiver.wait_for(1, SOON).await;
}

async fn send_request(receiver: &Receiver) -> TcpStream {
    let mut socket = TcpStream::connect(receiver.address())
        .await
        .expect("it listens");
    socket.write_all(REQUEST).await.expect("it reads");
    socket
}
