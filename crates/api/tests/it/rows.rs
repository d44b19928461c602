//! What stands in the database, for what the API does not show.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = Binary)]
    bytes: Vec<u8>,
}

/// The number of rows that `rows` selects: a table with a condition, perhaps.
pub async fn count(conn: &mut AsyncPgConnection, rows: &str) -> i64 {
    diesel::sql_query(format!("SELECT count(*) AS count FROM {rows}"))
        .get_result::<Count>(conn)
        .await
        .expect("rows can be counted")
        .count
}

/// The payload of an event as it is kept.
pub async fn payload(conn: &mut AsyncPgConnection, event_id: &str) -> Vec<u8> {
    diesel::sql_query(format!(
        "SELECT payload AS bytes FROM events WHERE id = '{event_id}'"
    ))
    .get_result::<Bytes>(conn)
    .await
    .expect("the event is there")
    .bytes
}

/// All rows of all tables as PostgreSQL writes them, bytes as hexadecimal digits.
pub async fn everything(conn: &mut AsyncPgConnection) -> String {
    let tables = "SELECT table_name::text AS text FROM information_schema.tables WHERE table_schema = 'public'";
    let mut all = String::new();
    for table in texts(conn, tables).await {
        let rows = format!("SELECT one_row::text AS text FROM {table} AS one_row");
        all.push_str(&texts(conn, &rows).await.join("\n"));
    }
    all
}

/// The column `text` of a query.
async fn texts(conn: &mut AsyncPgConnection, query: &str) -> Vec<String> {
    let rows: Vec<Line> = diesel::sql_query(query).load(conn).await.expect("rows");
    rows.into_iter().map(|row| row.text).collect()
}

/// Copies the one endpoint that is there so many times. Only publishing and counting can be done with the copies: what
/// is sealed does not open in another row.
pub async fn copy_endpoints(conn: &mut AsyncPgConnection, copies: usize) {
    let columns = "user_id, url, event_patterns, timeout_seconds, custom_headers_sealed, secret_sealed, secret_hint,
                   signature_scheme";
    let copy = format!(
        "INSERT INTO endpoints (tenant_id, id, {columns})
         SELECT tenant_id, gen_random_uuid(), {columns} FROM endpoints, generate_series(1, {copies});
         UPDATE tenants SET endpoints_version = endpoints_version + 1"
    );
    conn.batch_execute(&copy).await.expect("copied");
}
