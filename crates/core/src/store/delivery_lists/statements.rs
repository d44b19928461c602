//! The statements behind the lists of deliveries: two texts per index, so that a generic plan has one way to go,
//! whatever else is filtered by.

use crate::store::scan::{max_page_rows, max_scanned_rows};

/// The statements that read by one index.
pub(super) struct ByIndex {
    /// For pages that every row of the index's condition belongs to.
    pub(super) plain: &'static str,
    /// For pages that are filtered by something else besides.
    pub(super) filtered: &'static str,
}

/// The statements that read by one index. What passes the filters comes back with `is_match`; the last row that may be
/// read comes back in any case, so that the next page can begin there.
///
/// The rows are read in the order of all the index's columns, between bounds on all of them: no other index has that
/// order, and sorting is out of the question, so that the planner has one way to go however small the table was when it
/// planned.
///
/// - `$1` tenant, `$2` below this id, `$3` from this id on
/// - `$4` endpoint, `$5` stored status, `$6` type, `$7` group, `$8` HTTP status, `$9` replayed delivery, `$10` made
///   from, `$11` made until, `$12` whether leased, `$13` event: each null where it does not filter
/// - `$14` rows at most: one more than the page may hold
macro_rules! read_by {
    ($column:literal = $value:literal $(, $condition:literal)?) => {
        read_from!(
            concat!(
                "SELECT * FROM deliveries
                 WHERE tenant_id = $1 AND (", $column, ", id) < (", $value, ", $2)
                   AND ", $column, " >= ", $value, " AND id < $2", $(" AND ", $condition,)?
                " ORDER BY tenant_id DESC, ", $column, " DESC, id DESC"
            ),
            "",
            concat!("tenant_id DESC, ", $column, " DESC, id DESC")
        )
    };
}

/// As [`read_by`], from a source and what follows on its limit, in an order.
macro_rules! read_from {
    ($source:expr, $end:expr, $order:expr) => {
        ByIndex {
            plain: read_from!($source, $end, $order, max_page_rows!()),
            filtered: read_from!($source, $end, $order, max_scanned_rows!()),
        }
    };
    ($source:expr, $end:expr, $order:expr, $rows:expr) => {
        concat!(
            // The leases of a page are looked up after it was cut; those of what is scanned, only where they filter.
            // One lookup each: a plan of a join that was made while the queue was empty reads all of a tenant's queue.
            "SELECT page.*, coalesce(
                 (SELECT lease_token IS NOT NULL AND due_at > now() FROM delivery_queue
                  WHERE tenant_id = $1 AND delivery_id = page.id),
                 false
             ) AS is_leased
             FROM (
                 SELECT *
                 FROM (
                     SELECT found.*, found.position = ",
            $rows,
            " AS is_last_scanned,
                            ($4::uuid IS NULL OR endpoint_id = $4)
                            AND ($5::text IS NULL OR status = $5)
                            AND ($6::text IS NULL OR event_type = $6)
                            AND ($7::text IS NULL OR event_group IS NOT DISTINCT FROM $7)
                            AND ($8::int4 IS NULL OR final_http_status IS NOT DISTINCT FROM $8)
                            AND ($9::uuid IS NULL OR replay_of_delivery_id IS NOT DISTINCT FROM $9)
                            AND ($10::timestamptz IS NULL OR created_at >= $10)
                            AND ($11::timestamptz IS NULL OR created_at < $11)
                            AND ($13::uuid IS NULL OR event_id = $13)
                            AND id >= $3
                            AND ($12::bool IS NULL OR $12 = coalesce(
                                (SELECT lease_token IS NOT NULL AND due_at > now() FROM delivery_queue
                                 WHERE tenant_id = $1 AND delivery_id = found.id),
                                false
                            )) AS is_match
                     FROM (
                         SELECT indexed.*, row_number() OVER (ORDER BY ",
            $order,
            ") AS position
                         FROM (",
            $source,
            " LIMIT ",
            $rows,
            $end,
            "            ) indexed
                     ) found
                 ) scanned
                 WHERE is_match OR is_last_scanned
                 ORDER BY ",
            $order,
            " LIMIT $14
             ) page
             ORDER BY page.id DESC"
        )
    };
}

/// By the primary key.
pub(super) const BY_ID: ByIndex = read_from!(
    "SELECT * FROM deliveries WHERE tenant_id = $1 AND id < $2 ORDER BY tenant_id DESC, id DESC",
    "",
    "tenant_id DESC, id DESC"
);
/// By `deliveries_event_idx`.
pub(super) const BY_EVENT: ByIndex = read_by!("event_id" = "$13", "id >= $3");
/// By `deliveries_endpoint_idx`.
pub(super) const BY_ENDPOINT: ByIndex = read_by!("endpoint_id" = "$4");
/// By `deliveries_type_idx`.
pub(super) const BY_TYPE: ByIndex = read_by!("event_type" = "$6");
/// By `deliveries_unsuccessful_idx`.
pub(super) const BY_UNSUCCESSFUL_STATUS: ByIndex = read_by!(
    "unsuccessful_status" = "$5",
    "unsuccessful_status IS NOT NULL"
);
/// By `deliveries_endpoint_unsuccessful_idx`. Of two columns that are given the first is said to be equal: the
/// comparison of rows ends a scan by its first column only.
pub(super) const BY_UNSUCCESSFUL_AT_ENDPOINT: ByIndex = read_from!(
    "SELECT * FROM deliveries
     WHERE tenant_id = $1 AND endpoint_id = $4 AND (unsuccessful_status, id) < ($5, $2)
       AND unsuccessful_status >= $5 AND id < $2 AND unsuccessful_status IS NOT NULL
     ORDER BY tenant_id DESC, endpoint_id DESC, unsuccessful_status DESC, id DESC",
    "",
    "tenant_id DESC, endpoint_id DESC, unsuccessful_status DESC, id DESC"
);
/// By `deliveries_replays_idx`, which finds all replays of the same first delivery.
pub(super) const BY_REPLAY: ByIndex = read_by!(
    "first_delivery_id" =
        "(SELECT first_delivery_id FROM deliveries WHERE tenant_id = $1 AND id = $9)",
    "replay_of_delivery_id IS NOT NULL"
);
/// By the primary key of the queue, which holds all that is unfinished.
pub(super) const BY_QUEUE: ByIndex = read_from!(
    "SELECT unfinished.*
     FROM (
         SELECT delivery_id FROM delivery_queue
         WHERE tenant_id = $1 AND delivery_id < $2
         ORDER BY delivery_id DESC",
    ") waiting
     CROSS JOIN LATERAL (
         SELECT * FROM deliveries WHERE tenant_id = $1 AND id = waiting.delivery_id LIMIT 1
     ) unfinished",
    "id DESC"
);
