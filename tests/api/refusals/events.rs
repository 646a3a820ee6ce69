//! Events that are not accepted: alone, and at a position of a batch.

use std::time::{SystemTime, UNIX_EPOCH};

use auditgate::event::{EVENT_BYTES_MAX, ID_BYTES_MAX};
use auditgate::wire::DEPTH_MAX;
use prost::Message as _;
use prost_types::{Timestamp, Value, value::Kind};
use tonic::Code;

use super::scene::{Row, Scene, reason, violations};
use crate::support::raw::{field, varint};
use crate::support::{Random, login, pb};
use pb::event::Payload;

/// An event that is refused: name, encoding, reason, field within the event,
/// and what the sentence must name.
type BadEvent = (&'static str, Vec<u8>, &'static str, &'static str, Vec<&'static str>);

/// Numbers of `Event`.
const USER: u32 = 6;
const RESOURCE: u32 = 11;
const LABELS: u32 = 14;
const EXEC: u32 = 132;

fn at(seconds: i64, nanos: i32) -> Vec<u8> {
    pb::Event { time: Some(Timestamp { seconds, nanos }), ..login("bad", "alice") }.encode_to_vec()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn custom(name: Option<&str>) -> Vec<u8> {
    let custom = pb::Custom { name: name.map(str::to_owned), data: None };
    pb::Event { payload: Some(Payload::Custom(custom)), ..login("bad", "alice") }.encode_to_vec()
}

/// A custom event with this value in its data.
fn with_value(value: Value) -> Vec<u8> {
    let data = Some(prost_types::Struct { fields: [("v".to_owned(), value)].into() });
    let custom = pb::Custom { name: Some("data".to_owned()), data };
    pb::Event { payload: Some(Payload::Custom(custom)), ..login("bad", "alice") }.encode_to_vec()
}

pub fn nested(levels: usize) -> Vec<u8> {
    let mut value = Value { kind: Some(Kind::BoolValue(true)) };
    for _ in 0..levels {
        let values = vec![value];
        value = Value { kind: Some(Kind::ListValue(prost_types::ListValue { values })) };
    }
    with_value(value)
}

/// A good event and more.
fn login_with(more: Vec<u8>) -> Vec<u8> {
    [login("bad", "alice").encode_to_vec(), more].concat()
}

fn of_the_envelope() -> Vec<BadEvent> {
    let no_payload = pb::Event { payload: None, ..login("bad", "alice") }.encode_to_vec();
    let long_id = login(&"x".repeat(ID_BYTES_MAX + 1), "alice").encode_to_vec();
    let large = pb::Event { trace_id: Some("x".repeat(EVENT_BYTES_MAX)), ..login("bad", "alice") };
    let mut whole = login("bad", "alice").encode_to_vec();
    whole.extend(field(USER, b"\x0a\x05al"));
    let depth = "64 messages";
    assert!(depth.starts_with(&DEPTH_MAX.to_string()));
    let long_name = "x".repeat(129);
    vec![
        ("empty", vec![], "EVENT_MISSING", "", vec!["no event"]),
        ("no payload", no_payload, "PAYLOAD_MISSING", "payload", vec!["no payload"]),
        ("long id", long_id, "ID_TOO_LONG", "id", vec!["id is 129 bytes", "limit 128"]),
        ("before 1970", at(-1, 0), "TIME_OUT_OF_RANGE", "time", vec!["time", "1970-01-01"]),
        ("year 1", at(-62_135_596_800, 0), "TIME_OUT_OF_RANGE", "time", vec!["1970-01-01"]),
        ("ahead", at(now() + 86_460, 0), "TIME_OUT_OF_RANGE", "time", vec!["time", "a day ahead"]),
        ("year 9999", at(253_402_300_799, 0), "TIME_OUT_OF_RANGE", "time", vec!["9999-12-31"]),
        ("nanos", at(1, 1_000_000_000), "TIME_OUT_OF_RANGE", "time", vec!["time", "999999999"]),
        ("negative nanos", at(1, -1), "TIME_OUT_OF_RANGE", "time", vec!["time", "999999999"]),
        ("year 10000", at(253_402_300_800, 0), "TIME_OUT_OF_RANGE", "time", vec!["9999"]),
        ("larger", large.encode_to_vec(), "EVENT_TOO_LARGE", "", vec!["bytes, limit 1048576"]),
        (
            "in parts",
            login_with(field(USER, b"").repeat(16)),
            "EVENT_TOO_MANY_PARTS",
            "user",
            vec!["user is sent in more than 16 parts"],
        ),
        ("deeper", nested(40), "EVENT_TOO_DEEP", "custom.data.", vec!["custom.data", depth]),
        ("cut off", whole, "EVENT_MALFORMED", "user", vec!["user ends in the middle"]),
        ("no name", custom(None), "CUSTOM_NAME_INVALID", "custom.name", vec!["\"\"", "1 to 128"]),
        ("name", custom(Some("two words")), "CUSTOM_NAME_INVALID", "custom.name", vec!["words"]),
        ("long name", custom(Some(&long_name)), "CUSTOM_NAME_INVALID", "custom.name", vec!["128"]),
    ]
}

fn of_the_encoding() -> Vec<BadEvent> {
    let unknown = pb::Event { payload: None, ..login("bad", "alice") };
    let unknown = [unknown.encode_to_vec(), field(999, b"")].concat();
    let not_utf8 = login_with(field(USER, &field(1, b"\xff\xfe")));
    let label = login_with(field(LABELS, &[field(1, b"key"), field(2, b"\xc3")].concat()));
    let infinite = with_value(Value { kind: Some(Kind::NumberValue(f64::INFINITY)) });
    let no_kind = with_value(Value {
        kind: Some(Kind::ListValue(prost_types::ListValue { values: vec![Value { kind: None }] })),
    });
    // Libraries leave a value out that has nothing in it.
    let left_out = with_value(Value { kind: None });
    let value = "custom.data.fields.value";
    let in_list = "custom.data.fields.value.list_value.values";
    // Seconds and nanos of different signs.
    let duration = [varint(1, 1), varint(2, -1_i64 as u64)].concat();
    let resource = login_with(field(RESOURCE, &field(4, &duration)));
    vec![
        ("unknown", unknown, "PAYLOAD_UNKNOWN", "payload", vec!["field 999", "upgrade"]),
        ("two", login_with(field(EXEC, b"")), "PAYLOAD_AMBIGUOUS", "payload", vec!["132", "173"]),
        ("a newer second", login_with(field(999, b"")), "PAYLOAD_UNKNOWN", "payload", vec!["999"]),
        ("not UTF-8", not_utf8, "EVENT_NOT_UTF8", "user.name", vec!["user.name", "UTF-8"]),
        ("label", label, "EVENT_NOT_UTF8", "labels.value", vec!["labels.value", "UTF-8"]),
        ("wire type", login_with(varint(1, 7)), "EVENT_MALFORMED", "id", vec!["id", "type"]),
        ("group", login_with(vec![0x0b]), "EVENT_MALFORMED", "", vec!["wire type 3"]),
        ("number 0", login_with(vec![0x00, 0x00]), "EVENT_MALFORMED", "", vec!["field number 0"]),
        ("varint", login_with(vec![0xff; 11]), "EVENT_MALFORMED", "", vec!["64 bits"]),
        ("cut", login_with(vec![0x0a, 0x7f]), "EVENT_MALFORMED", "", vec!["in the middle"]),
        ("infinite", infinite, "EVENT_MALFORMED", value, vec!["finite"]),
        ("no kind", no_kind, "EVENT_MALFORMED", in_list, vec!["without a kind"]),
        ("left out", left_out, "EVENT_MALFORMED", value, vec!["without a kind"]),
        ("signs", resource, "EVENT_MALFORMED", "resource.ttl", vec!["resource.ttl", "sign"]),
    ]
}

fn bad_events() -> Vec<BadEvent> {
    [of_the_envelope(), of_the_encoding()].concat()
}

fn join(outer: &str, inner: &str) -> String {
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}.{inner}") }
}

#[tokio::test]
async fn a_bad_event_is_refused() {
    let mut scene = Scene::open().await;
    for (name, event, expected, blamed, says) in bad_events() {
        let body = field(1, &event);
        let row = Row::invalid(name, "Emit", body, expected, &join("event", blamed), &says);
        look(&mut scene, row).await;
    }
    // The same where there is no field `event` at all.
    let row = Row::invalid("none", "Emit", vec![], "EVENT_MISSING", "event", &["no event"]);
    scene.refuses([row]).await;
}

#[tokio::test]
async fn one_bad_event_refuses_its_batch_and_is_named() {
    let mut scene = Scene::open().await;
    for (name, event, expected, blamed, mut says) in bad_events() {
        let mut batch: Vec<_> =
            (0..20).map(|number| login(&format!("fine-{number}"), "bob").encode_to_vec()).collect();
        batch[17] = event;
        let body = batch.iter().flat_map(|event| field(1, event)).collect();
        says.push("events[17]");
        let row =
            Row::invalid(name, "EmitBatch", body, expected, &join("events[17]", blamed), &says);
        look(&mut scene, row).await;
    }
}

/// As [`Scene::refuses`], but where the field is a long path, a prefix will do.
async fn look(scene: &mut Scene, mut row: Row) {
    let answer = scene.ask(row.method, row.body.clone()).await;
    if row.field.as_ref().is_some_and(|field| field.ends_with('.')) {
        let (path, _) = violations(answer.as_ref().expect_err(row.name)).remove(0);
        assert!(path.starts_with(row.field.as_ref().unwrap()), "{}: {path}", row.name);
        row.field = Some(path);
    }
    scene.refused(&row, answer).await;
}

#[tokio::test]
async fn an_id_that_stands_for_another_content_is_refused() {
    let mut scene = Scene::open().await;
    let row = |name, method, body, field: &str, says: &[&'static str]| Row {
        code: Code::AlreadyExists,
        ..Row::invalid(name, method, body, "ID_CONFLICT", field, says)
    };
    let other = login("good-1", "mallory").encode_to_vec();
    let other_type =
        pb::Event { payload: Some(Payload::Exec(pb::Exec::default())), ..login("good-1", "alice") };
    let fine = login("fine", "bob").encode_to_vec();
    let same = login("fine", "carol").encode_to_vec();
    let later = [field(1, &fine), field(1, &other)].concat();
    let within = [field(1, &fine), field(1, &fine), field(1, &same)].concat();
    let known = ["good-1", "different content", "record 1"];
    let new = ["\"fine\"", "different content", "same batch"];
    scene
        .refuses([
            row("content", "Emit", field(1, &other), "event.id", &known),
            row("type", "Emit", field(1, &other_type.encode_to_vec()), "event.id", &known),
            row("in a batch", "EmitBatch", later, "events[1].id", &known),
            row("within a batch", "EmitBatch", within, "events[2].id", &new),
        ])
        .await;
}

#[tokio::test]
async fn a_request_that_is_cut_off_anywhere_is_refused() {
    let mut scene = Scene::open().await;
    let whole = field(1, &login("whole", "alice").encode_to_vec());
    for end in 1..whole.len() {
        let says: &[&'static str] = &["request is not valid"];
        let body = whole[..end].to_vec();
        let row = Row::invalid("cut", "Emit", body, "REQUEST_MALFORMED", "", says);
        let answer = scene.ask("Emit", row.body.clone()).await;
        assert_eq!(reason(&answer.expect_err("cut")), row.reason, "cut at {end}");
    }
    scene.unchanged("cut off").await;
}

#[tokio::test]
async fn an_event_that_is_cut_off_is_refused_whatever_holds_it() {
    let mut scene = Scene::open().await;
    let whole = login("whole", "alice").encode_to_vec();
    for end in 1..whole.len() {
        for method in ["Emit", "EmitBatch"] {
            let answer = scene.ask(method, field(1, &whole[..end])).await;
            let reason = reason(&answer.expect_err("cut"));
            assert!(["EVENT_MALFORMED", "PAYLOAD_MISSING"].contains(&reason.as_str()), "{reason}");
        }
    }
    scene.unchanged("cut off").await;
}

#[tokio::test]
async fn random_bytes_are_refused() {
    let mut scene = Scene::open().await;
    let mut random = Random(1);
    for _ in 0..300 {
        let length = 1 + random.below(200);
        let bytes = random.bytes(length);
        for method in ["Emit", "EmitBatch"] {
            for body in [bytes.clone(), field(1, &bytes)] {
                let status = scene.ask(method, body).await.expect_err("no event");
                assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
                reason(&status);
            }
        }
    }
    scene.unchanged("random bytes").await;
}

/// A damaged event may still be one: then it is kept as it is, and readable.
#[tokio::test]
async fn a_damaged_event_is_refused_or_kept_as_it_is() {
    let scene = Scene::open().await;
    let whole = login("whole", "alice").encode_to_vec();
    let mut random = Random(2);
    let (mut kept, mut refused) = (0, 0);
    for number in 0..300 {
        let mut event = pb::Event { id: Some(format!("damaged-{number}")), ..Default::default() };
        event.code = Some("T1000I".to_owned());
        let mut event = [event.encode_to_vec(), whole[7..].to_vec()].concat();
        let position = random.below(event.len());
        event[position] ^= 1 << random.below(8);
        match scene.ask("Emit", field(1, &event)).await {
            Ok(response) => {
                kept += 1;
                let receipt = pb::EmitResponse::decode(response).unwrap().receipt.unwrap();
                let record = scene.ask("GetRecord", varint(2, receipt.sequence)).await.unwrap();
                let record = pb::GetRecordResponse::decode(record).expect("readable");
                assert_eq!(record.record.unwrap().event.unwrap().id(), receipt.id);
            }
            Err(status) => {
                refused += 1;
                reason(&status);
            }
        }
    }
    assert!(kept > 20 && refused > 20, "{kept} kept, {refused} refused");
}
