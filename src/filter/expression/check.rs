//! Checks a parsed tree: names, types, depth and cost.

use cel::IdedExpr;
use cel::common::ast::{Expr, ListExpr, LiteralValue, SelectExpr};

use super::kinds::ExprType;
use super::node::{ExprNode, ExprPath, Variable};
use super::parse::{Position, Source};
use super::value::ExprValue;
use super::{COST_MAX, DEPTH_MAX};
use crate::filter::error::{Error, excerpt, nearest};
use crate::wire::{ENUMS, EVENT, FieldKind, MessageId, RECORD};

/// What precedes a name of the schema where it is written in full.
const PACKAGE_PREFIX: &str = "auditgate.v1.";

/// Turns a parsed tree into one that can be evaluated.
pub(super) struct Checker<'s> {
    pub(super) source: Source<'s>,
    /// Variables of the macros around, from the outermost in.
    pub(super) elements: Vec<(String, ExprType)>,
    depth: usize,
    /// Calls of `matches` so far.
    pub(super) patterns: usize,
}

/// A node with what is known of it.
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
    pub(super) fn new(source: Source<'s>) -> Self {
        Self { source, elements: Vec::new(), depth: 0, patterns: 0 }
    }

    /// Checks the whole expression.
    pub(super) fn root(mut self, root: &IdedExpr) -> Result<ExprNode, Error> {
        let checked = self.check(root)?;
        if !checked.kind.may_be(&ExprType::Bool) {
            return Err(self.invalid(root, format!("its type is {}, not bool", checked.kind)));
        }
        if checked.cost > COST_MAX {
            return Err(Error::ExpressionTooCostly { cost: checked.cost });
        }
        Ok(checked.node)
    }

    pub(super) fn check(&mut self, at: &IdedExpr) -> Result<Checked, Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::ExpressionTooDeep);
        }
        self.depth += 1;
        let checked = match &at.expr {
            Expr::Literal(literal) => Ok(check_literal(literal)),
            Expr::Ident(name) => self.check_name(at, name),
            Expr::Select(select) => self.check_select(at, select),
            Expr::List(list) => self.check_list(list),
            Expr::Call(call) => self.check_call(at, call),
            Expr::Comprehension(comprehension) => self.check_visit(at, comprehension),
            Expr::Map(_) => Err(self.invalid(at, "map literals are not supported".to_owned())),
            Expr::Struct(_) => {
                Err(self.invalid(at, "message literals are not supported".to_owned()))
            }
            Expr::Unspecified => Err(self.invalid(at, "there is nothing".to_owned())),
        };
        self.depth -= 1;
        checked
    }

    pub(super) fn invalid(&self, at: &IdedExpr, problem: String) -> Error {
        Error::ExpressionInvalid { at: self.source.position(at), problem }
    }

    fn check_name(&self, at: &IdedExpr, name: &str) -> Result<Checked, Error> {
        let bound = self.elements.iter().rev().enumerate().find(|(_, (bound, _))| bound == name);
        if let Some((depth, (_, kind))) = bound {
            return Ok(Checked::new(ExprNode::Element(depth), kind.clone(), 1));
        }
        match VARIABLES.iter().find(|(known, _)| *known == name) {
            Some((_, variable)) => {
                Ok(Checked::new(ExprNode::Variable(*variable), variable.kind(), 1))
            }
            None => {
                let known = VARIABLES.iter().map(|(known, _)| *known);
                Err(unknown(self.source.position(at), name, "a record".to_owned(), known))
            }
        }
    }

    fn check_select(&mut self, at: &IdedExpr, select: &SelectExpr) -> Result<Checked, Error> {
        if let Some(number) = self.enum_value(at) {
            let literal = ExprNode::Literal(ExprValue::Int(i64::from(number)));
            return Ok(Checked::new(literal, ExprType::Int, 1));
        }
        let operand = self.check(&select.operand)?;
        let cost = operand.cost.saturating_add(1);
        match operand.kind {
            ExprType::Message(message) => {
                let path = self.path(at, select, operand.node, message)?;
                Ok(if select.test {
                    Checked::new(ExprNode::Has(Box::new(path)), ExprType::Bool, cost)
                } else {
                    let kind = ExprType::of(path.field);
                    Checked::new(ExprNode::Read(Box::new(path)), kind, cost)
                })
            }
            ExprType::Map(_) | ExprType::Dyn => {
                let parts = Box::new((operand.node, select.field.clone()));
                Ok(match operand.kind {
                    _ if select.test => Checked::new(ExprNode::HasKey(parts), ExprType::Bool, cost),
                    ExprType::Map(value) => Checked::new(ExprNode::Get(parts), *value, cost),
                    _ => Checked::new(ExprNode::Get(parts), ExprType::Dyn, cost),
                })
            }
            kind => {
                Err(unknown(self.source.name_position(at), &select.field, kind.to_string(), []))
            }
        }
    }

    /// The path to a field of a message that another path may lead to.
    fn path(
        &self,
        at: &IdedExpr,
        select: &SelectExpr,
        base: ExprNode,
        message: MessageId,
    ) -> Result<ExprPath, Error> {
        let shape = message.get();
        let field = shape.field_by_name(&select.field).ok_or_else(|| {
            unknown(
                // `has(a.b)` stands where its bracket does.
                if select.test { self.source.position(at) } else { self.source.name_position(at) },
                &select.field,
                shape.full_name.trim_start_matches(PACKAGE_PREFIX).to_owned(),
                shape.fields.iter().map(|field| field.name),
            )
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

    /// The number of `UserKind.USER_KIND_BOT`, if that is what stands here.
    fn enum_value(&self, at: &IdedExpr) -> Option<i32> {
        let mut names = Vec::new();
        let mut rest = &at.expr;
        while let Expr::Select(select) = rest {
            names.push(select.field.as_str());
            rest = &select.operand.expr;
        }
        let Expr::Ident(root) = rest else { return None };
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

    fn check_list(&mut self, list: &ListExpr) -> Result<Checked, Error> {
        let mut nodes = Vec::with_capacity(list.elements.len());
        let mut kind: Option<ExprType> = None;
        let mut cost = 1_u64;
        for element in &list.elements {
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

    /// Checks what must be a bool.
    pub(super) fn check_condition(&mut self, at: &IdedExpr) -> Result<Checked, Error> {
        let checked = self.check(at)?;
        if checked.kind.may_be(&ExprType::Bool) {
            Ok(checked)
        } else {
            Err(self.invalid(at, format!("bool must stand here, not {}", checked.kind)))
        }
    }
}

const VARIABLES: [(&str, Variable); 8] = [
    ("event", Variable::Event),
    ("type", Variable::Type),
    ("severity", Variable::Severity),
    ("result", Variable::Result),
    ("sequence", Variable::Sequence),
    ("accept_time", Variable::AcceptTime),
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
            Variable::ClockSkew => ExprType::Duration,
            Variable::Emitter => match RECORD.get().field_by_name("emitter").map(|it| it.kind) {
                Some(FieldKind::Message(emitter)) => ExprType::Message(emitter),
                _ => ExprType::Dyn,
            },
        }
    }
}

fn check_literal(literal: &LiteralValue) -> Checked {
    let (value, kind) = match literal {
        LiteralValue::Boolean(value) => (ExprValue::Bool(*value.inner()), ExprType::Bool),
        LiteralValue::Bytes(value) => {
            (ExprValue::Bytes(value.inner().to_vec().into()), ExprType::Bytes)
        }
        LiteralValue::Double(value) => (ExprValue::Double(*value.inner()), ExprType::Double),
        LiteralValue::Int(value) => (ExprValue::Int(*value.inner()), ExprType::Int),
        LiteralValue::Null => (ExprValue::Null, ExprType::Null),
        LiteralValue::String(value) => {
            (ExprValue::String(value.inner().to_owned().into()), ExprType::String)
        }
        LiteralValue::UInt(value) => (ExprValue::Uint(*value.inner()), ExprType::Uint),
    };
    Checked::new(ExprNode::Literal(value), kind, 1)
}

fn unknown(
    at: Position,
    name: &str,
    of: String,
    known: impl IntoIterator<Item = &'static str>,
) -> Error {
    Error::ExpressionPathUnknown { at, name: excerpt(name), of, nearest: nearest(name, known, 1) }
}
