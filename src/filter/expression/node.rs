//! The tree of a checked expression, ready for evaluation.

use super::arithmetic::{Arithmetic, Comparison};
use super::functions::Function;
use super::pattern::RegexPattern;
use super::value::ExprValue;
use crate::wire::Field;

/// An expression, checked.
#[derive(Debug)]
pub(super) enum ExprNode {
    Literal(ExprValue<'static>),
    Variable(Variable),
    /// The element that a macro visits: 0 is that of the innermost one.
    Element(usize),
    /// The value of a field.
    Read(Box<ExprPath>),
    /// Whether a field is set.
    Has(Box<ExprPath>),
    /// The value of a key in a map.
    Get(Box<(ExprNode, String)>),
    /// Whether a map has a key.
    HasKey(Box<(ExprNode, String)>),
    /// `a[b]`.
    Index(Box<(ExprNode, ExprNode)>),
    List(Vec<ExprNode>),
    Not(Box<ExprNode>),
    Negate(Box<ExprNode>),
    And(Box<(ExprNode, ExprNode)>),
    Or(Box<(ExprNode, ExprNode)>),
    /// `a ? b : c`.
    Conditional(Box<(ExprNode, ExprNode, ExprNode)>),
    Equal(Box<(ExprNode, ExprNode)>),
    NotEqual(Box<(ExprNode, ExprNode)>),
    Compare(Comparison, Box<(ExprNode, ExprNode)>),
    /// `severity` compared with the severity of this number.
    CompareSeverity(Comparison, u8),
    Arithmetic(Arithmetic, Box<(ExprNode, ExprNode)>),
    /// `a in b`.
    In(Box<(ExprNode, ExprNode)>),
    Call(Function, Box<(ExprNode, Option<ExprNode>)>),
    Matches(Box<(ExprNode, RegexPattern)>),
    Visit(Box<Visit>),
}

/// A variable of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Event,
    Type,
    Severity,
    Result,
    Sequence,
    AcceptTime,
    AcceptTimeRaised,
    ClockSkew,
    Emitter,
}

/// A field, reached through messages that are not repeated.
#[derive(Debug)]
pub(super) struct ExprPath {
    /// The message where it begins.
    pub(super) base: ExprNode,
    /// Field numbers of the messages along the path.
    pub(super) through: Vec<u32>,
    pub(super) field: &'static Field,
}

/// A macro that visits the elements of a list, or the keys of a map.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) range: ExprNode,
    pub(super) kind: VisitKind,
}

/// What is done with each element.
#[derive(Debug)]
pub(super) enum VisitKind {
    All(ExprNode),
    Exists(ExprNode),
    ExistsOne(ExprNode),
    /// `map` and `filter`: an optional condition, and the collected expression.
    Collect(Option<ExprNode>, ExprNode),
}
