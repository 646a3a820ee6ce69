//! Nothing is lost: each value of a record is in what is written, whatever it is.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::filled::{Expected, Fill, cases, login, record, samples};
use super::{json, written};
use crate::catalog;
use crate::json::{line, shape};
use crate::mapping::{MappingInput, TargetSchema, text, wire_json};
use crate::proto::pb;
use crate::wire::{self, RECORD, WireValue};

/// What stands for an expected value in a schema: one of these texts, or all of them.
fn forms(schema: TargetSchema, path: &str, expected: &Expected) -> Vec<Vec<String>> {
    let last = path.rsplit('.').next().unwrap_or_default().to_owned();
    let bytes = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    };
    match expected {
        Expected::Text(text) => vec![vec![text.clone()]],
        Expected::Address(ip, port) => {
            vec![vec![format!("{ip}:{port}")], vec![ip.clone(), port.to_string()]]
        }
        Expected::Number(number) => vec![vec![number.to_string()]],
        Expected::Time(seconds, nanos) => vec![
            vec![bytes(&|out| text::timestamp(out, *seconds, i64::from(*nanos)))],
            vec![format!("{}", seconds * 1_000_000_000 + i64::from(*nanos))],
        ],
        Expected::Duration(seconds) => vec![vec![format!("{seconds}s")]],
        Expected::Bytes(of) => {
            let base64 = bytes(&|out| text::base64(out, of));
            // CEF escapes it.
            vec![vec![base64.clone()], vec![base64.replace('=', "\\=")], vec![format!("{of:?}")]]
        }
        Expected::Flag => vec![vec![last]],
        Expected::Name(name) => {
            let table = super::table(schema);
            let mapped = table.values.values().filter_map(|values| values.get(name));
            let mapped = mapped.map(|to| vec![to.to_string().replace('"', "")]);
            std::iter::once(vec![name.clone()]).chain(mapped).collect()
        }
    }
}

#[test]
fn every_value_of_a_filled_record_is_written() {
    for schema in TargetSchema::ALL {
        for (id, event_type) in catalog::all() {
            let name = if id.is_custom() { "custom.billing.refund" } else { event_type.name };
            let (record, filler) = record(name, event_type.number, Fill::Most);
            let text = written(schema, &record.encode_to_vec());
            for (path, expected) in &filler.expected {
                let forms = forms(schema, path, expected);
                let is_there = forms.iter().any(|all| all.iter().all(|part| text.contains(part)));
                assert!(is_there, "{schema:?} {name}: {path} {expected:?} {forms:?} in {text}");
            }
        }
    }
}

/// Encoded as it may be, by another order of fields or with messages in parts.
#[test]
fn the_encoding_makes_no_difference() {
    let filled = samples(Fill::Most).into_iter().map(|(name, record)| (name.to_owned(), record));
    for (name, record) in filled.chain(cases()) {
        let event = wire::trusted(&record).find(|(number, _)| *number == 15).expect("an event");
        let with = |event: &[u8]| {
            let mut fields: Vec<_> =
                wire::trusted(&record).filter(|(number, _)| *number != 15).collect();
            fields.push((15, WireValue::Bytes(event)));
            let mut out = Vec::new();
            wire_json::put_fields(&mut out, &fields);
            out
        };
        let reversed = with(&parts_reversed(event.1.bytes().expect("bytes")));
        for schema in TargetSchema::ALL {
            assert_eq!(written(schema, &reversed), written(schema, &record), "{schema:?} {name}");
        }
    }
}

/// The fields in the reverse order of their numbers, and messages of the envelope in parts.
fn parts_reversed(event: &[u8]) -> Vec<u8> {
    let mut fields: Vec<_> = wire::trusted(event).collect();
    fields.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let mut out = Vec::new();
    for (number, value) in fields {
        match value {
            WireValue::Bytes(bytes) if (6..=12).contains(&number) || number == 2 => {
                for field in wire::trusted(bytes) {
                    let mut part = Vec::new();
                    wire_json::put_fields(&mut part, &[field]);
                    wire::put_bytes_field(&mut out, number, &part);
                }
            }
            _ => wire_json::put_fields(&mut out, &[(number, value)]),
        }
    }
    out
}

#[test]
fn json_is_that_of_the_library() {
    let filled = samples(Fill::Most).into_iter().chain(samples(Fill::Least));
    for (name, record) in filled {
        let mut out = Vec::new();
        wire_json::write(&mut out, RECORD, &record);
        let message = DynamicMessage::decode(shape("Record"), &*record).expect("a record");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), line(&message), "{name}");
    }
    for (id, _) in catalog::all() {
        let event = crate::example::event(id);
        let record = pb::Record { event: Some(event), ..Default::default() };
        let record = record.encode_to_vec();
        let mut out = Vec::new();
        wire_json::write(&mut out, RECORD, &record);
        let message = DynamicMessage::decode(shape("Record"), &*record).expect("a record");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), line(&message));
    }
}

/// A JSON value as deep as validation lets it be.
fn deep(levels: usize) -> prost_types::Value {
    use prost_types::value::Kind;
    let mut value = prost_types::Value { kind: Some(Kind::StringValue("bottom".into())) };
    for level in 0..levels {
        let kind = if level % 2 == 0 {
            Kind::ListValue(prost_types::ListValue { values: vec![value] })
        } else {
            Kind::StructValue(prost_types::Struct { fields: [("k".to_owned(), value)].into() })
        };
        value = prost_types::Value { kind: Some(kind) };
    }
    value
}

fn custom(data: prost_types::Struct) -> Vec<u8> {
    let payload = pb::Custom { name: Some("x".into()), data: Some(data) };
    let event = pb::Event {
        id: Some("1".into()),
        payload: Some(pb::event::Payload::Custom(payload)),
        ..Default::default()
    };
    pb::Record { r#type: "custom.x".into(), event: Some(event), ..Default::default() }
        .encode_to_vec()
}

#[test]
fn deep_values_are_written_to_the_bottom() {
    // Each level of a list takes two of the encoding, each object three, and the record some.
    let mut levels = 0;
    loop {
        let data = prost_types::Struct { fields: [("k".to_owned(), deep(levels))].into() };
        let record = custom(data);
        if wire::validate(RECORD, &record).is_err() {
            break;
        }
        for schema in TargetSchema::ALL {
            assert!(written(schema, &record).contains("bottom"), "{schema:?} {levels}");
        }
        levels += 1;
    }
    assert!(levels > 20, "{levels}");
}

#[test]
fn numbers_that_json_readers_round_are_texts() {
    for pid in [1 << 53, u64::MAX, (1 << 53) + 1] {
        let bpf = pb::Bpf { pid: Some(pid), ..Default::default() };
        let command = pb::SessionCommand { bpf: Some(bpf), ..Default::default() };
        let event = pb::Event {
            index: Some(i64::MIN),
            payload: Some(pb::event::Payload::SessionCommand(command)),
            ..Default::default()
        };
        let record = pb::Record {
            r#type: "session.command".into(),
            event: Some(event),
            ..Default::default()
        };
        let record = record.encode_to_vec();
        let ocsf = json(TargetSchema::Ocsf, &record);
        let left = &ocsf["unmapped"]["event"];
        assert_eq!(left["session_command"]["bpf"]["pid"], pid.to_string());
        assert_eq!(left["index"], i64::MIN.to_string());
        assert_eq!(ocsf["process"].get("pid"), None);
        let ecs = json(TargetSchema::Ecs, &record);
        assert_eq!(ecs["labels"]["auditgate_event_session_command_bpf_pid"], pid.to_string());
        let otlp = written(TargetSchema::Otlp, &record);
        assert!(otlp.contains(&pid.to_string()), "{otlp}");
    }
}

#[test]
fn a_text_of_a_mebibyte_is_written() {
    let long = "ä\u{1}\"".repeat(1024 * 1024 / 4);
    let mut event = pb::Event { id: Some("1".into()), ..Default::default() };
    event.user = Some(pb::User { name: Some(long.clone()), ..Default::default() });
    let record =
        pb::Record { r#type: "user.login".into(), event: Some(event), ..Default::default() };
    let record = record.encode_to_vec();
    assert_eq!(json(TargetSchema::Ocsf, &record)["actor"]["user"]["name"], *long);
    assert_eq!(json(TargetSchema::Ecs, &record)["user"]["name"], *long);
    assert!(written(TargetSchema::Cef, &record).len() > long.len());
}

/// Reads a line of CEF, by its specification alone.
fn read_cef(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut header = vec![String::new()];
    let mut letters = line.chars();
    while header.len() < 8 {
        match letters.next().expect("a header of seven fields") {
            '\\' => header.last_mut().expect("one").extend(letters.next()),
            '|' => header.push(String::new()),
            letter => header.last_mut().expect("one").push(letter),
        }
    }
    header.pop();
    let extension: String = letters.collect();
    assert!(!extension.contains(['\n', '\r']), "{extension:?}");
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = String::new();
    let mut letters = extension.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next().expect("an escaped letter") {
                'n' => rest.push('\n'),
                'r' => rest.push('\r'),
                other => rest.push(other),
            },
            '=' => {
                let (value, key) = match rest.rsplit_once(' ') {
                    Some((value, key)) => (value.to_owned(), key.to_owned()),
                    None => (String::new(), rest.clone()),
                };
                if let Some((_, before)) = pairs.last_mut() {
                    *before = value;
                }
                pairs.push((key, String::new()));
                rest.clear();
            }
            letter => rest.push(letter),
        }
    }
    if let Some((_, last)) = pairs.last_mut() {
        *last = rest;
    }
    (header, pairs)
}

/// Texts as an attacker chooses them.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\n"),
        Just("\r\n"),
        Just("|"),
        Just("="),
        Just("\\"),
        Just("\\n"),
        Just(" "),
        Just(" cs1=x"),
        Just("\""),
        Just("{\""),
        Just("\u{0}"),
        Just("\u{1b}[2J"),
        Just("\u{202e}"),
        Just("\u{feff}"),
        Just("\u{2028}"),
        Just("\u{10ffff}"),
        Just("é"),
        Just(","),
        Just("a"),
        Just("]"),
        Just("127.0.0.1:1"),
        Just("[::1]:5"),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn hostile_texts_are_read_back(
        texts in proptest::collection::vec(hostile(), 12),
        labels in proptest::collection::btree_map(hostile(), hostile(), 0..4),
    ) {
        let mut next = texts.iter().cloned();
        let mut text = || next.next();
        let event = pb::Event {
            id: text(),
            code: text(),
            user: Some(pb::User {
                name: text(),
                login: text(),
                roles: vec![text().unwrap_or_default(), text().unwrap_or_default()],
                ..Default::default()
            }),
            connection: Some(pb::Connection {
                remote_address: text(),
                user_agent: text(),
                ..Default::default()
            }),
            outcome: Some(pb::Outcome { error: text(), message: text(), ..Default::default() }),
            labels: labels.clone(),
            payload: Some(pb::event::Payload::UserLogin(pb::UserLogin {
                method: text(),
                ..Default::default()
            })),
            ..Default::default()
        };
        let record =
            pb::Record { sequence: 7, r#type: "user.login".into(), event: Some(event.clone()), ..Default::default() };
        let encoded = record.encode_to_vec();
        let user = event.user.as_ref().expect("set");

        let ocsf = json(TargetSchema::Ocsf, &encoded);
        prop_assert_eq!(ocsf["user"]["name"].as_str(), user.name.as_deref());
        let Some(pb::event::Payload::UserLogin(login)) = &event.payload else { unreachable!() };
        prop_assert_eq!(ocsf["auth_protocol"].as_str(), login.method.as_deref());
        let tags = ocsf["metadata"]["tags"].as_array().map_or(0, Vec::len);
        prop_assert_eq!(tags, labels.len());

        let ecs = json(TargetSchema::Ecs, &encoded);
        prop_assert_eq!(ecs["user"]["name"].as_str(), user.name.as_deref());
        prop_assert_eq!(ecs["user"]["roles"][1].as_str(), user.roles.get(1).map(String::as_str));

        let mut line = Vec::new();
        TargetSchema::Cef.write(&MappingInput::new(&encoded, "log"), &mut line);
        let line = String::from_utf8(line).expect("UTF-8");
        prop_assert!(!line.chars().any(crate::printable::is_hidden), "{:?}", line);
        let (header, pairs) = read_cef(&line);
        prop_assert_eq!(header.len(), 7);
        let find = |key: &str| pairs.iter().find(|(of, _)| of == key).map(|(_, value)| value.clone());
        let left: serde_json::Value = serde_json::from_str(&find("AuditgateUnmapped").unwrap_or("{}".into()))
            .expect("JSON");
        for (key, path, value) in [
            ("suser", "/event/user/name", &user.name),
            ("duser", "/event/user/login", &user.login),
            ("reason", "/event/outcome/error", &event.outcome.as_ref().expect("set").error),
            ("cs1", "/event/code", &event.code),
        ] {
            let read = find(key).or_else(|| left.pointer(path).and_then(|of| of.as_str()).map(str::to_owned));
            prop_assert_eq!(&read, value, "{} {}", key, line);
        }

        let otlp = written(TargetSchema::Otlp, &encoded);
        let quoted = format!("{:?}", user.name.as_deref().unwrap_or_default());
        prop_assert!(otlp.contains(&quoted), "{}", otlp);
    }
}

#[test]
fn a_login_leaves_little() {
    let ocsf = json(TargetSchema::Ocsf, &login());
    assert_eq!(ocsf.get("unmapped"), None, "{ocsf}");
    let ecs = json(TargetSchema::Ecs, &login());
    let labels = ecs["labels"].as_object().expect("an object");
    assert_eq!(labels.len(), 3, "{labels:?}");
}
