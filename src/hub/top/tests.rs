//! Values and groups against a naive count of decoded records.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event::{EVENT_BYTES_MAX, Event};
use crate::filter::{Filter, TypeSet};
use crate::hub::{CountRequest, Group};
use crate::log::{Append, Bounds, MemoryLog};
use crate::proto::pb::{self, event::Payload};
use crate::record::Draft;
use crate::time::Time;

const FIELDS: [&str; 7] =
    ["user.name", "session.id", "server.id", "type", "severity", "result", "source.name"];
const ROLES: [&[&str]; 4] =
    [&["*"], &["user.login", "custom.a"], &["exec", "custom.*"], &["user.*"]];

/// Kind of the event, user, session, server, and whether it failed.
type Small = (u8, u8, u8, u8, bool);

fn event(number: usize, (kind, user, session, server, failed): Small) -> pb::Event {
    let text = |name: &str, number: u8| (number > 0).then(|| format!("{name}-{number}"));
    let payload = match kind {
        0 => Payload::UserLogin(pb::UserLogin::default()),
        1 => Payload::Exec(pb::Exec::default()),
        number => {
            let name = Some(if number == 2 { "a" } else { "b" }.to_owned());
            Payload::Custom(pb::Custom { name, ..Default::default() })
        }
    };
    // Present and empty differs from absent; and one that is too long to be shown.
    let name = match user {
        1 => Some(String::new()),
        2 => Some("ä".repeat(600)),
        user => text("user", user),
    };
    pb::Event {
        id: Some(format!("e-{number}")),
        time: Some(Time(number as i64 * 1_000_000_000).timestamp()),
        user: Some(pb::User { name, impersonator: text("user", session), ..Default::default() }),
        session: Some(pb::Session { id: text("s", session), ..Default::default() }),
        server: Some(pb::Server { id: text("srv", server), ..Default::default() }),
        source: Some(pb::Source { name: text("source", server), ..Default::default() }),
        outcome: Some(pb::Outcome { success: Some(!failed), ..Default::default() }),
        payload: Some(payload),
        ..Default::default()
    }
}

/// Some segments of the smallest ring; the newest is not full.
async fn hub(events: &[Small]) -> Arc<Hub> {
    let log = MemoryLog::new(Bounds { bytes: 8 << 20, records: 640 });
    let hub = Hub::new(Arc::new(log), CancellationToken::new());
    let emitter = pb::Emitter::default().into();
    for (number, small) in events.iter().enumerate() {
        let bytes = event(number, *small).encode_to_vec();
        let event = Event::check(bytes.into(), Time::now(), EVENT_BYTES_MAX).expect("valid");
        hub.append(&[Draft::new(event, &emitter)], Append::AllOrNothing { validate_only: false })
            .await
            .expect("appended");
    }
    hub
}

fn query(filter: &pb::Filter, read: &[&str]) -> ScanQuery {
    let patterns: Vec<String> = read.iter().map(|name| (*name).to_owned()).collect();
    let readable = Arc::new(TypeSet::compile("read", &patterns).expect("known types"));
    ScanQuery::new(Arc::new(Filter::compile_for(filter, &readable).expect("a filter")))
}

/// The records of the log that a query matches, decoded.
async fn matching(hub: &Hub, query: &ScanQuery) -> Vec<pb::Record> {
    let mut records = Vec::new();
    let mut next = hub.extent().first;
    while let Some(ReadResult::Records(segment)) =
        hub.log.read(next, ReadHint::all(ScanOrder::Ascending)).await.expect("readable")
    {
        let view = segment.view(hub.extent().last);
        for position in 0..view.len() {
            if query.filter.record(view.record_bytes(position)) == crate::filter::Outcome::Match {
                records.push(pb::Record::decode(view.record_bytes(position)).expect("a record"));
            }
        }
        next = view.end();
    }
    records
}

fn severity(record: &pb::Record) -> String {
    record.severity().as_str_name().trim_start_matches("SEVERITY_").to_ascii_lowercase()
}

fn result(record: &pb::Record) -> String {
    record.result().as_str_name().trim_start_matches("RESULT_").to_ascii_lowercase()
}

fn value(record: &pb::Record, field: &str) -> Option<String> {
    let event = record.event.as_ref()?;
    match field {
        "user.name" => event.user.as_ref()?.name.clone(),
        "session.id" => event.session.as_ref()?.id.clone(),
        "server.id" => event.server.as_ref()?.id.clone(),
        "source.name" => event.source.as_ref()?.name.clone(),
        "type" => Some(record.r#type.clone()),
        "severity" => Some(severity(record)),
        "result" => Some(result(record)),
        other => panic!("{other}"),
    }
}

/// What a reader of all the values would count.
fn naive(records: &[pb::Record], field: &str, limit: usize, prefix: &str) -> Values {
    let mut counts: BTreeMap<(String, bool), u64> = BTreeMap::new();
    let mut naive = Values::default();
    for record in records {
        match value(record, field) {
            None => naive.absent += 1,
            Some(value) if !value.starts_with(prefix) => naive.others += 1,
            Some(mut value) => {
                let cut = value.len() > VALUE_BYTES_MAX;
                value.truncate(VALUE_BYTES_MAX);
                *counts.entry((value, cut)).or_default() += 1;
            }
        }
    }
    let mut values: Vec<_> = counts.into_iter().collect();
    values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (place, ((value, cut), count)) in values.into_iter().enumerate() {
        if place < limit {
            naive.values.push(Counted { value, count, cut });
        } else {
            naive.others += count;
        }
    }
    naive
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().expect("a runtime").block_on(future)
}

fn asked(query: ScanQuery, limit: usize, prefix: &str) -> TopValues {
    let fields = FIELDS.map(|path| Path::parse(path).expect("a path")).to_vec();
    TopValues { query, fields, limit, prefix: prefix.to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn values_and_groups_are_those_of_a_naive_count(
        events in prop::collection::vec((0..4_u8, 0..6_u8, 0..4_u8, 0..3_u8, any::<bool>()), 0..900),
        read in prop::sample::select(&ROLES[..]),
        user in prop::option::of(0..6_u8),
        (limit, prefix) in (1..6_usize, prop::sample::select(&["", "", "s", "user-", "f"][..])),
    ) {
        let users = user.map(|user| format!("user-{user}")).into_iter().collect();
        let filter = pb::Filter { users, ..Default::default() };
        run(async {
            let hub = hub(&events).await;
            let query = query(&filter, read);
            let records = matching(&hub, &query).await;
            // The second time, what is known of the segments is used.
            for _ in 0..2 {
                let top = hub.top_values(&asked(query.clone(), limit, prefix), &()).await.expect("readable");
                prop_assert_eq!((top.examined, top.partial), (records.len() as u64, false));
                for (field, found) in FIELDS.iter().zip(&top.fields) {
                    prop_assert_eq!(found, &naive(&records, field, limit, prefix), "{}", field);
                }
            }
            for group in [Group::Type, Group::Category, Group::Severity, Group::Result] {
                let count = CountRequest { query: query.clone(), bucket: Some(60_000_000_000), group };
                let counted = hub.count(&count, &()).await.expect("counted");
                let mut expected: BTreeMap<Time, BTreeMap<String, i64>> = BTreeMap::new();
                for record in &records {
                    let time = record.event.as_ref().and_then(|event| event.time).expect("a time");
                    let begin = Time(time.seconds / 60 * 60_000_000_000);
                    let name = match group {
                        Group::Type => record.r#type.clone(),
                        Group::Severity => severity(record),
                        Group::Result => result(record),
                        Group::Category => match record.r#type.as_str() {
                            "user.login" => "user",
                            "exec" => "exec",
                            _ => "custom",
                        }
                        .to_owned(),
                    };
                    *expected.entry(begin).or_default().entry(name).or_default() += 1;
                }
                prop_assert_eq!(counted.buckets, expected, "{:?}", group);
            }
            Ok(())
        })?;
    }
}

#[test]
fn too_many_different_values_are_a_partial_count() {
    run(async {
        let log = MemoryLog::new(Bounds::default());
        let hub = Hub::new(Arc::new(log), CancellationToken::new());
        let emitter = pb::Emitter::default().into();
        for chunk in 0..22 {
            let drafts = (0..5_000).map(|number| {
                let name = Some(format!("{chunk}-{number}"));
                let event = pb::Event {
                    user: Some(pb::User { name, ..Default::default() }),
                    payload: Some(Payload::UserLogin(pb::UserLogin::default())),
                    ..Default::default()
                };
                let bytes = event.encode_to_vec();
                let event = Event::check(bytes.into(), Time::now(), EVENT_BYTES_MAX);
                Draft::new(event.expect("valid"), &emitter)
            });
            let all = Append::AllOrNothing { validate_only: false };
            hub.append(&drafts.collect::<Vec<_>>(), all).await.expect("appended");
        }
        let fields = vec![Path::parse("user.name").expect("a path")];
        let query = query(&pb::Filter::default(), &["*"]);
        let asked = TopValues { query, fields, limit: 1_000, prefix: String::new() };
        let top = hub.top_values(&asked, &()).await.expect("readable");
        assert!(
            top.partial && top.examined >= 100_000 && top.examined < 110_000,
            "{}",
            top.examined
        );
        let [values] = top.fields.as_slice() else { panic!("{top:?}") };
        let listed: u64 = values.values.iter().map(|own| own.count).sum();
        assert_eq!((values.values.len(), listed + values.others), (1_000, top.examined));
    });
}
