//! Records in other schemas: JSON is valid, a line is one line without hidden characters, and
//! whatever the encoding of a record is, nothing panics or grows without bound.
#![no_main]

use auditgate::mapping::{MappingInput, TargetSchema, wire_json};
use auditgate::wire::{self, RECORD};
use libfuzzer_sys::fuzz_target;

/// What an output may have for each byte of a record, and beside that: keys and escapes.
const GROWTH_MAX: usize = 64;
const BESIDE_MAX: usize = 64 * 1024;

fuzz_target!(|record: &[u8]| {
    let is_valid = wire::validate(RECORD, record).is_ok();
    for schema in TargetSchema::ALL {
        let mut out = Vec::new();
        schema.write(&MappingInput::new(record, "log"), &mut out);
        assert!(out.len() <= record.len() * GROWTH_MAX + BESIDE_MAX, "{schema:?} {}", out.len());
        match schema {
            TargetSchema::Otlp => {}
            TargetSchema::Cef => {
                let line = String::from_utf8(out).expect("UTF-8");
                assert!(!line.contains(char::is_control), "{line:?}");
            }
            TargetSchema::Ocsf | TargetSchema::Ecs if is_valid => {
                let text = String::from_utf8(out).expect("UTF-8");
                assert!(!text.contains('\n'), "{text}");
                let value: Result<serde_json::Value, _> = serde_json::from_str(&text);
                if let Err(error) = value {
                    assert!(error.to_string().contains("recursion limit"), "{error}: {text}");
                }
            }
            TargetSchema::Ocsf | TargetSchema::Ecs => {}
        }
    }
    let mut out = Vec::new();
    wire_json::write(&mut out, RECORD, record);
});
