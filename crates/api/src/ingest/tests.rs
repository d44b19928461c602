use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use reprise_core::event_type::EventType;
use reprise_core::ids::EventId;

use super::*;
use crate::metrics::Metrics;

type Answered = oneshot::Receiver<Result<StoredEvents, ApiError>>;

/// A door, and a writer behind it that has no PostgreSQL.
fn writer() -> (mpsc::Sender<Waiting>, Writer) {
    let writer = |arrivals| Writer {
        arrivals,
        turn: Arc::new(Mutex::new(LastCommit::none())),
        database: Database::new("postgres://127.0.0.1:1", 1),
        cache: Arc::default(),
        metrics: Metrics::default().ingest(),
        wake_up: Arc::default(),
    };
    let (door, mut writers) = Writer::team(1, writer);
    (door, writers.pop().expect("a writer"))
}

/// Callers come, each when those before have had their time. What comes back waits for their answers.
async fn come(door: &mpsc::Sender<Waiting>, count: usize, payload_bytes: usize) -> Vec<Answered> {
    let mut all = Vec::new();
    for _ in 0..count {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            tenant_id: TenantId::new(),
            event: Arc::new(NewEvent {
                id: EventId::new(),
                event_type: EventType::parse("order.paid").expect("a type"),
                event_group: None,
                payload: vec![b' '; payload_bytes],
            }),
            came_at: Instant::now(),
            tries: 0,
            answer,
        };
        door.send(waiting).await.expect("a writer");
        all.push(answered);
        tokio::task::yield_now().await;
    }
    all
}

/// How many the writer gathers, and how long that takes, while so many come.
async fn gathered(
    writer: &Writer,
    coming: impl Future<Output = Vec<Answered>>,
) -> (usize, Duration) {
    let began = Instant::now();
    let (gathered, _answered) = tokio::join!(writer.gather(), coming);
    let (callers, turn) = gathered.expect("callers");
    let took = began.elapsed();
    let mut turn = turn.expect("the turn");
    turn.end(callers.len(), Instant::now(), Duration::ZERO);
    (callers.len(), took)
}

/// A commit of so many that were there at once.
async fn commit(door: &mpsc::Sender<Waiting>, writer: &Writer, count: usize) {
    let answered = come(door, count, 0).await;
    let gathered = gathered(writer, async { answered }).await;
    assert_eq!(gathered, (count, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn those_that_come_again_share_the_next_commit() {
    let (door, writer) = writer();
    commit(&door, &writer, 8).await;
    for _ in 0..3 {
        let came = gathered(&writer, come(&door, 8, 0)).await;
        assert_eq!(came, (8, Duration::ZERO), "all of them, none of them late");
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_do_not_are_waited_for_a_moment_and_then_not_again() {
    let (door, writer) = writer();
    commit(&door, &writer, 8).await;
    let (count, took) = gathered(&writer, come(&door, 5, 0)).await;
    assert_eq!(count, 5);
    assert!((1..=2).contains(&took.as_millis()), "{took:?}");
    let next = gathered(&writer, come(&door, 1, 0)).await;
    assert_eq!(next, (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_when_the_moment_is_over_waits_for_nobody_and_teaches_nothing() {
    let (door, writer) = writer();
    commit(&door, &writer, 8).await;
    tokio::time::advance(Duration::from_millis(2)).await;
    let late = gathered(&writer, come(&door, 1, 0)).await;
    assert_eq!(late, (1, Duration::ZERO));
    commit(&door, &writer, 8).await;
    let next = gathered(&writer, come(&door, 8, 0)).await;
    assert_eq!(next, (8, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_when_there_is_no_room_for_more() {
    let (door, writer) = writer();
    commit(&door, &writer, 12).await;
    let answered = come(&door, 8, 1024 * 1024).await;
    let large = gathered(&writer, async { answered }).await;
    assert_eq!(large, (8, Duration::ZERO), "8 MiB");
    let next = gathered(&writer, come(&door, 8, 0)).await;
    assert_eq!(next, (8, Duration::ZERO), "nor was that in vain");
}

#[tokio::test(start_paused = true)]
async fn those_in_two_commits_at_once_are_brought_together() {
    let (door, writer) = writer();
    let _first = come(&door, ENOUGH, 0).await;
    let (first, turn) = writer.gather().await.expect("callers");
    let _second = come(&door, ENOUGH, 0).await;
    let (second, no_turn) = writer.gather().await.expect("callers");
    assert_eq!((first.len(), second.len()), (ENOUGH, ENOUGH));
    assert!(no_turn.is_none(), "it need not wait for it");
    let mut turn = turn.expect("the turn");
    turn.end(ENOUGH, Instant::now(), Duration::ZERO);
    drop(turn);
    let next = gathered(&writer, come(&door, 2 * ENOUGH, 0)).await;
    assert_eq!(next, (2 * ENOUGH, Duration::ZERO));
}

/// When a caller was answered, as its thread is told.
#[derive(Default)]
struct Answer(OnceLock<Instant>);

impl Wake for Answer {
    fn wake(self: Arc<Self>) {
        self.0.set(Instant::now()).expect("one answer");
    }
}

#[tokio::test]
async fn who_is_answered_first_and_comes_again_before_the_others_are_is_not_early() {
    let (door, writer) = writer();
    let mut answered = come(&door, 8, 0).await;
    let (callers, turn) = writer.gather().await.expect("callers");
    let first = Arc::new(Answer::default());
    let waker = Waker::from(Arc::clone(&first));
    let polled = Pin::new(&mut answered[0]).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    writer.store(callers, turn).await;
    let came_at = *first.0.get().expect("an answer");
    assert!(writer.turn.lock().await.ended_at < came_at);
}
