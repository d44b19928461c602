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
/// How long at most; in between as long as the commit took, since where commits are slow callers are as well. Longer, and
/// one that does not come keeps all others waiting longer; shorter, and where four APIs share two processors their
/// commits, which take 7 ms there, leave without a third of the callers.
const LONGEST_WAIT: Duration = Duration::from_millis(10);
/// Of callers that come together one in so many at most comes too early, or too late. One in fewer, and callers that come
/// at any time are waited for too often; one in more, and a single late one parts the others.
const STRAGGLERS: usize = 4;
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
    /// Before it has answered anybody.
    pub(super) ended_at: Instant,
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

    /// It has ended, and answered so many callers after that: who was answered first may come again before the others are,
    /// and would be taken for one who has waited.
    pub(super) fn end(&mut self, answered_count: usize, at: Instant, took: Duration) {
        self.ended_at = at;
        self.took = took;
        self.answered_count = answered_count;
    }

    /// Decides what the next commit waits for, if anything. `came_at` has the callers who are here; `left_count` others
    /// came while the last commit was under way, and left at once in another: where so many come, larger commits are worth
    /// more than a moment. [`learn`](Self::learn) is to be called after the wait.
    pub(super) fn decide_wait(
        &mut self,
        came_at: impl ExactSizeIterator<Item = Instant>,
        left_count: usize,
    ) -> Option<Wait> {
        let here_count = came_at.len();
        let early_count = came_at.filter(|at| *at < self.ended_at).count();
        let are_together = early_count * STRAGGLERS <= self.answered_count;
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

    /// The wait is over, and so many are here. If it was a try, the next time shows what it was worth.
    pub(super) fn learn(&mut self, wait: Wait, here_count: usize) {
        let missing_count = wait.caller_count.saturating_sub(here_count);
        if missing_count * STRAGGLERS > wait.caller_count {
            self.was_a_try = false;
            self.rest_longer();
        } else if !self.was_a_try {
            self.last_rest /= 2;
        }
    }

    fn rest_longer(&mut self) {
        self.last_rest = (self.last_rest * REST_GROWTH).clamp(1, MAX_REST);
        self.commits_to_rest = self.last_rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the next commit waits for, when one has answered so many, so many others came before it ended and are here,
    /// and one came after it.
    fn wait(last: &mut LastCommit, answered_count: usize, early_count: usize) -> Option<Wait> {
        last.end(answered_count, Instant::now(), Duration::ZERO);
        let early = last.ended_at - Duration::from_nanos(1);
        let came_at: Vec<_> = std::iter::once(last.ended_at)
            .chain(std::iter::repeat_n(early, early_count))
            .collect();
        last.decide_wait(came_at.into_iter(), 0)
    }

    /// How many that is, when so many of them do not come.
    fn waited_for(
        last: &mut LastCommit,
        (answered_count, early_count, missing_count): (usize, usize, usize),
    ) -> Option<usize> {
        let wait = wait(last, answered_count, early_count)?;
        last.learn(wait, wait.caller_count - missing_count);
        Some(wait.caller_count)
    }

    /// How many commits pass until one waits.
    fn rest(last: &mut LastCommit, counts: (usize, usize, usize)) -> usize {
        let waits = |_: &usize| waited_for(last, counts).is_some();
        (0..1_000).find(waits).expect("one that waits")
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_come_together_are_waited_for_every_time() {
        let mut last = LastCommit::none();
        assert_eq!(waited_for(&mut last, (4, 4, 0)), Some(8), "a try");
        for late_count in (0..100).map(|turn| turn % 3) {
            let counts = (8, late_count, late_count);
            assert_eq!(waited_for(&mut last, counts), Some(8 + late_count));
        }
        assert_eq!(waited_for(&mut last, (200, 0, 0)), Some(MANY));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_come_at_any_time_are_waited_for_ever_more_seldom() {
        for early_count in [3, 8] {
            let mut last = LastCommit::none();
            let rests = [(); 6].map(|()| rest(&mut last, (8, early_count, 0)));
            assert_eq!(rests, [0, 1, 4, 16, 64, 256]);
            assert_eq!(waited_for(&mut last, (8, early_count, 0)), None);
            assert_eq!(waited_for(&mut last, (16, 0, 0)), None, "by chance");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_in_a_commit_of_their_own_are_waited_for_too_every_time() {
        let mut last = LastCommit::none();
        for _ in 0..100 {
            last.end(12, Instant::now(), Duration::ZERO);
            let wait = last.decide_wait(std::iter::once(Instant::now()), 16);
            assert_eq!(wait.map(|wait| wait.caller_count), Some(28));
            last.learn(wait.expect("a wait"), 28);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_not_come_again_are_waited_for_ever_more_seldom_until_they_do() {
        let mut last = LastCommit::none();
        let mut rest_before = |missing_count| rest(&mut last, (8, 0, missing_count));
        assert_eq!([3, 3, 8].map(&mut rest_before), [0, 1, 4]);
        assert_eq!([0, 2, 1].map(&mut rest_before), [16, 0, 0]);
        assert_eq!([3, 0, 0].map(&mut rest_before), [0, 8, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_waited_for_as_long_as_the_commit_took_within_bounds() {
        let wait = |took| {
            let mut last = LastCommit::none();
            last.end(8, Instant::now(), Duration::from_micros(took));
            let wait = last.decide_wait(std::iter::once(Instant::now()), 0);
            wait.map(|wait| (wait.until - last.ended_at).as_micros())
        };
        let waits = [200, 3_000, 400_000].map(wait);
        assert_eq!(waits, [Some(1_000), Some(3_000), Some(10_000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_not_waited_for_nor_are_those_that_are_here() {
        let mut last = LastCommit::none();
        assert_eq!(waited_for(&mut last, (1, 1, 0)), None);
        assert_eq!(waited_for(&mut last, (3, 0, 0)), None);
        assert_eq!(waited_for(&mut last, (4, 0, 0)), Some(4));
        assert_eq!(waited_for(&mut last, (0, 9, 0)), None);
        assert_eq!(waited_for(&mut last, (16, MANY, 0)), None);
    }
}
