//! The report of an import: counts, invalid lines, progress.

use super::LinePosition;
use crate::proto::pb;
use std::collections::BTreeMap;

/// The maximum number of unknown types that are counted by name.
const UNKNOWN_NAMES_MAX: usize = 1_000;

/// Receives the lines of a report.
pub type PrintLine = Box<dyn FnMut(&str) + Send>;

/// The counts of an import. Invalid lines are reported as they are found.
pub struct ImportReport {
    say: PrintLine,
    stored: u64,
    duplicates: u64,
    /// Invalid lines by reason.
    bad: BTreeMap<String, u64>,
    /// Lines without a JSON object.
    skipped: u64,
    /// Events that are stored without the time of their line, by reason.
    without_time: BTreeMap<&'static str, u64>,
    /// Events that are stored under a numbered id.
    numbered: u64,
    unknown: BTreeMap<String, u64>,
    /// Events of unknown types beyond the names that are counted.
    unknown_others: u64,
}

impl ImportReport {
    /// A report that passes its lines to `say`.
    pub fn new(say: PrintLine) -> Self {
        Self {
            say,
            stored: 0,
            duplicates: 0,
            bad: BTreeMap::new(),
            skipped: 0,
            without_time: BTreeMap::new(),
            numbered: 0,
            unknown: BTreeMap::new(),
            unknown_others: 0,
        }
    }

    /// The number of stored events, duplicates included.
    pub fn events(&self) -> u64 {
        self.stored + self.duplicates
    }

    /// Whether a line was invalid.
    pub fn has_bad_lines(&self) -> bool {
        !self.bad.is_empty()
    }

    /// Counts and reports a line that is not stored. `kind` is its reason in the summary.
    pub fn count_invalid(&mut self, place: &LinePosition, kind: &str, reason: &str) {
        *self.bad.entry(kind.to_owned()).or_default() += 1;
        (self.say)(&format!("{place}: {reason}"));
    }

    /// Counts a line without a JSON object.
    pub fn skipped(&mut self) {
        self.skipped += 1;
    }

    /// Counts an event that is stored without the time of its line, and why.
    pub fn without_time(&mut self, why: &'static str) {
        *self.without_time.entry(why).or_default() += 1;
    }

    /// Counts an event that is stored under a numbered id.
    pub fn numbered(&mut self) {
        self.numbered += 1;
    }

    /// Counts an event of a type that the catalog lacks.
    pub fn unknown(&mut self, name: String) {
        let has_room = self.unknown.len() < UNKNOWN_NAMES_MAX;
        match self.unknown.get_mut(&name) {
            Some(count) => *count += 1,
            None if has_room => {
                self.unknown.insert(name, 1);
            }
            None => self.unknown_others += 1,
        }
    }

    /// Counts an event that is stored.
    pub fn stored(&mut self, receipt: &pb::Receipt) {
        if receipt.duplicate {
            self.duplicates += 1;
        } else {
            self.stored += 1;
        }
    }

    /// Prints the summary.
    pub fn summarize(&mut self) {
        let Self { stored, duplicates, .. } = self;
        let bad: u64 = self.bad.values().sum();
        let counts = format!("{stored} imported, {duplicates} duplicates, {bad} invalid");
        (self.say)(&counts);
        if !self.bad.is_empty() {
            let kinds: Vec<String> =
                self.bad.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            (self.say)(&format!("invalid lines, by reason: {}", kinds.join(", ")));
        }
        if self.skipped > 0 {
            (self.say)(&format!("skipped, without a JSON object: {}", self.skipped));
        }
        if !self.without_time.is_empty() {
            let whys: Vec<String> =
                self.without_time.iter().map(|(why, count)| format!("{why} {count}")).collect();
            (self.say)(&format!("imported without a time, by reason: {}", whys.join(", ")));
        }
        if self.numbered > 0 {
            let count = self.numbered;
            (self.say)(&format!(
                "imported under a numbered id, since another event has the uid: {count}"
            ));
        }
        if self.unknown.is_empty() {
            return;
        }
        let mut names: Vec<String> =
            self.unknown.iter().map(|(name, count)| format!("{name:?} {count}")).collect();
        if self.unknown_others > 0 {
            names.push(format!("others {}", self.unknown_others));
        }
        (self.say)(&format!("imported as custom, by unknown type: {}", names.join(", ")));
    }
}
