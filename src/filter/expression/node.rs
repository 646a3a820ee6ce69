//! The tree that is evaluated.

use super::arithmetic::{Arithmetic, Comparison};
use super::functions::Function;
use super::pattern::Pattern;
use super::value::Value;
use crate::wire::Field;

/// An expression, checked.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value<'static>),
    Variable(Variable),
    /// The element that a macro visits: 0 is that of the innermost one.
    Element(usize),
    /// The value of a field.
    Read(Box<Path>),
    /// Whether a field is set.
    Has(Box<Path>),
    /// The value of a key in a map.
    Get(Box<(Node, String)>),
    /// Whether a map has a key.
    HasKey(Box<(Node, String)>),
    /// `a[b]`.
    Index(Box<(Node, Node)>),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    /// `a ? b : c`.
    Conditional(Box<(Node, Node, Node)>),
    Equal(Box<(Node, Node)>),
    NotEqual(Box<(Node, Node)>),
    Compare(Comparison, Box<(Node, Node)>),
    Arithmetic(Arithmetic, Box<(Node, Node)>),
    /// `a in b`.
    In(Box<(Node, Node)>),
    Call(Function, Box<(Node, Option<Node>)>),
    Matches(Box<(Node, Pattern)>),
    Visit(Box<Visit>),
}

/// What an expression can start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    Event,
    Type,
    Severity,
    Result,
    Sequence,
    AcceptTime,
    ClockSkew,
    Emitter,
}

/// A field, reached through messages that are not repeated.
#[derive(Debug)]
pub(super) struct Path {
    /// The message where it begins.
    pub(super) base: Node,
    /// Field numbers of the messages on the way.
    pub(super) through: Vec<u32>,
    pub(super) field: &'static Field,
}

/// A macro that visits the elements of a list, or the keys of a map.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) range: Node,
    pub(super) kind: VisitKind,
}

/// What is done with each element.
#[derive(Debug)]
pub(super) enum VisitKind {
    All(Node),
    Exists(Node),
    ExistsOne(Node),
    /// `map` and `filter`: a condition, if there is one, and what is collected.
    Collect(Option<Node>, Node),
}
