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

/// The statements that read by the index which a condition belongs to. What passes the filters comes back with
/// `is_match`; the last row that may be read comes back in any case, so that the next page can begin there.
///
/// Ids are bounded from above only where rows are read: of a range between two parameters the planner believes that it
/// holds next to nothing, and sorts all of an endpoint's rows instead of reading them in order.
///
/// - `$1` tenant, `$2` below this id, `$3` from this id on
/// - `$4` endpoint, `$5` stored status, `$6` type, `$7` group, `$8` HTTP status, `$9` replayed delivery, `$10` made from,
///   `$11` made until, `$12` whether leased, `$13` event: each null where it does not filter
/// - `$14` rows at most: one more than the page may hold
macro_rules! read_by {
    ($index_condition:literal) => {
        read_from!(
            "SELECT * FROM deliveries WHERE tenant_id = $1 AND id < $2 AND ",
            $index_condition,
            " ORDER BY id DESC LIMIT ",
            ""
        )
    };
}

/// As [`read_by`], from what four texts say with the limit between the last two.
macro_rules! read_from {
    ($select:literal, $condition:literal, $limit:literal, $join:literal) => {
        ByIndex {
            plain: read_from!($select, $condition, $limit, $join, max_page_rows!()),
            filtered: read_from!($select, $condition, $limit, $join, max_scanned_rows!()),
        }
    };
    ($select:literal, $condition:literal, $limit:literal, $join:literal, $rows:expr) => {
        concat!(
            "SELECT scanned.*, leased.is_leased, scanned.passes AND leased.is_wanted AS is_match
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
                        AND id >= $3 AS passes
                 FROM (
                     SELECT indexed.*, row_number() OVER (ORDER BY indexed.id DESC) AS position
                     FROM (",
            $select,
            $condition,
            $limit,
            $rows,
            $join,
            "        ) indexed
                 ) found
             ) scanned
             LEFT JOIN delivery_queue queued ON queued.tenant_id = $1 AND queued.delivery_id = scanned.id
             CROSS JOIN LATERAL (
                 SELECT coalesce(queued.lease_token IS NOT NULL AND queued.due_at > now(), false) AS is_leased
             ) lease
             CROSS JOIN LATERAL (
                 SELECT lease.is_leased, ($12::bool IS NULL OR lease.is_leased = $12) AS is_wanted
             ) leased
             WHERE (scanned.passes OR scanned.is_last_scanned) AND (leased.is_wanted OR scanned.is_last_scanned)
             ORDER BY scanned.id DESC
             LIMIT $14"
        )
    };
}

/// By the primary key.
pub(super) const BY_ID: ByIndex = read_by!("true");
/// By `deliveries_event_idx`.
pub(super) const BY_EVENT: ByIndex = read_by!("event_id = $13 AND id >= $3");
/// By `deliveries_endpoint_idx`.
pub(super) const BY_ENDPOINT: ByIndex = read_by!("endpoint_id = $4");
/// By `deliveries_type_idx`.
pub(super) const BY_TYPE: ByIndex = read_by!("event_type = $6");
/// By `deliveries_unsuccessful_idx`.
pub(super) const BY_UNSUCCESSFUL_STATUS: ByIndex = read_by!("unsuccessful_status = $5");
/// By the primary key of the queue, which holds all that is unfinished.
pub(super) const BY_QUEUE: ByIndex = read_from!(
    "SELECT unfinished.*
     FROM (
         SELECT delivery_id FROM delivery_queue ",
    "WHERE tenant_id = $1 AND delivery_id < $2",
    " ORDER BY delivery_id DESC LIMIT ",
    ") waiting
     JOIN deliveries unfinished ON unfinished.tenant_id = $1 AND unfinished.id = waiting.delivery_id
     ORDER BY unfinished.id DESC"
);
/// By `deliveries_replays_idx`, which finds all replays of the same first delivery.
pub(super) const BY_REPLAY: ByIndex = read_by!(
    "replay_of_delivery_id IS NOT NULL
     AND first_delivery_id = (SELECT first_delivery_id FROM deliveries WHERE tenant_id = $1 AND id = $9)"
);
