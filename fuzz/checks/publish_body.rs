//! Whatever is sent as an event: it is read as it stands, or refused with a bounded number of faults.

use serde_json::value::RawValue;

use super::body::{read_batch, read_one};

pub fn check(data: &[u8]) {
    match read_one(data) {
        Ok(event) => {
            let payload = event.payload.as_slice();
            let is_part = data.windows(payload.len()).any(|part| part == payload);
            assert!(is_part, "the payload is kept byte for byte");
            serde_json::from_slice::<&RawValue>(payload).expect("it is JSON");
        }
        Err(faults) => assert!((1..=1_000).contains(&faults.list().len())),
    }
    if let Err(faults) = read_batch(data) {
        assert!((1..=1_000).contains(&faults.list().len()));
    }
}

#[cfg(test)]
#[test]
fn the_corpus_of_publish_body_holds() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/corpus/publish_body"
    );
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
    fn any_body_is_read_or_refused(
        data: Vec<u8>,
        json in r#"[\[\]{}:,"\\a-c0-9.eE+ -]{0,60}"#,
    ) {
        check(&data);
        check(json.as_bytes());
        check(format!(r#"{{"event_type":"a.b","payload":{json}}}"#).as_bytes());
        check(format!(r#"[{{"event_type":"a.b","payload":1}},{json}]"#).as_bytes());
    }
}
