//! Checks calls of functions.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

use super::body::StepBudget;
use super::check::{Checked, Checker};
use super::functions::{CallForm, FUNCTIONS, Function};
use super::kinds::ExprType;
use super::node::ExprNode;
use super::pattern::RegexPattern;
use super::{PATTERNS_MAX, STEPS_MAX};
use crate::filter::error::{Error, excerpt, nearest};

/// The function whose argument must be a literal.
const MATCHES: &str = "matches";
/// Macros, which are parsed as such only with the arguments that they take.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];

impl Checker<'_> {
    /// Checks a call of `name`; of a member, the first operand is the subject.
    pub(super) fn check_function(
        &mut self,
        at: &IdedExpr,
        name: &str,
        is_member: bool,
        operands: &[&IdedExpr],
    ) -> Result<Checked, Error> {
        if let (MATCHES, [subject, pattern]) = (name, operands) {
            return self.check_matches(at, subject, pattern);
        }
        let fits = |form: CallForm| match form {
            CallForm::Both => true,
            CallForm::Member => is_member,
            CallForm::Global => !is_member,
        };
        let function = FUNCTIONS
            .iter()
            .find(|(known, form, _)| *known == name && fits(*form))
            .map(|(_, _, function)| *function)
            .ok_or_else(|| self.invalid(at, no_function(name, is_member)))?;
        let mut checked = Vec::with_capacity(operands.len());
        for operand in operands {
            checked.push(self.check(operand)?);
        }
        let kinds: Vec<String> = checked.iter().map(|operand| operand.kind.to_string()).collect();
        let refusal = || self.invalid(at, format!("{name} does not take ({})", kinds.join(", ")));
        let mut operands = checked.into_iter();
        let (subject, argument) = match (operands.next(), operands.next(), operands.next()) {
            (Some(subject), argument, None) => (subject, argument),
            _ => return Err(refusal()),
        };
        let argument_kind = argument.as_ref().map(|argument| &argument.kind);
        let kind = function.result(&subject.kind, argument_kind).ok_or_else(refusal)?;
        self.called(at, name, function, (subject, argument), kind)
    }

    /// The call of a function; the result, where that is known by now.
    fn called(
        &self,
        at: &IdedExpr,
        name: &str,
        function: Function,
        (subject, argument): (Checked, Option<Checked>),
        kind: ExprType,
    ) -> Result<Checked, Error> {
        if let (ExprNode::Literal(value), None) = (&subject.node, &argument) {
            let result = function
                .call(value.clone(), None, &StepBudget::new(STEPS_MAX))
                .map_err(|_| self.invalid(at, format!("{name} of this literal has no value")))?;
            return Ok(Checked::new(ExprNode::Literal(result), kind, 1));
        }
        let (argument, argument_cost) =
            argument.map_or((None, 0), |argument| (Some(argument.node), argument.cost));
        let cost = subject.cost.saturating_add(argument_cost).saturating_add(1);
        Ok(Checked::new(ExprNode::Call(function, Box::new((subject.node, argument))), kind, cost))
    }

    fn check_matches(
        &mut self,
        at: &IdedExpr,
        subject: &IdedExpr,
        pattern: &IdedExpr,
    ) -> Result<Checked, Error> {
        let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
            return Err(
                self.invalid(pattern, "the pattern of matches must be a literal".to_owned())
            );
        };
        if self.patterns == PATTERNS_MAX {
            return Err(Error::ExpressionTooManyPatterns { at: self.source.position(at) });
        }
        self.patterns += 1;
        let compiled =
            RegexPattern::new(text.inner()).map_err(|problem| self.invalid(pattern, problem))?;
        let subject = self.check(subject)?;
        if !subject.kind.may_be(&ExprType::String) {
            let problem = format!("{MATCHES} does not take ({}, string)", subject.kind);
            return Err(self.invalid(at, problem));
        }
        let node = ExprNode::Matches(Box::new((subject.node, compiled)));
        Ok(Checked::new(node, ExprType::Bool, subject.cost.saturating_add(1)))
    }
}

fn no_function(name: &str, is_member: bool) -> String {
    let known = FUNCTIONS.iter().map(|(known, _, _)| *known).chain(MACROS).chain([MATCHES]);
    let nearest = nearest(name, known, 1);
    let name = excerpt(name);
    match nearest.first() {
        Some(same) if *same == name && is_member => {
            format!("{name} is not called as x.{name}(), or not with these arguments")
        }
        Some(same) if *same == name => {
            format!("{name} is not called as {name}(x), or not with these arguments")
        }
        Some(near) => format!("there is no function {name}; nearest: {near}"),
        None => format!("there is no function {name}"),
    }
}
