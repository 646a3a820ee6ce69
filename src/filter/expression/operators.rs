//! Checks operators.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, operators};

use super::LENGTH_ASSUMED;
use super::arithmetic::{Arithmetic, Comparison};
use super::check::{Checked, Checker};
use super::kinds::Type;
use super::node::Node;
use super::value::Value;
use crate::filter::error::Error;

impl Checker<'_> {
    /// Checks an operator, which the parser gives as a call, or a call.
    pub(super) fn check_call(&mut self, at: &IdedExpr, call: &CallExpr) -> Result<Checked, Error> {
        use operators as op;
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::LOGICAL_AND, [a, b]) => {
                let (a, b) = (self.check_condition(a)?, self.check_condition(b)?);
                Ok(joined(a, b, Type::Bool, Node::And))
            }
            (op::LOGICAL_OR, [a, b]) => {
                let (a, b) = (self.check_condition(a)?, self.check_condition(b)?);
                Ok(joined(a, b, Type::Bool, Node::Or))
            }
            (op::LOGICAL_NOT, [a]) => {
                let a = self.check_condition(a)?;
                Ok(Checked::new(Node::Not(Box::new(a.node)), Type::Bool, a.cost.saturating_add(1)))
            }
            (op::NEGATE, [a]) => self.check_negation(at, a),
            (op::CONDITIONAL, [condition, a, b]) => self.check_conditional(at, condition, a, b),
            (op::EQUALS, [a, b]) => self.check_equality(at, a, b, Node::Equal),
            (op::NOT_EQUALS, [a, b]) => self.check_equality(at, a, b, Node::NotEqual),
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
            Type::Int | Type::Double | Type::Duration | Type::Dyn => {
                Ok(Checked::new(Node::Negate(Box::new(a.node)), a.kind, a.cost.saturating_add(1)))
            }
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
        Ok(Checked::new(Node::Conditional(parts), kind, cost))
    }

    fn check_equality(
        &mut self,
        at: &IdedExpr,
        a: &IdedExpr,
        b: &IdedExpr,
        node: fn(Box<(Node, Node)>) -> Node,
    ) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
        if a.kind.equals(&b.kind) {
            Ok(joined(a, b, Type::Bool, node))
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
            Ok(joined(a, b, Type::Bool, |parts| Node::Compare(comparison, parts)))
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
            Some(kind) => Ok(joined(a, b, kind, |parts| Node::Arithmetic(operator, parts))),
            None => Err(self.cannot(at, "compute with", &a, &b)),
        }
    }

    fn check_in(&mut self, at: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
        let possible = match &b.kind {
            Type::List(element) => a.kind.equals(element),
            Type::Map(_) => a.kind.may_be(&Type::String),
            Type::Dyn => true,
            _ => false,
        };
        if !possible {
            let problem = format!("{} cannot be in {}", a.kind, b.kind);
            return Err(self.invalid(at, problem));
        }
        let visited = if matches!(b.node, Node::List(_)) { 0 } else { LENGTH_ASSUMED };
        let mut checked = joined(a, b, Type::Bool, Node::In);
        checked.cost = checked.cost.saturating_add(visited);
        Ok(checked)
    }

    fn check_index(&mut self, at: &IdedExpr, a: &IdedExpr, b: &IdedExpr) -> Result<Checked, Error> {
        let (a, b) = (self.check(a)?, self.check(b)?);
        let is_position = |kind: &Type| matches!(kind, Type::Int | Type::Uint | Type::Dyn);
        let kind = match &a.kind {
            Type::List(element) if is_position(&b.kind) => (**element).clone(),
            Type::Map(value) if b.kind.may_be(&Type::String) => (**value).clone(),
            Type::Dyn if is_position(&b.kind) || b.kind == Type::String => Type::Dyn,
            _ => {
                let problem = format!("{} has no element at {}", a.kind, b.kind);
                return Err(self.invalid(at, problem));
            }
        };
        Ok(joined(a, b, kind, Node::Index))
    }

    fn cannot(&self, at: &IdedExpr, what: &str, a: &Checked, b: &Checked) -> Error {
        self.invalid(at, format!("cannot {what} {} and {}", a.kind, b.kind))
    }
}

fn joined(
    a: Checked,
    b: Checked,
    kind: Type,
    node: impl FnOnce(Box<(Node, Node)>) -> Node,
) -> Checked {
    let cost = a.cost.saturating_add(b.cost).saturating_add(1);
    Checked::new(node(Box::new((a.node, b.node))), kind, cost)
}

/// Makes an `int` literal a number of the type that it is computed with.
fn adapt(operand: &mut Checked, other: &Type) {
    let Node::Literal(Value::Int(number)) = operand.node else { return };
    let adapted = match other {
        Type::Uint => u64::try_from(number).ok().map(Value::Uint),
        Type::Double => Some(Value::Double(number as f64)),
        _ => None,
    };
    if let Some(value) = adapted {
        operand.node = Node::Literal(value);
        operand.kind = other.clone();
    }
}
