//! A status as people read it.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::accounts;
use super::problems::problems;
use super::units::{length, rate, size};
use crate::cli::count::{counted, grouped};
use crate::cli::field_path::FieldPath;
use crate::cli::terminal::{self, Color, TextStyle};
use crate::cli::{escape, times};
use crate::json::{reflect, shape};
use crate::proto::pb;

/// Width of the names of rows, in columns.
const NAME: usize = 9;
/// From this lag on a subscriber is worth a look, in records.
const LAG_NOTABLE: u64 = 1_000;
/// Headings of the subscribers; the last column takes what is left.
const HEADINGS: [&str; 6] = ["SUBSCRIBER", "SINCE", "SEQUENCE", "LAG", "DELIVERED", "FILTER"];

/// The table; where nothing bounds it, each row is one line, and whole. What has gone
/// wrong comes first.
pub fn draw(
    status: &pb::GetStatusResponse,
    width: Option<usize>,
    zone: &TimeZone,
    color: Color,
) -> String {
    let counters = status.counters.unwrap_or_default();
    let rates = status.rates.unwrap_or_default();
    let started = status.start_time.map(|time| times::format(&time, zone, "%F %T"));
    let uptime = status.uptime.as_ref().map_or(0, |uptime| uptime.seconds);
    let kept = match (status.record_count, status.first_sequence, status.last_sequence) {
        (0, next, _) => format!("no records; the next one is {next}"),
        (_, first, last) => format!("records {first} to {last}"),
    };
    let mut rows = vec![
        (
            "gateway",
            format!(
                "{}, up {}, since {}",
                status.version,
                length(uptime),
                started.unwrap_or_default()
            ),
        ),
        ("log", format!("{} {}: {kept}", status.log_kind, status.log_id)),
        ("kept", kept_of(status)),
        (
            "accepted",
            format!(
                "{} ({}/s), {} duplicates, {} refused, {} evicted",
                grouped(counters.accepted),
                rate(rates.accepted_per_second),
                grouped(counters.duplicates),
                grouped(counters.refused),
                grouped(counters.evicted)
            ),
        ),
        (
            "delivered",
            format!(
                "{} ({}/s) to subscribers, {}",
                grouped(counters.delivered),
                rate(rates.delivered_per_second),
                counted(counters.gaps, "gap")
            ),
        ),
    ];
    rows.extend(accounts::clients(status).map(|text| ("clients", text)));
    if status.disk.is_some() {
        rows.insert(3, ("memory", in_memory(status, status.memory_record_count)));
    }
    rows.extend(status.disk.as_ref().map(|found| ("disk", disk(found, zone))));
    rows.extend(status.proof.as_ref().map(|found| ("proof", proof(found, zone))));
    let last = status.last_sequence;
    rows.extend(status.retention_holds.iter().map(|found| ("hold", hold(found, last))));
    let wrong = problems(status).into_iter().map(|row| (TextStyle::Alarm, row));
    let mut out = String::new();
    for (style, (name, text)) in wrong.chain(rows.into_iter().map(|row| (TextStyle::Bold, row))) {
        let rest = width.map_or(usize::MAX, |width| width.saturating_sub(NAME + 2));
        let mut name = color.paint(style, &terminal::fitted(name, NAME));
        for line in terminal::wrapped(&escape::escaped(&text), rest) {
            let _ = writeln!(out, "{name}  {line}");
            name = " ".repeat(NAME);
        }
    }
    out.push('\n');
    if status.subscribers.is_empty() {
        out.push_str("no subscribers\n");
    } else {
        out.push_str(&subscribers(&status.subscribers, width, zone, color));
    }
    out
}

/// How much is kept, and of how much.
fn kept_of(status: &pb::GetStatusResponse) -> String {
    match &status.disk {
        None => in_memory(status, status.record_count),
        Some(disk) if disk.byte_limit == 0 => {
            format!("{} records, {}", grouped(status.record_count), size(disk.byte_size))
        }
        Some(disk) => format!(
            "{} records, {} of {}",
            grouped(status.record_count),
            size(disk.byte_size),
            size(disk.byte_limit)
        ),
    }
}

/// How much is in memory, and how much may be.
fn in_memory(status: &pb::GetStatusResponse, records: u64) -> String {
    format!(
        "{} of {} records, {} of {}",
        grouped(records),
        grouped(status.record_limit),
        size(status.byte_size),
        size(status.byte_limit)
    )
}

fn subscribers(
    subscribers: &[pb::Subscriber],
    width: Option<usize>,
    zone: &TimeZone,
    color: Color,
) -> String {
    let mut rows: Vec<(u64, [String; 6])> =
        subscribers.iter().map(|subscriber| (subscriber.lag, row(subscriber, zone))).collect();
    // Who is furthest behind comes first.
    rows.sort_by(|(a, _), (b, _)| b.cmp(a));
    let mut columns = HEADINGS.map(str::len);
    for (_, row) in &rows {
        for (column, cell) in columns.iter_mut().zip(row) {
            *column = (*column).max(terminal::columns(cell));
        }
    }
    let [who, since, sequence, lag, delivered, _] = columns;
    let who = width.map_or(who, |width| who.min(width * 2 / 5));
    let others = who + since + sequence + lag + delivered + 2 * 5;
    let rest = width.map_or(usize::MAX, |width| width.saturating_sub(others));
    let line = |cells: [&str; 6]| {
        let [a, b, c, d, e, f] = cells;
        let line = format!(
            "{}  {b:since$}  {c:>sequence$}  {d:>lag$}  {e:>delivered$}  {}",
            terminal::fitted(a, who),
            terminal::cut(f, rest)
        );
        line.trim_end().to_owned()
    };
    let mut out = format!("{}\n", color.paint(TextStyle::Bold, &line(HEADINGS)));
    for (lag, row) in &rows {
        let style = if *lag >= LAG_NOTABLE { TextStyle::Notable } else { TextStyle::Plain };
        let cells = row.each_ref().map(String::as_str);
        let _ = writeln!(out, "{}", color.paint(style, &line(cells)));
    }
    out
}

fn row(subscriber: &pb::Subscriber, zone: &TimeZone) -> [String; 6] {
    let who = match subscriber.principal.as_str() {
        "" => subscriber.peer.clone(),
        principal => format!("{principal} {}", subscriber.peer),
    };
    let since = subscriber.start_time.map(|time| times::format(&time, zone, "%m-%d %T"));
    let filter = subscriber.filter.as_ref().map(told).filter(|told| !told.is_empty());
    let filter = filter.unwrap_or_else(|| "everything".to_owned());
    [
        escape::escaped(&who).into_owned(),
        since.unwrap_or_default(),
        grouped(subscriber.sequence),
        grouped(subscriber.lag),
        grouped(subscriber.delivered),
        escape::escaped(&filter).into_owned(),
    ]
}

/// `types=session.*,exec text=drop`.
fn told(filter: &pb::Filter) -> String {
    let (shape, reflected) = (shape("Filter"), reflect("Filter", filter));
    let fields = shape.fields().filter_map(|field| {
        let path = FieldPath::new(field.name(), &shape).ok()?;
        Some(format!("{}={}", field.name(), path.words(&reflected, ",")?))
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// How far the tree over the log has come.
fn proof(proof: &pb::ProofStatus, zone: &TimeZone) -> String {
    let mut text = format!(
        "{} records in the tree, {} signed by {}",
        grouped(proof.tree_size),
        grouped(proof.checkpoint_size),
        escape::escaped(&proof.key_name)
    );
    if let Some(time) = &proof.checkpoint_time {
        text += &format!(" at {}", times::format(time, zone, "%F %T"));
    }
    text
}

/// What holds records of a log whose newest is `last`.
fn hold(hold: &pb::RetentionHold, last: u64) -> String {
    let behind = grouped(last.saturating_sub(hold.sequence));
    let limit = match hold.record_limit {
        0 => "no limit".to_owned(),
        limit => format!("limit {}", grouped(limit)),
    };
    format!("{} needs the newest {behind} records, {limit}", escape::escaped(&hold.name))
}

/// How the log is kept on disk.
fn disk(disk: &pb::DiskStatus, zone: &TimeZone) -> String {
    let mut text = format!(
        "{}, synced up to {} ({})",
        size(disk.byte_size),
        disk.synced_sequence,
        escape::escaped(&disk.sync)
    );
    if let Some(time) = &disk.removed_until {
        text += &format!(", removed up to {}", times::format(time, zone, "%F %T"));
    }
    text
}

#[cfg(test)]
mod tests {
    use prost_types::{Duration, Timestamp};

    use super::*;

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
            }],
            subscribers: vec![
                subscriber("127.0.0.1:40000", 0, &[]),
                subscriber("127.0.0.1:5", 100_000, &["session.*", "user.login\u{1b}[31m"]),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn a_status_is_a_table() {
        let text = draw(&status(), Some(80), &TimeZone::UTC, Color(false));
        assert_eq!(
            text,
            "gateway    0.1.0, up 2 h 14 min, since 2023-11-14 22:13:20\n\
             log        memory 7b0c: records 1 to 123456\n\
             kept       123,456 of 1,000,000 records, 47.3 MiB of 256 MiB\n\
             accepted   123,456 (1,234/s), 0 duplicates, 0 refused, 0 evicted\n\
             delivered  34 (1.2/s) to subscribers, 0 gaps\n\
             clients    3.0 MiB held by 2 clients, 2.0 MiB by alice\n\
             hold       proof needs the newest 56 records, no limit\n\
             \n\
             SUBSCRIBER       SINCE           SEQUENCE      LAG  DELIVERED  FILTER\n\
             127.0.0.1:5      11-14 22:14:20    23,456  100,000         17  types=session.*,…\n\
             127.0.0.1:40000  11-14 22:14:20   123,456        0         17  everything\n"
        );
        assert!(draw(&status(), Some(200), &TimeZone::UTC, Color(false)).contains("\\u{1b}[31m"));
        for width in [80, 100, 200] {
            let text = draw(&status(), Some(width), &TimeZone::UTC, Color(false));
            assert!(text.lines().all(|line| terminal::columns(line) <= width), "{text}");
        }
        let empty = pb::GetStatusResponse { first_sequence: 1, ..Default::default() };
        let text = draw(&empty, None, &TimeZone::UTC, Color(false));
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
            let text = draw(&status, None, &TimeZone::UTC, Color(false));
            text.lines().find(|line| line.starts_with("disk")).map(str::to_owned)
        };
        let bounded = pb::DiskStatus { byte_limit: 10 << 30, ..disk.clone() };
        for (disk, kept) in [(disk.clone(), "5.0 GiB"), (bounded, "5.0 GiB of 10.0 GiB")] {
            let status = pb::GetStatusResponse { disk: Some(disk), ..status() };
            let text = draw(&status, None, &TimeZone::UTC, Color(false));
            let rows = format!(
                "kept       123,456 records, {kept}\n\
                 memory     100,000 of 1,000,000 records, 47.3 MiB of 256 MiB\n"
            );
            assert!(text.contains(&rows), "{text}");
        }
        let plain = "disk       5.0 GiB, synced up to 123456 (always)";
        assert_eq!(row(disk.clone()).as_deref(), Some(plain));
        let removed = Some(Timestamp { seconds: 1_700_000_000, nanos: 0 });
        let shorter = pb::DiskStatus { removed_until: removed, ..disk.clone() };
        assert_eq!(row(shorter), Some(format!("{plain}, removed up to 2023-11-14 22:13:20")));
    }

    #[test]
    fn a_tree_has_a_row() {
        let row = |proof: pb::ProofStatus| {
            let status = pb::GetStatusResponse { proof: Some(proof), ..status() };
            let text = draw(&status, None, &TimeZone::UTC, Color(false));
            text.lines().find(|line| line.starts_with("proof")).map(str::to_owned)
        };
        let proof = pb::ProofStatus {
            key_name: "audit.example.com/prod".into(),
            tree_size: 123_456,
            checkpoint_size: 123_000,
            checkpoint_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            trouble: String::new(),
        };
        let plain = "proof      123,456 records in the tree, 123,000 signed by \
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
                .map(|(first, last)| pb::SequenceRange {
                    first_sequence: *first,
                    last_sequence: *last,
                })
                .collect(),
            ..Default::default()
        };
        let lines = |disk, width| {
            let proof =
                pb::ProofStatus { trouble: "it was rolled back".into(), ..Default::default() };
            let status = pb::GetStatusResponse { disk: Some(disk), proof: Some(proof), ..status() };
            let text = draw(&status, width, &TimeZone::UTC, Color(false));
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let whole = lines(damaged(&[(7, 9), (11, 11)]), None);
        assert_eq!(whole[0], "TROUBLE    it was rolled back");
        assert_eq!(whole[1], format!("FAILED     {}", "no disk ".repeat(20).trim_end()));
        assert_eq!(whole[2], "DAMAGED    records 7 to 9, and 1 more range");
        assert!(whole[3].starts_with("gateway "), "{whole:?}");
        assert_eq!(lines(damaged(&[(7, 7)]), None)[2], "DAMAGED    record 7");
        let narrow = lines(damaged(&[(7, 9), (11, 11), (12, 12)]), Some(60));
        assert_eq!(narrow[1], format!("FAILED     {}", "no disk ".repeat(6).trim_end()));
        assert_eq!(narrow[2], format!("{}{}", " ".repeat(11), "no disk ".repeat(6).trim_end()));
        assert_eq!(narrow[5], "DAMAGED    records 7 to 9, and 2 more ranges");
    }
}
