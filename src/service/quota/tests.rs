//! Quotas are kept to, and give back what they lent.

use super::*;

const LIMITS: QuotaLimits = QuotaLimits {
    calls_per_second: 100_000,
    events_per_second: 2_000_000,
    bytes_per_second: 0,
    subscribers: 4_096,
    emit_streams: 1_024,
    reads: 32,
    reads_in_all: 64,
    receiving_bytes: 64 * 1024 * 1024,
    receiving_bytes_in_all: 256 * 1024 * 1024,
    waiting_bytes_in_all: 256 * 1024 * 1024,
};

fn quotas(limits: QuotaLimits) -> Quotas {
    Quotas::new(limits)
}

#[test]
fn slots_are_given_back() {
    let quota = quotas(QuotaLimits { subscribers: 2, ..LIMITS }).of("alice");
    let first = quota.subscriber().unwrap();
    let _second = quota.subscriber().unwrap();
    let refused = quota.subscriber().unwrap_err();
    assert!(matches!(refused, Error::TooMany { what: HeldKind::Subscribers, limit: 2, .. }));
    drop(first);
    quota.subscriber().unwrap();
}

#[test]
fn one_principal_leaves_room_for_others() {
    let limits = QuotaLimits { receiving_bytes: 100, receiving_bytes_in_all: 150, ..LIMITS };
    let quotas = quotas(limits);
    let (alice, bob) = (quotas.of("alice"), quotas.of("bob"));
    alice.receive(90).unwrap();
    alice.receive(20).unwrap_err();
    alice.received(20);
    bob.receive(60).unwrap();
    bob.receive(1).unwrap_err();
    assert_eq!(quotas.receiving_bytes(), 151);
}

#[tokio::test]
async fn events_of_one_principal_wait_for_their_own_room() {
    let limits = QuotaLimits { receiving_bytes: 100, receiving_bytes_in_all: 150, ..LIMITS };
    let quotas = quotas(limits);
    let (alice, bob) = (quotas.of("alice"), quotas.of("bob"));
    let first = alice.room(1_000).await;
    let mut second = Box::pin(alice.room(1));
    assert!(futures_util::FutureExt::now_or_never(&mut second).is_none());
    drop(bob.room(50).await);
    assert!(futures_util::FutureExt::now_or_never(&mut second).is_none());
    drop(first);
    second.await;
}

#[test]
fn a_debt_of_events_stops_calls() {
    let quotas = quotas(QuotaLimits { events_per_second: 100, ..LIMITS });
    let quota = quotas.of("alice");
    quota.call().unwrap();
    quota.events(1_000);
    let refused = quota.call().unwrap_err();
    assert!(matches!(refused, Error::TooFast { rate: RateKind::Events, limit: 100, .. }));
    assert!(refused.to_string().contains("limit of 100"), "{refused}");
    assert!(quota.pause().unwrap() > Duration::from_secs(7));
    assert_eq!(quotas.limited().count(RateKind::Events), 2);
    quotas.of("bob").call().unwrap();
}

#[test]
fn principals_that_use_nothing_are_forgotten() {
    let quotas = quotas(LIMITS);
    let held = quotas.of("held");
    for number in 0..3 * PRINCIPALS_KEPT {
        quotas.of(&number.to_string());
    }
    let kept = quotas.by_principal.lock().len();
    assert!(kept <= PRINCIPALS_KEPT + 1, "{kept}");
    assert!(Arc::ptr_eq(&held, &quotas.of("held")));
}
