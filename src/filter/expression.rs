//! CEL expressions over records.
//!
//! A text is parsed, and the tree is checked against the descriptor tables: every path, function
//! and type. The checked tree is evaluated on the encoded bytes: only the fields that it names are
//! read, when they are needed. The stack that parsing and evaluation need is bounded for every
//! text.
//!
//! Differences from the language definition of <https://github.com/google/cel-spec>:
//! - Types are checked as far as they are known; only JSON (`Struct`) is not.
//! - `int`, `uint` and `double` compare with each other by value. In arithmetic
//!   they do not mix, but an `int` literal adapts to the other side.
//! - Map and message literals, `bytes()`, `type()` and `dyn()` do not exist.
//! - `severity` is ordered with a literal by severity, not by text. A literal that `type`,
//!   `severity` or `result` never equals is refused.
//!
//! The cost is estimated in steps a record: one for each node, and one for each element of a list
//! literal; a list of unknown length counts as [`LENGTH_ASSUMED`] elements. Evaluation counts the
//! actual steps, the bytes that it reads included, and fails after [`STEPS_MAX`] steps. So no
//! record occupies its thread for longer than a time slice, and an expression fails on the same
//! records in a stream, a search and a count.

mod arithmetic;
mod body;
mod calls;
mod check;
mod eval;
mod functions;
mod ids;
mod kinds;
pub(super) mod limits;
mod lists;
mod macros;
mod node;
mod operators;
mod parse;
mod pattern;
mod possible;
pub(super) mod source;
mod syntax;
mod time;
mod token;
mod value;
mod visit;

use crate::record::Record;

use super::error::Error;
use check::Checker;
use eval::Evaluator;
use node::ExprNode;
use token::{Fault, FaultKind};

pub use limits::{
    BYTES_MAX, COST_MAX, DEPTH_MAX, LENGTH_ASSUMED, NESTING_MAX, PATTERNS_MAX, STEPS_MAX,
};
pub use source::Position;

/// Steps are counted in tenths.
const TICKS_PER_STEP: u64 = 10;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    root: ExprNode,
    /// Estimated memory that it takes, in bytes.
    pub(super) held_bytes: usize,
}

/// Estimate of the most memory that one byte of an expression takes when it is compiled, in bytes.
const HELD_BYTES_PER_BYTE: usize = 64;

/// The expression has no value on a record: a key is missing, types do not
/// match, a number is out of range, or it takes too many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

impl Expression {
    /// Compiles an expression; `None` if the text is blank.
    pub(super) fn compile(source: &str) -> Result<Option<Self>, Error> {
        if source.len() > BYTES_MAX {
            return Err(Error::ExpressionTooLong { bytes: source.len() });
        }
        if source.trim().is_empty() {
            return Ok(None);
        }
        let tree = parse::parse(source).map_err(|Fault { span, kind }| {
            let at = Position::new(source, span);
            match kind {
                FaultKind::TooDeep => Error::ExpressionTooDeep { at },
                FaultKind::Syntax(problem) => {
                    Error::ExpressionInvalid { at, problem, nearest: Vec::new() }
                }
            }
        })?;
        let (root, patterns) = Checker::new(source).root(&tree)?;
        let held_bytes = source.len() * HELD_BYTES_PER_BYTE + patterns;
        Ok(Some(Self { root, held_bytes }))
    }

    /// The expression's value on a record, and the steps that it took.
    pub(super) fn matches(&self, record: &Record<'_>) -> (Result<bool, Failed>, u64) {
        let evaluator = Evaluator::new(record);
        let value = evaluator.root(&self.root);
        (value, evaluator.steps_spent())
    }
}

#[cfg(test)]
mod tests;
