//! What must be where it was.

use std::fmt;

use reprise_faults::{stage::Stage, usage::Usage};

/// What the survivors and PostgreSQL use.
#[derive(Debug)]
pub(super) struct Meters {
    api: Usage,
    dispatcher: Usage,
    /// Sessions of all programs.
    sessions: i64,
    /// Of the queue's table and its indexes.
    queue_bytes: i64,
    /// Rows in it.
    queued: i64,
    /// Rows of dispatchers.
    dispatchers: i64,
}

impl Meters {
    pub(super) async fn read(stage: &Stage) -> Self {
        let sql = &stage.sql;
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
        Self {
            api: Usage::of(&stage.api.process),
            dispatcher: Usage::of(&stage.dispatchers[0].process),
            sessions: sql.number(sessions).await,
            queue_bytes: sql.number("pg_total_relation_size('delivery_queue')").await,
            queued: sql.number("SELECT count(*) FROM delivery_queue").await,
            dispatchers: sql.number("SELECT count(*) FROM dispatchers").await,
        }
    }

    /// Holds what is used after the faults against what was used before: half as much again is where it was, since
    /// caches fill and tables keep the room that they once needed.
    pub(super) fn hold_against(&self, before: &Self) {
        let (api, dispatcher) = (&self.api, &self.dispatcher);
        let is_where_it_was = |now: u64, was: u64, slack: u64| now <= was + was / 2 + slack;
        let memory =
            |now: &Usage, was: &Usage| is_where_it_was(now.memory_kb, was.memory_kb, 8_192);
        assert!(memory(api, &before.api), "memory of the API");
        assert!(
            memory(dispatcher, &before.dispatcher),
            "memory of the dispatcher"
        );
        assert!(api.files <= before.api.files + 10, "files of the API");
        let files = before.dispatcher.files + 40;
        assert!(dispatcher.files <= files, "files of the dispatcher");
        assert!(self.sessions <= before.sessions + 10, "sessions");
        let megabyte = 1_048_576;
        let bytes = before.queue_bytes + before.queue_bytes / 2 + 4 * megabyte;
        assert!(self.queue_bytes <= bytes, "the queue's table");
        assert!(self.queued <= before.queued + 100, "rows in the queue");
    }
}

impl fmt::Display for Meters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "API {}; dispatcher {}; {} sessions; queue {} kB with {} rows; {} dispatchers",
            self.api,
            self.dispatcher,
            self.sessions,
            self.queue_bytes / 1_024,
            self.queued,
            self.dispatchers,
        )
    }
}
