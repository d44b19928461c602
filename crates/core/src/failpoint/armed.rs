//! Failpoints in builds that have them, as the variable `REPRISE_FAILPOINTS` says.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// What is armed, with commas between: `PLACE=ACTION`, `PLACE[SUBJECT]=ACTION`, and `ACTION@N` for the Nth time that
/// the place is reached, and that one only. Without `@N` it is each time.
const VARIABLE: &str = "REPRISE_FAILPOINTS";

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The process ends at once, as by `kill -9`.
    Kill,
    /// The process freezes until somebody sends it SIGCONT.
    Stop,
    /// The task panics.
    Panic,
}

/// A place with what happens there.
#[derive(Debug)]
struct Armed {
    place: String,
    /// Only for this one of many.
    subject: Option<String>,
    action: Action,
    /// Only this time, counted from 1.
    only: Option<usize>,
    reached: AtomicUsize,
}

/// A global, which the programs have nowhere else: the places are in all layers, and none shall carry it to the next.
static ARMED: LazyLock<Vec<Armed>> = LazyLock::new(|| read(&variable()));

/// Says that this place was reached.
///
/// # Panics
///
/// When a test wants it, or has armed something that can't be read.
pub fn hit(place: &str) {
    hit_for(place, "");
}

/// [`hit`] for what is done to one of many, which a test can tell apart by `subject`.
///
/// # Panics
///
/// As [`hit`].
pub fn hit_for(place: &str, subject: &str) {
    for armed in ARMED.iter().filter(|armed| armed.is_at(place, subject)) {
        let reached = armed.reached.fetch_add(1, Ordering::SeqCst) + 1;
        if armed.only.is_none_or(|only| only == reached) {
            armed.action.take(place);
        }
    }
}

impl Armed {
    /// Reads `PLACE[SUBJECT]=ACTION@N`.
    fn read(text: &str) -> Option<Self> {
        let (place, action) = text.split_once('=')?;
        let (place, subject) = match place.split_once('[') {
            Some((place, subject)) => (place, Some(subject.strip_suffix(']')?.to_owned())),
            None => (place, None),
        };
        let (action, only) = match action.split_once('@') {
            Some((action, only)) => (action, Some(only.parse().ok()?)),
            None => (action, None),
        };
        Some(Self {
            place: place.to_owned(),
            subject,
            action: Action::read(action)?,
            only,
            reached: AtomicUsize::new(0),
        })
    }

    fn is_at(&self, place: &str, subject: &str) -> bool {
        let is_subject = |wanted: &String| wanted == subject;
        self.place == place && self.subject.as_ref().is_none_or(is_subject)
    }
}

impl Action {
    fn read(text: &str) -> Option<Self> {
        match text {
            "kill" => Some(Self::Kill),
            "stop" => Some(Self::Stop),
            "panic" => Some(Self::Panic),
            _ => None,
        }
    }

    fn take(self, place: &str) {
        let signal = match self {
            Self::Kill => Signal::KILL,
            Self::Stop => Signal::STOP,
            Self::Panic => panic!("the failpoint {place} is armed"),
        };
        kill_process(getpid(), signal).expect("a process may send signals to itself");
    }
}

fn read(text: &str) -> Vec<Armed> {
    let wanted = text.split(',').filter(|one| !one.is_empty());
    wanted
        .map(|one| Armed::read(one).unwrap_or_else(|| panic!("{VARIABLE}: can't read '{one}'")))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "no part of the configuration: builds with a configuration of users do not have it"
)]
fn variable() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_armed_is_read_with_its_subject_and_its_turn() {
        let armed = read("after_claim=kill@3,attempt[a.b]=panic");
        assert_eq!((armed[0].action, armed[0].only), (Action::Kill, Some(3)));
        assert!(armed[0].is_at("after_claim", "whatever"));
        assert_eq!((armed[1].action, armed[1].only), (Action::Panic, None));
        assert!(armed[1].is_at("attempt", "a.b"));
        assert!(!armed[1].is_at("attempt", "a.c"));
        assert!(!armed[1].is_at("attempts", "a.b"));
    }

    #[test]
    #[should_panic(expected = "can't read 'after_claim=explode'")]
    fn what_can_not_be_read_is_refused() {
        read("after_claim=explode");
    }
}
