//! The catalog is what was released, and more.
//!
//! `tests/golden/catalog.txt` lists each event type with the number of its variant,
//! its category and severity and, below it, each code with its result and
//! severity. Emitters, filters and stored logs rely on these: **a type string, a
//! number or a code, once released, is never changed, removed or used anew.** A
//! new type or code is a new line. `buf breaking` does not see strings inside
//! options, so this list is what holds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use auditgate::catalog::{self, EventType};
use auditgate::proto::pb::{Category, Result, Severity};

const GOLDEN: &str = include_str!("../golden/catalog.txt");
/// Heads the event types with which the gateway began.
const SEED: &str = "[seed]";
/// Heads the event types that the gateway added to those.
const OWN: &str = "[own]";
/// How many event types the gateway began with.
const SEED_TYPES: usize = 75;

/// The lines of an event type in the golden list.
fn lines(event_type: &EventType) -> String {
    let severity = |number| {
        Severity::try_from(number).expect("a severity").as_str_name().replace("SEVERITY_", "")
    };
    let category = Category::try_from(event_type.category).expect("a category").as_str_name();
    let mut out = format!(
        "{} {} {} {}\n",
        event_type.name,
        event_type.number,
        category.replace("CATEGORY_", ""),
        severity(event_type.severity)
    );
    for code in event_type.codes {
        let result = Result::try_from(code.result).expect("a result").as_str_name();
        let result = result.replace("RESULT_", "");
        writeln!(out, "  {} {result} {}", code.code, severity(code.severity)).expect("infallible");
    }
    out
}

/// The entries of a golden list by type, each with its section and its lines.
fn parse(golden: &str) -> BTreeMap<&str, (&str, String)> {
    let mut section = "";
    let mut name = "";
    let mut entries = BTreeMap::new();
    for line in golden.lines().filter(|line| !line.is_empty()) {
        if [SEED, OWN].contains(&line) {
            section = line;
            continue;
        }
        if !line.starts_with(' ') {
            name = line.split(' ').next().unwrap_or_default();
            let other = entries.insert(name, (section, String::new()));
            assert!(other.is_none(), "{name} is listed twice");
        }
        let (_, lines) = entries.get_mut(name).expect("a type precedes its codes");
        writeln!(lines, "{line}").expect("infallible");
    }
    entries
}

#[test]
fn the_catalog_is_the_golden_list() {
    let mut golden = parse(GOLDEN);
    for (_, event_type) in catalog::all() {
        let lines = lines(event_type);
        let (_, listed) = golden
            .remove(event_type.name)
            .unwrap_or_else(|| panic!("add this to tests/golden/catalog.txt:\n{lines}"));
        assert_eq!(lines, listed, "{} is not as it was released", event_type.name);
    }
    assert!(golden.is_empty(), "these are gone from the catalog: {:?}", golden.keys());
}

#[test]
fn the_gateways_own_types_stand_apart_from_the_seed() {
    let golden = parse(GOLDEN);
    let (seed, own): (Vec<_>, Vec<_>) =
        golden.iter().partition(|(_, (section, _))| *section == SEED);
    assert_eq!(seed.len(), SEED_TYPES);
    assert!(own.iter().all(|(_, (section, _))| *section == OWN), "a type stands above {SEED}");
    assert!(own.iter().any(|(name, _)| **name == catalog::CUSTOM));
}

#[test]
#[should_panic(expected = "auth is listed twice")]
fn a_doubled_entry_is_seen() {
    parse("[seed]\nauth 113 AUTH WARNING\nexec 132 EXEC INFO\nauth 113 AUTH WARNING\n");
}

#[test]
fn no_code_is_milder_than_its_type_or_than_a_failure() {
    for (_, event_type) in catalog::all() {
        for code in event_type.codes {
            let least = if code.result == Result::Failure as i32 {
                event_type.severity.max(Severity::Warning as i32)
            } else {
                event_type.severity
            };
            assert!(code.severity >= least, "{} {}", event_type.name, code.code);
        }
    }
}

#[test]
fn a_description_is_a_sentence_and_that_of_a_code_a_phrase() {
    for (_, event_type) in catalog::all() {
        let sentence = event_type.description;
        assert!(sentence.starts_with(|first: char| first.is_ascii_uppercase()), "{sentence}");
        assert!(sentence.ends_with('.'), "{sentence}");
        for code in event_type.codes {
            assert!(!code.description.ends_with('.'), "{} {}", event_type.name, code.code);
        }
    }
}
