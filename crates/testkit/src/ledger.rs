//! What was published and what was answered, and the account of it against what came.

use std::{fmt, time::Duration};

use crate::{
    journal::Journal,
    sql::{ORPHANS, Sql},
};

/// Events by their numbers, written down before they are sent.
#[derive(Debug, Default)]
pub struct Ledger {
    events: Vec<Option<String>>,
    unanswered: usize,
    unavailable: usize,
    oddities: Vec<String>,
    slowest: Duration,
}

/// What a publisher was answered.
#[derive(Debug)]
pub(crate) enum Answered {
    /// 202, with the events' ids.
    Accepted(Vec<String>),
    /// 503 with `Retry-After`: try again; whether it was stored is open.
    Unavailable,
    /// The connection was lost or refused; whether it was stored is open.
    Nothing,
    /// What should not have been answered.
    Odd(String),
}

impl Ledger {
    /// Writes down `count` events that are about to be sent; returns the number of the first.
    pub(crate) fn begin(&mut self, count: usize) -> u64 {
        let first = self.events.len();
        self.events.resize(first + count, None);
        first as u64
    }

    /// Writes down what was answered to events from `first` on.
    pub(crate) fn note(&mut self, first: u64, answered: Answered, after: Duration) {
        self.slowest = self.slowest.max(after);
        match answered {
            Answered::Accepted(ids) => self.accept(first, ids),
            Answered::Unavailable => self.unavailable += 1,
            Answered::Nothing => self.unanswered += 1,
            Answered::Odd(what) => self.oddities.push(what),
        }
    }

    fn accept(&mut self, first: u64, ids: Vec<String>) {
        for (sequence, id) in (first..).zip(ids) {
            let index = usize::try_from(sequence).expect("a number of ours");
            match &self.events[index] {
                Some(known) if *known != id => self.oddities.push(format!(
                    "event {sequence} was answered {known} first and {id} when it was repeated"
                )),
                _ => self.events[index] = Some(id),
            }
        }
    }

    /// How many events were answered 202 so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.events.iter().flatten().count()
    }

    /// How many calls were answered 503 so far.
    #[must_use]
    pub fn unavailable(&self) -> usize {
        self.unavailable
    }

    /// Compares with what came at the one endpoint that there is.
    #[must_use]
    pub fn judge(&self, journal: &Journal) -> Verdict {
        let mut verdict = Verdict {
            published: self.events.len(),
            accepted: self.accepted(),
            unavailable: self.unavailable,
            unanswered: self.unanswered,
            doubled: journal.repeats(),
            slowest: self.slowest,
            faults: self.oddities.clone(),
            ..Verdict::default()
        };
        for (sequence, accepted) in (0..).zip(&self.events) {
            let receipt = journal.find(sequence);
            match (accepted, &receipt) {
                (Some(_), None) => verdict.lost.push(sequence),
                (Some(id), Some(receipt)) if receipt.event_id != *id => {
                    let came = &receipt.event_id;
                    let fault = format!("event {sequence} was answered {id} and came as {came}");
                    verdict.faults.push(fault);
                }
                _ => {}
            }
            if receipt.is_some_and(|receipt| receipt.strangers > 0) {
                verdict.stored_twice.push(sequence);
            }
        }
        verdict
    }

    /// Waits until nothing is left in the queue, then judges, the tables too.
    ///
    /// # Panics
    ///
    /// When something is left in the queue after `patience`.
    pub async fn settle(&self, journal: &Journal, sql: &Sql, patience: Duration) -> Verdict {
        let left = "SELECT count(*) FROM delivery_queue";
        sql.wait_for(left, 0, patience).await;
        let mut verdict = self.judge(journal);
        verdict.faults.extend(sql.texts(ORPHANS).await);
        let unfinished = sql
            .texts(
                "SELECT id || ' is ' || status AS value FROM deliveries
                 WHERE status <> 'delivered' LIMIT 10",
            )
            .await;
        verdict.faults.extend(unfinished);
        verdict
    }
}

/// What an account comes to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Events that were sent to the API.
    pub published: usize,
    /// Those of them that were answered 202.
    pub accepted: usize,
    /// Calls that were answered 503.
    pub unavailable: usize,
    /// Calls that were not answered.
    pub unanswered: usize,
    /// Events that were answered 202 and never came.
    pub lost: Vec<u64>,
    /// How often something came that had come before.
    pub doubled: usize,
    /// Events that came under two ids.
    pub stored_twice: Vec<u64>,
    /// Whatever else should not be.
    pub faults: Vec<String>,
    /// The longest that a caller waited for an answer.
    pub slowest: Duration,
}

impl Verdict {
    /// Holds the verdict to the promise: nothing lost, nothing stored twice, nothing odd, and no more sent twice than
    /// was in flight when the fault happened.
    ///
    /// # Panics
    ///
    /// When it does not hold.
    pub fn hold(&self, in_flight_at_fault: usize) {
        assert!(self.accepted > 0, "nothing was published: {self}");
        assert!(self.lost.is_empty(), "lost: {:?}; {self}", self.lost);
        let twice = &self.stored_twice;
        assert!(twice.is_empty(), "stored twice: {twice:?}; {self}");
        assert!(self.faults.is_empty(), "{:#?}; {self}", self.faults);
        assert!(
            self.doubled <= in_flight_at_fault,
            "{in_flight_at_fault} were in flight; {self}"
        );
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} published, {} accepted, {} answered 503, {} not answered, {} lost, {} doubled, slowest answer {:.1?}",
            self.published,
            self.accepted,
            self.unavailable,
            self.unanswered,
            self.lost.len(),
            self.doubled,
            self.slowest,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Client;
    use crate::publisher::event;

    async fn bring(journal: &Journal, id: &str, sequence: u64) {
        let client = Client::new(&journal.url()).header("webhook-id", id);
        let _ = client.post("/", &event(sequence)["payload"]).await;
    }

    fn accepted(ids: &[&str]) -> Answered {
        Answered::Accepted(ids.iter().map(|&id| id.to_owned()).collect())
    }

    #[tokio::test]
    async fn what_is_lost_doubled_or_stored_twice_is_told() {
        let mut ledger = Ledger::default();
        let first = ledger.begin(5);
        ledger.note(first, accepted(&["a", "b", "c", "d"]), Duration::ZERO);
        ledger.note(4, Answered::Unavailable, Duration::from_secs(1));
        let journal = Journal::start().await;
        for (id, sequence) in [("a", 0), ("b", 1), ("b", 1), ("c", 2), ("x", 2), ("e", 4)] {
            bring(&journal, id, sequence).await;
        }
        let verdict = ledger.judge(&journal);
        assert_eq!((verdict.published, verdict.accepted), (5, 4));
        assert_eq!(verdict.lost, [3]);
        assert_eq!(verdict.doubled, 1);
        assert_eq!(verdict.stored_twice, [2]);
        assert!(verdict.faults.is_empty(), "{:?}", verdict.faults);
        assert_eq!(verdict.slowest, Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_repeat_that_is_answered_otherwise_is_a_fault() {
        let mut ledger = Ledger::default();
        let first = ledger.begin(1);
        ledger.note(first, accepted(&["a"]), Duration::ZERO);
        ledger.note(first, accepted(&["b"]), Duration::ZERO);
        let journal = Journal::start().await;
        bring(&journal, "b", first).await;
        assert_eq!(ledger.judge(&journal).faults.len(), 2);
    }
}
