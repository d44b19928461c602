//! The turn to commit, and whether that commit waits for the callers whom the last one answered.

use std::time::Duration;

use tokio::time::Instant;

/// How long after their answers callers are waited for: as long as the commit took, since where all is slow they are as
/// well, within these bounds. Longer, and the others wait for some that do not come; shorter, and commits leave without
/// those that do.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// Fewer are not waited for: where they are so few nobody misses what their commits cost.
const FEW: usize = 4;
/// More are not waited for: shared by so many a commit costs each little, and PostgreSQL would have nothing to do.
const MANY: usize = 32;
/// For so many commits at most nobody is waited for, after that was in vain. More, and callers that begin to come
/// together are found out late; fewer, and all others wait more often for nothing.
const MAX_REST: u32 = 64;

/// The turn to commit, which writers hand on, with what they know of the callers.
///
/// A caller that publishes one event after the other comes again as soon as it has its answer, when the next commit has
/// just begun. So half of such callers are in one commit and half in the next: twice as many commits as there need be.
/// If the next commit waits until they have come, all are in each from then on. Callers who publish when they have
/// something come at any time, also while a commit is under way, and waiting would only make them late. Which kind they
/// are shows when they are waited for, which is tried now and then: whether the next time they come together.
#[derive(Debug)]
pub(super) struct Turn {
    /// When the last commit ended.
    ended_at: Instant,
    /// How long it took.
    took: Duration,
    /// Callers whom it answered.
    answered: usize,
    /// They were waited for, although they had not come together.
    is_trying: bool,
    /// Commits that wait for nobody yet.
    rest: u32,
    /// How many these were when the last one had waited in vain.
    last_rest: u32,
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hope {
    /// So many callers in all.
    pub(super) callers: usize,
    /// Until this time at most.
    pub(super) until: Instant,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self {
            ended_at: Instant::now(),
            took: Duration::ZERO,
            answered: 0,
            is_trying: false,
            rest: 0,
            last_rest: 0,
        }
    }

    /// A commit has ended that answered so many callers.
    pub(super) fn ended(&mut self, answered: usize, took: Duration) {
        self.ended_at = Instant::now();
        self.took = took;
        self.answered = answered;
    }

    /// What the next commit waits for, if anything, when those callers are here who came at these times.
    /// [`learn`](Self::learn) is to be told what came of it.
    pub(super) fn hope(&mut self, came_at: impl ExactSizeIterator<Item = Instant>) -> Option<Hope> {
        let here = came_at.len();
        let came_before = came_at.filter(|at| *at < self.ended_at).count();
        let are_together = came_before * 4 <= self.answered;
        if std::mem::take(&mut self.is_trying) && !are_together {
            self.rest_longer();
        }
        let callers = (came_before + self.answered).min(MANY);
        let until = self.ended_at + self.took.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        if callers < FEW || callers <= here || Instant::now() >= until {
            return None;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        self.is_trying = !are_together;
        Some(Hope { callers, until })
    }

    /// All who were hoped for have come, or some have not.
    pub(super) fn learn(&mut self, have_come: bool) {
        if !have_come {
            self.is_trying = false;
            self.rest_longer();
        } else if !self.is_trying {
            self.last_rest = 0;
        }
    }

    fn rest_longer(&mut self) {
        self.last_rest = (self.last_rest * 2).clamp(1, MAX_REST);
        self.rest = self.last_rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is hoped for when a commit has answered so many, and so many others came before it ended, and one after it.
    fn hope(turn: &mut Turn, answered: usize, came_before: usize) -> Option<usize> {
        turn.ended(answered, Duration::ZERO);
        let earlier = turn.ended_at - Duration::from_nanos(1);
        let came_at: Vec<_> = std::iter::once(turn.ended_at)
            .chain(std::iter::repeat_n(earlier, came_before))
            .collect();
        turn.hope(came_at.into_iter()).map(|hope| hope.callers)
    }

    /// How many commits pass until one waits again.
    fn rest(turn: &mut Turn, answered: usize, came_before: usize) -> usize {
        let waits = |_: &usize| hope(turn, answered, came_before).is_some();
        (0..1_000).find(waits).expect("one that waits")
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_come_together_are_waited_for_every_time() {
        let mut turn = Turn::new();
        assert_eq!(hope(&mut turn, 4, 4), Some(8), "a try");
        turn.learn(true);
        for _ in 0..100 {
            assert_eq!(hope(&mut turn, 8, 0), Some(8));
            turn.learn(true);
        }
        assert_eq!(hope(&mut turn, 8, 2), Some(10), "one is late, one is new");
        turn.learn(true);
        assert_eq!(hope(&mut turn, 200, 0), Some(MANY));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_come_at_any_time_are_waited_for_ever_more_seldom() {
        let mut turn = Turn::new();
        let rests: Vec<_> = (0..9)
            .map(|_| {
                let rest = rest(&mut turn, 8, 8);
                turn.learn(true);
                rest
            })
            .collect();
        assert_eq!(rests, [0, 1, 2, 4, 8, 16, 32, 64, 64]);
        assert_eq!(hope(&mut turn, 8, 8), None);
        assert_eq!(hope(&mut turn, 16, 0), None, "by chance");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_not_come_again_are_waited_for_ever_more_seldom_until_they_do() {
        let mut turn = Turn::new();
        let mut rest_after = |have_come| {
            let rest = rest(&mut turn, 8, 0);
            turn.learn(have_come);
            rest
        };
        assert_eq!(
            [false, false, false, true].map(&mut rest_after),
            [0, 1, 2, 4]
        );
        assert_eq!([true, false, false].map(&mut rest_after), [0, 0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_waited_for_as_long_as_the_commit_took_within_bounds() {
        let wait = |took| {
            let mut turn = Turn::new();
            turn.ended(8, Duration::from_micros(took));
            let hope = turn.hope(std::iter::once(Instant::now()));
            hope.map(|hope| (hope.until - turn.ended_at).as_micros())
        };
        let waits = [200, 3_000, 400_000].map(wait);
        assert_eq!(waits, [Some(1_000), Some(3_000), Some(5_000)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_not_waited_for_nor_are_those_that_are_here() {
        let mut turn = Turn::new();
        assert_eq!(hope(&mut turn, 1, 1), None);
        assert_eq!(hope(&mut turn, 3, 0), None);
        assert_eq!(hope(&mut turn, 0, 9), None);
        assert_eq!(hope(&mut turn, 16, MANY), None);
    }
}
