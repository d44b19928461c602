//! `scripts/leaks`, by which a full test run proves that no program has written a secret.

use std::{path::Path, process::Command};

/// Whether the script finds nothing in a program's output that has this line.
fn is_clean(line: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = format!("2026-01-01T00:00:00Z  INFO reprise_api: begin\n{line}\n");
    std::fs::write(folder.path().join("reprise-api.log"), lines).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/leaks");
    let ended = Command::new(script).arg(folder.path()).output();
    ended.expect("the script can be run").status.success()
}

/// As Rust prints a buffer.
fn bytes(text: &str) -> String {
    format!(
        "executing statement with parameters: [{:?}]",
        text.as_bytes()
    )
}

#[test]
fn secrets_and_payloads_are_found_as_text_and_as_bytes() {
    let key = "rpk_0123456789.abcdefghijklmnopqrstuvwxyz";
    for secret in [
        "dGVzdC1vbmx5LXNlY3JldC1rZXktb2YtMzItYnl0ZXM=",
        "the password of acme",
        "Bearer hunter2",
        r#"{"n":1}"#,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        concat!("-----BEGIN ", "PRIVATE KEY-----"),
        key,
    ] {
        assert!(!is_clean(&format!("key={secret}")), "{secret}");
        assert!(!is_clean(&bytes(secret)), "{secret} as bytes");
    }
    assert!(is_clean("Answered status=202 request.id=0190a0b0"));
    assert!(is_clean("the prefix rpk_0123456789 is no secret"));
}
