//! Filters: which records Subscribe, Search and CountRecords return.
//!
//! A [`Filter`] is compiled once for each request. An index narrows the log by the filter's
//! [`Selection`], [`Filter::columns`] checks the columns of a record, and
//! [`Filter::record`] decides.

mod address;
mod envelope;
mod error;
mod expression;
mod problems;
mod shorten;
mod text;
mod type_set;
mod types;
mod values;

use std::sync::Arc;

use crate::catalog::TypeId;
use crate::proto::pb;
use crate::record::{self, FilterView, Record, RecordColumns};

use envelope::EnvelopeFilter;
use expression::Expression;
use text::TextFilter;
use types::TypeFilter;
use values::LabelFilter;

pub use error::Error;
pub use expression::{
    BYTES_MAX as EXPRESSION_BYTES_MAX, DEPTH_MAX as EXPRESSION_DEPTH_MAX,
    PATTERNS_MAX as EXPRESSION_PATTERNS_MAX, Position, STEPS_MAX as EXPRESSION_STEPS_MAX,
};
pub use problems::{PROBLEMS_MAX, problems};
pub use shorten::{MARK, shorten};
pub use type_set::TypeSet;

/// Most values of one field.
pub const VALUES_MAX: usize = 1_000;
/// Most labels.
pub const LABELS_MAX: usize = 64;
/// Longest value of a field, in bytes, where the field does not say otherwise.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// Longest text to search for, in bytes. The search's automaton fits its cache
/// up to this length; beyond it, hostile events could make it slow.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// A compiled filter.
#[derive(Debug)]
pub struct Filter {
    /// The types that the reader may read.
    readable: Arc<TypeSet>,
    types: TypeFilter,
    min_severity: u8,
    /// The part that does not depend on the reader, shared by all readers with this filter.
    shared: Arc<SharedConditions>,
    selection: Selection,
    /// Whether a condition needs more than the columns of the record.
    needs_record: bool,
}

/// The part of a filter that does not depend on the reader.
#[derive(Debug)]
struct SharedConditions {
    envelope: EnvelopeFilter,
    labels: LabelFilter,
    text: Option<TextFilter>,
    expression: Option<Expression>,
    /// Keys of event ids, one of which an event must have, if the expression says so.
    ids: Option<Vec<u32>>,
    /// Memory that it takes, in bytes, estimated.
    held_bytes: usize,
}

/// Memory of a text with its automaton, in bytes, estimated.
const TEXT_BYTES: usize = 16 * 1024;

/// The conditions that a columnar index can check. `None` means any value. Keys are those of
/// [`record::key`], sorted and unique. Every record that the filter matches meets them; other
/// records may meet them, too.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Event types. Custom events are one type here.
    pub types: Option<Vec<TypeId>>,
    /// Users; either column may hold them, user or impersonator.
    pub users: Option<Vec<u32>>,
    /// Session ids.
    pub sessions: Option<Vec<u32>>,
    /// Server ids.
    pub servers: Option<Vec<u32>>,
    /// Numbers of `auditgate.v1.Result`.
    pub results: Option<Vec<u8>>,
}

impl Selection {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.fields() == 0
    }

    /// Memory that it takes, in bytes.
    fn held_bytes(&self) -> usize {
        let keys = [&self.users, &self.sessions, &self.servers];
        let keys: usize = keys.into_iter().flatten().map(Vec::len).sum();
        let types = self.types.as_ref().map_or(0, Vec::len);
        keys * size_of::<u32>() + types * size_of::<TypeId>()
    }

    /// The number of fields with a condition.
    pub fn fields(&self) -> usize {
        let keys = [&self.users, &self.sessions, &self.servers];
        let keys = keys.iter().filter(|keys| keys.is_some()).count();
        keys + usize::from(self.types.is_some()) + usize::from(self.results.is_some())
    }
}

/// What the columns of a record decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does not match.
    No,
    /// It may match: ask [`Filter::record`].
    Unsure,
    /// It matches.
    Yes,
}

/// Whether a record matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Match,
    /// It does not.
    NoMatch,
    /// It does not, since the expression fails on it.
    ExpressionFailed,
}

impl Filter {
    /// Checks and compiles a filter for a reader who may read all types.
    ///
    /// # Errors
    /// The first fault found, with the field to blame.
    pub fn compile(filter: &pb::Filter) -> Result<Self, Error> {
        Self::compile_for(filter, &Arc::new(TypeSet::all()))
    }

    /// Checks and compiles a filter for a reader who may read these types. It matches no other
    /// types, which costs nothing if the type id alone decides.
    ///
    /// # Errors
    /// The first fault found, with the field to blame.
    pub fn compile_for(filter: &pb::Filter, readable: &Arc<TypeSet>) -> Result<Self, Error> {
        let types = TypeFilter::compile(filter, readable)?;
        let min_severity = min_severity(filter.min_severity)?;
        let results = results(&filter.results)?;
        let envelope = EnvelopeFilter::compile(filter)?;
        let mut compiled = Self {
            selection: Selection {
                types: types.selection(),
                users: envelope.users.keys(record::key),
                sessions: envelope.session_ids.keys(record::key),
                servers: envelope.server_ids.keys(record::key),
                results,
            },
            readable: Arc::clone(readable),
            types,
            min_severity,
            needs_record: false,
            shared: Arc::new(SharedConditions::compile(filter, envelope)?),
        };
        compiled.needs_record = compiled.shared.needs_record();
        Ok(compiled)
    }

    /// The same filter for a reader who may read these types. The part that does not depend on them
    /// is shared.
    ///
    /// # Errors
    /// If the filter names a type that the reader may not read.
    pub fn for_reader(&self, readable: &Arc<TypeSet>) -> Result<Self, Error> {
        let types = self.types.for_reader(readable)?;
        Ok(Self {
            selection: Selection { types: types.selection(), ..self.selection.clone() },
            readable: Arc::clone(readable),
            types,
            min_severity: self.min_severity,
            shared: Arc::clone(&self.shared),
            needs_record: self.needs_record,
        })
    }

    /// Memory that it takes, in bytes, estimated: its values and their index keys.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.shared.held_bytes
            + self.types.held_bytes()
            + self.selection.held_bytes()
    }

    /// Whether every record matches.
    pub fn matches_all(&self) -> bool {
        !self.needs_record
            && self.types.is_all()
            && self.min_severity == pb::Severity::Unspecified as u8
            && self.selection.results.is_none()
    }

    /// Whether the columns rule out no record.
    pub fn columns_rule_out_nothing(&self) -> bool {
        self.types.is_all()
            && self.min_severity == pb::Severity::Unspecified as u8
            && self.selection.is_empty()
    }

    /// Whether the reader may read a record that [`Filter::columns`] does not rule out. The type id
    /// decides, except for custom events, whose type name is in the record only. Nothing else of a
    /// record is read before this check.
    pub fn may_read(&self, columns: &RecordColumns, record: &[u8]) -> bool {
        !columns.type_id.is_custom()
            || self.readable.has_all_custom()
            || std::str::from_utf8(FilterView::read(record).type_name)
                .is_ok_and(|name| self.readable.contains_name(name))
    }

    /// Whether records must contain a text.
    pub fn has_text(&self) -> bool {
        self.shared.text.is_some()
    }

    /// The first position at or after `from` in the bytes of one or more records where the text may
    /// occur. A record without it does not match.
    pub fn find_text(&self, bytes: &[u8], from: usize) -> Option<usize> {
        self.shared.text.as_ref()?.find(bytes, from)
    }

    /// The types that the reader may read.
    pub fn readable(&self) -> &Arc<TypeSet> {
        &self.readable
    }

    /// Whether every type that matches is in a set.
    pub fn is_within(&self, set: &TypeSet) -> bool {
        self.types.is_within(set)
    }

    /// The conditions that a columnar index can check.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The keys of [`record::key`] of the ids of which an event must have one to match; `None` if
    /// the filter does not require an id. An id table finds the segments that may have them.
    pub fn id_keys(&self) -> Option<&[u32]> {
        self.shared.ids.as_deref()
    }

    /// Checks a record by its columns only.
    pub fn columns(&self, columns: &RecordColumns) -> Verdict {
        let selected = |wanted: &Option<Vec<u32>>, keys: &[u32]| {
            wanted
                .as_ref()
                .is_none_or(|wanted| keys.iter().any(|key| wanted.binary_search(key).is_ok()))
        };
        let of_type = self.types.verdict(columns.type_id);
        if of_type == Verdict::No
            || !self.assessment_matches(columns.severity, columns.result)
            || !selected(&self.selection.users, &[columns.user, columns.impersonator])
            || !selected(&self.selection.sessions, &[columns.session])
            || !selected(&self.selection.servers, &[columns.server])
        {
            Verdict::No
        } else if self.needs_record {
            Verdict::Unsure
        } else {
            of_type
        }
    }

    /// Decides whether an encoded `Record` message without its frame matches. It checks every
    /// condition, also those that [`Filter::columns`] checked.
    pub fn record(&self, record: &[u8]) -> Outcome {
        self.record_metered(record).0
    }

    /// [`Filter::record`] with the number of steps that it took, of some 20 ns each. Readers decide
    /// by them when to read the clock: one record takes at most about 2 ms.
    pub fn record_metered(&self, record: &[u8]) -> (Outcome, u64) {
        /// Bytes of an event that are skipped in the time of a step.
        const BYTES_PER_STEP: u64 = 16;
        let passed = 1 + record.len() as u64 / BYTES_PER_STEP;
        let seen = FilterView::read(record);
        let fields_match = self.type_matches(seen.type_name)
            && self.assessment_matches(seen.severity, seen.result)
            && self.shared.envelope.matches(seen.event)
            && self.shared.labels.match_event(seen.event)
            && self.shared.text.as_ref().is_none_or(|text| text.matches_event(seen.event));
        match &self.shared.expression {
            _ if !fields_match => (Outcome::NoMatch, passed),
            None => (Outcome::Match, passed),
            Some(expression) => {
                let (value, steps) = expression.matches(&Record::read(record));
                let outcome = match value {
                    Ok(true) => Outcome::Match,
                    Ok(false) => Outcome::NoMatch,
                    Err(expression::Failed) => Outcome::ExpressionFailed,
                };
                (outcome, passed + steps)
            }
        }
    }

    fn type_matches(&self, name: &[u8]) -> bool {
        self.types.is_all() || std::str::from_utf8(name).is_ok_and(|name| self.types.matches(name))
    }

    fn assessment_matches(&self, severity: u8, result: u8) -> bool {
        severity >= self.min_severity
            && self.selection.results.as_ref().is_none_or(|results| results.contains(&result))
    }
}

impl SharedConditions {
    fn compile(filter: &pb::Filter, envelope: EnvelopeFilter) -> Result<Self, Error> {
        let labels = LabelFilter::compile(&filter.labels)?;
        let text = TextFilter::compile(&filter.text)?;
        let expression = Expression::compile(&filter.expression)?;
        let held_bytes = envelope.held_bytes()
            + labels.held_bytes()
            + text.as_ref().map_or(0, |_| TEXT_BYTES)
            + expression.as_ref().map_or(0, |expression| expression.held_bytes);
        let ids = expression.as_ref().and_then(Expression::ids);
        let ids = ids.map(|ids| ids.into_iter().map(record::key).collect());
        Ok(Self { envelope, labels, text, expression, ids, held_bytes })
    }

    fn needs_record(&self) -> bool {
        !self.envelope.is_any()
            || !self.labels.is_any()
            || self.text.is_some()
            || self.expression.is_some()
    }
}

fn min_severity(number: i32) -> Result<u8, Error> {
    match pb::Severity::try_from(number) {
        Ok(severity) => Ok(severity as u8),
        Err(_) => {
            Err(Error::EnumUnknown { field: "min_severity".to_owned(), number, of: "severity" })
        }
    }
}

fn results(numbers: &[i32]) -> Result<Option<Vec<u8>>, Error> {
    values::check_count("results", numbers.len())?;
    let mut results = Vec::new();
    for (position, number) in numbers.iter().enumerate() {
        let result = pb::Result::try_from(*number).map_err(|_| Error::EnumUnknown {
            field: error::path("results", position),
            number: *number,
            of: "result",
        })?;
        results.push(result as u8);
    }
    results.sort_unstable();
    results.dedup();
    Ok((!results.is_empty()).then_some(results))
}

#[cfg(test)]
mod tests;
