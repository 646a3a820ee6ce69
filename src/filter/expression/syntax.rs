//! The syntax tree of an expression.

use std::ops::Range;

/// An expression with its range in the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) span: Range<usize>,
    /// The depth of nested expressions, this one included.
    pub(super) depth: usize,
    pub(super) kind: Kind,
}

/// The kind of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Literal(Literal),
    Name(String),
    /// `operand.name`.
    Select(Box<Expr>, Name),
    /// `operand[index]`.
    Index(Box<(Expr, Expr)>),
    /// `name(arguments)`, or `target.name(arguments)`. Macros, too, are calls.
    Call {
        target: Option<Box<Expr>>,
        name: Name,
        arguments: Vec<Expr>,
    },
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    /// `Name{field: value}`.
    Message(String, Vec<(Name, Expr)>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<(Expr, Expr)>),
    /// `condition ? one : other`.
    Conditional(Box<(Expr, Expr, Expr)>),
}

/// A name with its range in the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// An operator with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Negate,
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}
