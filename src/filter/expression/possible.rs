//! Checks literals that are compared with `type`, `severity` and `result`. Each variable has few
//! values, so a mistyped literal would never match.

use super::arithmetic::Comparison;
use super::check::{Checked, Checker};
use super::eval::{RESULTS, SEVERITIES};
use super::node::{ExprNode, Variable};
use super::syntax::Expr;
use super::value::ExprValue;
use crate::catalog;
use crate::filter::error::{Error, excerpt, nearest};
use crate::filter::type_set::NEAREST_MAX;

impl Checker<'_> {
    /// Refuses the literal at `at` if the variable that it is compared with never has this value.
    pub(super) fn check_possible(
        &self,
        variable: &ExprNode,
        at: &Expr,
        literal: &ExprNode,
    ) -> Result<(), Error> {
        let Some(text) = text_of(literal) else { return Ok(()) };
        match variable {
            ExprNode::Variable(Variable::Type) if !is_type(text) => {
                let names = catalog::all().map(|(_, event_type)| event_type.name);
                let names = names.filter(|name| *name != catalog::CUSTOM);
                Err(self.impossible("type", at, text, nearest(text, names, NEAREST_MAX)))
            }
            ExprNode::Variable(Variable::Severity) if !SEVERITIES.contains(&text) => {
                Err(self.impossible("severity", at, text, nearest_or_all(text, &SEVERITIES)))
            }
            ExprNode::Variable(Variable::Result) if !RESULTS.contains(&text) => {
                Err(self.impossible("result", at, text, nearest_or_all(text, &RESULTS)))
            }
            _ => Ok(()),
        }
    }

    /// Compares `severity` with a literal by the order of severities.
    pub(super) fn severity_order(
        &self,
        (left, a): (&Expr, &Checked),
        comparison: Comparison,
        (right, b): (&Expr, &Checked),
    ) -> Result<Option<ExprNode>, Error> {
        let is_severity = |node: &ExprNode| matches!(node, ExprNode::Variable(Variable::Severity));
        let (at, literal, comparison) = if is_severity(&a.node) {
            (right, &b.node, comparison)
        } else if is_severity(&b.node) {
            (left, &a.node, comparison.mirrored())
        } else {
            return Ok(None);
        };
        let Some(text) = text_of(literal) else { return Ok(None) };
        self.check_possible(&ExprNode::Variable(Variable::Severity), at, literal)?;
        let rank = SEVERITIES.iter().position(|known| *known == text).unwrap_or_default();
        Ok(Some(ExprNode::CompareSeverity(comparison, rank as u8)))
    }

    fn impossible(
        &self,
        of: &'static str,
        at: &Expr,
        literal: &str,
        nearest: Vec<&'static str>,
    ) -> Error {
        let at = self.position(&at.span);
        Error::ExpressionNeverEqual { at, of, literal: excerpt(literal), nearest }
    }
}

fn text_of(literal: &ExprNode) -> Option<&str> {
    match literal {
        ExprNode::Literal(ExprValue::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether records can have this type.
fn is_type(name: &str) -> bool {
    match name.strip_prefix(catalog::CUSTOM_PREFIX) {
        Some(custom) => catalog::is_custom_name(custom),
        None => name != catalog::CUSTOM && catalog::by_name(name).is_some(),
    }
}

/// The nearest name; all names if none is near.
fn nearest_or_all(text: &str, known: &[&'static str]) -> Vec<&'static str> {
    /// The position of `unspecified`, which is not suggested.
    const UNSPECIFIED: usize = 1;
    let known = known.get(UNSPECIFIED..).unwrap_or_default();
    let near = nearest(text, known.iter().copied(), 1);
    if near.is_empty() { known.to_vec() } else { near }
}
