//! Checks macros that visit elements.

use super::check::{Checked, Checker};
use super::kinds::ExprType;
use super::node::{ExprNode, Visit, VisitKind};
use super::syntax::{Expr, Kind as Syntax, Name};
use super::{LENGTH_ASSUMED, NESTING_MAX};
use crate::filter::error::Error;

/// A macro with its arguments: the name of the element first.
pub(super) struct Call<'a> {
    element: &'a Expr,
    body: Macro<'a>,
}

/// A macro with its arguments other than range and variable.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Macro<'a> {
    All(&'a Expr),
    Exists(&'a Expr),
    ExistsOne(&'a Expr),
    /// `map` and `filter`: an optional condition, and the collected expression.
    Collect(Option<&'a Expr>, &'a Expr),
}

/// The macro that is called by this name with these arguments.
pub(super) fn recognize<'a>(name: &str, arguments: &'a [Expr]) -> Option<Call<'a>> {
    let (element, rest) = arguments.split_first()?;
    let body = match (name, rest) {
        ("all", [condition]) => Macro::All(condition),
        ("exists", [condition]) => Macro::Exists(condition),
        ("exists_one" | "existsOne", [condition]) => Macro::ExistsOne(condition),
        ("filter", [condition]) => Macro::Collect(Some(condition), element),
        ("map", [result]) => Macro::Collect(None, result),
        ("map", [condition, result]) => Macro::Collect(Some(condition), result),
        _ => return None,
    };
    Some(Call { element, body })
}

impl Checker<'_> {
    pub(super) fn check_visit(
        &mut self,
        range: &Expr,
        name: &Name,
        call: Call<'_>,
    ) -> Result<Checked, Error> {
        let Syntax::Name(element_name) = &call.element.kind else {
            let problem =
                format!("a simple name is expected here, as in roles.{0}(role, …)", name.text);
            return Err(self.invalid(call.element, problem));
        };
        let range_at = range;
        let range = self.check(range)?;
        let element = match range.kind {
            ExprType::List(element) => *element,
            ExprType::Map(_) => ExprType::String,
            ExprType::Dyn => ExprType::Dyn,
            kind => {
                return Err(self.invalid(range_at, format!("there is nothing to visit in {kind}")));
            }
        };
        if self.elements.len() > NESTING_MAX {
            return Err(Error::ExpressionNesting { at: self.position(&name.span) });
        }
        self.elements.push((element_name.clone(), element));
        let body = self.check_body(call.body);
        self.elements.pop();
        let (kind, of, cost) = body?;
        let length = match &range.node {
            ExprNode::List(nodes) => nodes.len() as u64,
            _ => LENGTH_ASSUMED,
        };
        let cost = range.cost.saturating_add(length.saturating_mul(cost.saturating_add(1)));
        let node = ExprNode::Visit(Box::new(Visit { range: range.node, kind }));
        Ok(Checked::new(node, of, cost))
    }

    /// Checks the body of a macro: the kind of visit, the type of the result, and the cost of an
    /// element.
    fn check_body(&mut self, found: Macro<'_>) -> Result<(VisitKind, ExprType, u64), Error> {
        Ok(match found {
            Macro::All(condition) => {
                let condition = self.check_condition(condition)?;
                (VisitKind::All(condition.node), ExprType::Bool, condition.cost)
            }
            Macro::Exists(condition) => {
                let condition = self.check_condition(condition)?;
                (VisitKind::Exists(condition.node), ExprType::Bool, condition.cost)
            }
            Macro::ExistsOne(condition) => {
                let condition = self.check_condition(condition)?;
                (VisitKind::ExistsOne(condition.node), ExprType::Bool, condition.cost)
            }
            Macro::Collect(condition, result) => {
                let condition = condition.map(|node| self.check_condition(node)).transpose()?;
                let result = self.check(result)?;
                let cost = condition.as_ref().map_or(0, |condition| condition.cost);
                let kind = VisitKind::Collect(condition.map(|found| found.node), result.node);
                (kind, ExprType::List(Box::new(result.kind)), cost.saturating_add(result.cost))
            }
        })
    }
}
