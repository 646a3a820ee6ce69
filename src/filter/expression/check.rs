//! Checks a parsed tree: names, types and cost. The parser bounds the depth of the recursion.

use std::ops::Range;

use super::COST_MAX;
use super::kinds::ExprType;
use super::node::{ExprNode, ExprPath, Variable};
use super::source::Position;
use super::syntax::{Expr, Kind as Syntax, Literal, Name};
use super::value::ExprValue;
use crate::filter::error::{Error, excerpt, nearest};
use crate::wire::{ENUMS, EVENT, FieldKind, MessageId, RECORD};

/// The package prefix of a full name of the schema.
const PACKAGE_PREFIX: &str = "auditgate.v1.";

/// Turns a parsed tree into one that can be evaluated.
pub(super) struct Checker<'s> {
    source: &'s str,
    /// Variables of the enclosing macros, the outermost first.
    pub(super) elements: Vec<(String, ExprType)>,
    /// Calls of `matches` so far.
    pub(super) patterns: usize,
    /// Memory of their patterns, in bytes.
    pub(super) pattern_bytes: usize,
}

/// A checked node with its type and cost.
pub(super) struct Checked {
    pub(super) node: ExprNode,
    pub(super) kind: ExprType,
    /// Steps, by the model of `expression`.
    pub(super) cost: u64,
}

impl Checked {
    pub(super) fn new(node: ExprNode, kind: ExprType, cost: u64) -> Self {
        Self { node, kind, cost }
    }
}

impl<'s> Checker<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, elements: Vec::new(), patterns: 0, pattern_bytes: 0 }
    }

    /// Checks the whole expression. Returns the compiled tree, and the memory of its patterns, in
    /// bytes.
    pub(super) fn root(mut self, root: &Expr) -> Result<(ExprNode, usize), Error> {
        let checked = self.check(root)?;
        if !checked.kind.may_be(&ExprType::Bool) {
            return Err(self.invalid(root, format!("its type is {}, not bool", checked.kind)));
        }
        if checked.cost > COST_MAX {
            return Err(Error::ExpressionTooCostly { cost: checked.cost });
        }
        Ok((checked.node, self.pattern_bytes))
    }

    pub(super) fn check(&mut self, at: &Expr) -> Result<Checked, Error> {
        match &at.kind {
            Syntax::Literal(literal) => Ok(check_literal(literal)),
            Syntax::Name(name) => self.check_name(at, name),
            Syntax::Select(operand, name) => self.check_select(at, operand, name, false),
            Syntax::Index(parts) => self.check_index(at, &parts.0, &parts.1),
            Syntax::List(elements) => self.check_list(elements),
            Syntax::Call { target, name, arguments } => {
                self.check_call(at, target.as_deref(), name, arguments)
            }
            Syntax::Unary(operator, operand) => self.check_unary(at, *operator, operand),
            Syntax::Binary(operator, parts) => self.check_binary(at, *operator, &parts.0, &parts.1),
            Syntax::Conditional(parts) => self.check_conditional(at, &parts.0, &parts.1, &parts.2),
            Syntax::Map(_) => Err(self.invalid(at, "map literals are not supported".to_owned())),
            Syntax::Message(..) => {
                Err(self.invalid(at, "message literals are not supported".to_owned()))
            }
        }
    }

    pub(super) fn position(&self, span: &Range<usize>) -> Position {
        Position::new(self.source, span.clone())
    }

    pub(super) fn invalid(&self, at: &Expr, problem: String) -> Error {
        self.invalid_at(&at.span, problem)
    }

    pub(super) fn invalid_at(&self, span: &Range<usize>, problem: String) -> Error {
        Error::ExpressionInvalid { at: self.position(span), problem, nearest: Vec::new() }
    }

    fn check_name(&self, at: &Expr, name: &str) -> Result<Checked, Error> {
        let bound = self.elements.iter().rev().enumerate().find(|(_, (bound, _))| bound == name);
        if let Some((depth, (_, kind))) = bound {
            return Ok(Checked::new(ExprNode::Element(depth), kind.clone(), 1));
        }
        match VARIABLES.iter().find(|(known, _)| *known == name) {
            Some((_, variable)) => {
                Ok(Checked::new(ExprNode::Variable(*variable), variable.kind(), 1))
            }
            None => {
                let bound = self.elements.iter().map(|(bound, _)| bound.as_str());
                Err(Error::ExpressionNameUnknown {
                    at: self.position(&at.span),
                    name: excerpt(name),
                    nearest: meant(name, bound),
                })
            }
        }
    }

    /// `operand.name`, or `has(operand.name)`.
    pub(super) fn check_select(
        &mut self,
        at: &Expr,
        operand: &Expr,
        name: &Name,
        is_test: bool,
    ) -> Result<Checked, Error> {
        if let (false, Some(number)) = (is_test, self.enum_value(at)) {
            let literal = ExprNode::Literal(ExprValue::Int(i64::from(number)));
            return Ok(Checked::new(literal, ExprType::Int, 1));
        }
        let operand = self.check(operand)?;
        let cost = operand.cost.saturating_add(1);
        match operand.kind {
            ExprType::Message(message) => {
                let path = self.path(name, operand.node, message)?;
                Ok(if is_test {
                    Checked::new(ExprNode::Has(Box::new(path)), ExprType::Bool, cost)
                } else {
                    let kind = ExprType::of(path.field);
                    Checked::new(ExprNode::Read(Box::new(path)), kind, cost)
                })
            }
            ExprType::Map(_) | ExprType::Dyn => {
                let parts = Box::new((operand.node, name.text.clone()));
                Ok(match operand.kind {
                    _ if is_test => Checked::new(ExprNode::HasKey(parts), ExprType::Bool, cost),
                    ExprType::Map(value) => Checked::new(ExprNode::Get(parts), *value, cost),
                    _ => Checked::new(ExprNode::Get(parts), ExprType::Dyn, cost),
                })
            }
            kind => Err(self.unknown(name, kind.to_string(), [])),
        }
    }

    /// The path to a field of a message, extending an earlier path if possible.
    fn path(&self, name: &Name, base: ExprNode, message: MessageId) -> Result<ExprPath, Error> {
        let shape = message.get();
        let field = shape.field_by_name(&name.text).ok_or_else(|| {
            let of = shape.full_name.trim_start_matches(PACKAGE_PREFIX).to_owned();
            self.unknown(name, of, shape.fields.iter().map(|field| field.name))
        })?;
        Ok(match base {
            ExprNode::Read(mut path) => {
                path.through.push(path.field.number);
                path.field = field;
                *path
            }
            base => ExprPath { base, through: Vec::new(), field },
        })
    }

    fn unknown(
        &self,
        name: &Name,
        of: String,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Error {
        Error::ExpressionPathUnknown {
            at: self.position(&name.span),
            name: excerpt(&name.text),
            of,
            nearest: nearest(&name.text, known, 1),
        }
    }

    /// The number of an enum value such as `UserKind.USER_KIND_BOT`, if the node is one.
    fn enum_value(&self, at: &Expr) -> Option<i32> {
        let mut names = Vec::new();
        let mut rest = &at.kind;
        while let Syntax::Select(operand, name) = rest {
            names.push(name.text.as_str());
            rest = &operand.kind;
        }
        let Syntax::Name(root) = rest else { return None };
        let is_variable = VARIABLES.iter().any(|(known, _)| known == root)
            || self.elements.iter().any(|(bound, _)| bound == root);
        if is_variable {
            return None;
        }
        names.push(root);
        names.reverse();
        let (value, name) = names.split_last()?;
        let name = name.join(".");
        let name = name.trim_start_matches(PACKAGE_PREFIX);
        let found = ENUMS
            .iter()
            .find(|known| known.full_name.strip_prefix(PACKAGE_PREFIX) == Some(name))?;
        found.values.iter().find(|(_, known)| known == value).map(|(number, _)| *number)
    }

    fn check_list(&mut self, elements: &[Expr]) -> Result<Checked, Error> {
        let mut nodes = Vec::with_capacity(elements.len());
        let mut kind: Option<ExprType> = None;
        let mut cost = 1_u64;
        for element in elements {
            let checked = self.check(element)?;
            cost = cost.saturating_add(checked.cost).saturating_add(1);
            nodes.push(checked.node);
            kind = Some(match kind {
                None => checked.kind,
                Some(kind) => kind.join(checked.kind).unwrap_or(ExprType::Dyn),
            });
        }
        let kind = ExprType::List(Box::new(kind.unwrap_or(ExprType::Dyn)));
        Ok(Checked::new(ExprNode::List(nodes), kind, cost))
    }

    /// Checks an expression that must be a bool.
    pub(super) fn check_condition(&mut self, at: &Expr) -> Result<Checked, Error> {
        let checked = self.check(at)?;
        if checked.kind.may_be(&ExprType::Bool) {
            Ok(checked)
        } else {
            Err(self.invalid(at, format!("a bool is expected here, not {}", checked.kind)))
        }
    }
}

const VARIABLES: [(&str, Variable); 9] = [
    ("event", Variable::Event),
    ("type", Variable::Type),
    ("severity", Variable::Severity),
    ("result", Variable::Result),
    ("sequence", Variable::Sequence),
    ("accept_time", Variable::AcceptTime),
    ("accept_time_raised", Variable::AcceptTimeRaised),
    ("clock_skew", Variable::ClockSkew),
    ("emitter", Variable::Emitter),
];

impl Variable {
    fn kind(self) -> ExprType {
        match self {
            Variable::Event => ExprType::Message(EVENT),
            Variable::Type | Variable::Severity | Variable::Result => ExprType::String,
            Variable::Sequence => ExprType::Uint,
            Variable::AcceptTime => ExprType::Timestamp,
            Variable::AcceptTimeRaised | Variable::ClockSkew => ExprType::Duration,
            Variable::Emitter => match RECORD.get().field_by_name("emitter").map(|it| it.kind) {
                Some(FieldKind::Message(emitter)) => ExprType::Message(emitter),
                _ => ExprType::Dyn,
            },
        }
    }
}

fn check_literal(literal: &Literal) -> Checked {
    let (value, kind) = match literal {
        Literal::Null => (ExprValue::Null, ExprType::Null),
        Literal::Bool(value) => (ExprValue::Bool(*value), ExprType::Bool),
        Literal::Int(value) => (ExprValue::Int(*value), ExprType::Int),
        Literal::Uint(value) => (ExprValue::Uint(*value), ExprType::Uint),
        Literal::Double(value) => (ExprValue::Double(*value), ExprType::Double),
        Literal::String(value) => (ExprValue::String(value.clone().into()), ExprType::String),
        Literal::Bytes(value) => (ExprValue::Bytes(value.clone().into()), ExprType::Bytes),
    };
    Checked::new(ExprNode::Literal(value), kind, 1)
}

/// Suggestions for an unknown name: variables, or fields of the event.
fn meant<'a>(name: &str, bound: impl Iterator<Item = &'a str>) -> Vec<String> {
    /// People who write a bare word usually look for a user.
    const USUAL: &str = "user";
    let fields = || EVENT.get().fields.iter().map(|field| field.name);
    let of_event = |field: &str| format!("event.{field}");
    if fields().any(|field| field == name) {
        return vec![of_event(name)];
    }
    let variables = VARIABLES.iter().map(|(known, _)| *known).chain(bound);
    if let Some(variable) = nearest(name, variables, 1).first() {
        return vec![(*variable).to_owned()];
    }
    let field = nearest(name, fields(), 1).first().copied().unwrap_or(USUAL);
    vec![of_event(field)]
}
