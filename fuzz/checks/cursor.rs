//! Whatever is sent as the query of a list: its cursor is refused, unless it is one of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reprise_core::ids::TenantId;
use reprise_core::sealing::{KeyRing, SecretKey};
use uuid::Uuid;

use crate::faults::{Faults, Query};
use crate::pagination::Cursors;

pub fn check(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let key = SecretKey::parse(&STANDARD.encode([7; 32])).expect("a key");
    let cursors = Cursors::new(KeyRing::new(key, Vec::new()));
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let read = |query: &str| {
        let faults = Faults::default();
        let page = cursors.read_page(tenant, "deliveries", &Query::parse(query, &faults));
        (page, faults)
    };
    let (page, faults) = read(query);
    match page {
        Some(page) => {
            assert!((1..=250).contains(&page.limit));
            assert_eq!(page.after, None, "nobody can make one up");
        }
        None => assert!(!faults.is_empty(), "who is refused is told why"),
    }
    check_round_trip(&cursors, tenant, data);
}

/// A cursor of ours is read back, whatever id it holds.
fn check_round_trip(cursors: &Cursors, tenant: TenantId, data: &[u8]) {
    let Some(id) = data.first_chunk() else { return };
    let id = Uuid::from_bytes(*id);
    let cursor = cursors.next(tenant, "deliveries", Some(id));
    let query = format!("cursor={}", cursor.expect("there is more"));
    let query = Query::parse(&query, &Faults::default());
    let page = cursors.read_page(tenant, "deliveries", &query);
    assert_eq!(page.and_then(|page| page.after), Some(id));
    assert_eq!(cursors.read_page(tenant, "endpoints", &query), None);
}

#[cfg(test)]
#[test]
fn the_corpus_of_cursor_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/cursor");
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
    fn any_query_is_read_or_refused(text: String, cursor in "[A-Za-z0-9_-]{0,80}", limit: i64) {
        check(text.as_bytes());
        check(format!("cursor={cursor}&limit={limit}").as_bytes());
    }
}
