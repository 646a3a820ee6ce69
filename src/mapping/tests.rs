//! What becomes of records in each schema.

mod filled;
mod lossless;
mod oracles;

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::Value;

use super::table::rows;
use super::*;
use crate::catalog;
use crate::wire::{FieldKind, MessageId, RECORD};
use filled::{Fill, samples};

/// The tables, read once.
fn table(schema: TargetSchema) -> &'static table::MappingTable {
    static TABLES: LazyLock<Vec<table::MappingTable>> = LazyLock::new(|| {
        let of = |schema: TargetSchema| schema.table().unwrap_or_else(|error| panic!("{error}"));
        TargetSchema::ALL.into_iter().map(of).collect()
    });
    TABLES.get(schema as usize).expect("one of each")
}

/// A record in a schema, as text; of OpenTelemetry in its debug form.
fn written(schema: TargetSchema, record: &[u8]) -> String {
    let mut out = b"before".to_vec();
    schema.write(&MappingInput::new(record, "log"), &mut out);
    let out = out.strip_prefix(b"before").expect("what was there is left");
    match schema {
        TargetSchema::Otlp => {
            let record = opentelemetry_proto::tonic::logs::v1::LogRecord::decode(out);
            format!("{:?}", record.expect("a log record"))
        }
        _ => String::from_utf8(out.to_vec()).expect("UTF-8"),
    }
}

fn json(schema: TargetSchema, record: &[u8]) -> Value {
    let text = written(schema, record);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_table_is_valid_and_has_every_type() {
    for schema in TargetSchema::ALL {
        let table = table(schema);
        let compiled = MappingPlans::compile(table, schema.layout());
        let plans = compiled.unwrap_or_else(|error| panic!("{schema:?}: {error}"));
        let types: BTreeSet<_> = plans.all().map(|(name, ..)| name).collect();
        assert_eq!(types.len(), catalog::all().count() + 1, "{schema:?}");
        assert_eq!(types.len(), table.types.len(), "{schema:?}");
    }
}

/// Paths of the fields of a record, down to those that are no messages, without payloads.
fn envelope_paths() -> Vec<String> {
    fn walk(message: MessageId, path: &str, paths: &mut Vec<String>) {
        for field in message.get().fields.iter().filter(|field| field.oneof.is_none()) {
            let path = format!("{path}{}", field.name);
            match field.kind {
                FieldKind::Message(inner)
                    if !field.repeated && inner.get().full_name.starts_with("auditgate.") =>
                {
                    walk(inner, &format!("{path}."), paths);
                }
                _ => paths.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    walk(RECORD, "", &mut paths);
    paths
}

#[test]
fn every_field_of_the_envelope_has_a_row() {
    let paths = envelope_paths();
    assert!(paths.len() > 60, "{paths:?}");
    for schema in TargetSchema::ALL {
        let rows = rows(&table(schema).envelope).expect("it is valid");
        for path in &paths {
            let within = |row: &table::MappingRow| {
                path == &row.source || path.starts_with(&format!("{}.", row.source))
            };
            assert!(rows.iter().any(within), "{schema:?} has no row for {path}");
        }
    }
}

/// A row that is longer than its last one, so that a mistake in a table is not silent.
#[test]
fn a_wrong_table_is_refused() {
    let table = |text: &str| {
        let text = TargetSchema::Ocsf.table_text().replacen("event.index  ", text, 1);
        let table: table::MappingTable = toml::from_str(&text).expect("TOML");
        MappingPlans::compile(&table, PlaceLayout::Nested).expect_err("it is wrong")
    };
    assert!(table("event.indx = -\nevent.index").contains("there is no field indx"));
    assert!(table("event.user = json actor.data\nevent.index").contains("within a place"));
    assert!(table("event.index = float time\nevent.index").contains("no conversion float"));
    assert!(table("nothing\nevent.index").contains("\"nothing\" is not SOURCE"));
    let without = TargetSchema::Ecs.table_text().replacen("[type.exec]", "[type.exce]", 1);
    let without: table::MappingTable = toml::from_str(&without).expect("TOML");
    let error = MappingPlans::compile(&without, PlaceLayout::Nested).expect_err("it is wrong");
    assert!(error.contains("no row for exec"), "{error}");
}

#[test]
fn the_stable_id_is_in_every_schema() {
    for schema in TargetSchema::ALL {
        for (name, record) in samples(Fill::Least).into_iter().chain(samples(Fill::Most)) {
            let text = written(schema, &record);
            assert!(text.contains("log/7"), "{schema:?} {name}: {text}");
        }
    }
}

#[test]
fn a_gap_is_reported_with_its_range() {
    let time = Timestamp { seconds: 1_700_000_000, nanos: 0 };
    let missing = MissingRecords {
        delivery: "siem",
        log_id: "log",
        first: 3,
        last: 9,
        reason: "evicted",
        sentence: "records 3 to 9 were not delivered",
        time,
    };
    for schema in TargetSchema::ALL {
        let mut out = Vec::new();
        schema.write_gap(&missing, &mut out);
        let text = String::from_utf8_lossy(&out);
        for part in ["log/3-9", "auditgate.gap", "siem", "evicted", "records 3 to 9 were not"] {
            assert!(text.contains(part), "{schema:?}: {part} in {text}");
        }
    }
    let mut out = Vec::new();
    TargetSchema::Ocsf.write_gap(&missing, &mut out);
    let value: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(value["class_uid"], 1008);
    assert_eq!(value["metadata"]["uid"], "log/3-9");
    assert_eq!(value["time"], 1_700_000_000_000_i64);
    assert_eq!(value["unmapped"]["event"]["custom"]["data"]["last_sequence"], "9");
}

#[test]
fn a_login_is_what_an_analyst_expects() {
    let record = filled::login();
    let ocsf = json(TargetSchema::Ocsf, &record);
    assert_eq!(ocsf["class_uid"], 3002);
    assert_eq!(ocsf["type_uid"], 300_201);
    assert_eq!(ocsf["user"]["name"], "alice");
    assert_eq!(ocsf["status"], "Failure");
    assert_eq!(ocsf["message"], "local login refused");
    assert_eq!(ocsf["src_endpoint"]["ip"], "203.0.113.9");
    assert_eq!(ocsf["src_endpoint"]["port"], 51_544);
    assert_eq!(ocsf["unmapped"]["event"].get("connection"), None);
    let ecs = json(TargetSchema::Ecs, &record);
    assert_eq!(ecs["@timestamp"], "2023-11-14T22:13:20.000000005Z");
    assert_eq!(ecs["event"]["outcome"], "failure");
    assert_eq!(ecs["event"]["category"][0], "authentication");
    assert_eq!(ecs["source"]["ip"], "203.0.113.9");
    assert_eq!(ecs["labels"]["env"], "prod");
    let cef = written(TargetSchema::Cef, &record);
    let head =
        concat!("CEF:0|auditgate|auditgate|", env!("CARGO_PKG_VERSION"), "|user.login|local");
    assert!(cef.starts_with(head), "{cef}");
    assert!(cef.contains(" src=203.0.113.9 spt=51544 "), "{cef}");
}

/// A type that only a newer gateway knows: its payload is kept as its encoding.
#[test]
fn a_payload_of_a_newer_protocol_is_kept() {
    let mut event = pb::Event { id: Some("x".into()), ..Default::default() }.encode_to_vec();
    wire::put_bytes_field(&mut event, 4_000, b"\x0a\x03new");
    let mut record =
        pb::Record { sequence: 7, r#type: "new.type".into(), ..Default::default() }.encode_to_vec();
    wire::put_bytes_field(&mut record, 15, &event);
    let mut field = Vec::new();
    wire::put_bytes_field(&mut field, 4_000, b"\x0a\x03new");
    let mut encoded = Vec::new();
    text::base64(&mut encoded, &field);
    let encoded = String::from_utf8(encoded).expect("ASCII");
    for schema in [TargetSchema::Ocsf, TargetSchema::Ecs] {
        let text = written(schema, &record);
        assert!(text.contains("new.type") && text.contains(&encoded), "{schema:?} {text}");
    }
    let cef = written(TargetSchema::Cef, &record);
    assert!(cef.contains(&encoded.replace('=', "\\=")), "{cef}");
    let otlp = written(TargetSchema::Otlp, &record);
    assert!(otlp.contains("auditgate.event.unknown_fields"), "{otlp}");
}

/// A label that is no plain word could be taken for objects, or for a field of the gateway's.
#[test]
fn labels_that_are_no_plain_words_stay_together() {
    for key in ["a.b", "", "a b", "auditgate_event_id", "é", "_id.", &"x".repeat(65)] {
        let mut event = pb::Event { id: Some("1".into()), ..Default::default() };
        event.labels.insert("plain".into(), "1".into());
        event.labels.insert(key.to_owned(), "2".into());
        let record = pb::Record { event: Some(event), ..Default::default() }.encode_to_vec();
        let labels = &json(TargetSchema::Ecs, &record)["labels"];
        let all: Value = serde_json::from_str(
            labels["auditgate_event_labels"].as_str().unwrap_or_else(|| panic!("{key:?} {labels}")),
        )
        .expect("JSON");
        assert_eq!(all[key], "2");
        assert_eq!(labels["plain"], "1");
        // The third is the id of the event.
        assert_eq!(labels.as_object().map(|of| of.len()), Some(3), "{key:?} {labels}");
    }
}
