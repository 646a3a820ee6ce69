//! Errors of filters.

use super::{
    LABELS_MAX, VALUES_MAX,
    expression::{
        limits::{BYTES_MAX, COST_MAX, DEPTH_MAX, NESTING_MAX, PATTERNS_MAX},
        source::Position,
    },
};
pub(super) use crate::text::{excerpt, nearest};

/// Why a filter is refused. Messages name the field, the value and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The catalog has no such event type.
    #[error("{field} is {value:?}, which is not an event type{}", did_you_mean(nearest))]
    TypeUnknown {
        /// The field to blame, within the filter.
        field: String,
        /// The beginning of the value.
        value: String,
        /// The types whose names are nearest, the nearest first.
        nearest: Vec<&'static str>,
    },
    /// The glob matches no event type of the catalog.
    #[error("{field} is {value:?}, which matches no event type{}", did_you_mean(nearest))]
    GlobUnmatched {
        /// The field to blame, within the filter.
        field: String,
        /// The beginning of the value.
        value: String,
        /// The types whose names are nearest, the nearest first.
        nearest: Vec<&'static str>,
    },
    /// No role of the reader allows it to read this type.
    #[error("{field} is {value:?}, which you may not read: no role allows it")]
    TypeForbidden {
        /// The field to blame, within the filter.
        field: String,
        /// The beginning of the value.
        value: String,
    },
    /// A field has too many values.
    #[error("{field} has {count} values, limit {VALUES_MAX}")]
    TooManyValues {
        /// The field to blame, within the filter.
        field: &'static str,
        /// The number of values.
        count: usize,
    },
    /// There are too many labels.
    #[error("labels has {count} entries, limit {LABELS_MAX}")]
    TooManyLabels {
        /// The number of labels.
        count: usize,
    },
    /// A value is too long.
    #[error("{field} is {bytes} bytes, limit {limit}")]
    TooLong {
        /// The field to blame, within the filter.
        field: String,
        /// Its length.
        bytes: usize,
        /// The greatest length.
        limit: usize,
    },
    /// A value is empty, which could match nothing.
    #[error("{field} is empty")]
    Empty {
        /// The field to blame, within the filter.
        field: String,
    },
    /// The number is not a value of the enum.
    #[error("{field} is {number}, which is not a {of}")]
    EnumUnknown {
        /// The field to blame, within the filter.
        field: String,
        /// The number.
        number: i32,
        /// The name of the enum.
        of: &'static str,
    },
    /// The value is not an address.
    #[error("{field} is {value:?}, which is neither an IP address nor a CIDR block")]
    AddressInvalid {
        /// The field to blame, within the filter.
        field: String,
        /// The beginning of the value.
        value: String,
    },
    /// The expression does not parse, calls what does not exist, or mixes types.
    #[error("expression is not valid at {at}: {problem}")]
    ExpressionInvalid {
        /// The position.
        at: Position,
        /// The error.
        problem: String,
        /// A similar name, if there is one.
        nearest: Vec<String>,
    },
    /// The expression names neither a variable nor a field.
    #[error(
        "expression is not valid at {at}: unknown identifier {name}; did you mean {}, or the text '{name}'?",
        nearest.join(", ")
    )]
    ExpressionNameUnknown {
        /// The position.
        at: Position,
        /// The beginning of the name.
        name: String,
        /// Similar names.
        nearest: Vec<String>,
    },
    /// The expression compares `type`, `severity` or `result` with a text that it never is.
    #[error("expression is not valid at {at}: {of} is never {literal:?}{}", did_you_mean(nearest))]
    ExpressionNeverEqual {
        /// The position of the text.
        at: Position,
        /// The variable.
        of: &'static str,
        /// The beginning of the text.
        literal: String,
        /// Similar names.
        nearest: Vec<&'static str>,
    },
    /// The expression names a field or a variable that does not exist.
    #[error("expression names {name:?} at {at}, which {of} does not have{}", did_you_mean(nearest))]
    ExpressionPathUnknown {
        /// The position.
        at: Position,
        /// The beginning of the name.
        name: String,
        /// The message or scope that lacks it.
        of: String,
        /// A similar name, if there is one.
        nearest: Vec<&'static str>,
    },
    /// The expression is too long.
    #[error("expression is {bytes} bytes, limit {BYTES_MAX}")]
    ExpressionTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Operators and brackets are nested too deep.
    #[error("expression is nested more than {DEPTH_MAX} levels deep at {at}")]
    ExpressionTooDeep {
        /// The position.
        at: Position,
    },
    /// Macros that visit each element are nested too deep.
    #[error(
        "expression nests all, exists, exists_one, filter or map too deep at {at}, limit {NESTING_MAX} within another"
    )]
    ExpressionNesting {
        /// The position.
        at: Position,
    },
    /// The expression has too many patterns.
    #[error("expression has another call of matches at {at}, limit {PATTERNS_MAX}")]
    ExpressionTooManyPatterns {
        /// The position.
        at: Position,
    },
    /// The expression would cost too much to evaluate.
    #[error("expression costs {cost} steps a record, limit {COST_MAX}")]
    ExpressionTooCostly {
        /// Its cost, by the model of `expression`.
        cost: u64,
    },
}

impl Error {
    /// The path of the field to blame, within the filter: `types[2]`.
    pub fn field(&self) -> String {
        match self {
            Error::TypeUnknown { field, .. }
            | Error::GlobUnmatched { field, .. }
            | Error::TypeForbidden { field, .. }
            | Error::TooLong { field, .. }
            | Error::Empty { field }
            | Error::EnumUnknown { field, .. }
            | Error::AddressInvalid { field, .. } => field.clone(),
            Error::TooManyValues { field, .. } => (*field).to_owned(),
            Error::TooManyLabels { .. } => "labels".to_owned(),
            Error::ExpressionInvalid { .. }
            | Error::ExpressionPathUnknown { .. }
            | Error::ExpressionTooLong { .. }
            | Error::ExpressionNameUnknown { .. }
            | Error::ExpressionNeverEqual { .. }
            | Error::ExpressionTooDeep { .. }
            | Error::ExpressionNesting { .. }
            | Error::ExpressionTooManyPatterns { .. }
            | Error::ExpressionTooCostly { .. } => "expression".to_owned(),
        }
    }
}

impl Error {
    /// The position of the fault in the expression; `None` if it is not about a position.
    pub fn position(&self) -> Option<Position> {
        match self {
            Error::ExpressionInvalid { at, .. }
            | Error::ExpressionPathUnknown { at, .. }
            | Error::ExpressionNameUnknown { at, .. }
            | Error::ExpressionNeverEqual { at, .. }
            | Error::ExpressionTooDeep { at }
            | Error::ExpressionNesting { at }
            | Error::ExpressionTooManyPatterns { at } => Some(*at),
            _ => None,
        }
    }

    /// The same error for the value at another position of its field, if it is about the first one.
    pub(super) fn of_value(mut self, name: &str, position: usize) -> Self {
        match &mut self {
            Error::TypeUnknown { field, .. }
            | Error::GlobUnmatched { field, .. }
            | Error::TypeForbidden { field, .. }
            | Error::TooLong { field, .. }
            | Error::Empty { field }
            | Error::EnumUnknown { field, .. }
            | Error::AddressInvalid { field, .. } => *field = path(name, position),
            _ => {}
        }
        self
    }

    /// Similar names, the nearest first.
    pub fn nearest(&self) -> Vec<String> {
        match self {
            Error::TypeUnknown { nearest, .. }
            | Error::GlobUnmatched { nearest, .. }
            | Error::ExpressionPathUnknown { nearest, .. }
            | Error::ExpressionNeverEqual { nearest, .. } => {
                nearest.iter().map(|name| (*name).to_owned()).collect()
            }
            Error::ExpressionInvalid { nearest, .. }
            | Error::ExpressionNameUnknown { nearest, .. } => nearest.clone(),
            _ => Vec::new(),
        }
    }
}

fn did_you_mean(nearest: &[&'static str]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) }
}

/// The path of a value in a repeated field.
pub(super) fn path(field: &str, position: usize) -> String {
    format!("{field}[{position}]")
}
