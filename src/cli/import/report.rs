//! What an import says.

use std::collections::BTreeMap;
use std::io::Write;

use super::batch::Place;
use crate::proto::pb;

/// How many names of unknown types are counted one by one.
const UNKNOWN_NAMES_MAX: usize = 1_000;

/// Counts of an import. Bad lines are told as they are found.
pub struct Report {
    out: Box<dyn Write + Send>,
    stored: u64,
    duplicates: u64,
    bad: u64,
    unknown: BTreeMap<String, u64>,
    /// Events of unknown types beyond the names that are counted.
    unknown_others: u64,
}

impl Report {
    /// A report that is written to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, stored: 0, duplicates: 0, bad: 0, unknown: BTreeMap::new(), unknown_others: 0 }
    }

    /// Whether a line was bad.
    pub fn has_bad_lines(&self) -> bool {
        self.bad > 0
    }

    /// Counts and tells a line that is not stored.
    pub fn bad(&mut self, place: &Place, reason: &str) {
        self.bad += 1;
        self.say(&format!("{place}: {reason}"));
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

    /// Counts events that are stored.
    pub fn stored(&mut self, receipts: &[pb::Receipt]) {
        let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count() as u64;
        self.duplicates += duplicates;
        self.stored += receipts.len() as u64 - duplicates;
    }

    /// Tells the counts.
    pub fn summarize(&mut self) {
        let Self { stored, duplicates, bad, .. } = self;
        let counts = format!("{stored} stored, {duplicates} stored before, {bad} bad");
        self.say(&counts);
        if self.unknown.is_empty() {
            return;
        }
        let mut names: Vec<String> =
            self.unknown.iter().map(|(name, count)| format!("{name:?} {count}")).collect();
        if self.unknown_others > 0 {
            names.push(format!("others {}", self.unknown_others));
        }
        self.say(&format!("imported as custom, by unknown type: {}", names.join(", ")));
    }

    /// Where standard error is closed, nobody reads it.
    fn say(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }
}
