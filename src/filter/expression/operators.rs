//! Checks operators.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, operators};

use super::LENGTH_ASSUMED;
use super::arithmetic::{Arithmetic, Comparison};
use super::check::{Checked, Checker};
use super::kinds::ExprType;
use super::node::ExprNode;
use super::value::ExprValue;
use crate::filter::error::Error;

impl Checker<'_> {
    /// Checks an operator, which the parser gives as a call, or a call.
    pub(super) fn check_call(&mut self, at: &IdedExpr, call: &CallExpr) -> Result<Checked, Error> {
        use operators as op;
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::LOGICAL_AND, [a, b]) => {
                let (a, b) = (self.check_condition(a)?, self.check_condition(b)?);
                Ok(joined(a, b, ExprType::Bool, ExprNode::And))
            }
            (op::LOGICAL_OR, [a, b]) => {
                let (a, b) = (self.check_condition(a)?, self.check_condition(b)?);
                Ok(joined(a, b, ExprType::Bool, ExprNode::Or))
            }
            (op::LOGICAL_NOT, [a]) => {
                let a = self.check_condition(a)?;
                Ok(Checked::new(
                    ExprNode::Not(Box::new(a.node)),
                    ExprType::Bool,
                    a.cost.saturating_add(1),
                ))
            }
            (op::NEGATE, [a]) => self.check_negation(at, a),
            (op::CONDITIONAL, [condition, a, b]) => self.check_conditional(at, condition, a, b),
            (op::EQUALS, [a, b]) => self.check_equality(at, a, b, ExprNode::Equal),
            (op::NOT_EQUALS, [a, b]) => self.check_equality(at, a, b, ExprNode::NotEqual),
            (op::LESS, [a, b]) => self.check_order(at, a, b, Comparison::Less),
            (op::LESS_EQUALS, [a, b]) => self.check_order(at, a, b, Comparison::LessOrEqual),
            (op::GREATER, [a, b]) => self.check_order(at, a, b, Comparison::Greater),
            (op::GREATER_EQUALS, [a, b]) => self.check_order(at, a, b, Comparison::GreaterOrEqual),
            (op::ADD, [a, b]) => self.check_arithmetic(at, a, b, Arithmetic::Add),
            (op::SUBSTRACT, [a, b]) => self.check_arithmetic(at, a, b, Arithmetic::Subtract),
            (op::MULTIPLY, [a, b]) => self.check_arithmetic(at, a, b, Arithmetic::Multiply),
            (op::DIVIDE, [a, b]) => self.check_arithmetic(at, a, b, Arithmetic::Divide),
            (op::MODULO, [a, b]) => self.check_arithmetic(at, a, b, Arithmetic::Remainder),
            (op::IN, [a, b]) => self.check_in(at, a, b),
            (op::INDEX, [a, b]) => self.check_index(at, a, b),
            (name, args) => {
                let mut operands: Vec<&IdedExpr> = call.target.iter().map(AsRef::as_ref).collect();
                operands.extend(args);
                self.check_function(at, name, call.target.is_some(), &operands)
            }
        }
    }

    fn check_negation(&mut self, at: &IdedExpr, a: &IdedExpr) -> Result<Checked, Error> {
        let a = self.check(a)?;
        match a.kind {
            ExprType::Int | ExprType::Double | ExprType::Duration | ExprType::Dyn => Ok(
                Checked::new(ExprNode::Negate(Box::new(a.node)), a.kind, a.cost.saturating_add(1)),
            ),
            kind => Err(self.invalid(at, format!("{kind} cannot be negated"))),
        }
    }

    fn check_conditional(
        &mut self,
        at: &IdedExpr,
        condition: &IdedExpr,
        a: &IdedExpr,
        b: &IdedExpr,
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
        at: &IdedExpr,
        a: &IdedExpr,
        b: &IdedExpr,
        node: fn(Box<(ExprNode, ExprNode)>) -> ExprNode,
    ) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
        if a.kind.equals(&b.kind) {
            Ok(joined(a, b, ExprType::Bool, node))
        } else {
            Err(self.cannot(at, "compare", &a, &b))
        }
    }

    fn check_order(
        &mut self,
        at: &IdedExpr,
        a: &IdedExpr,
        b: &IdedExpr,
        comparison: Comparison,
    ) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
        if a.kind.is_ordered_with(&b.kind) {
            Ok(joined(a, b, ExprType::Bool, |parts| ExprNode::Compare(comparison, parts)))
        } else {
            Err(self.cannot(at, "order", &a, &b))
        }
    }

    fn check_arithmetic(
        &mut self,
        at: &IdedExpr,
        a: &IdedExpr,
        b: &IdedExpr,
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

    fn check_in(&mut self, at: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
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

    fn check_index(&mut self, at: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Result<Checked, Error> {
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

    fn cannot(&self, at: &IdedExpr, what: &str, a: &Checked, b: &Checked) -> Error {
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

/// Makes an `int` literal a number of the type that it is computed with.
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
