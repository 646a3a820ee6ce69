//! What a status looks like.

use prost_types::{Duration, Timestamp};

use super::*;
use crate::cli::terminal::Color;

fn status() -> pb::GetStatusResponse {
    let subscriber = |peer: &str, lag, types: &[&str]| pb::Subscriber {
        peer: peer.into(),
        filter: Some(pb::Filter {
            types: types.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        }),
        sequence: 123_456 - lag,
        lag,
        delivered: 17,
        start_time: Some(Timestamp { seconds: 1_700_000_060, nanos: 0 }),
        ..Default::default()
    };
    pb::GetStatusResponse {
        version: "0.1.0".into(),
        start_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        uptime: Some(Duration { seconds: 8_040, nanos: 0 }),
        log_id: "7b0c".into(),
        log_kind: "memory".into(),
        first_sequence: 1,
        last_sequence: 123_456,
        record_count: 123_456,
        record_limit: 1_000_000,
        memory_record_count: 100_000,
        byte_size: 47 * 1024 * 1024 + 300_000,
        byte_limit: 256 * 1024 * 1024,
        counters: Some(pb::Counters { accepted: 123_456, delivered: 34, ..Default::default() }),
        rates: Some(pb::Rates { accepted_per_second: 1_234.4, delivered_per_second: 1.25 }),
        subscriber_count: 2,
        retention_holds: vec![pb::RetentionHold {
            name: "proof".into(),
            sequence: 123_400,
            record_limit: 0,
        }],
        holding: Some(pb::MemoryHolding { room_bytes: 3 << 20, ..Default::default() }),
        account_count: 2,
        accounts: vec![pb::MemoryAccount {
            client: "alice".into(),
            holding: Some(pb::MemoryHolding { call_bytes: 2 << 20, ..Default::default() }),
            ..Default::default()
        }],
        refusals: vec![
            pb::RefusalCount { reason: "TOKEN_UNKNOWN".into(), calls: 12, events: 0 },
            pb::RefusalCount { reason: "ID_CONFLICT".into(), calls: 3, events: 3 },
        ],
        connections: Some(pb::ConnectionStatus {
            open: 5,
            limit: 10_000,
            cut: 2,
            streams_reset: 1,
            ..Default::default()
        }),
        certificates: vec![pb::CertificateStatus {
            key: "tls.cert".into(),
            expire_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            ..Default::default()
        }],
        last_reload: Some(pb::ReloadStatus {
            time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            applied: true,
            ..Default::default()
        }),
        disconnects: vec![pb::Disconnect {
            time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            kind: pb::DisconnectKind::Subscription.into(),
            principal: "alice".into(),
            peer: "127.0.0.1:7".into(),
            reason: "client_left".into(),
        }],
        subscribers: vec![
            subscriber("127.0.0.1:40000", 0, &[]),
            subscriber("127.0.0.1:5", 100_000, &["session.*", "user.login\u{1b}[31m"]),
        ],
        ..Default::default()
    }
}

fn screen(width: Option<usize>, height: Option<usize>) -> Screen {
    Screen { width, height, zone: TimeZone::UTC, color: Color(false) }
}

fn drawn(status: &pb::GetStatusResponse, width: Option<usize>) -> String {
    draw(status, &screen(width, None))
}

#[test]
fn a_status_is_a_table() {
    let text = drawn(&status(), Some(80));
    assert_eq!(
        text,
        "gateway      0.1.0, up 2 h 14 min, since 2023-11-14 22:13:20\n\
         log          memory 7b0c: records 1 to 123456\n\
         kept         123,456 of 1,000,000 records, 47.3 MiB of 256 MiB\n\
         accepted     123,456 (1,234/s), 0 duplicates, 0 refused, 0 evicted\n\
         delivered    34 (1.2/s) to subscribers, 0 gaps\n\
         refused      12 TOKEN_UNKNOWN, 3 ID_CONFLICT\n\
         connections  5 of 10,000 open, 2 closed by the gateway; 1 stream reset\n\
         clients      3.0 MiB held by 2 clients, 2.0 MiB by alice\n\
         hold         proof needs the newest 56 records, no limit\n\
         certificate  tls.cert ends on 2023-11-14\n\
         reload       applied at 2023-11-14 22:13:20\n\
         \n\
         SUBSCRIBER          LAG SEQUENCE DELIVERED SINCE          FILTER\n\
         127.0.0.1:5     100,000   23,456        17 11-14 22:14:20 types=session.*,user.…\n\
         127.0.0.1:40000       0  123,456        17 11-14 22:14:20 everything\n\
         \n\
         ENDED          WHAT         PRINCIPAL PEER        REASON\n\
         11-14 22:13:20 subscription alice     127.0.0.1:7 the client left\n"
    );
    assert!(drawn(&status(), Some(200)).contains("\\u{1b}[31m"));
    for width in [80, 100, 200] {
        let text = drawn(&status(), Some(width));
        assert!(text.lines().all(|line| terminal::columns(line) <= width), "{text}");
    }
    let empty = pb::GetStatusResponse { first_sequence: 1, ..Default::default() };
    let text = drawn(&empty, None);
    assert!(text.contains("no records; the next one is 1"), "{text}");
    assert!(text.ends_with("\nno subscribers\n"), "{text}");
}

#[test]
fn a_log_on_disk_has_a_row() {
    let disk = pb::DiskStatus {
        sync: "always".into(),
        synced_sequence: 123_456,
        byte_size: 5 << 30,
        ..Default::default()
    };
    let row = |disk: pb::DiskStatus| {
        let status = pb::GetStatusResponse { disk: Some(disk), ..status() };
        let text = drawn(&status, None);
        text.lines().find(|line| line.starts_with("disk")).map(str::to_owned)
    };
    let bounded = pb::DiskStatus { byte_limit: 10 << 30, ..disk.clone() };
    for (disk, kept) in [(disk.clone(), "5.0 GiB"), (bounded, "5.0 GiB of 10.0 GiB")] {
        let status = pb::GetStatusResponse { disk: Some(disk), ..status() };
        let text = drawn(&status, None);
        let rows = format!(
            "kept         123,456 records, {kept}\n\
             memory       100,000 of 1,000,000 records, 47.3 MiB of 256 MiB\n"
        );
        assert!(text.contains(&rows), "{text}");
    }
    let plain = "disk         5.0 GiB, synced up to 123456 (always)";
    assert_eq!(row(disk.clone()).as_deref(), Some(plain));
    let removed = Some(Timestamp { seconds: 1_700_000_000, nanos: 0 });
    let shorter = pb::DiskStatus { removed_until: removed, ..disk.clone() };
    assert_eq!(row(shorter), Some(format!("{plain}, removed up to 2023-11-14 22:13:20")));
}

#[test]
fn a_tree_has_a_row() {
    let row = |proof: pb::ProofStatus| {
        let status = pb::GetStatusResponse { proof: Some(proof), ..status() };
        let text = drawn(&status, None);
        text.lines().find(|line| line.starts_with("proof")).map(str::to_owned)
    };
    let proof = pb::ProofStatus {
        key_name: "audit.example.com/prod".into(),
        tree_size: 123_456,
        checkpoint_size: 123_000,
        checkpoint_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        ..Default::default()
    };
    let plain = "proof        123,456 records in the tree, 123,000 signed by \
                 audit.example.com/prod at 2023-11-14 22:13:20";
    assert_eq!(row(proof.clone()).as_deref(), Some(plain));
}

#[test]
fn what_has_gone_wrong_comes_first_and_is_whole() {
    let damaged = |ranges: &[(u64, u64)]| pb::DiskStatus {
        state: pb::StorageState::Failed.into(),
        reason: "no disk ".repeat(20).trim_end().to_owned(),
        damaged: ranges
            .iter()
            .map(|(first, last)| pb::SequenceRange { first_sequence: *first, last_sequence: *last })
            .collect(),
        ..Default::default()
    };
    let lines = |disk, width| {
        let proof = pb::ProofStatus { trouble: "it was rolled back".into(), ..Default::default() };
        let status = pb::GetStatusResponse { disk: Some(disk), proof: Some(proof), ..status() };
        let text = drawn(&status, width);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = lines(damaged(&[(7, 9), (11, 11)]), None);
    assert_eq!(whole[0], "TROUBLE      it was rolled back");
    assert_eq!(whole[1], format!("FAILED       {}", "no disk ".repeat(20).trim_end()));
    assert_eq!(whole[2], "DAMAGED      records 7 to 9, and 1 more range");
    assert!(whole[3].starts_with("gateway "), "{whole:?}");
    assert_eq!(lines(damaged(&[(7, 7)]), None)[2], "DAMAGED      record 7");
    let narrow = lines(damaged(&[(7, 9), (11, 11), (12, 12)]), Some(60));
    assert_eq!(narrow[1], format!("FAILED       {}", "no disk ".repeat(6).trim_end()));
    assert_eq!(narrow[2], format!("{}{}", " ".repeat(13), "no disk ".repeat(6).trim_end()));
    assert_eq!(narrow[5], "DAMAGED      records 7 to 9, and 2 more ranges");
}

#[test]
fn a_status_fits_its_screen() {
    let mut many = status();
    many.subscribers = (0..50)
        .map(|lag| pb::Subscriber { lag, peer: format!("10.0.0.{lag}:5"), ..Default::default() })
        .collect();
    many.subscriber_count = 2_000;
    many.disconnects = vec![many.disconnects[0].clone(); 50];
    for height in 1..100 {
        let text = draw(&many, &screen(Some(80), Some(height)));
        assert!(text.lines().count() <= height, "{height}: {text}");
    }
    let text = draw(&many, &screen(Some(80), Some(24)));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[12].starts_with("SUBSCRIBER") && lines[13].starts_with("10.0.0.49:5 "), "{text}");
    assert!(text.contains("and 1,9"), "{text}");
    let text = draw(&many, &screen(Some(80), Some(40)));
    assert!(text.contains("\nENDED ") && text.matches("the client left").count() == 5, "{text}");
    assert_eq!(drawn(&many, Some(80)).lines().filter(|line| line.starts_with("10.")).count(), 50);
}

#[test]
fn the_disk_has_a_row_for_its_room() {
    let row = |free_bytes, byte_limit| {
        let disk = pb::DiskStatus {
            byte_size: 12_345_600,
            free_bytes,
            size_bytes: 100 << 30,
            byte_limit,
            ..Default::default()
        };
        let status = pb::GetStatusResponse { disk: Some(disk), ..status() };
        let text = drawn(&status, None);
        text.lines().find(|line| line.starts_with("free ")).map(str::to_owned)
    };
    let told = |text: &str| Some(format!("free         {text}"));
    assert_eq!(row(150_000, 0), told("146 KiB of 100 GiB, full in 1 s at the present rate"));
    assert_eq!(row(50 << 30, 1 << 30), told("50.0 GiB of 100 GiB, more than the log will take"));
}

#[test]
fn a_refused_reload_comes_first() {
    let refused = pb::ReloadStatus {
        time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        applied: false,
        error: "tls.key is not valid".into(),
    };
    let status = pb::GetStatusResponse { last_reload: Some(refused), ..status() };
    let text = drawn(&status, None);
    let expected = "RELOAD       refused at 2023-11-14 22:13:20: tls.key is not valid; the previous \
                    configuration stays in force\n";
    assert!(text.starts_with(expected), "{text}");
}
