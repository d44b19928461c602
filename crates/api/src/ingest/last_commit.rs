//! What the last commit tells the next one: whether to wait for the callers whom it answered.

use std::time::Duration;

use tokio::time::Instant;

use super::ENOUGH;

/// A commit that has so many waits for no more: two that were under way at once are brought together. More, and PostgreSQL
/// does nothing meanwhile; fewer, and a commit costs each of them more.
const MANY: usize = 2 * ENOUGH;
/// How long after their answers callers are waited for at least; by the timer, that is up to twice as long. Shorter, and
/// commits leave without those who are coming: reading an answer and sending the next event takes some tenths of it.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// How long at most; in between as long as the commit took, since where commits are slow callers are as well. Measured
/// with four APIs on two processors: 18,428 events a second, and 15,057 where no wait was longer than the shortest.
/// Longer, and one that does not come keeps all others waiting longer.
const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// Fewer callers than these don't wait for each other. More, and APIs with a few callers each commit for every one of
/// them; fewer, and two that happen to publish at once may wait in vain.
const FEW: usize = 4;
/// How many times as long it is not tried again after waiting in vain. More, and callers that sometimes are late are
/// waited for too seldom; fewer, and those that often are, too often.
const REST_GROWTH: u32 = 4;
/// For so many commits at most nobody is waited for. More, and callers that begin to come together are found out late;
/// fewer, and more than the slowest hundredth of the other events is late by a wait in vain.
const MAX_REST: u32 = 256;

/// The last commit, and what is known of the callers.
///
/// A caller that publishes one event after the other comes again as soon as it has its answer, when the next commit has
/// just begun. So half of such callers are in one commit and half in the next: twice as many commits as there need be.
/// If one commit waits until they have come, all are in each from then on. Callers who publish when they have something
/// come at any time, also while a commit is under way, and waiting would only make them late. Which kind they are shows
/// after they were waited for, which is tried now and then: the first kind comes together the next time.
#[derive(Debug)]
pub(super) struct LastCommit {
    ended_at: Instant,
    took: Duration,
    /// How many callers it answered.
    answered_count: usize,
    /// It had waited although the callers had not come together.
    was_a_try: bool,
    /// Commits that are to pass until one may wait.
    commits_to_rest: u32,
    /// How many these were after the last wait in vain; fewer after each that was not.
    last_rest: u32,
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// So many callers in all.
    pub(super) caller_count: usize,
    /// Until this time at most.
    pub(super) until: Instant,
}

impl LastCommit {
    /// None yet.
    pub(super) fn none() -> Self {
        Self {
            ended_at: Instant::now(),
            took: Duration::ZERO,
            answered_count: 0,
            was_a_try: false,
            commits_to_rest: 0,
            last_rest: 0,
        }
    }

    /// It has ended, and answered so many callers.
    pub(super) fn end(&mut self, answered_count: usize, took: Duration) {
        self.ended_at = Instant::now();
        self.took = took;
        self.answered_count = answered_count;
    }

    /// Decides what the next commit waits for, if anything. `came_at` has the callers who are here; `left_count` others
    /// came while the last commit was under way, and left at once in another: where so many come, larger commits are worth
    /// more than a moment. [`have_come`](Self::have_come) or [`have_not_come`](Self::have_not_come) is to be called after
    /// the wait.
    pub(super) fn decide_wait(
        &mut self,
        came_at: impl ExactSizeIterator<Item = Instant>,
        left_count: usize,
    ) -> Option<Wait> {
        let here_count = came_at.len();
        let early_count = came_at.filter(|at| *at < self.ended_at).count();
        let are_together = early_count * 4 <= self.answered_count;
        if std::mem::take(&mut self.was_a_try) && !are_together {
            self.rest_longer();
        }
        let caller_count = (early_count + left_count + self.answered_count).min(MANY);
        let until = self.ended_at + self.took.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        if caller_count < FEW || caller_count <= here_count || Instant::now() >= until {
            return None;
        }
        if self.commits_to_rest > 0 {
            self.commits_to_rest -= 1;
            return None;
        }
        self.was_a_try = !are_together;
        Some(Wait {
            caller_count,
            until,
        })
    }

    /// All who were waited for have come. If that was a try, the next time shows what it was worth.
    pub(super) fn have_come(&mut self) {
        if !self.was_a_try {
            self.last_rest /= 2;
        }
    }

    /// Some who were waited for have not come.
    pub(super) fn have_not_come(&mut self) {
        self.was_a_try = false;
        self.rest_longer();
    }

    fn rest_longer(&mut self) {
        self.last_rest = (self.last_rest * REST_GROWTH).clamp(1, MAX_REST);
        self.commits_to_rest = self.last_rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many the next commit waits for, when one has answered so many, so many others came before it ended and are
    /// here, and one came after it.
    fn wait(last: &mut LastCommit, answered_count: usize, early_count: usize) -> Option<usize> {
        last.end(answered_count, Duration::ZERO);
        let early = last.ended_at - Duration::from_nanos(1);
        let came_at: Vec<_> = std::iter::once(last.ended_at)
            .chain(std::iter::repeat_n(early, early_count))
            .collect();
        let wait = last.decide_wait(came_at.into_iter(), 0);
        wait.map(|wait| wait.caller_count)
    }

    /// How many commits pass until one waits again.
    fn rest(last: &mut LastCommit, answered_count: usize, early_count: usize) -> usize {
        let waits = |_: &usize| wait(last, answered_count, early_count).is_some();
        (0..1_000).find(waits).expect("one that waits")
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_come_together_are_waited_for_every_time() {
        let mut last = LastCommit::none();
        assert_eq!(wait(&mut last, 4, 4), Some(8), "a try");
        last.have_come();
        for early_count in (0..100).map(|turn| turn % 3) {
            let all = Some(8 + early_count);
            assert_eq!(wait(&mut last, 8, early_count), all, "few are late, or new");
            last.have_come();
        }
        assert_eq!(wait(&mut last, 200, 0), Some(MANY));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_come_at_any_time_are_waited_for_ever_more_seldom() {
        for early_count in [3, 8] {
            let mut last = LastCommit::none();
            let mut rest = || {
                let rest = rest(&mut last, 8, early_count);
                last.have_come();
                rest
            };
            assert_eq!([(); 6].map(|()| rest()), [0, 1, 4, 16, 64, 256]);
            assert_eq!(wait(&mut last, 8, early_count), None);
            assert_eq!(wait(&mut last, 16, 0), None, "by chance");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_in_a_commit_of_their_own_are_waited_for_too_every_time() {
        let mut last = LastCommit::none();
        for _ in 0..100 {
            last.end(12, Duration::ZERO);
            let wait = last.decide_wait(std::iter::once(Instant::now()), 16);
            assert_eq!(wait.map(|wait| wait.caller_count), Some(28));
            last.have_come();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_not_come_again_are_waited_for_ever_more_seldom_until_they_do() {
        let mut last = LastCommit::none();
        let mut rest_after = |has_come| {
            let rest = rest(&mut last, 8, 0);
            if has_come {
                last.have_come();
            } else {
                last.have_not_come();
            }
            rest
        };
        assert_eq!([false, false, false].map(&mut rest_after), [0, 1, 4]);
        assert_eq!([true, true, true].map(&mut rest_after), [16, 0, 0]);
        assert_eq!([false, true, true].map(&mut rest_after), [0, 8, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_waited_for_as_long_as_the_commit_took_within_bounds() {
        let wait = |took| {
            let mut last = LastCommit::none();
            last.end(8, Duration::from_micros(took));
            let wait = last.decide_wait(std::iter::once(Instant::now()), 0);
            wait.map(|wait| (wait.until - last.ended_at).as_micros())
        };
        let waits = [200, 3_000, 400_000].map(wait);
        assert_eq!(waits, [Some(1_000), Some(3_000), Some(5_000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_not_waited_for_nor_are_those_that_are_here() {
        let mut last = LastCommit::none();
        assert_eq!(wait(&mut last, 1, 1), None);
        assert_eq!(wait(&mut last, 3, 0), None);
        assert_eq!(wait(&mut last, 4, 0), Some(4));
        assert_eq!(wait(&mut last, 0, 9), None);
        assert_eq!(wait(&mut last, 16, MANY), None);
    }
}
