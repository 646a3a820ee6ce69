//! Expressions about events in arbitrary encodings: messages in parts, packed lists, unknown
//! fields. What an expression gives does not depend on the encoding, and what it costs is
//! bounded by the bytes of the event.
#![no_main]

use std::sync::LazyLock;

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::filter::{EXPRESSION_STEPS_MAX, Filter, Outcome};
use auditgate::proto::pb;
use auditgate::time::Time;
use auditgate::wire::put_bytes_field;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const NOW: Time = Time(1_700_000_000_000_000_000);
/// Field number of `Record.event`.
const EVENT: u32 = 15;
/// The most steps that an expression below may take: so many for each byte of the event, and
/// as many more for its nodes.
const STEPS_PER_BYTE: u64 = 8;
const STEPS_MIN: u64 = 200;

/// None of them visits a list within a list, so each passes the event a bounded number of
/// times.
static FILTERS: LazyLock<Vec<Filter>> = LazyLock::new(|| {
    let sources = [
        "event.user.name == 'alice' || event.user.name.contains('b')",
        "has(event.user) && !has(event.user.login) && size(event.user.name) >= 0",
        "event.user.roles.exists(r, r == 'admin' || r.startsWith('a'))",
        "size(event.user.roles) > 1 && event.user.roles[0] == 'x'",
        "event.labels.exists(k, k == 'env')",
        "'env' in event.labels && event.labels['env'] != ''",
        "size(event.labels) == size(event.unmapped)",
        "event.custom.data.a == null || event.custom.data.a == 'x' || event.custom.data.a == 1.0",
        "event.custom.data.a.exists(e, e == 1.0)",
        "has(event.custom.data.a.b) && event.custom.data.a.b",
        "event.time > timestamp('2020-01-01T00:00:00Z') || event.index < 3",
        "event.outcome.success && event.outcome.error.matches('[a-z]+ [0-9]{2}')",
        "event.code.lowerAscii() + event.id == 'x'",
        "event.exec.command.exit_code == '0' && event.session_command.argv.all(a, a != '')",
        "event.connection.remote_address < event.server.id",
        "event.user.traits.exists(k, k != '')",
    ];
    let compile = |source: &&str| {
        let filter = pb::Filter { expression: (*source).to_owned(), ..Default::default() };
        Filter::compile(&filter).unwrap_or_else(|error| panic!("{source}: {error}"))
    };
    sources.iter().map(compile).collect()
});

fn ask(filter: &Filter, event: &[u8]) -> Outcome {
    let mut record = Vec::new();
    put_bytes_field(&mut record, EVENT, event);
    let (outcome, steps) = filter.record_metered(&record);
    let bound = STEPS_MIN + STEPS_PER_BYTE * record.len() as u64;
    assert!(steps <= bound, "{steps} steps for {} bytes", record.len());
    assert!(steps <= EXPRESSION_STEPS_MAX + 1 + record.len() as u64);
    outcome
}

fuzz_target!(|data: &[u8]| {
    // Records of earlier versions were not checked for all that events are checked for now.
    let outcomes: Vec<Outcome> = FILTERS.iter().map(|filter| ask(filter, data)).collect();
    let checked = Event::check(Bytes::copy_from_slice(data), NOW, EVENT_BYTES_MAX);
    let Ok(decoded) = pb::Event::decode(data) else { return };
    if checked.is_err() {
        return;
    }
    // Whole messages, in the order of their fields, nothing unknown.
    let encoded = decoded.encode_to_vec();
    for (filter, outcome) in FILTERS.iter().zip(outcomes) {
        assert_eq!(ask(filter, &encoded), outcome, "{filter:?} of {decoded:?}");
    }
});
