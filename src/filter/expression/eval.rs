//! Evaluation of a checked expression on one record.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::body::{Body, StepBudget};
use super::node::{ExprNode, ExprPath, Variable};
use super::value::List;
use super::value::{ExprValue, is_set};
use super::{Failed, STEPS_MAX, TICKS_PER_STEP, arithmetic, time};
use crate::record::Record;

/// Names of the severities, by number.
pub(super) const SEVERITIES: [&str; 5] = ["unspecified", "info", "warning", "error", "critical"];
/// Names of the results, by number.
pub(super) const RESULTS: [&str; 4] = ["unspecified", "success", "failure", "pending"];

/// Evaluates on one record. The depth of the tree, which is bounded, bounds the recursion.
pub(super) struct Evaluator<'a> {
    record: &'a Record<'a>,
    pub(super) meter: StepBudget,
}

/// The elements that macros currently visit, the innermost macro first.
pub(super) struct Scope<'s, 'a> {
    pub(super) element: &'s ExprValue<'a>,
    pub(super) outer: Option<&'s Scope<'s, 'a>>,
}

pub(super) type Elements<'s, 'a> = Option<&'s Scope<'s, 'a>>;

impl<'a> Evaluator<'a> {
    pub(super) fn new(record: &'a Record<'a>) -> Self {
        Self { record, meter: StepBudget::new(STEPS_MAX) }
    }

    /// The value of the whole expression.
    pub(super) fn root(&self, root: &'a ExprNode) -> Result<bool, Failed> {
        let value = self.test(root, None);
        // Values that were read after the steps ran out are meaningless.
        self.meter.check()?;
        value
    }

    /// The steps so far.
    pub(super) fn steps_spent(&self) -> u64 {
        STEPS_MAX - self.meter.left().div_ceil(TICKS_PER_STEP)
    }

    /// The value of a node that must be a bool.
    fn test(&self, node: &'a ExprNode, elements: Elements<'_, 'a>) -> Result<bool, Failed> {
        match self.value(node, elements)? {
            ExprValue::Bool(value) => Ok(value),
            _ => Err(Failed),
        }
    }

    pub(super) fn value(
        &self,
        node: &'a ExprNode,
        elements: Elements<'_, 'a>,
    ) -> Result<ExprValue<'a>, Failed> {
        self.meter.spend_steps(1);
        self.meter.check()?;
        let value = |node| self.value(node, elements);
        let test = |node| self.test(node, elements);
        Ok(match node {
            ExprNode::Literal(literal) => literal.borrowed(),
            ExprNode::Variable(variable) => self.variable(*variable),
            ExprNode::Element(depth) => self.element(elements, *depth).ok_or(Failed)?,
            ExprNode::Read(path) => {
                ExprValue::read(&self.body(path, elements)?, path.field, &self.meter)
            }
            ExprNode::Has(path) => {
                ExprValue::Bool(is_set(&self.body(path, elements)?, path.field, &self.meter))
            }
            ExprNode::Get(parts) => match value(&parts.0)? {
                ExprValue::Map(map) => map.get(&parts.1, &self.meter).ok_or(Failed)?,
                _ => return Err(Failed),
            },
            ExprNode::HasKey(parts) => match value(&parts.0)? {
                ExprValue::Map(map) => ExprValue::Bool(map.contains(&parts.1, &self.meter)),
                _ => return Err(Failed),
            },
            ExprNode::Index(parts) => self.index(&value(&parts.0)?, &value(&parts.1)?)?,
            ExprNode::List(nodes) => {
                self.meter.spend_on_memory(size_of::<ExprValue<'a>>() * nodes.len());
                ExprValue::List(List::Values(
                    nodes.iter().map(value).collect::<Result<Arc<_>, _>>()?,
                ))
            }
            ExprNode::Not(node) => ExprValue::Bool(!test(node)?),
            ExprNode::Negate(node) => match value(node)? {
                ExprValue::Int(number) => ExprValue::Int(number.checked_neg().ok_or(Failed)?),
                ExprValue::Double(number) => ExprValue::Double(-number),
                ExprValue::Duration(nanos) => ExprValue::Duration(-nanos),
                _ => return Err(Failed),
            },
            ExprNode::And(parts) => {
                ExprValue::Bool(decided(false, test(&parts.0), || test(&parts.1))?)
            }
            ExprNode::Or(parts) => {
                ExprValue::Bool(decided(true, test(&parts.0), || test(&parts.1))?)
            }
            ExprNode::Conditional(parts) => {
                return value(if test(&parts.0)? { &parts.1 } else { &parts.2 });
            }
            ExprNode::Equal(parts) => {
                ExprValue::Bool(self.equal(&value(&parts.0)?, &value(&parts.1)?)?)
            }
            ExprNode::NotEqual(parts) => {
                ExprValue::Bool(!self.equal(&value(&parts.0)?, &value(&parts.1)?)?)
            }
            ExprNode::Compare(comparison, parts) => {
                let (a, b) = (value(&parts.0)?, value(&parts.1)?);
                ExprValue::Bool(comparison.holds(&a, &b, &self.meter)?)
            }
            ExprNode::CompareSeverity(comparison, number) => {
                ExprValue::Bool(comparison.includes(self.record.severity.cmp(number)))
            }
            ExprNode::Arithmetic(operator, parts) => {
                operator.apply(&value(&parts.0)?, &value(&parts.1)?, &self.meter)?
            }
            ExprNode::In(parts) => ExprValue::Bool(self.is_in(&parts.0, &parts.1, elements)?),
            ExprNode::Call(function, parts) => {
                let argument = parts.1.as_ref().map(value).transpose()?;
                function.call(value(&parts.0)?, argument.as_ref(), &self.meter)?
            }
            ExprNode::Matches(parts) => match value(&parts.0)? {
                ExprValue::String(text) => ExprValue::Bool(parts.1.is_match(&text, &self.meter)?),
                _ => return Err(Failed),
            },
            ExprNode::Visit(visit) => self.visit(visit, elements)?,
        })
    }

    fn variable(&self, variable: Variable) -> ExprValue<'a> {
        let name = |names: &[&'static str], number: u8| {
            let name = names.get(usize::from(number)).or(names.first());
            ExprValue::String(Cow::Borrowed(name.copied().unwrap_or_default()))
        };
        match variable {
            Variable::Event => ExprValue::Message(Body::Whole(self.record.event)),
            Variable::Emitter => ExprValue::Message(Body::Whole(self.record.emitter)),
            Variable::Type => ExprValue::String(Cow::Borrowed(self.record.type_name)),
            Variable::Severity => name(&SEVERITIES, self.record.severity),
            Variable::Result => name(&RESULTS, self.record.result),
            Variable::Sequence => ExprValue::Uint(self.record.sequence.0),
            Variable::ClockSkew => {
                ExprValue::Duration(self.record.clock_skew().unwrap_or_default())
            }
            Variable::AcceptTimeRaised => {
                ExprValue::Duration(self.record.accept_time_raised().unwrap_or_default())
            }
            Variable::AcceptTime => {
                let (seconds, nanos) = self.record.accept_time.parts();
                ExprValue::Timestamp(
                    i128::from(seconds) * time::NANOS_PER_SECOND + i128::from(nanos),
                )
            }
        }
    }

    /// The message with the field of a path; empty if a message on the path is not set.
    fn body(&self, path: &'a ExprPath, elements: Elements<'_, 'a>) -> Result<Body<'a>, Failed> {
        let ExprValue::Message(mut body) = self.value(&path.base, elements)? else {
            return Err(Failed);
        };
        for number in &path.through {
            body = body.message(*number, &self.meter).unwrap_or(Body::EMPTY);
        }
        Ok(body)
    }

    fn element(&self, elements: Elements<'_, 'a>, depth: usize) -> Option<ExprValue<'a>> {
        let scope = elements?;
        match depth.checked_sub(1) {
            None => Some(scope.element.copied(&self.meter)),
            Some(outer) => self.element(scope.outer, outer),
        }
    }

    fn index(
        &self,
        container: &ExprValue<'a>,
        index: &ExprValue<'a>,
    ) -> Result<ExprValue<'a>, Failed> {
        let found = match (container, index) {
            (ExprValue::Map(map), ExprValue::String(key)) => map.get(key, &self.meter),
            (ExprValue::List(list), ExprValue::Int(position)) => {
                usize::try_from(*position).ok().and_then(|at| list.get(at, &self.meter))
            }
            (ExprValue::List(list), ExprValue::Uint(position)) => {
                usize::try_from(*position).ok().and_then(|at| list.get(at, &self.meter))
            }
            _ => None,
        };
        found.ok_or(Failed)
    }

    fn equal(&self, a: &ExprValue<'a>, b: &ExprValue<'a>) -> Result<bool, Failed> {
        arithmetic::equal(a, b, &self.meter)
    }

    fn is_in(
        &self,
        wanted: &'a ExprNode,
        container: &'a ExprNode,
        elements: Elements<'_, 'a>,
    ) -> Result<bool, Failed> {
        let wanted = self.value(wanted, elements)?;
        if let ExprNode::List(nodes) = container {
            // Avoids building a list of the elements.
            for node in nodes {
                if self.equal(&wanted, &self.value(node, elements)?)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        match (self.value(container, elements)?, &wanted) {
            (ExprValue::Map(map), ExprValue::String(key)) => Ok(map.contains(key, &self.meter)),
            (ExprValue::List(list), wanted) => {
                let found = list.visit(&self.meter, |value| match self.equal(&value, wanted) {
                    Ok(false) => ControlFlow::Continue(()),
                    other => ControlFlow::Break(other),
                });
                found.unwrap_or(Ok(false))
            }
            _ => Err(Failed),
        }
    }
}

/// `&&` and `||`: either side may decide, also when the other one fails.
fn decided(
    decisive: bool,
    left: Result<bool, Failed>,
    right: impl FnOnce() -> Result<bool, Failed>,
) -> Result<bool, Failed> {
    match left {
        Ok(value) if value == decisive => Ok(decisive),
        Ok(_) => right(),
        Err(Failed) => match right() {
            Ok(value) if value == decisive => Ok(decisive),
            _ => Err(Failed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::pb;

    #[test]
    fn names_of_severities_and_results_are_the_enums() {
        for (number, name) in SEVERITIES.iter().enumerate() {
            let severity = pb::Severity::try_from(number as i32).expect("in the enum");
            assert_eq!(format!("SEVERITY_{}", name.to_uppercase()), severity.as_str_name());
        }
        assert_eq!(pb::Severity::try_from(SEVERITIES.len() as i32).ok(), None);
        for (number, name) in RESULTS.iter().enumerate() {
            let result = pb::Result::try_from(number as i32).expect("in the enum");
            assert_eq!(format!("RESULT_{}", name.to_uppercase()), result.as_str_name());
        }
        assert_eq!(pb::Result::try_from(RESULTS.len() as i32).ok(), None);
    }
}
