//! Checks macros that visit elements.
//!
//! The parser replaces `x.all(e, p)` and the like by loops with an accumulator
//! (the macros section of the language definition). Each macro leaves a loop of
//! its own shape, and nothing else makes loops.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};

use super::check::{Checked, Checker};
use super::kinds::ExprType;
use super::node::{ExprNode, Visit, VisitKind};
use super::{LENGTH_ASSUMED, NESTING_MAX};
use crate::filter::error::Error;

/// A macro, with what it was given besides range and variable.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Macro<'a> {
    All(&'a IdedExpr),
    Exists(&'a IdedExpr),
    ExistsOne(&'a IdedExpr),
    /// `map` and `filter`: a condition, if there is one, and what is collected.
    Collect(Option<&'a IdedExpr>, &'a IdedExpr),
}

impl Checker<'_> {
    pub(super) fn check_visit(
        &mut self,
        at: &IdedExpr,
        comprehension: &ComprehensionExpr,
    ) -> Result<Checked, Error> {
        let found = recognize(comprehension)
            .ok_or_else(|| self.invalid(at, "this macro is not supported".to_owned()))?;
        let range = self.check(&comprehension.iter_range)?;
        let element = match range.kind {
            ExprType::List(element) => *element,
            ExprType::Map(_) => ExprType::String,
            ExprType::Dyn => ExprType::Dyn,
            kind => {
                return Err(self.invalid(at, format!("there is nothing to visit in {kind}")));
            }
        };
        if self.elements.len() > NESTING_MAX {
            return Err(Error::ExpressionNesting { at: self.source.position(at) });
        }
        self.elements.push((comprehension.iter_var.clone(), element));
        let body = self.check_body(found);
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

    /// What is done with each element: how, the type of all of it, and the cost
    /// of each.
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

/// The macro that became this loop.
fn recognize(comprehension: &ComprehensionExpr) -> Option<Macro<'_>> {
    let step = call(&comprehension.loop_step)?;
    match (&comprehension.accu_init.expr, step.func_name.as_str(), step.args.as_slice()) {
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, condition]) => {
            Some(Macro::All(condition))
        }
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, condition]) => {
            Some(Macro::Exists(condition))
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [condition, ..]) => {
            Some(Macro::ExistsOne(condition))
        }
        (Expr::List(_), operators::CONDITIONAL, [condition, step, _]) => {
            Some(Macro::Collect(Some(condition), collected(call(step)?)?))
        }
        (Expr::List(_), _, _) => Some(Macro::Collect(None, collected(step)?)),
        _ => None,
    }
}

/// What `result + [collected]` collects.
fn collected(step: &CallExpr) -> Option<&IdedExpr> {
    match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => list.elements.first(),
        _ => None,
    }
}

fn call(node: &IdedExpr) -> Option<&CallExpr> {
    match &node.expr {
        Expr::Call(call) => Some(call),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cel::parser::Parser;

    use super::*;

    #[test]
    fn every_macro_is_recognized() {
        for (text, expected) in [
            ("x.all(e, p)", "all p"),
            ("x.exists(e, p)", "exists p"),
            ("x.exists_one(e, p)", "exists_one p"),
            ("x.existsOne(e, p)", "exists_one p"),
            ("x.map(e, r)", "collect r"),
            ("x.map(e, p, r)", "collect r if p"),
            ("x.filter(e, p)", "collect e if p"),
        ] {
            let tree = Parser::new().parse(text).expect(text);
            let Expr::Comprehension(comprehension) = &tree.expr else { panic!("{text}") };
            let name = |node: &IdedExpr| match &node.expr {
                Expr::Ident(name) => name.clone(),
                other => panic!("{other:?}"),
            };
            let found = match recognize(comprehension).expect(text) {
                Macro::All(condition) => format!("all {}", name(condition)),
                Macro::Exists(condition) => format!("exists {}", name(condition)),
                Macro::ExistsOne(condition) => format!("exists_one {}", name(condition)),
                Macro::Collect(None, result) => format!("collect {}", name(result)),
                Macro::Collect(Some(condition), result) => {
                    format!("collect {} if {}", name(result), name(condition))
                }
            };
            assert_eq!(found, expected, "{text}");
        }
    }
}
