//! What is published, when, and what is said of it.

use uuid::Uuid;

use super::gathering::GATHER_TIMES;
use super::*;
use crate::log::shared::message::group::{EncodedUnit, EventKey};
use crate::log::shared::message::{AuthenticationKey, BodyEncoder, MessageContent, SharedMessage};

const SECOND: Duration = Duration::from_secs(1);

fn keys() -> ClusterKeys {
    ClusterKeys::new(AuthenticationKey::new(&[1; 32], Uuid::nil()), Vec::new())
}

fn staged(
    position: u64,
    records: usize,
    event: &[u8],
    waiter: u32,
) -> std::iter::Once<StagedUnit<u32>> {
    let mut unit = EncodedUnit::with_capacity(false, 0);
    for _ in 0..records {
        assert!(unit.add(EventKey([1; 16]), false, b"head", event));
    }
    let basis = Basis { position, ..Basis::default() };
    std::iter::once(StagedUnit { unit, basis, waiter })
}

/// The next message.
fn next_message(
    publisher: &mut Publisher<u32>,
    is_old: impl Fn(u64) -> bool,
    now: Instant,
    ended: &mut Ended<u32>,
) -> Option<Publication> {
    let group = publisher.next_group(is_old, now, ended)?;
    Some(publisher.publish(group.seal(&keys(), &mut BodyEncoder::default()), now))
}

/// Basis and number of records of the next messages.
fn messages(publisher: &mut Publisher<u32>, now: Instant) -> Vec<(u64, usize)> {
    let mut ended = Vec::new();
    let messages =
        std::iter::from_fn(|| next_message(publisher, |basis| basis < 5, now, &mut ended));
    let messages = messages.map(|message| {
        let message = SharedMessage::decode(&message.bytes, &keys()).expect("its own");
        let MessageContent::Group(group) = message.content else { panic!("a group") };
        (message.basis.position, group.records().len())
    });
    messages.collect()
}

#[test]
fn units_are_collected_while_two_messages_are_on_their_way() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    for (position, records) in [(9, 600), (6, 400), (8, 30), (7, 1_500), (9, 1), (9, 1_024)] {
        publisher.stage(staged(position, records, b"event", 0));
    }
    publisher.stage(staged(9, 1, &[0; GROUP_BYTES_MAX], 0));
    publisher.stage(staged(9, 2, b"event", 0));
    let begun = messages(&mut publisher, now);
    assert_eq!(begun, [(6, 1_000), (8, 30)], "the oldest basis");
    assert_eq!((publisher.in_flight(), publisher.pending()), (2, 5));
    let applied = Applied {
        placements: vec![Placement::Seen; 2_000],
        accept_time: Time(1),
        disagreement: None,
    };
    for (counters, next) in [([2, 1], [(7, 1_500), (9, 1)]), ([3, 4], [(9, 1_024), (9, 1)])] {
        for counter in counters {
            publisher.applied(counter, &applied, now);
        }
        assert_eq!(messages(&mut publisher, now), next, "large ones alone");
    }
}

#[test]
fn messages_become_equal_and_few_units_do_not_wait_long() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    let one = || staged(9, 1, b"event", 0);
    let applied = Applied {
        placements: vec![Placement::Seen; 300],
        accept_time: Time(1),
        disagreement: None,
    };
    assert!(publisher.stage(one()));
    assert_eq!(messages(&mut publisher, now), [(9, 1)], "nothing is gained by waiting");
    assert!(publisher.stage(one()), "it waits for a while only");
    assert_eq!(messages(&mut publisher, now), []);
    for _ in 2..256 {
        assert!(!publisher.stage(one()), "they are few");
    }
    assert!(publisher.stage(one()));
    assert_eq!(messages(&mut publisher, now), [(9, 256)]);
    for _ in 0..300 {
        assert!(!publisher.stage(one()), "it cannot be published");
    }
    publisher.applied(1, &applied, now);
    assert_eq!(messages(&mut publisher, now), [(9, 300)]);
    publisher.applied(2, &applied, now);
    // Half of what is under way, and not the first one that comes.
    assert!(publisher.stage(one()), "it waits for a while only");
    assert_eq!(messages(&mut publisher, now), []);
    assert_eq!(publisher.wake_at(), Some(now + *GATHER_TIMES.start()));
    let mut staged = 1;
    while !publisher.stage(one()) {
        assert_eq!(messages(&mut publisher, now), []);
        staged += 1;
    }
    assert_eq!(messages(&mut publisher, now), [(9, 300)]);
    assert_eq!(staged + 1, 300);
    publisher.applied(3, &applied, now);
    assert!(publisher.stage(one()));
    assert_eq!(messages(&mut publisher, now), []);
    assert_eq!(messages(&mut publisher, now + *GATHER_TIMES.start()), [(9, 1)]);
    assert_eq!(publisher.wake_at(), Some(now + REPEAT_TIME_MIN));
    // The next ones wait as long.
    publisher.applied(4, &applied, now);
    let later = now + 2 * *GATHER_TIMES.start();
    for _ in 0..256 {
        publisher.stage(one());
    }
    assert_eq!(messages(&mut publisher, later), [(9, 256)], "many, and more than is under way");
    publisher.applied(5, &applied, later);
    assert!(publisher.stage(one()));
    assert_eq!(messages(&mut publisher, later), []);
    assert_eq!(publisher.wake_at(), Some(later + *GATHER_TIMES.start()));
}

/// What is refused, or too old, does not make the next message seem larger.
#[test]
fn what_is_not_published_does_not_count() {
    let now = Instant::now();
    let refuse = |publisher: &mut Publisher<u32>| {
        let mut ended = Vec::new();
        publisher.refuse_pending(&StreamError::Unknown("away".into()), &mut ended);
        assert_eq!((ended.len(), publisher.pending()), (300, 0));
    };
    let drop_old = |publisher: &mut Publisher<u32>| {
        assert_eq!(messages(publisher, now), []);
        assert_eq!(publisher.pending(), 0);
    };
    type Drop = dyn Fn(&mut Publisher<u32>);
    for (basis, drop) in [(9, &refuse as &Drop), (1, &drop_old)] {
        let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
        publisher.stage(staged(9, 10, b"event", 0));
        assert_eq!(messages(&mut publisher, now), [(9, 10)]);
        for _ in 0..300 {
            publisher.stage(staged(basis, 1, b"event", 0));
        }
        drop(&mut publisher);
        assert!(publisher.stage(staged(9, 1, b"event", 0)));
        assert_eq!(messages(&mut publisher, now), [], "it waits for others");
        assert_eq!(publisher.wake_at(), Some(now + *GATHER_TIMES.start()));
    }
}

#[test]
fn a_large_message_is_not_kept_twice() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    for (bytes, is_kept) in [(GROUP_BYTES_MAX, true), (2 * GROUP_BYTES_MAX, false)] {
        publisher.stage(staged(9, 1, &vec![7; bytes], 0));
        let message =
            next_message(&mut publisher, |_| false, now, &mut Vec::new()).expect("a unit");
        assert_eq!(publisher.own(&message.bytes).is_some(), is_kept, "{bytes} bytes");
    }
}

#[test]
fn a_message_waits_for_the_calls_that_the_last_one_answered() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    let one = || staged(9, 1, b"event", 0);
    let placements = vec![Placement::Seen; 4];
    let applied = Applied { placements, accept_time: Time(1), disagreement: None };
    for _ in 0..3 {
        publisher.stage(one());
    }
    assert_eq!(messages(&mut publisher, now), [(9, 3)]);
    publisher.stage(one());
    publisher.applied(1, &applied, now);
    assert!(!publisher.stage(one()) && !publisher.stage(one()), "two more will come");
    assert_eq!(messages(&mut publisher, now), []);
    assert!(publisher.wake_at().is_some_and(|at| at < now + *GATHER_TIMES.start()));
    assert!(publisher.stage(one()), "all are there");
    assert_eq!(messages(&mut publisher, now), [(9, 4)]);
    publisher.applied(2, &applied, now);
    assert!(publisher.stage(one()));
    assert_eq!(messages(&mut publisher, now), []);
    let later = now + *GATHER_TIMES.start();
    assert_eq!(messages(&mut publisher, later), [(9, 1)], "they do not call again");
    publisher.applied(3, &applied, later);
    publisher.stage(one());
    assert_eq!(messages(&mut publisher, later), [(9, 1)], "one alone does not wait");
}

#[test]
fn each_unit_gets_its_placements_and_copies_are_ignored() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    for (waiter, (position, records)) in [(5, 2), (4, 1), (5, 1)].into_iter().enumerate() {
        publisher.stage(staged(position, records, b"event", waiter as u32));
    }
    let mut ended = Vec::new();
    let message = next_message(&mut publisher, |basis| basis < 5, now, &mut ended).expect("units");
    let old = UnitOutcome::Placed { placements: vec![Placement::Stale], accept_time: Time::MIN };
    assert_eq!(ended, [(1, old)], "its basis is too old");
    let decoded = SharedMessage::decode(&message.bytes, &keys()).expect("its own");
    let mut other = message.bytes.to_vec();
    *other.last_mut().expect("a tag") ^= 1;
    assert_eq!(publisher.own(&other), None, "it is not authentic");
    assert_eq!(publisher.own(&message.bytes), Some(decoded));
    assert_eq!(publisher.own(&message.bytes), None, "a copy is decoded");
    let placements = vec![Placement::Seen, Placement::Void, Placement::Stale];
    let applied = Applied { placements, accept_time: Time(8), disagreement: None };
    let ended = publisher.applied(message.counter, &applied, now);
    let placed = |placements| UnitOutcome::Placed { placements, accept_time: Time(8) };
    let first = placed(vec![Placement::Seen, Placement::Void]);
    assert_eq!(ended, [(0, first), (2, placed(vec![Placement::Stale]))]);
    assert_eq!(publisher.applied(message.counter, &applied, now), []);
}

/// A publisher whose first message is on its way.
fn with_one_sent(begun: Instant) -> (Publisher<u32>, Publication) {
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    publisher.stage(staged(5, 1, b"event", 1));
    let first = next_message(&mut publisher, |_| false, begun, &mut Vec::new()).expect("a unit");
    (publisher, first)
}

#[test]
fn a_message_is_repeated_each_second_until_it_is_given_up() {
    let begun = Instant::now();
    let (mut publisher, first) = with_one_sent(begun);
    for second in 1..10 {
        let now = begun + second * SECOND;
        assert_eq!(publisher.repeats_due(now - SECOND / 100), []);
        assert_eq!(publisher.wake_at(), Some(now));
        assert_eq!(publisher.repeats_due(now), std::slice::from_ref(&first), "the same bytes");
    }
    let mut ended = Vec::new();
    assert_eq!(publisher.give_up(begun + 9 * SECOND, &mut ended), None);
    assert!(publisher.give_up(begun + 10 * SECOND, &mut ended).is_some());
    assert!(matches!(ended[..], [(1, UnitOutcome::Unknown(_))]));
    assert_eq!((publisher.in_flight(), publisher.repeats(), publisher.wake_at()), (0, 9, None));
}

#[test]
fn a_message_that_takes_unusually_long_is_repeated_sooner() {
    let mut now = Instant::now();
    let mut publisher = Publisher::<u32>::new(7, keys(), PublishTimes::default());
    let applied = Applied { placements: Vec::new(), accept_time: Time(1), disagreement: None };
    // How long it takes, and after how long the next one is repeated.
    let trips = [(2, 250), (2, 250), (402, 416), (52, 416), (10_052, 1_000), (52, 1_000)];
    for (trip, repeated) in trips.map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b)))
    {
        let probe = publisher.probe(Basis::default(), now);
        now += trip;
        publisher.applied(probe.counter, &applied, now);
        let next = publisher.probe(Basis::default(), now);
        assert_eq!(publisher.wake_at(), Some(now + repeated), "{trip:?}");
        // One that was repeated says nothing of how long it takes.
        assert_eq!(publisher.repeats_due(now + repeated).len(), 1);
        let pause = (2 * repeated).min(SECOND);
        assert_eq!(publisher.wake_at(), Some(now + repeated + pause));
        publisher.applied(next.counter, &applied, now + SECOND * 5);
    }
}

#[test]
fn what_was_tried_twice_is_never_refused() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    for waiter in 1..=2 {
        publisher.stage(staged(5, 1_024, b"event", waiter));
    }
    let mut ended = Vec::new();
    let mut next =
        || next_message(&mut publisher, |_| false, now, &mut ended).expect("a unit").counter;
    let (first, second) = (next(), next());
    let full = StreamError::Full("full".into());
    let refused = publisher.failed(first, full.clone(), now);
    assert_eq!(refused, [(1, UnitOutcome::Refused(full.clone()))]);
    // The first attempt may have been taken.
    assert_eq!(publisher.failed(second, StreamError::Unknown("lost".into()), now), []);
    assert_eq!(publisher.repeats_due(now + SECOND / 10).len(), 1, "soon");
    assert_eq!(publisher.failed(second, full, now + SECOND), []);
    assert_eq!(publisher.give_up(now + 10 * SECOND, &mut ended), Some("full".into()));
    assert_eq!(ended, [(2, UnitOutcome::Unknown("full".into()))]);
}

/// While a stream has no leader, it says so at once.
#[test]
fn a_message_that_is_not_taken_is_repeated_less_and_less_often() {
    let begun = Instant::now();
    let (mut publisher, first) = with_one_sent(begun);
    let error = StreamError::Unknown("there is no leader".into());
    // A failure that comes late does not put off what is due.
    let mut late = Publisher::<u32>::new(7, keys(), PublishTimes::default());
    let probe = late.probe(Basis::default(), begun);
    late.failed(probe.counter, error.clone(), begun + SECOND - SECOND / 20);
    assert_eq!(late.wake_at(), Some(begun + SECOND));
    let (mut now, mut repeated) = (begun, Vec::new());
    loop {
        assert_eq!(publisher.failed(first.counter, error.clone(), now), []);
        now = publisher.wake_at().expect("it is on its way");
        if publisher.give_up(now, &mut Vec::new()).is_some() {
            break;
        }
        assert_eq!(publisher.repeats_due(now), std::slice::from_ref(&first));
        repeated.push((now - begun).as_millis());
    }
    assert_eq!(now, begun + 10 * SECOND, "it is woken to be given up");
    // So a wait is at most twice as long as the stream was without a leader, and 1 s longer.
    let seconds = (1_500..10_000).step_by(1_000);
    assert!(
        repeated.iter().copied().eq([100, 300, 700].into_iter().chain(seconds)),
        "{repeated:?}"
    );
    // The next message begins anew.
    let next = publisher.probe(Basis::default(), now);
    publisher.failed(next.counter, error, now);
    assert_eq!(publisher.in_flight(), 1);
    assert_eq!(publisher.wake_at(), Some(now + SECOND / 10));
}

#[test]
fn at_the_end_it_is_said_what_is_open() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    publisher.stage(staged(5, 1, b"event", 1));
    let mut ended = Vec::new();
    assert!(next_message(&mut publisher, |_| false, now, &mut ended).is_some());
    publisher.stage(staged(5, 1, b"event", 2));
    publisher.end(&StreamError::Refused("over".into()), &mut ended);
    let refused = UnitOutcome::Refused(StreamError::Refused("over".into()));
    assert_eq!(ended, [(2, refused), (1, UnitOutcome::Unknown("over".into()))]);
    let probe = publisher.probe(Basis::default(), now);
    let probe = SharedMessage::decode(&probe.bytes, &keys()).expect("its own");
    assert_eq!((probe.sender, probe.counter), (7, 2));
}

#[test]
fn units_of_a_call_follow_each_other() {
    let now = Instant::now();
    let mut publisher = Publisher::new(7, keys(), PublishTimes::default());
    let unit = |waiter| staged(9, 600, b"event", waiter).next().expect("a unit");
    assert!(publisher.stage([unit(1), unit(2), unit(3)].into_iter()));
    publisher.stage([unit(4)].into_iter());
    publisher.stage([unit(5), unit(6)].into_iter());
    // The second waits until the stream has the first; others do not.
    let mut ended = Vec::new();
    let mut next = |publisher: &mut Publisher<u32>| {
        next_message(publisher, |_| false, now, &mut ended).map(|message| message.counter)
    };
    let applied = Applied {
        placements: vec![Placement::Seen; 600],
        accept_time: Time(1),
        disagreement: None,
    };
    let waiters = |publisher: &mut Publisher<u32>, counter| {
        let ended = publisher.applied(counter, &applied, now);
        ended.into_iter().map(|(waiter, _)| waiter).collect::<Vec<_>>()
    };
    assert_eq!((next(&mut publisher), next(&mut publisher)), (Some(1), Some(2)));
    assert_eq!(waiters(&mut publisher, 2), [4]);
    assert_eq!(next(&mut publisher), Some(3), "the fifth");
    assert_eq!(waiters(&mut publisher, 3), [5]);
    assert_eq!(next(&mut publisher), Some(4), "the sixth");
    assert_eq!(waiters(&mut publisher, 4), [6]);
    assert_eq!((next(&mut publisher), publisher.pending()), (None, 2));
    publisher.stored(1);
    assert_eq!((next(&mut publisher), publisher.in_flight()), (Some(5), 2));
    assert_eq!(waiters(&mut publisher, 1), [1]);
    assert_eq!(next(&mut publisher), None, "the third after the second");
    assert_eq!((waiters(&mut publisher, 5), next(&mut publisher)), (vec![2], Some(6)));
    assert_eq!(waiters(&mut publisher, 6), [3]);
}
