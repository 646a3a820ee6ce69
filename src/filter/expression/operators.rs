//! Checks operators.

use super::LENGTH_ASSUMED;
use super::arithmetic::{Arithmetic, Comparison};
use super::check::{Checked, Checker};
use super::kinds::ExprType;
use super::node::ExprNode;
use super::syntax::{Binary, Expr, Kind as Syntax, Unary};
use super::value::ExprValue;
use crate::filter::error::Error;

impl Checker<'_> {
    pub(super) fn check_unary(
        &mut self,
        at: &Expr,
        operator: Unary,
        a: &Expr,
    ) -> Result<Checked, Error> {
        match operator {
            Unary::Not => {
                let a = self.check_condition(a)?;
                Ok(Checked::new(
                    ExprNode::Not(Box::new(a.node)),
                    ExprType::Bool,
                    a.cost.saturating_add(1),
                ))
            }
            Unary::Negate => self.check_negation(at, a),
        }
    }

    pub(super) fn check_binary(
        &mut self,
        at: &Expr,
        operator: Binary,
        a: &Expr,
        b: &Expr,
    ) -> Result<Checked, Error> {
        match operator {
            Binary::And => {
                let (a, b) = (self.check_condition(a)?, self.check_condition(b)?);
                Ok(joined(a, b, ExprType::Bool, ExprNode::And))
            }
            Binary::Or => {
                let (a, b) = (self.check_condition(a)?, self.check_condition(b)?);
                Ok(joined(a, b, ExprType::Bool, ExprNode::Or))
            }
            Binary::Equal => self.check_equality(at, a, b, ExprNode::Equal),
            Binary::NotEqual => self.check_equality(at, a, b, ExprNode::NotEqual),
            Binary::Less => self.check_order(at, a, b, Comparison::Less),
            Binary::LessOrEqual => self.check_order(at, a, b, Comparison::LessOrEqual),
            Binary::Greater => self.check_order(at, a, b, Comparison::Greater),
            Binary::GreaterOrEqual => self.check_order(at, a, b, Comparison::GreaterOrEqual),
            Binary::Add => self.check_arithmetic(at, a, b, Arithmetic::Add),
            Binary::Subtract => self.check_arithmetic(at, a, b, Arithmetic::Subtract),
            Binary::Multiply => self.check_arithmetic(at, a, b, Arithmetic::Multiply),
            Binary::Divide => self.check_arithmetic(at, a, b, Arithmetic::Divide),
            Binary::Remainder => self.check_arithmetic(at, a, b, Arithmetic::Remainder),
            Binary::In => self.check_in(at, a, b),
        }
    }

    fn check_negation(&mut self, at: &Expr, a: &Expr) -> Result<Checked, Error> {
        let a = self.check(a)?;
        match a.kind {
            ExprType::Int | ExprType::Double | ExprType::Duration | ExprType::Dyn => Ok(
                Checked::new(ExprNode::Negate(Box::new(a.node)), a.kind, a.cost.saturating_add(1)),
            ),
            kind => Err(self.invalid(at, format!("{kind} cannot be negated"))),
        }
    }

    pub(super) fn check_conditional(
        &mut self,
        at: &Expr,
        condition: &Expr,
        a: &Expr,
        b: &Expr,
    ) -> Result<Checked, Error> {
        let condition = self.check_condition(condition)?;
        let (a, b) = (self.check(a)?, self.check(b)?);
        let cost = condition.cost.saturating_add(a.cost.max(b.cost)).saturating_add(1);
        let (one, other) = (a.kind.to_string(), b.kind.to_string());
        let kind = a
            .kind
            .join(b.kind)
            .ok_or_else(|| self.invalid(at, format!("one branch is {one}, the other {other}")))?;
        let parts = Box::new((condition.node, a.node, b.node));
        Ok(Checked::new(ExprNode::Conditional(parts), kind, cost))
    }

    fn check_equality(
        &mut self,
        at: &Expr,
        a: &Expr,
        b: &Expr,
        node: fn(Box<(ExprNode, ExprNode)>) -> ExprNode,
    ) -> Result<Checked, Error> {
        let (left, right) = (a, b);
        let (a, b) = (self.check(a)?, self.check(b)?);
        self.check_possible(&a.node, right, &b.node)?;
        self.check_possible(&b.node, left, &a.node)?;
        if a.kind.equals(&b.kind) {
            Ok(joined(a, b, ExprType::Bool, node))
        } else {
            Err(self.cannot(at, "compare", &a, &b))
        }
    }

    fn check_order(
        &mut self,
        at: &Expr,
        a: &Expr,
        b: &Expr,
        comparison: Comparison,
    ) -> Result<Checked, Error> {
        let (left, right) = (a, b);
        let (a, b) = (self.check(a)?, self.check(b)?);
        if let Some(node) = self.severity_order((left, &a), comparison, (right, &b))? {
            return Ok(Checked::new(node, ExprType::Bool, a.cost.saturating_add(1)));
        }
        if a.kind.is_ordered_with(&b.kind) {
            Ok(joined(a, b, ExprType::Bool, |parts| ExprNode::Compare(comparison, parts)))
        } else {
            Err(self.cannot(at, "order", &a, &b))
        }
    }

    fn check_arithmetic(
        &mut self,
        at: &Expr,
        a: &Expr,
        b: &Expr,
        operator: Arithmetic,
    ) -> Result<Checked, Error> {
        let (mut a, mut b) = (self.check(a)?, self.check(b)?);
        adapt(&mut a, &b.kind);
        adapt(&mut b, &a.kind);
        match operator.result(&a.kind, &b.kind) {
            Some(kind) => Ok(joined(a, b, kind, |parts| ExprNode::Arithmetic(operator, parts))),
            None => Err(self.cannot(at, "compute with", &a, &b)),
        }
    }

    fn check_in(&mut self, at: &Expr, a: &Expr, b: &Expr) -> Result<Checked, Error> {
        let (item, list) = (a, b);
        let (a, b) = (self.check(a)?, self.check(b)?);
        if let (Syntax::List(elements), ExprNode::List(nodes)) = (&list.kind, &b.node) {
            for (element, node) in elements.iter().zip(nodes) {
                self.check_possible(&a.node, element, node)?;
                self.check_possible(node, item, &a.node)?;
            }
        }
        let possible = match &b.kind {
            ExprType::List(element) => a.kind.equals(element),
            ExprType::Map(_) => a.kind.may_be(&ExprType::String),
            ExprType::Dyn => true,
            _ => false,
        };
        if !possible {
            let problem = format!("{} cannot be in {}", a.kind, b.kind);
            return Err(self.invalid(at, problem));
        }
        let visited = if matches!(b.node, ExprNode::List(_)) { 0 } else { LENGTH_ASSUMED };
        let mut checked = joined(a, b, ExprType::Bool, ExprNode::In);
        checked.cost = checked.cost.saturating_add(visited);
        Ok(checked)
    }

    pub(super) fn check_index(&mut self, at: &Expr, a: &Expr, b: &Expr) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
        let is_position =
            |kind: &ExprType| matches!(kind, ExprType::Int | ExprType::Uint | ExprType::Dyn);
        let kind = match &a.kind {
            ExprType::List(element) if is_position(&b.kind) => (**element).clone(),
            ExprType::Map(value) if b.kind.may_be(&ExprType::String) => (**value).clone(),
            ExprType::Dyn if is_position(&b.kind) || b.kind == ExprType::String => ExprType::Dyn,
            _ => {
                let problem = format!("{} has no element at {}", a.kind, b.kind);
                return Err(self.invalid(at, problem));
            }
        };
        Ok(joined(a, b, kind, ExprNode::Index))
    }

    fn cannot(&self, at: &Expr, what: &str, a: &Checked, b: &Checked) -> Error {
        self.invalid(at, format!("cannot {what} {} and {}", a.kind, b.kind))
    }
}

fn joined(
    a: Checked,
    b: Checked,
    kind: ExprType,
    node: impl FnOnce(Box<(ExprNode, ExprNode)>) -> ExprNode,
) -> Checked {
    let cost = a.cost.saturating_add(b.cost).saturating_add(1);
    Checked::new(node(Box::new((a.node, b.node))), kind, cost)
}

/// Converts an `int` literal to the number type of the other operand.
fn adapt(operand: &mut Checked, other: &ExprType) {
    let ExprNode::Literal(ExprValue::Int(number)) = operand.node else { return };
    let adapted = match other {
        ExprType::Uint => u64::try_from(number).ok().map(ExprValue::Uint),
        ExprType::Double => Some(ExprValue::Double(number as f64)),
        _ => None,
    };
    if let Some(value) = adapted {
        operand.node = ExprNode::Literal(value);
        operand.kind = other.clone();
    }
}
