//! Samples for programs that read the schemas: `make test-formats` has them checked.

use std::path::PathBuf;

use prost::Message as _;
use serde_json::json;

use super::filled::{Fill, cases, samples};
use crate::mapping::{MappingInput, MissingRecords, TargetSchema, text};
use crate::proto::pb;

/// Names the folder for the samples; without it, they are written and removed.
const FOLDER: &str = "AUDITGATE_FORMAT_SAMPLES";

/// Texts that parsers stumble over.
const HOSTILE: [&str; 20] = [
    "a|b",
    "a=b cs1=c",
    "back\\slash\\n",
    "two\nlines\r\nthree",
    " spaces ",
    "tab\there",
    "nul\0",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{202e}gnp.exe",
    "\u{2028}\u{2029}\u{feff}",
    "\u{10ffff}",
    "=",
    "\\",
    "|",
    "\"}]",
    "CEF:0|x|y|z|1|n|9|",
    "trailing\\",
    "\n",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}",
    "",
];

/// A record with a hostile text in each of some places.
fn hostile(text: &str) -> pb::Record {
    let event = pb::Event {
        id: Some(text.into()),
        code: Some(text.into()),
        user: Some(pb::User { name: Some(text.into()), ..Default::default() }),
        outcome: Some(pb::Outcome {
            error: Some(text.into()),
            message: Some(text.into()),
            ..Default::default()
        }),
        labels: [(text.to_owned(), text.to_owned())].into(),
        payload: Some(pb::event::Payload::Exec(pb::Exec {
            command: Some(pb::Command { line: Some(text.into()), ..Default::default() }),
            ..Default::default()
        })),
        ..Default::default()
    };
    pb::Record { sequence: 7, r#type: "exec".into(), event: Some(event), ..Default::default() }
}

#[test]
fn samples_are_written() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os(FOLDER).map_or_else(|| temporary.path().into(), PathBuf::from);
    std::fs::create_dir_all(&folder).expect("a folder");
    let named = |fill| samples(fill).into_iter().map(|(name, record)| (name.to_owned(), record));
    let hostile_records =
        HOSTILE.map(|text| (format!("hostile {text:?}"), hostile(text).encode_to_vec()));
    let records: Vec<_> =
        named(Fill::Most).chain(named(Fill::Least)).chain(cases()).chain(hostile_records).collect();
    for schema in TargetSchema::ALL {
        let mut lines = Vec::new();
        let mut line = |item: &[u8]| {
            match schema {
                TargetSchema::Otlp => text::base64(&mut lines, item),
                _ => lines.extend_from_slice(item),
            }
            lines.push(b'\n');
        };
        for (_, record) in &records {
            let mut item = Vec::new();
            schema.write(&MappingInput::new(record, "log"), &mut item);
            line(&item);
        }
        let mut item = Vec::new();
        schema.write_gap(&gap(), &mut item);
        line(&item);
        // Each is one line: of a line feed within, a reader would make another sample.
        let count = lines.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(count, records.len() + 1, "{schema:?}");
        std::fs::write(folder.join(format!("{}.lines", schema.name())), lines).expect("written");
    }
    let expected = HOSTILE.map(|text| {
        let mut line = Vec::new();
        let record = hostile(text).encode_to_vec();
        TargetSchema::Cef.write(&MappingInput::new(&record, "log"), &mut line);
        json!({"text": text, "line": String::from_utf8(line).expect("UTF-8")}).to_string() + "\n"
    });
    std::fs::write(folder.join("hostile.lines"), expected.concat()).expect("written");
}

fn gap() -> MissingRecords<'static> {
    MissingRecords {
        delivery: "siem",
        log_id: "log",
        first: 3,
        last: 9,
        reason: "evicted",
        sentence: "records 3 to 9 were not delivered",
        time: prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 },
    }
}
