//! Keyset pages: a cursor says after which id to go on, and for whom.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reprise_core::ids::TenantId;
use reprise_core::sealing::KeyRing;
use uuid::Uuid;

use crate::faults::{Field, Query};

/// Items of a page, when the caller does not say.
const DEFAULT_LIMIT: i64 = 50;
/// Items of a page at most.
const MAX_LIMIT: i64 = 250;

/// Makes and checks cursors. They are sealed, so that nobody can make one up or use another tenant's.
#[derive(Clone, Debug)]
pub struct Cursors {
    keys: KeyRing,
}

/// Which page of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The id after which it begins.
    pub after: Option<Uuid>,
    /// Items at most.
    pub limit: usize,
}

impl Page {
    /// One row more than the page holds, which tells whether there is another page.
    #[must_use]
    pub fn probe(&self) -> i64 {
        i64::try_from(self.limit)
            .unwrap_or(i64::MAX)
            .saturating_add(1)
    }
}

impl Cursors {
    /// Cursors sealed with the master key.
    #[must_use]
    pub fn new(keys: KeyRing) -> Self {
        Self { keys }
    }

    fn context(tenant_id: TenantId, list: &str) -> Vec<u8> {
        [
            tenant_id.as_uuid().as_bytes(),
            b"cursor".as_slice(),
            list.as_bytes(),
        ]
        .concat()
    }

    fn make(&self, tenant_id: TenantId, list: &str, after: Uuid) -> String {
        URL_SAFE_NO_PAD.encode(
            self.keys
                .seal(after.as_bytes(), &Self::context(tenant_id, list)),
        )
    }

    fn open(&self, tenant_id: TenantId, list: &str, cursor: &str) -> Option<Uuid> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let opened = self
            .keys
            .open(&sealed, &Self::context(tenant_id, list))
            .ok()?;
        Uuid::from_slice(&opened).ok()
    }

    /// Reads `limit` and `cursor` of a query; faults are noted there.
    pub fn read_page(&self, tenant_id: TenantId, list: &str, query: &Query) -> Option<Page> {
        let limit = query.optional("limit", |field| Some(field.integer(1..=MAX_LIMIT)));
        let after = query.optional("cursor", |field: Field| {
            let here = field.clone();
            let text = field.text()?;
            let opened = self.open(tenant_id, list, &text);
            Some(opened.or_else(|| here.value_error("the cursor is not one of this list")))
        });
        // Both are read before either is given up on, so that both faults are told.
        let limit = usize::try_from(limit.unwrap_or(Some(DEFAULT_LIMIT))?).ok()?;
        let after = after.map_or(Some(None), |after| after.map(Some))?;
        Some(Page { after, limit })
    }

    /// The cursor of a next page, if there is one.
    #[must_use]
    pub fn next(&self, tenant_id: TenantId, list: &str, after: Option<Uuid>) -> Option<String> {
        after.map(|after| self.make(tenant_id, list, after))
    }

    /// Cuts what was found with [`Page::probe`] down to the page, and makes the cursor of the next one.
    pub fn cut<T>(
        &self,
        tenant_id: TenantId,
        list: &str,
        page: &Page,
        mut found: Vec<T>,
        id: impl Fn(&T) -> Uuid,
    ) -> (Vec<T>, Option<String>) {
        let has_more = found.len() > page.limit;
        found.truncate(page.limit);
        let next = found
            .last()
            .filter(|_| has_more)
            .map(|last| self.make(tenant_id, list, id(last)));
        (found, next)
    }
}

/// The value of a `Link` header to the next page (RFC 8288): the request's own path and query with another cursor.
#[must_use]
pub fn link_to_next(path: &str, query: &str, cursor: &str) -> String {
    let mut link = format!("<{path}?");
    for (key, value) in form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "cursor")
    {
        let pair: String = form_urlencoded::Serializer::new(String::new())
            .append_pair(&key, &value)
            .finish();
        link.push_str(&pair);
        link.push('&');
    }
    write!(link, "cursor={cursor}>; rel=\"next\"").expect("writing to a String can't fail");
    link
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Faults;
    use base64::engine::general_purpose::STANDARD;
    use reprise_core::sealing::SecretKey;

    #[test]
    fn a_cursor_is_good_for_its_tenant_and_list_only() {
        let keys = KeyRing::new(SecretKey::parse(&STANDARD.encode([1; 32])).unwrap(), vec![]);
        let cursors = Cursors::new(keys);
        let (tenant, id) = (TenantId::new(), Uuid::now_v7());
        let cursor = cursors.make(tenant, "deliveries", id);
        let read = |tenant, list: &str, cursor: &str| {
            let faults = Faults::default();
            let query = Query::parse(&format!("cursor={cursor}&limit=3"), &faults);
            faults.unless(cursors.read_page(tenant, list, &query)).ok()
        };
        assert_eq!(
            read(tenant, "deliveries", &cursor),
            Some(Page {
                after: Some(id),
                limit: 3
            })
        );
        assert_eq!(read(TenantId::new(), "deliveries", &cursor), None);
        assert_eq!(read(tenant, "endpoints", &cursor), None);
        assert_eq!(
            read(
                tenant,
                "deliveries",
                &cursor.chars().rev().collect::<String>()
            ),
            None
        );
        assert_eq!(read(tenant, "deliveries", ""), None);
    }

    #[test]
    fn a_link_keeps_the_other_parameters() {
        assert_eq!(
            link_to_next("/x", "limit=2&cursor=old&a=b%20c", "new"),
            "</x?limit=2&a=b+c&cursor=new>; rel=\"next\""
        );
    }
}

#[cfg(test)]
#[path = "../../../fuzz/checks/cursor.rs"]
mod cursor_check;
