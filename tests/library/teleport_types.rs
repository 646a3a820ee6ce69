//! Lines of each of the catalogue's 75 types: every key has its field.
//!
//! The keys of the fixtures come from the catalogue of what Teleport writes, not
//! from the tables of the mapping.

use std::collections::BTreeSet;

use auditgate::catalog::{self, CUSTOM};
use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::teleport::json::Json;
use auditgate::teleport::{self, ImportedEvent, LineOrdinals};
use auditgate::time::Time;

const LINES: &str = include_str!("../fixtures/teleport.jsonl");
const ODD_LINES: &str = include_str!("../fixtures/teleport_odd.jsonl");

/// Imports the lines in one run, as accepted events that export as the lines.
fn round_trip(lines: &'static str) -> impl Iterator<Item = (&'static str, ImportedEvent, Event)> {
    let mut ordinals = LineOrdinals::default();
    lines.lines().map(move |line| {
        let imported = teleport::import_line(line, &mut ordinals)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let exported = teleport::export(&imported.event()).expect("exports");
        assert_eq!(exported, Json::parse(line).expect("JSON"));
        let encoded = imported.encoded.clone();
        let event = Event::check(encoded, Time::now(), EVENT_BYTES_MAX)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        (line, imported, event)
    })
}

#[test]
fn each_key_of_each_type_has_its_field() {
    let mut seen = BTreeSet::new();
    for (line, imported, event) in round_trip(LINES) {
        let unmapped = imported.event().unmapped;
        assert!(unmapped.is_empty(), "{unmapped:?} of {line}");
        assert_eq!(imported.unknown_type, None);
        seen.insert(event.type_name().concat());
    }
    let expected: BTreeSet<String> = catalog::all()
        .filter(|(_, found)| !found.is_reserved())
        .map(|(_, found)| found.name.to_owned())
        .filter(|name| name != CUSTOM)
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(seen.len(), 75);
}

#[test]
fn odd_lines_return_too() {
    let imported: Vec<_> = round_trip(ODD_LINES).map(|(_, imported, _)| imported).collect();
    assert!(imported.iter().all(|imported| !imported.event().unmapped.is_empty()));
    let ids: BTreeSet<&str> = imported.iter().map(|imported| imported.id.as_str()).collect();
    assert_eq!(ids.len(), imported.len(), "equal lines without uid are different events");
}
