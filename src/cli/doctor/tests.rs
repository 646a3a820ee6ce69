//! What the doctor finds.

use prost_types::{Duration, Timestamp as Stamp};

use super::*;

const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;
const GIB: u64 = 1 << 30;

fn stamp(seconds: i64) -> Option<Stamp> {
    Some(Stamp { seconds, nanos: 0 })
}

fn operator() -> pb::GetCallerResponse {
    pb::GetCallerResponse {
        principal: "ops".into(),
        authenticated: true,
        rights: vec!["status".into(), "subscribers".into()],
        ..Default::default()
    }
}

/// A gateway with nothing wrong.
fn healthy() -> pb::GetStatusResponse {
    pb::GetStatusResponse {
        version: "0.1.0".into(),
        start_time: stamp(NOW - 3_600),
        uptime: Some(Duration { seconds: 3_600, nanos: 0 }),
        first_sequence: 1,
        last_sequence: 100_000,
        record_count: 100_000,
        memory_record_count: 50_000,
        rates: Some(pb::Rates { accepted_per_second: 10.0, ..Default::default() }),
        counters: Some(pb::Counters { accepted: 100_000, evicted: 1, ..Default::default() }),
        disk: Some(pb::DiskStatus {
            state: pb::StorageState::Ready.into(),
            byte_size: 30_000_000,
            free_bytes: 50 * GIB,
            size_bytes: 100 * GIB,
            ..Default::default()
        }),
        proof: Some(pb::ProofStatus {
            tree_size: 100_000,
            checkpoint_size: 99_990,
            checkpoint_time: stamp(NOW - 5),
            ..Default::default()
        }),
        certificates: vec![pb::CertificateStatus {
            key: "tls.cert".into(),
            file: "server.pem".into(),
            expire_time: stamp(NOW + 90 * DAY),
        }],
        last_reload: Some(pb::ReloadStatus {
            time: stamp(NOW - 60),
            applied: true,
            ..Default::default()
        }),
        account_limits: Some(pb::AccountLimits {
            holding: Some(pb::MemoryHolding { room_bytes: 1_000_000, ..Default::default() }),
            subscribers: 10,
            emit_streams: 10,
        }),
        accounts: vec![pb::MemoryAccount {
            client: "alice".into(),
            holding: Some(pb::MemoryHolding { room_bytes: 790_000, ..Default::default() }),
            subscriber_count: 7,
            ..Default::default()
        }],
        connections: Some(pb::ConnectionStatus { open: 5, limit: 1_000, ..Default::default() }),
        ..Default::default()
    }
}

fn diagnosed(status: &pb::GetStatusResponse, caller: &pb::GetCallerResponse) -> Vec<Diagnosis> {
    diagnosed_with(status, caller, &[])
}

fn diagnosed_with(
    status: &pb::GetStatusResponse,
    caller: &pb::GetCallerResponse,
    deliveries: &[pb::Delivery],
) -> Vec<Diagnosis> {
    let now = Timestamp::from_second(NOW).expect("a time");
    let answer_time = std::time::Duration::ZERO;
    diagnose(&Evidence { caller, status, deliveries, now, answer_time, zone: TimeZone::UTC })
}

/// What is found after one change.
fn found(change: impl FnOnce(&mut pb::GetStatusResponse)) -> Vec<(Grade, &'static str)> {
    let mut status = healthy();
    change(&mut status);
    let findings = diagnosed(&status, &operator());
    findings.iter().map(|found| (found.severity, found.check)).collect()
}

fn disk(status: &mut pb::GetStatusResponse) -> &mut pb::DiskStatus {
    status.disk.as_mut().expect("a disk")
}

fn proof(status: &mut pb::GetStatusResponse) -> &mut pb::ProofStatus {
    status.proof.as_mut().expect("a proof")
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(|_| ()), []);
    assert_eq!(found(|status| status.disk = None), []);
    let text = draw(&healthy(), &[], Some(80), Color(false));
    assert_eq!(
        text,
        "auditgate 0.1.0: nothing needs attention\n\
         \n\
         FINE      storage, damage, disk, shared log, proof, signing key, certificates,\n\
         \x20         clock, reload, memory, gaps, accounts, connections, deliveries, access\n"
    );
}

#[test]
fn storage_is_looked_at() {
    use Grade::{Critical, Note, Warning};
    let full = pb::StorageState::Full;
    assert_eq!(found(|status| disk(status).set_state(full)), [(Critical, "storage")]);
    let failed = pb::StorageState::Failed;
    assert_eq!(found(|status| disk(status).set_state(failed)), [(Critical, "storage")]);
    let range = pb::SequenceRange { first_sequence: 3, last_sequence: 9 };
    assert_eq!(found(|status| disk(status).damaged.push(range)), [(Critical, "damage")]);
    let free = |bytes| move |status: &mut pb::GetStatusResponse| disk(status).free_bytes = bytes;
    assert_eq!(found(free(10 * GIB)), []);
    assert_eq!(found(free(10 * GIB - 1)), [(Warning, "disk")]);
    assert_eq!(found(free(2 * GIB - 1)), [(Critical, "disk")]);
    // 300 bytes a record, and as many records in the mean as now.
    let rate = |rate| {
        move |status: &mut pb::GetStatusResponse| {
            status.rates = Some(pb::Rates { accepted_per_second: rate, ..Default::default() });
            let accepted = (rate * 3_600.0) as u64;
            status.counters = Some(pb::Counters { accepted, ..Default::default() });
        }
    };
    assert_eq!(found(rate(500.0)), []);
    assert_eq!(found(rate(1_000.0)), [(Warning, "disk")]);
    assert_eq!(found(rate(20_000.0)), [(Critical, "disk")]);
    let burst = |status: &mut pb::GetStatusResponse| {
        rate(1_000.0)(status);
        status.counters = Some(pb::Counters { accepted: 10_000, ..Default::default() });
    };
    assert_eq!(found(burst), [], "it does not last for days");
    let bounded = |status: &mut pb::GetStatusResponse| {
        rate(20_000.0)(status);
        disk(status).byte_limit = GIB;
        disk(status).free_bytes = GIB;
    };
    assert_eq!(found(bounded), [], "retention keeps it smaller");
    assert_eq!(found(|status| disk(status).size_bytes = 0), [(Note, "disk")]);
    assert_eq!(found(|status| proof(status).trouble = "late".into()), [(Warning, "proof")]);
    let broken = |status: &mut pb::GetStatusResponse| proof(status).broken = true;
    assert_eq!(found(broken), [(Critical, "proof")]);
    assert_eq!(found(|status| proof(status).key_beside_log = true), [(Note, "signing key")]);
    let old =
        |status: &mut pb::GetStatusResponse| proof(status).checkpoint_time = stamp(NOW - 3_600);
    assert_eq!(found(old), [(Warning, "proof")]);
}

#[test]
fn certificates_clocks_and_reloads_are_looked_at() {
    use Grade::{Critical, Note, Warning};
    let ends = |seconds| {
        move |status: &mut pb::GetStatusResponse| {
            status.certificates[0].expire_time = stamp(seconds)
        }
    };
    assert_eq!(found(ends(NOW + 30 * DAY)), []);
    assert_eq!(found(ends(NOW + 30 * DAY - 1)), [(Warning, "certificates")]);
    assert_eq!(found(ends(NOW + 3 * DAY - 1)), [(Critical, "certificates")]);
    assert_eq!(found(ends(NOW - 1)), [(Critical, "certificates")]);
    let clock = |seconds: i64| {
        move |status: &mut pb::GetStatusResponse| status.start_time = stamp(NOW - 3_600 + seconds)
    };
    assert_eq!(found(clock(5)), []);
    assert_eq!(found(clock(6)), [(Warning, "clock")]);
    assert_eq!(found(clock(-6)), [(Warning, "clock")]);
    let ahead = Some(Duration { seconds: 30, nanos: 0 });
    assert_eq!(found(|status| status.accept_time_ahead = ahead), [(Warning, "clock")]);
    let refused = |status: &mut pb::GetStatusResponse| {
        status.last_reload = Some(pb::ReloadStatus { error: "bad".into(), ..Default::default() });
    };
    assert_eq!(found(refused), [(Warning, "reload")]);
    let of_caller = |caller: &pb::GetCallerResponse| {
        diagnosed(&healthy(), caller)
            .iter()
            .map(|found| (found.severity, found.check))
            .collect::<Vec<_>>()
    };
    let open = pb::GetCallerResponse::default();
    assert_eq!(of_caller(&open), [(Note, "access")]);
    let short = pb::GetCallerResponse { expire_time: stamp(NOW + 60), ..operator() };
    assert_eq!(of_caller(&short), [(Note, "access")]);
    let blind = pb::GetCallerResponse { rights: vec!["status".into()], ..operator() };
    assert_eq!(of_caller(&blind), [(Note, "access")]);
}

#[test]
fn clients_are_looked_at() {
    use Grade::{Note, Warning};
    let lag = |lag, is_disk: bool| {
        move |status: &mut pb::GetStatusResponse| {
            let one = |lag| pb::Subscriber { lag, peer: "10.0.0.1:5".into(), ..Default::default() };
            status.subscribers = vec![one(lag), one(0)];
            if !is_disk {
                status.disk = None;
            }
        }
    };
    assert_eq!(found(lag(25_000, false)), []);
    assert_eq!(found(lag(25_001, false)), [(Warning, "memory")]);
    assert_eq!(found(lag(25_001, true)), [(Note, "memory")]);
    let mut status = healthy();
    lag(45_000, false)(&mut status);
    let what = diagnosed(&status, &operator()).remove(0).what;
    assert!(what.contains("it loses records in 8 min 20 s at the present rate"), "{what}");
    let gap = pb::GapCount { reason: pb::GapReason::Evicted.into(), count: 2 };
    assert_eq!(found(|status| status.gaps.push(gap)), [(Warning, "gaps")]);
    let room = |status: &mut pb::GetStatusResponse| {
        status.accounts[0].holding =
            Some(pb::MemoryHolding { room_bytes: 800_000, ..Default::default() });
    };
    assert_eq!(found(room), [(Warning, "accounts")]);
    assert_eq!(found(|status| status.accounts[0].subscriber_count = 8), [(Warning, "accounts")]);
    assert_eq!(found(|status| status.accounts[0].emit_stream_count = 8), [(Warning, "accounts")]);
    let open = |open| {
        move |status: &mut pb::GetStatusResponse| {
            status.connections =
                Some(pb::ConnectionStatus { open, limit: 1_000, ..Default::default() });
        }
    };
    assert_eq!(found(open(799)), []);
    assert_eq!(found(open(800)), [(Warning, "connections")]);
}

#[test]
fn a_shared_log_is_looked_at() {
    use Grade::{Critical, Warning};
    let shared = |change: fn(&mut pb::SharedLogStatus)| {
        found(move |status| {
            let mut shared = pb::SharedLogStatus { replicas: 3, ..Default::default() };
            change(&mut shared);
            status.shared = Some(shared);
        })
    };
    assert_eq!(shared(|_| ()), []);
    assert_eq!(shared(|own| (own.repeats, own.seen, own.void, own.stale) = (9, 9, 9, 9)), []);
    assert_eq!(shared(|own| own.lag = 128), []);
    let warned = [(Warning, "shared log")];
    assert_eq!(shared(|own| own.lag = 129), warned);
    assert_eq!(shared(|own| own.invalid = 1), warned);
    assert_eq!(shared(|own| own.warnings.push("acknowledges before it syncs".into())), warned);
    assert_eq!(shared(|own| own.disagreements = 1), [(Critical, "shared log")]);
    let away = pb::StorageState::Away;
    assert_eq!(found(|status| disk(status).set_state(away)), [(Critical, "storage")]);
}

#[test]
fn the_worst_comes_first_and_each_says_what_to_do() {
    let mut status = healthy();
    proof(&mut status).key_beside_log = true;
    status.last_reload =
        Some(pb::ReloadStatus { error: "bad\u{1b}[2J".into(), ..Default::default() });
    disk(&mut status).set_state(pb::StorageState::Full);
    let findings = diagnosed(&status, &operator());
    for width in 20..200 {
        let text = draw(&status, &findings, Some(width), Color(false));
        let widest = text.lines().map(terminal::columns).max();
        assert!(widest <= Some(width.max(60)), "{width}: {text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let text = draw(&status, &findings, Some(80), Color(false));
    let places = ["CRITICAL  the log", "WARNING   the reload", "NOTE      the signing", "FINE"];
    let places = places.map(|start| text.find(start));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
    assert_eq!(text.matches("          do: ").count(), 3, "{text}");
    assert!(text.starts_with("auditgate 0.1.0: 1 critical, 1 warning\n"), "{text}");
}

#[test]
fn deliveries_are_looked_at() {
    use Grade::{Critical, Note, Warning};
    use pb::DeliveryState as State;
    let found = |change: &dyn Fn(&mut pb::Delivery)| {
        let mut one = pb::Delivery {
            name: "siem".into(),
            state: State::Running.into(),
            state_time: stamp(NOW - 7_200),
            ..Default::default()
        };
        change(&mut one);
        let found = diagnosed_with(&healthy(), &operator(), &[one]);
        found.into_iter().map(|one| (one.severity, one.what)).collect::<Vec<_>>()
    };
    let graded = |change: &dyn Fn(&mut pb::Delivery)| {
        found(change).into_iter().map(|(grade, _)| grade).collect::<Vec<_>>()
    };
    assert_eq!(graded(&|_| ()), []);
    let lag =
        |seconds| move |one: &mut pb::Delivery| one.lag = Some(Duration { seconds, nanos: 0 });
    assert_eq!(graded(&lag(900)), []);
    assert_eq!(graded(&lag(901)), [Warning]);
    let in_state = |state: State| move |one: &mut pb::Delivery| one.set_state(state);
    assert_eq!(graded(&in_state(State::Retrying)), [Warning]);
    assert_eq!(graded(&in_state(State::Blocked)), [Critical]);
    assert_eq!(graded(&in_state(State::Undecided)), [Critical]);
    assert_eq!(graded(&in_state(State::Ended)), [Critical]);
    assert_eq!(graded(&in_state(State::Paused)), [Note]);
    assert_eq!(graded(&in_state(State::Elsewhere)), []);
    let holds = |one: &mut pb::Delivery| {
        one.set_state(State::Paused);
        one.holds_retention = true;
    };
    assert_eq!(graded(&holds), [Warning]);
    let letters = |one: &mut pb::Delivery| (one.dead_letters, one.missed) = (3, 1);
    assert_eq!(graded(&letters), [Warning, Warning]);
    let blocked = |one: &mut pb::Delivery| {
        one.set_state(State::Blocked);
        one.reason = "401 Unauthorized".into();
        one.lag_records = 1_234;
    };
    let text = "delivery siem has been blocked for 2 h 0 min: 401 Unauthorized; 1,234 records wait";
    assert_eq!(found(&blocked), [(Critical, text.to_owned())]);
}
