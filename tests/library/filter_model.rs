//! Generated filters on generated events, against an evaluation that decodes
//! everything and knows no shortcut.

use std::net::IpAddr;

use auditgate::catalog;
use auditgate::event::Event;
use auditgate::filter::{Filter, Outcome, Verdict};
use auditgate::proto::{descriptor_pool, pb};
use auditgate::record::{self, Draft, FrameScratch, RecordColumns, Sequence};
use auditgate::time::Time;
use bytes::Bytes;
use pb::event::Payload;
use proptest::collection::{btree_map, vec};
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

const NOW: Time = Time(1_790_000_000_000_000_000);

/// Expressions, and the same in Rust; `None` where they fail.
type Meaning = fn(&pb::Record) -> Option<bool>;

fn of_event(record: &pb::Record) -> &pb::Event {
    record.event.as_ref().expect("records have an event")
}

fn user_name(record: &pb::Record) -> &str {
    of_event(record).user.as_ref().map_or("", |user| user.name())
}

const EXPRESSIONS: [(&str, Meaning); 12] = [
    ("event.user.name == 'alice'", |record| Some(user_name(record) == "alice")),
    ("result == 'failure' || severity == 'info'", |record| {
        let severity = record.severity();
        Some(record.result() == pb::Result::Failure || severity == pb::Severity::Info)
    }),
    ("has(event.user.name) && !has(event.session.id)", |record| {
        let event = of_event(record);
        let named = event.user.as_ref().is_some_and(|user| user.name.is_some());
        Some(named && event.session.as_ref().is_none_or(|session| session.id.is_none()))
    }),
    ("event.labels.env == 'prod'", |record| {
        of_event(record).labels.get("env").map(|env| env == "prod")
    }),
    ("event.user.roles.exists(r, r == 'admin')", |record| {
        let user = of_event(record).user.as_ref();
        Some(user.is_some_and(|user| user.roles.iter().any(|role| role == "admin")))
    }),
    ("event.ssm_run.exit_code != 0", |record| match &of_event(record).payload {
        Some(Payload::SsmRun(run)) => Some(run.exit_code() != 0),
        _ => Some(false),
    }),
    ("type.startsWith('custom.') && event.custom.data.n >= 2", |record| {
        let Some(Payload::Custom(custom)) = &of_event(record).payload else { return Some(false) };
        let number = custom.data.as_ref()?.fields.get("n")?;
        match number.kind {
            Some(prost_types::value::Kind::NumberValue(number)) => Some(number >= 2.0),
            _ => None,
        }
    }),
    ("sequence % 2 == 0", |record| Some(record.sequence % 2 == 0)),
    ("event.user.name in ['alice', 'bob'] ? event.code == '' : true", |record| {
        Some(!["alice", "bob"].contains(&user_name(record)) || of_event(record).code().is_empty())
    }),
    ("10 / event.index > 2", |record| 10_i64.checked_div(of_event(record).index()).map(|n| n > 2)),
    ("event.outcome.success || 10 / event.index > 2", |record| {
        let success = of_event(record).outcome.as_ref().is_some_and(|outcome| outcome.success());
        let quotient = 10_i64.checked_div(of_event(record).index()).map(|n| n > 2);
        if success { Some(true) } else { quotient }
    }),
    ("event.code.matches('^T10.*W$')", |record| {
        let code = of_event(record).code();
        Some(code.starts_with("T10") && code.ends_with('W') && code.len() >= 4)
    }),
];

const TYPES: [&str; 14] = [
    "user.login",
    "user.*",
    "*.start",
    "session.*",
    "*",
    "*s*",
    "ssm.run",
    "custom",
    "custom.*",
    "custom.sale",
    "custom.s*",
    "c*",
    "exec",
    "*e",
];
const USERS: [&str; 4] = ["alice", "bob", "Éva", "root"];
const ADDRESSES: [&str; 6] =
    ["10.1.2.3:80", "::ffff:10.1.2.3", "[fd00::1]:1", "192.168.0.1", "nowhere", ""];
const BLOCKS: [&str; 5] = ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "0.0.0.0/0", "::/0"];
const TEXTS: [&str; 7] = ["ALI", "éVA", "t1000", "sale", "env", "prod", "zzz"];

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    of(select(choices).prop_map(str::to_owned))
}

fn payloads() -> impl Strategy<Value = Payload> {
    let data = |n: i32| prost_types::Struct {
        fields: [("n".to_owned(), prost_types::Value::from(f64::from(n)))].into(),
    };
    let custom = move |name: &str, n: Option<i32>| {
        Payload::Custom(pb::Custom { name: Some(name.to_owned()), data: n.map(data) })
    };
    prop_oneof![
        Just(Payload::UserLogin(pb::UserLogin::default())),
        Just(Payload::SessionStart(pb::SessionStart::default())),
        Just(Payload::Exec(pb::Exec::default())),
        of(0..3_i64).prop_map(|exit_code| {
            Payload::SsmRun(pb::SsmRun { exit_code, ..Default::default() })
        }),
        (select(&["sale", "return"][..]), of(0..4_i32)).prop_map(move |(name, n)| custom(name, n)),
    ]
}

fn labels() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    let key = select(&["env", "tier"][..]).prop_map(str::to_owned);
    let value = select(&["prod", "test", ""][..]).prop_map(str::to_owned);
    btree_map(key, value, 0..3)
}

prop_compose! {
    fn users()(
        name in text(&["alice", "bob", "Éva", ""]),
        impersonator in text(&["root", "alice"]),
        roles in vec(select(&["admin", "dev"][..]).prop_map(str::to_owned), 0..3),
    ) -> pb::User {
        pb::User { name, impersonator, roles, ..Default::default() }
    }
}

prop_compose! {
    fn events()(
        code in text(&["T1000I", "T1000W", "X"]),
        cluster_name in text(&["east", "west"]),
        index in of(-1..6_i64),
        user in of(users()),
        session_id in text(&["s1", "s2", ""]),
        server_id in text(&["h1", "h2"]),
        remote_address in text(&ADDRESSES),
        success in of(any::<bool>()),
        source in text(&["api", "web"]),
        labels in labels(),
        payload in payloads(),
    ) -> pb::Event {
        pb::Event {
            code,
            cluster_name,
            index,
            user,
            session: session_id.map(|id| pb::Session { id: Some(id), ..Default::default() }),
            server: server_id.map(|id| pb::Server { id: Some(id), ..Default::default() }),
            connection: remote_address
                .map(|address| pb::Connection { remote_address: Some(address), ..Default::default() }),
            outcome: success.map(|it| pb::Outcome { success: Some(it), ..Default::default() }),
            source: source.map(|name| pb::Source { name: Some(name), ..Default::default() }),
            labels,
            payload: Some(payload),
            ..Default::default()
        }
    }
}

/// Few of the fields at once, or nothing would match.
fn some<T: Default + std::fmt::Debug>(
    values: impl Strategy<Value = T>,
) -> impl Strategy<Value = T> {
    weighted(0.15, values).prop_map(Option::unwrap_or_default)
}

fn choices(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let several = subsequence(values, 1..=values.len().min(3));
    some(several.prop_map(|chosen| chosen.into_iter().map(str::to_owned).collect()))
}

prop_compose! {
    fn filters()(
        types in choices(&TYPES),
        exclude_types in choices(&TYPES),
        categories in some(vec(1..=20_i32, 1..6)),
        min_severity in some(0..=3_i32),
        results in some(vec(0..=3_i32, 1..3)),
        codes in choices(&["T1000I", "T1000W", "Y"]),
        users in choices(&USERS),
        session_ids in choices(&["s1", "s2"]),
        server_ids in choices(&["h1", "h2"]),
        (cluster_names, sources) in (choices(&["east", "north"]), choices(&["api"])),
        remote_addresses in choices(&BLOCKS),
        (labels, text) in (some(labels()), some(select(&TEXTS[..]).prop_map(str::to_owned))),
        expression in weighted(0.3, 0..EXPRESSIONS.len()),
    ) -> (pb::Filter, Option<Meaning>) {
        let chosen = expression.and_then(|chosen| EXPRESSIONS.get(chosen));
        let filter = pb::Filter {
            types, exclude_types, categories, min_severity, results, codes, users, session_ids,
            server_ids, cluster_names, sources, remote_addresses, labels, text,
            expression: chosen.map(|(source, _)| (*source).to_owned()).unwrap_or_default(),
        };
        (filter, chosen.map(|(_, meaning)| *meaning))
    }
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            (0..=name.len()).any(|skipped| glob(rest, name.get(skipped..).unwrap_or_default()))
        }
        (Some((a, pattern)), Some((b, name))) => a == b && glob(pattern, name),
        _ => false,
    }
}

fn type_is(pattern: &str, type_name: &str) -> bool {
    let is_custom = type_name.starts_with("custom.");
    glob(pattern.as_bytes(), type_name.as_bytes())
        || (is_custom && glob(pattern.as_bytes(), b"custom"))
}

fn address_is(block: &str, address: &str) -> bool {
    let without_port = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = without_port.trim_matches(['[', ']']);
    let Some(address) = address.parse::<IpAddr>().or_else(|_| host.parse()).ok() else {
        return false;
    };
    let (network, bits) = block.split_once('/').unwrap_or((block, "128"));
    let bits: u32 = bits.parse().expect("a number of bits");
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let (network, width) = number(network.parse().expect("an address"));
    let kept = bits.min(width);
    [address, address.to_canonical()].into_iter().any(|address| {
        let (address, of_width) = number(address);
        let differing = address ^ network;
        of_width == width && differing.checked_shr(128 - kept).unwrap_or(0) == 0
    })
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.to_lowercase()),
        Value::Message(message) => message.fields().for_each(|(_, value)| strings(value, found)),
        Value::List(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Map(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

fn has_text(event: &pb::Event, text: &str) -> bool {
    let descriptor = descriptor_pool().get_message_by_name("auditgate.v1.Event").expect("known");
    let message =
        DynamicMessage::decode(descriptor, event.encode_to_vec().as_slice()).expect("an event");
    let mut found = Vec::new();
    strings(&Value::Message(message.transcode_to_dynamic()), &mut found);
    found.iter().any(|value| value.contains(&text.to_lowercase()))
}

/// What the filter means, field by field.
fn model(filter: &pb::Filter, meaning: Option<Meaning>, record: &pb::Record) -> Outcome {
    let event = of_event(record);
    let one_of = |wanted: &[String], values: &[Option<&str>]| {
        let known = |value: &str| wanted.iter().any(|wanted| wanted == value);
        wanted.is_empty() || values.iter().flatten().any(|value| known(value))
    };
    let category = match record.r#type.starts_with("custom.") {
        true => pb::Category::Custom as i32,
        false => catalog::by_name(&record.r#type).expect("in the catalog").get().category,
    };
    let is = |pattern: &String| type_is(pattern, &record.r#type);
    let user = event.user.as_ref();
    let address = event.connection.as_ref().and_then(|it| it.remote_address.as_deref());
    let all_else = (filter.types.is_empty() || filter.types.iter().any(is))
        && !filter.exclude_types.iter().any(is)
        && (filter.categories.is_empty() || filter.categories.contains(&category))
        && record.severity >= filter.min_severity
        && (filter.results.is_empty() || filter.results.contains(&record.result))
        && one_of(&filter.codes, &[event.code.as_deref()])
        && one_of(
            &filter.users,
            &[
                user.and_then(|user| user.name.as_deref()),
                user.and_then(|user| user.impersonator.as_deref()),
            ],
        )
        && one_of(&filter.session_ids, &[event.session.as_ref().and_then(|it| it.id.as_deref())])
        && one_of(&filter.server_ids, &[event.server.as_ref().and_then(|it| it.id.as_deref())])
        && one_of(&filter.cluster_names, &[event.cluster_name.as_deref()])
        && one_of(&filter.sources, &[event.source.as_ref().and_then(|it| it.name.as_deref())])
        && (filter.remote_addresses.is_empty()
            || address.is_some_and(|address| {
                filter.remote_addresses.iter().any(|block| address_is(block, address))
            }))
        && filter.labels.iter().all(|(key, value)| event.labels.get(key) == Some(value))
        && has_text(event, &filter.text);
    match meaning {
        _ if !all_else => Outcome::NoMatch,
        None => Outcome::Match,
        Some(meaning) => match meaning(record) {
            Some(true) => Outcome::Match,
            Some(false) => Outcome::NoMatch,
            None => Outcome::ExpressionFailed,
        },
    }
}

fn accepted(event: &pb::Event, sequence: u64) -> (Vec<u8>, RecordColumns) {
    let checked = Event::check(Bytes::from(event.encode_to_vec()), NOW, 1 << 20).expect("valid");
    let draft = Draft::new(checked, &pb::Emitter::default().into());
    let mut frame = Vec::new();
    let columns = draft.frame(Sequence(sequence), NOW, &mut FrameScratch::default(), |part| {
        frame.extend_from_slice(part)
    });
    (record::unframed(&frame).to_vec(), columns)
}

/// Whether an index that follows the selection lets the record through.
fn is_selected(filter: &Filter, columns: &RecordColumns) -> bool {
    let selection = filter.selection();
    let has = |wanted: &Option<Vec<u32>>, keys: &[u32]| {
        wanted.as_ref().is_none_or(|wanted| keys.iter().any(|key| wanted.contains(key)))
    };
    selection.types.as_ref().is_none_or(|types| types.contains(&columns.type_id))
        && selection.results.as_ref().is_none_or(|results| results.contains(&columns.result))
        && has(&selection.users, &[columns.user, columns.impersonator])
        && has(&selection.sessions, &[columns.session])
        && has(&selection.servers, &[columns.server])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_matches_what_it_means(
        (wanted, meaning) in filters(),
        events in vec(events(), 1..12),
    ) {
        let filter = Filter::compile(&wanted).expect("generated filters are valid");
        for (event, sequence) in events.iter().zip(1..) {
            let (bytes, columns) = accepted(event, sequence);
            let record = pb::Record::decode(bytes.as_slice()).expect("a record");
            let expected = model(&wanted, meaning, &record);
            prop_assert_eq!(filter.record(&bytes), expected, "{:?}", record);
            match filter.columns(&columns) {
                Verdict::Yes => prop_assert_eq!(expected, Outcome::Match),
                Verdict::No => prop_assert_eq!(expected, Outcome::NoMatch),
                Verdict::Unsure => {}
            }
            if expected == Outcome::Match {
                prop_assert!(is_selected(&filter, &columns), "{:?}", filter.selection());
            } else {
                prop_assert!(!filter.matches_all());
            }
        }
    }
}
