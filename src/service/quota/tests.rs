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
    waiting_bytes: 64 * 1024 * 1024,
    waiting_bytes_in_all: 256 * 1024 * 1024,
};

fn quotas(limits: QuotaLimits) -> Quotas {
    Quotas::new(limits)
}

fn client(quotas: &Quotas, name: &str) -> Arc<Quota> {
    quotas.of(&ClientKey::principal(name))
}

#[test]
fn slots_are_given_back() {
    let quota = quotas(QuotaLimits { subscribers: 2, ..LIMITS }).of(&ClientKey::principal("alice"));
    let first = quota.subscriber().unwrap();
    let _second = quota.subscriber().unwrap();
    let refused = quota.subscriber().unwrap_err();
    assert!(matches!(refused, Error::TooMany { what: HeldKind::Subscribers, limit: 2, .. }));
    drop(first);
    quota.subscriber().unwrap();
}

#[test]
fn charges_are_refused_beyond_the_limit_and_given_back() {
    let limits = QuotaLimits { receiving_bytes: 100, receiving_bytes_in_all: 150, ..LIMITS };
    let quotas = quotas(limits);
    let (alice, bob) = (client(&quotas, "alice"), client(&quotas, "bob"));
    let mut first = alice.account().try_charge(MemoryKind::Receiving, 90).unwrap();
    let refused = alice.account().try_charge(MemoryKind::Receiving, 20).unwrap_err();
    let what = HeldKind::ReceivingBytes;
    assert!(matches!(refused, Error::TooMany { what: refused, limit: 100, .. } if refused == what));
    first.try_set(101).unwrap_err();
    assert_eq!(first.bytes(), 90, "a refusal changes nothing");
    // A client that holds little is not refused for the sake of the others.
    let second = bob.account().try_charge(MemoryKind::Receiving, 100).unwrap();
    assert_eq!(quotas.holding().of(MemoryKind::Receiving), 190);
    first.set(10);
    alice.account().try_charge(MemoryKind::Receiving, 20).unwrap();
    drop((first, second));
    assert_eq!(quotas.holding(), Holding::default());
}

#[test]
fn a_client_that_holds_much_is_refused_when_all_hold_too_much() {
    const MIB: usize = 1024 * 1024;
    let limits =
        QuotaLimits { receiving_bytes: 64 * MIB, receiving_bytes_in_all: 100 * MIB, ..LIMITS };
    let quotas = quotas(limits);
    let (alice, bob) = (client(&quotas, "alice"), client(&quotas, "bob"));
    let _first = alice.account().try_charge(MemoryKind::Receiving, 60 * MIB).unwrap();
    let refused = bob.account().try_charge(MemoryKind::Receiving, 50 * MIB).unwrap_err();
    assert!(matches!(refused, Error::TooMany { total: true, .. }), "{refused}");
}

#[tokio::test]
async fn room_is_kept_by_the_bytes_until_the_last_slice_is_gone() {
    let quotas = quotas(LIMITS);
    let alice = client(&quotas, "alice");
    let bytes = Vec::with_capacity(1_000);
    let share = alice.account().room().acquire(bytes.capacity()).await;
    let mut bytes = hold([bytes, vec![7; 10]].concat(), share);
    let slice = bytes.split_to(3);
    drop(bytes);
    assert_eq!(alice.account().holding().room, 1_000);
    assert_eq!(&slice[..], [7; 3]);
    drop(slice);
    assert_eq!(quotas.holding().total(), 0);
}

#[tokio::test]
async fn the_largest_accounts_are_shown_first() {
    let quotas = quotas(LIMITS);
    let charges: Vec<MemoryCharge> = [("alice", 10), ("bob", 30), ("carol", 20), ("dave", 0)]
        .map(|(name, bytes)| client(&quotas, name).account().charge(MemoryKind::Calls, bytes))
        .into();
    let (largest, count) = quotas.largest(2);
    let names: Vec<String> = largest.iter().map(|own| own.client.to_string()).collect();
    assert_eq!((names, count), (vec!["bob".to_owned(), "carol".to_owned()], 3));
    assert_eq!(largest[0].holding.total(), 30);
    drop(charges);
    assert_eq!(quotas.largest(2).1, 0);
}

#[test]
fn a_principal_is_not_the_network_of_its_name() {
    let quotas = quotas(LIMITS);
    let named = client(&quotas, "192.0.2.1");
    let network = quotas.of(&ClientKey::at([192, 0, 2, 1].into()));
    assert!(!Arc::ptr_eq(&named, &network));
    let text = "::ffff:192.0.2.1".parse().unwrap();
    assert!(Arc::ptr_eq(&network, &quotas.of(&ClientKey::at(text))));
}

#[test]
fn a_debt_of_events_stops_calls() {
    let quotas = quotas(QuotaLimits { events_per_second: 100, ..LIMITS });
    let quota = client(&quotas, "alice");
    quota.call().unwrap();
    quota.events(1_000);
    let refused = quota.call().unwrap_err();
    assert!(matches!(refused, Error::TooFast { rate: RateKind::Events, limit: 100, .. }));
    assert!(refused.to_string().contains("limit of 100"), "{refused}");
    assert!(quota.pause().unwrap() > Duration::from_secs(7));
    assert_eq!(quotas.limited().count(RateKind::Events), 2);
    client(&quotas, "bob").call().unwrap();
}

#[test]
fn clients_that_use_nothing_are_forgotten() {
    let quotas = quotas(LIMITS);
    let held = client(&quotas, "held");
    for number in 0..3 * CLIENTS_KEPT {
        client(&quotas, &number.to_string());
    }
    let kept = quotas.by_client.lock().len();
    assert!(kept <= CLIENTS_KEPT + 1, "{kept}");
    assert!(Arc::ptr_eq(&held, &client(&quotas, "held")));
}
