//! Whatever a tenant sends as a signature's header, prefix and secret: what is taken signs, and stays on its line.

use reprise_core::custom_headers::HeaderName;
use reprise_core::signing::{
    SignatureAlgorithm, SignaturePrefix, SignatureScheme, SignedMessage, SigningSecret, sign,
};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (secret, header, prefix) = (next(), next(), next());
    for algorithm in [SignatureAlgorithm::HmacSha256, SignatureAlgorithm::Ed25519] {
        check_scheme(&SignatureScheme::Standard(algorithm), secret);
    }
    let Ok(header) = HeaderName::parse(header) else {
        return;
    };
    let timestamped = SignatureScheme::Timestamped {
        header: header.clone(),
    };
    check_scheme(&timestamped, secret);
    if let Ok(prefix) = SignaturePrefix::parse(prefix) {
        check_scheme(&SignatureScheme::Body { header, prefix }, secret);
    }
}

fn check_scheme(scheme: &SignatureScheme, text: &str) {
    let Ok(secret) = SigningSecret::parse_for(scheme, text) else {
        return;
    };
    let again = SigningSecret::parse_for(scheme, secret.expose()).expect("it reads back");
    assert_eq!(secret, again);
    assert!(text.len() < 16 || !format!("{secret:?} {}", secret.hint()).contains(text));
    let message = SignedMessage {
        id: "0190aaaa-0000-7000-8000-000000000000",
        timestamp: 1_700_000_000,
        body: b"{}",
    };
    let signed = sign(scheme, &[&secret], &message).expect("what is taken signs");
    assert_eq!(sign(scheme, &[&again], &message).as_ref(), Ok(&signed));
    let is_on_its_line = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    assert!(!signed.value.is_empty() && signed.value.bytes().all(is_on_its_line));
    HeaderName::parse(signed.name).map_or_else(
        |_| assert_eq!(signed.name, "webhook-signature"),
        |name| assert_eq!(name.as_str(), signed.name),
    );
}

#[cfg(test)]
#[test]
fn the_corpus_of_signature_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/signature");
    let files: Vec<_> = std::fs::read_dir(folder).expect("a corpus").collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.expect("listed").path();
        check(&std::fs::read(path).expect("readable"));
    }
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn any_secret_that_is_taken_signs(text: String, key: [u8; 32], line in "[ -~]{0,40}") {
        use base64::Engine as _;
        check(text.as_bytes());
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        check(format!("whsec_{key}\n{line}\n{line}").as_bytes());
        check(format!("whsk_{key}\n{line}\n{line}").as_bytes());
        check(format!("{line}\nX-Signature\n{line}").as_bytes());
    }
}
