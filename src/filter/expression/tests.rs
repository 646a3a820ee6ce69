mod records;
mod steps;

use std::time::{Duration, Instant};

use prost::Message as _;
use prost_types::value::Kind as Json;

use super::*;
use crate::proto::pb;
use records::{custom, json, login, record, run};

fn compile(source: &str) -> Result<Expression, Error> {
    Expression::compile(source).map(|compiled| compiled.expect("not blank"))
}

fn evaluate(source: &str, record: &pb::Record) -> Result<bool, Failed> {
    let compiled = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let bytes = record.encode_to_vec();
    compiled.matches(&Record::read(&bytes)).0
}

fn check_all(record: &pb::Record, table: &[(&str, Result<bool, Failed>)]) {
    for (source, expected) in table {
        assert_eq!(evaluate(source, record), *expected, "{source}");
    }
}

const YES: Result<bool, Failed> = Ok(true);
const NO: Result<bool, Failed> = Ok(false);
const FAILS: Result<bool, Failed> = Err(Failed);

#[test]
fn variables_and_fields() {
    check_all(
        &login(),
        &[
            ("event.user.name == 'alice' && result == 'failure'", YES),
            ("event.user.name == \"bob\"", NO),
            ("type == 'user.login' && severity == 'warning'", YES),
            ("sequence == 42 && sequence > 5 && sequence <= 42u", YES),
            ("sequence % 2 == 0 && sequence + 1 == 43", YES),
            ("emitter.principal == 'billing' && emitter.peer.startsWith('10.')", YES),
            ("event.index == -3 && event.index < 0", YES),
            ("event.outcome.success", NO),
            ("!event.outcome.success", YES),
            ("event.user.kind == 1 && event.user.kind == UserKind.USER_KIND_HUMAN", YES),
            ("event.user.kind == auditgate.v1.UserKind.USER_KIND_BOT", NO),
            // Another type's variant, and messages that are not set, read as empty.
            ("event.ssm_run.exit_code == 0 && event.ssm_run.status == ''", YES),
            ("event.session.id == '' && event.server.labels.size() == 0", YES),
            ("event.source.name == ''", YES),
        ],
    );
    check_all(
        &run(),
        &[
            ("event.ssm_run.exit_code == 0 && event.ssm_run.status == 'Success'", YES),
            ("event.user.name == ''", YES),
            ("event.app_session_request.status_code >= 500", NO),
            ("event.time == timestamp('1970-01-01T00:00:00Z')", YES),
        ],
    );
}

#[test]
fn severities_have_an_order() {
    check_all(
        &login(),
        &[
            ("severity >= 'warning' && severity <= 'warning' && severity > 'info'", YES),
            ("severity < 'critical' && severity < 'error' && 'info' < severity", YES),
            ("'critical' >= severity && 'warning' >= severity && !('info' >= severity)", YES),
            ("severity > 'warning' || severity >= 'error' || severity < 'info'", NO),
            ("severity in ['warning', 'error'] && result in ['failure']", YES),
            ("type >= 'user.' && type < 'user/' && result < 'g'", YES),
        ],
    );
    for (number, (warning, error)) in
        [(0, (NO, NO)), (1, (NO, NO)), (2, (YES, NO)), (3, (YES, YES)), (4, (YES, YES))]
    {
        let record = pb::Record { severity: number, ..login() };
        check_all(&record, &[("severity >= 'warning'", warning), ("'error' <= severity", error)]);
    }
}

#[test]
fn presence() {
    check_all(
        &login(),
        &[
            ("has(event.user.name) && has(event.user)", YES),
            ("has(event.user.login) && event.user.login == ''", YES),
            ("has(event.user.bot_name)", NO),
            ("has(event.session)", NO),
            ("has(event.session.id)", NO),
            ("has(event.outcome.success)", YES),
            ("has(event.user.roles)", YES),
            ("has(event.user.access_requests)", NO),
            ("has(event.labels.env)", YES),
            ("has(event.labels.tier)", NO),
            ("has(event.user_login)", YES),
            ("has(event.ssm_run)", NO),
            ("has(event.ssm_run.exit_code)", NO),
            ("has(emitter.principal)", YES),
        ],
    );
    check_all(
        &run(),
        &[
            ("has(event.ssm_run.exit_code)", YES),
            ("has(event.labels)", NO),
            ("has(event.time)", NO),
        ],
    );
    let anonymous = pb::Record { emitter: Some(pb::Emitter::default()), ..run() };
    check_all(&anonymous, &[("has(emitter.principal)", NO)]);
}

#[test]
fn lists_and_maps() {
    check_all(
        &login(),
        &[
            ("'admin' in event.user.roles", YES),
            ("'owner' in event.user.roles", NO),
            ("event.user.name in ['alice', 'bob']", YES),
            ("event.user.name in []", NO),
            ("'env' in event.labels && event.labels['env'] == 'prod'", YES),
            ("event.labels.env == 'prod'", YES),
            ("event.labels.tier == 'x'", FAILS),
            ("event.user.roles[1] == 'editor'", YES),
            ("event.user.roles[2] == 'editor'", FAILS),
            ("event.user.roles[-1] == 'editor'", FAILS),
            ("size(event.user.roles) == 2 && event.labels.size() == 2", YES),
            ("event.user.roles == ['admin', 'editor']", YES),
            ("event.user.roles + ['x'] == ['admin', 'editor', 'x']", YES),
            ("event.user.traits['teams'].values[0] == 'red'", YES),
            ("has(event.user.traits.teams)", YES),
        ],
    );
}

#[test]
fn macros_over_elements() {
    check_all(
        &login(),
        &[
            ("event.user.roles.exists(r, r == 'editor')", YES),
            ("event.user.roles.exists(r, r == 'owner')", NO),
            ("event.user.roles.all(r, r.contains('i'))", YES),
            ("event.user.roles.all(r, r == 'admin')", NO),
            ("event.user.roles.exists_one(r, r.startsWith('a'))", YES),
            ("event.user.roles.exists_one(r, true)", NO),
            ("event.user.roles.filter(r, r != 'admin') == ['editor']", YES),
            ("event.user.roles.map(r, size(r)) == [5, 6]", YES),
            ("event.user.roles.map(r, r == 'admin', r + '!') == ['admin!']", YES),
            ("event.labels.exists(k, k == 'env' && event.labels[k] == 'prod')", YES),
            (
                "event.user.traits.exists(k, event.user.traits[k].values.exists(v, v == 'blue'))",
                YES,
            ),
            ("event.user.traits.exists(k, event.user.traits[k].values.exists(v, v == k))", NO),
            ("[1, 2, 3].all(n, n > 0) && [].all(n, n)", YES),
            // As with && and ||, what decides outweighs what fails.
            ("[0, 1].exists(n, 1 / n == 1)", YES),
            ("[0, 1].all(n, 1 / n == 2)", NO),
            ("[0, 1].all(n, 1 / n == 1)", FAILS),
            ("[0, 1].exists_one(n, 1 / n == 1)", FAILS),
            ("[0, 1].map(n, 1 / n) == [1]", FAILS),
        ],
    );
}

#[test]
fn dynamic_json() {
    check_all(
        &custom(),
        &[
            ("type == 'custom.sale' && event.custom.name == 'sale'", YES),
            ("event.custom.data.count == 7 && event.custom.data.count > 6.5", YES),
            ("event.custom.data.name == 'widget'", YES),
            ("event.custom.data.name == 7", NO),
            ("event.custom.data.name > 7", FAILS),
            ("event.custom.data.name.startsWith('wid')", YES),
            ("event.custom.data.count.startsWith('wid')", FAILS),
            ("event.custom.data.none == null && event.custom.data.count != null", YES),
            ("event.custom.data.list[1] == 'two' && 1 in event.custom.data.list", YES),
            ("event.custom.data.list.exists(e, e == 'two')", YES),
            ("event.custom.data.inner.flag", YES),
            ("event.custom.data.name", FAILS),
            ("event.custom.data.missing == 1", FAILS),
            ("has(event.custom.data.missing)", NO),
            ("has(event.custom.data.inner.flag)", YES),
            ("has(event.custom.data.name.x)", FAILS),
            ("event.custom.data.list == event.custom.data.list", YES),
            ("event.custom.data.inner == event.custom.data.inner", FAILS),
            ("size(event.custom.data) == 5", YES),
        ],
    );
    check_all(
        &run(),
        &[("has(event.custom.data.name)", NO), ("event.custom.data.name == ''", FAILS)],
    );
}

#[test]
fn strings_and_conversions() {
    check_all(
        &login(),
        &[
            ("event.code.startsWith('T1') && event.code.endsWith('W')", YES),
            ("event.connection.remote_address.contains('.2.')", YES),
            ("event.connection.remote_address.contains('')", YES),
            ("event.user.name.matches('^al.*e$') && matches(event.user.name, 'ic')", YES),
            ("event.user.name.matches('^bob$')", NO),
            ("event.user.name.upperAscii() == 'ALICE' && 'É'.lowerAscii() == 'É'", YES),
            ("size('É') == 1 && 'a' + 'b' == 'ab' && 'a' < 'b'", YES),
            ("int('12') == 12 && int(3.9) == 3 && int(-3.9) == -3 && uint(4) == 4u", YES),
            ("int(event.user.name) == 1", FAILS),
            ("double('1.5') == 1.5 && string(12) == '12' && string(1.5) == '1.5'", YES),
            ("string(sequence) == '42' && string(event.outcome.success) == 'false'", YES),
            ("uint(event.index) == 0u", FAILS),
            ("b'abc' == b'abc' && size(b'abc') == 3", YES),
        ],
    );
}

#[test]
fn a_skew_that_is_not_noted_reads_as_none() {
    let unnoted = "clock_skew == duration('0s') && clock_skew > duration('-1m')";
    check_all(&login(), &[(unnoted, YES)]);
    let skew = Some(prost_types::Duration { seconds: -90, nanos: -500_000_000 });
    check_all(
        &pb::Record { clock_skew: skew, ..login() },
        &[
            ("clock_skew < duration('-1m')", YES),
            ("clock_skew == duration('-90.5s')", YES),
            ("clock_skew > duration('1m')", NO),
        ],
    );
}

#[test]
fn an_accept_time_that_was_not_raised_reads_as_raised_by_none() {
    check_all(&login(), &[("accept_time_raised == duration('0s')", YES)]);
    let raised = Some(prost_types::Duration { seconds: 2_592_000, nanos: 5 });
    check_all(
        &pb::Record { accept_time_raised: raised, ..login() },
        &[
            ("accept_time_raised > duration('719h')", YES),
            ("accept_time - accept_time_raised < accept_time", YES),
            ("accept_time_raised > duration('721h')", NO),
        ],
    );
}

#[test]
fn timestamps_and_durations() {
    check_all(
        &login(),
        &[
            ("accept_time > timestamp('2026-11-23T00:00:00Z')", YES),
            ("accept_time - event.time < duration('2s')", YES),
            ("accept_time - event.time == duration('1500ms')", YES),
            ("event.time + duration('1.5s') == accept_time", YES),
            ("event.resource.ttl == duration('1h30m') && event.resource.ttl > duration('1h')", YES),
            ("event.time.getHours() == 18 && event.time.getDayOfWeek() == 1", YES),
            ("event.resource.ttl.getMinutes() == 90", YES),
            ("int(event.time) == 1795458599", YES),
            ("string(event.time) == '2026-11-23T18:29:59Z'", YES),
            ("string(event.resource.ttl) == '5400s'", YES),
            ("timestamp(event.code) == event.time", FAILS),
        ],
    );
}

#[test]
fn operators() {
    check_all(
        &login(),
        &[
            ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && -7 % 3 == -1", YES),
            ("1.5 * 2 == 3.0 && -event.index == 3", YES),
            ("true ? 1 == 1 : 1 / 0 == 1", YES),
            ("(event.index < 0 ? 'neg' : 'pos') == 'neg'", YES),
            ("event.index / 0 == 1", FAILS),
            // Either side may decide.
            ("1 / 0 == 1 && false", NO),
            ("false && 1 / 0 == 1", NO),
            ("1 / 0 == 1 || true", YES),
            ("true || 1 / 0 == 1", YES),
            ("1 / 0 == 1 && true", FAILS),
            ("1 / 0 == 1 || false", FAILS),
            ("!(event.index / 0 == 1)", FAILS),
        ],
    );
}

/// The record of an event that is sent in two parts, and a reader merges.
fn in_parts(parts: [pb::Event; 2]) -> Vec<u8> {
    let event: Vec<u8> = parts.iter().flat_map(prost::Message::encode_to_vec).collect();
    let mut record = Vec::new();
    crate::wire::put_bytes_field(&mut record, 15, &event);
    record
}

#[test]
fn messages_in_parts_are_merged() {
    let named = |name: Option<&str>, role: &str| pb::Event {
        user: Some(pb::User {
            name: name.map(str::to_owned),
            roles: vec![role.to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let record = in_parts([named(Some("alice"), "a"), named(None, "b")]);
    let compiled = compile("event.user.name == 'alice' && event.user.roles == ['a', 'b']");
    assert_eq!(compiled.expect("valid").matches(&Record::read(&record)).0, YES);

    let labelled = |value: &str| pb::Event {
        labels: [("env".to_owned(), value.to_owned())].into(),
        ..Default::default()
    };
    let record = in_parts([labelled("test"), labelled("prod")]);
    let compiled = compile("event.labels.env == 'prod' && size(event.labels) == 1");
    assert_eq!(compiled.expect("valid").matches(&Record::read(&record)).0, YES);
}

#[test]
fn json_in_parts_is_merged() {
    let data = |key: &str| {
        json(Json::StructValue(prost_types::Struct {
            fields: [(key.to_owned(), json(Json::BoolValue(true)))].into(),
        }))
    };
    let value = [data("a"), data("b")].iter().flat_map(prost::Message::encode_to_vec).collect();
    let meter = body::StepBudget::new(STEPS_MAX);
    let merged = |bytes: &[u8]| match value::ExprValue::of_message(
        crate::wire::VALUE,
        body::Body::Whole(bytes),
        &meter,
    ) {
        value::ExprValue::Map(map) => map.contains("a", &meter) && map.contains("b", &meter),
        other => panic!("{other:?}"),
    };
    let mut value: Vec<u8> = value;
    assert!(merged(&value));
    // Another kind in between starts anew.
    value.extend(json(Json::BoolValue(true)).encode_to_vec());
    value.extend(data("b").encode_to_vec());
    assert!(!merged(&value));
}

#[test]
fn only_what_is_needed_is_read() {
    // Behind the user, bytes that are no field at all.
    let mut event = pb::Event {
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        ..Default::default()
    }
    .encode_to_vec();
    event.push(0xff);
    let mut bytes = Vec::new();
    crate::wire::put_bytes_field(&mut bytes, 15, &event);
    let compiled = compile("event.user.name == 'alice' || event.code == ''").expect("valid");
    let record = Record::read(&bytes);
    let evaluator = Evaluator::new(&record);
    assert_eq!(evaluator.root(&compiled.root), YES);
    let spent = evaluator.steps_spent();
    assert!(spent < 10, "{spent}");
}

#[test]
fn evaluation_ends_after_a_bounded_number_of_steps() {
    let user = pb::User { roles: vec!["x".repeat(40); 20_000], ..Default::default() };
    let event = pb::Event { user: Some(user), ..Default::default() };
    let record = record(event, "exec").encode_to_vec();
    for (source, expected) in [
        ("event.user.roles.all(a, a == 'x')", NO),
        ("event.user.roles.all(a, a != 'x')", YES),
        ("event.user.roles.exists(a, event.user.roles.exists(b, a == b + 'x'))", FAILS),
        ("event.user.roles.map(a, event.user.roles).size() == 20000", YES),
        ("event.user.roles.map(a, event.user.roles + event.user.roles).size() == 1", FAILS),
        ("event.user.roles.exists(a, event.user.roles.exists(b, a == 'x')) || true", FAILS),
    ] {
        let started = Instant::now();
        let outcome = compile(source).expect(source).matches(&Record::read(&record)).0;
        assert_eq!(outcome, expected, "{source}");
        assert!(started.elapsed() < Duration::from_secs(60), "{source}");
    }
}
