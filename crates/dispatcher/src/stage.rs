//! Groups of tasks that end together. The dispatcher ends them one after another.

use std::time::Duration;

use reprise_core::panic_alarm::PanicAlarm;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that end together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    pub(crate) tasks: TaskTracker,
    /// Tells the tasks to end.
    pub(crate) stop: CancellationToken,
}

impl Stage {
    /// Starts a task that the dispatcher can't do without. (An attempt's panic costs that attempt only.)
    pub(crate) fn spawn_vital(
        &self,
        panicked: &CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let alarm = PanicAlarm::new(panicked);
        self.tasks.spawn(async move {
            let _alarm = alarm;
            task.await;
        });
    }

    /// Waits until all tasks have ended by themselves.
    async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tells all tasks to end and waits until they have.
    pub(crate) async fn stopped(&self) {
        self.stop.cancel();
        self.finished().await;
    }

    /// Lets the tasks end by themselves for a while, then tells them to. Returns whether they had to be told.
    pub(crate) async fn finished_within(&self, timeout: Duration) -> bool {
        if tokio::time::timeout(timeout, self.finished()).await.is_ok() {
            return false;
        }
        self.stopped().await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_of_a_vital_task_is_told() {
        let (stage, panicked) = (Stage::default(), CancellationToken::new());
        stage.spawn_vital(&panicked, async {});
        stage.finished().await;
        assert!(!panicked.is_cancelled());
        stage.spawn_vital(&panicked, async { panic!("in a vital task") });
        panicked.cancelled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_get_their_time_before_they_are_told_to_end() {
        let stage = Stage::default();
        let stop = stage.stop.clone();
        stage.tasks.spawn(async move { stop.cancelled().await });
        assert!(stage.finished_within(Duration::from_secs(1)).await);
        assert!(
            !Stage::default()
                .finished_within(Duration::from_secs(1))
                .await
        );
    }
}
