//! Waiting for positions, on a log whose copy here is behind.

use std::sync::Arc;

use prost::Message as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event::Event;
use crate::filter::Filter;
use crate::hub::{Gap, GapReason, SubscribeError, SubscriberState, SubscriptionStart};
use crate::log::cursor::Cursor;
use crate::log::fake::{ANSWER_TIME, FakeSharedLog};
use crate::log::{Append, Bounds, MemoryLog, ScanQuery, Sequencer as _};
use crate::proto::pb;
use crate::record::Draft;
use crate::time::Time;

struct Scene {
    log: Arc<FakeSharedLog>,
    hub: Arc<Hub>,
}

/// The copy has three records of a log of `tail`.
async fn scene(tail: u64) -> Scene {
    let log = Arc::new(FakeSharedLog::new(3));
    *log.tail.lock() = Sequence(tail);
    let hub = Hub::new(Arc::clone(&log) as _, CancellationToken::new());
    let scene = Scene { log, hub };
    scene.arrive(3).await;
    scene
}

impl Scene {
    async fn arrive(&self, records: u64) {
        let event = pb::Event {
            payload: Some(pb::event::Payload::Exec(pb::Exec::default())),
            ..pb::Event::default()
        };
        let emitter = pb::Emitter::default().into();
        for _ in 0..records {
            let event = Event::check(event.encode_to_vec().into(), Time::now(), 4_096);
            let draft = Draft::new(event.expect("valid"), &emitter);
            let all = Append::AllOrNothing { validate_only: false };
            self.log.here.append(&[draft], all).await.expect("accepted");
        }
    }

    fn reach(&self, sequence: u64) -> impl Future<Output = Result<Reach, Error>> + 'static {
        let hub = Arc::clone(&self.hub);
        async move { hub.reach(Sequence(sequence).into()).await }
    }

    async fn subscribe(&self, epoch: u64, sequence: u64) -> Result<Option<Gap>, SubscribeError> {
        let sequence = Sequence(sequence);
        let cursor = Cursor { log_id: self.hub.identity().id, epoch, sequence };
        let (next, gap) = self.hub.resolve(SubscriptionStart::Cursor(cursor)).await?;
        match &gap {
            Some(gap) => assert_eq!((gap.first, gap.last), (next, sequence)),
            None => assert_eq!(next, sequence.next()),
        }
        Ok(gap)
    }
}

/// Timers are exact to a millisecond.
fn is_about(time: Duration, expected: Duration) -> bool {
    time >= expected && time < expected + Duration::from_millis(10)
}

#[tokio::test(start_paused = true)]
async fn what_is_here_is_not_asked_for() {
    let scene = scene(9).await;
    for sequence in [0, 1, 3] {
        assert_eq!(scene.reach(sequence).await, Ok(Reach::Here));
    }
    assert_eq!(scene.hub.position_report(), PositionReport::default());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_on_its_way_is_waited_for() {
    let scene = scene(5).await;
    let began = Instant::now();
    let reach = tokio::spawn(scene.reach(5));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!reach.is_finished());
        scene.arrive(1).await;
    }
    assert_eq!(reach.await.expect("no panic"), Ok(Reach::Here));
    assert!(is_about(began.elapsed(), Duration::from_secs(4)));
    let report = scene.hub.position_report();
    assert_eq!((report.reached, report.tail_queries, report.waiting), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_arrives_needs_no_answer_of_the_log() {
    let scene = scene(5).await;
    scene.log.is_away.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let reach = tokio::spawn(scene.reach(4));
    tokio::time::sleep(ANSWER_TIME / 2).await;
    scene.arrive(1).await;
    assert_eq!(reach.await.expect("no panic"), Ok(Reach::Here));
    assert!(began.elapsed() < ANSWER_TIME);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_come_is_given_up() {
    let scene = scene(5).await;
    let began = Instant::now();
    let reach = scene.reach(4).await;
    let Err(Error::Behind { sequence: Sequence(4), why }) = reach else { panic!("{reach:?}") };
    assert_eq!(why, "its copy of the log is behind");
    assert!(is_about(began.elapsed(), POSITION_WAIT_MAX), "{:?}", began.elapsed());
    scene.log.is_away.store(true, Ordering::Relaxed);
    let reach = scene.reach(4).await;
    assert!(
        matches!(&reach, Err(Error::Behind { why, .. }) if why.contains("no leader")),
        "{reach:?}"
    );
    assert_eq!(scene.hub.position_report().given_up, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_never_had_is_told_after_one_question() {
    let scene = scene(5).await;
    for sequence in [6, u64::MAX] {
        assert_eq!(scene.reach(sequence).await, Ok(Reach::Beyond(Sequence(5))));
    }
    let report = scene.hub.position_report();
    assert_eq!((report.beyond, report.tail_queries), (2, 2));
}

/// An attacker with random cursors must not make a request to the stream for each.
#[tokio::test(start_paused = true)]
async fn readers_share_questions_one_at_a_time() {
    let scene = scene(5).await;
    let readers: Vec<_> = (0..1_000).map(|n| tokio::spawn(scene.reach(6 + n))).collect();
    for reader in readers {
        assert_eq!(reader.await.expect("no panic"), Ok(Reach::Beyond(Sequence(5))));
    }
    assert!(scene.log.asked.load(Ordering::Relaxed) <= 2);
    // One after the other, the questions keep their distance.
    let began = Instant::now();
    let loops: Vec<_> = (0..10)
        .map(|_| {
            let hub = Arc::clone(&scene.hub);
            tokio::spawn(async move {
                for sequence in 0..20 {
                    let _ = hub.reach(Sequence(100 + sequence).into()).await;
                }
            })
        })
        .collect();
    for reader in loops {
        reader.await.expect("no panic");
    }
    let asked = scene.log.asked.load(Ordering::Relaxed);
    assert!(u128::from(asked) <= 2 + began.elapsed().as_millis() / 100, "{asked}");
}

/// The answer to a question that began before would be too old.
#[tokio::test(start_paused = true)]
async fn an_answer_is_not_older_than_its_reader() {
    let scene = scene(5).await;
    let early = tokio::spawn(scene.reach(7));
    tokio::time::sleep(ANSWER_TIME / 2).await;
    // Another gateway appends, and gives the position to a client.
    *scene.log.tail.lock() = Sequence(7);
    let late = tokio::spawn(scene.reach(7));
    assert_eq!(early.await.expect("no panic"), Ok(Reach::Beyond(Sequence(5))));
    tokio::time::sleep(2 * ANSWER_TIME).await;
    assert!(!late.is_finished(), "it waits");
    scene.arrive(4).await;
    assert_eq!(late.await.expect("no panic"), Ok(Reach::Here));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_leaves_the_question_to_the_next() {
    let scene = scene(5).await;
    for _ in 0..3 {
        let gone = tokio::spawn(scene.reach(7));
        tokio::time::sleep(ANSWER_TIME / 4).await;
        let next = tokio::spawn(scene.reach(8));
        tokio::time::sleep(ANSWER_TIME / 4).await;
        gone.abort();
        assert_eq!(next.await.expect("no panic"), Ok(Reach::Beyond(Sequence(5))));
    }
}

#[tokio::test(start_paused = true)]
async fn few_readers_wait() {
    let scene = scene(10).await;
    let readers: Vec<_> = (0..WAITERS_MAX).map(|_| tokio::spawn(scene.reach(4))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.hub.position_report().waiting, WAITERS_MAX);
    let began = Instant::now();
    let refused = scene.reach(4).await;
    assert!(matches!(&refused, Err(Error::Behind { why, .. }) if why.contains("too many")));
    assert_eq!(began.elapsed(), Duration::ZERO);
    scene.arrive(1).await;
    for reader in readers {
        assert_eq!(reader.await.expect("no panic"), Ok(Reach::Here));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_is_a_position_a_loss_or_no_cursor() {
    let scene = scene(5).await;
    assert_eq!(scene.subscribe(3, 3).await, Ok(None));
    let beyond = scene.subscribe(3, 6).await;
    let (sequence, last) = (Sequence(6), Sequence(5));
    assert_eq!(beyond, Err(SubscribeError::CursorBeyond { sequence, last }));
    let late = scene.subscribe(3, 5).await;
    assert!(matches!(late, Err(SubscribeError::Log(Error::Behind { .. }))), "{late:?}");
    // An older epoch gave it out, and all after the second record of it was lost.
    *scene.log.kept.lock() = Some(Sequence(2));
    let queries = scene.hub.position_report().tail_queries;
    let gap = scene.subscribe(2, 40).await.expect("a start").expect("a gap");
    assert_eq!((gap.first, gap.last), (Sequence(3), Sequence(40)));
    assert_eq!(gap.reason, GapReason::RolledBack);
    assert_eq!(scene.subscribe(2, 2).await, Ok(None));
    assert_eq!(scene.hub.position_report().tail_queries, queries, "nobody had to be asked");
}

/// The news of the loss may come with the records.
#[tokio::test(start_paused = true)]
async fn a_loss_that_becomes_known_meanwhile_is_told() {
    let scene = scene(5).await;
    let hub = Arc::clone(&scene.hub);
    let cursor = Cursor { log_id: hub.identity().id, epoch: 3, sequence: Sequence(9) };
    let resolved =
        tokio::spawn(async move { hub.resolve(SubscriptionStart::Cursor(cursor)).await });
    tokio::time::sleep(ANSWER_TIME / 2).await;
    scene.log.identity.send_modify(|identity| identity.epoch = 4);
    *scene.log.kept.lock() = Some(Sequence(3));
    let (next, gap) = resolved.await.expect("no panic").expect("a start");
    assert_eq!((next, gap.expect("a gap").reason), (Sequence(4), GapReason::RolledBack));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_an_epoch_to_come_waits_for_it() {
    let scene = scene(5).await;
    let hub = Arc::clone(&scene.hub);
    let position = LogPosition { epoch: Some(4), sequence: Sequence(2) };
    let reach = tokio::spawn(async move { hub.reach(position).await });
    tokio::time::sleep(ANSWER_TIME / 2).await;
    assert!(!reach.is_finished());
    scene.log.identity.send_modify(|identity| identity.epoch = 4);
    assert_eq!(reach.await.expect("no panic"), Ok(Reach::Here));
    // An epoch that nobody began.
    let position = LogPosition { epoch: Some(9), sequence: Sequence(2) };
    assert_eq!(scene.hub.reach(position).await, Ok(Reach::Beyond(Sequence(5))));
}

/// Nothing is waited for where nobody else appends: as ever.
#[tokio::test(start_paused = true)]
async fn a_log_of_one_process_answers_at_once() {
    let log = Arc::new(MemoryLog::new(Bounds::default()));
    let hub = Hub::new(log, CancellationToken::new());
    let began = Instant::now();
    assert_eq!(hub.reach(Sequence(1).into()).await, Ok(Reach::Beyond(Sequence(0))));
    let cursor = Cursor::new(hub.identity(), Sequence(7));
    let filter = Arc::new(Filter::compile(&pb::Filter::default()).expect("valid"));
    let start = SubscriptionStart::Cursor(cursor);
    let subscriber = SubscriberState::new(String::new(), &pb::Filter::default());
    let subscribed = hub.subscribe(ScanQuery::new(filter), start, subscriber).await;
    let mut subscription = subscribed.expect("a gap");
    let first = subscription.next().await.expect("readable").expect("a message");
    assert_eq!(first.gap.map(|gap| gap.reason), Some(GapReason::RolledBack));
    assert!(!hub.must_wait_for(Sequence(7).into()));
    assert_eq!((began.elapsed(), hub.position_report().tail_queries), (Duration::ZERO, 0));
}
