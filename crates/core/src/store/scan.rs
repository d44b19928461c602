//! Pages of a list that is read by an index and filtered by what the index does not know: each page reads a bounded
//! number of rows, so that a filter that few rows pass costs no more than one that all pass. Such a page may be short,
//! or empty, and yet not the last one.

use uuid::Uuid;

/// Rows read for one page at most, as a literal for SQL text: the planner shall know it. At 1,500 a page that finds
/// nothing takes some milliseconds; more would be felt, less would make searching for a rare row many calls.
macro_rules! max_scanned_rows {
    () => {
        "1500"
    };
}
pub(crate) use max_scanned_rows;

/// Rows of the largest page, and one more that tells whether there is another.
macro_rules! max_page_rows {
    () => {
        "251"
    };
}
pub(crate) use max_page_rows;

/// A page, newest first.
#[derive(Clone, Debug)]
pub struct ScannedPage<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where the next page begins (below this id); `None` after the last one.
    pub next: Option<Uuid>,
}

/// A row of such a list: one that passes the filter, or the last one that may be read.
pub(super) struct ScannedRow<T> {
    pub(super) id: Uuid,
    pub(super) is_match: bool,
    pub(super) is_last_scanned: bool,
    pub(super) item: T,
}

impl<T> ScannedPage<T> {
    /// Cuts rows, of which one more was asked for than the page may hold, down to the page.
    pub(super) fn cut(mut rows: Vec<ScannedRow<T>>, limit: usize) -> Self {
        let next = if rows.len() > limit {
            rows.truncate(limit);
            rows.last().map(|row| row.id)
        } else {
            rows.last()
                .filter(|row| row.is_last_scanned)
                .map(|row| row.id)
        };
        let items = rows
            .into_iter()
            .filter(|row| row.is_match)
            .map(|row| row.item)
            .collect();
        Self { items, next }
    }
}

impl<T> ScannedPage<T> {
    /// The page of a list that ends at an id: there is no page below it.
    pub(super) fn ending_at(self, first: Uuid) -> Self {
        Self {
            next: self.next.filter(|next| *next > first),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u128, is_match: bool, is_last_scanned: bool) -> ScannedRow<u128> {
        ScannedRow {
            id: Uuid::from_u128(id),
            is_match,
            is_last_scanned,
            item: id,
        }
    }

    fn cut(rows: Vec<ScannedRow<u128>>) -> (Vec<u128>, Option<u128>) {
        let page = ScannedPage::cut(rows, 2);
        (page.items, page.next.map(|id| id.as_u128()))
    }

    #[test]
    fn a_page_ends_where_it_is_full_or_where_the_scan_ended() {
        assert_eq!(cut(vec![]), (vec![], None));
        assert_eq!(cut(vec![row(9, true, false)]), (vec![9], None));
        let full = vec![
            row(9, true, false),
            row(8, true, false),
            row(7, true, false),
        ];
        assert_eq!(cut(full), (vec![9, 8], Some(8)));
        let full_at_the_end = vec![
            row(9, true, false),
            row(8, true, false),
            row(7, false, true),
        ];
        assert_eq!(cut(full_at_the_end), (vec![9, 8], Some(8)));
        assert_eq!(
            cut(vec![row(9, true, false), row(7, false, true)]),
            (vec![9], Some(7))
        );
        assert_eq!(cut(vec![row(7, true, true)]), (vec![7], Some(7)));
        assert_eq!(cut(vec![row(7, false, true)]), (vec![], Some(7)));
    }
}
