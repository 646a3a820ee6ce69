//! Checks calls of functions.

use super::body::StepBudget;
use super::check::{Checked, Checker};
use super::functions::{CallForm, FUNCTIONS, Function};
use super::kinds::ExprType;
use super::macros::recognize;
use super::node::ExprNode;
use super::pattern::RegexPattern;
use super::syntax::{Expr, Kind as Syntax, Literal, Name};
use super::{PATTERNS_MAX, STEPS_MAX};
use crate::filter::error::{Error, excerpt, nearest};

/// The function whose argument must be a literal.
const MATCHES: &str = "matches";
/// The macro that tests whether a field is set.
const HAS: &str = "has";
/// Macros.
const MACROS: [&str; 6] = [HAS, "all", "exists", "exists_one", "map", "filter"];

impl Checker<'_> {
    /// Checks a call of a function or of a macro.
    pub(super) fn check_call(
        &mut self,
        at: &Expr,
        target: Option<&Expr>,
        name: &Name,
        arguments: &[Expr],
    ) -> Result<Checked, Error> {
        let visit = target.and_then(|range| Some((range, recognize(&name.text, arguments)?)));
        if let Some((range, call)) = visit {
            return self.check_visit(range, name, call);
        }
        match (name.text.as_str(), target, arguments) {
            (HAS, None, [argument]) => match &argument.kind {
                Syntax::Select(operand, name) => self.check_select(argument, operand, name, true),
                _ => Err(self.invalid(argument, "has takes a path: has(event.user)".to_owned())),
            },
            (MATCHES, None, [subject, pattern]) | (MATCHES, Some(subject), [pattern]) => {
                self.check_matches(at, subject, pattern)
            }
            _ => self.check_function(target, name, arguments),
        }
    }

    fn check_function(
        &mut self,
        target: Option<&Expr>,
        at: &Name,
        arguments: &[Expr],
    ) -> Result<Checked, Error> {
        let name = at.text.as_str();
        let is_member = target.is_some();
        let fits = |form: CallForm| match form {
            CallForm::Both => true,
            CallForm::Member => is_member,
            CallForm::Global => !is_member,
        };
        let function = FUNCTIONS
            .iter()
            .find(|(known, form, _)| *known == name && fits(*form))
            .map(|(_, _, function)| *function)
            .ok_or_else(|| self.no_function(at, is_member))?;
        let mut checked = Vec::with_capacity(arguments.len() + 1);
        for operand in target.into_iter().chain(arguments) {
            checked.push(self.check(operand)?);
        }
        let kinds: Vec<String> = checked.iter().map(|operand| operand.kind.to_string()).collect();
        let problem = format!("{name} does not take ({})", kinds.join(", "));
        let refusal = || self.invalid_at(&at.span, problem.clone());
        let mut operands = checked.into_iter();
        let (subject, argument) = match (operands.next(), operands.next(), operands.next()) {
            (Some(subject), argument, None) => (subject, argument),
            _ => return Err(refusal()),
        };
        let argument_kind = argument.as_ref().map(|argument| &argument.kind);
        let kind = function.result(&subject.kind, argument_kind).ok_or_else(refusal)?;
        self.called(at, function, (subject, argument), kind)
    }

    /// The call of a function, or its result if that is known already.
    fn called(
        &self,
        at: &Name,
        function: Function,
        (subject, argument): (Checked, Option<Checked>),
        kind: ExprType,
    ) -> Result<Checked, Error> {
        if let (ExprNode::Literal(value), None) = (&subject.node, &argument) {
            let result =
                function.call(value.clone(), None, &StepBudget::new(STEPS_MAX)).map_err(|_| {
                    let problem = format!("{} of this literal has no value", at.text);
                    self.invalid_at(&at.span, problem)
                })?;
            return Ok(Checked::new(ExprNode::Literal(result), kind, 1));
        }
        let (argument, argument_cost) =
            argument.map_or((None, 0), |argument| (Some(argument.node), argument.cost));
        let cost = subject.cost.saturating_add(argument_cost).saturating_add(1);
        Ok(Checked::new(ExprNode::Call(function, Box::new((subject.node, argument))), kind, cost))
    }

    fn check_matches(
        &mut self,
        at: &Expr,
        subject: &Expr,
        pattern: &Expr,
    ) -> Result<Checked, Error> {
        let Syntax::Literal(Literal::String(text)) = &pattern.kind else {
            return Err(
                self.invalid(pattern, "the pattern of matches must be a literal".to_owned())
            );
        };
        if self.patterns == PATTERNS_MAX {
            return Err(Error::ExpressionTooManyPatterns { at: self.position(&at.span) });
        }
        self.patterns += 1;
        let compiled = RegexPattern::new(text).map_err(|problem| self.invalid(pattern, problem))?;
        self.pattern_bytes += compiled.held_bytes();
        let subject = self.check(subject)?;
        if !subject.kind.may_be(&ExprType::String) {
            let problem = format!("{MATCHES} does not take ({}, string)", subject.kind);
            return Err(self.invalid(at, problem));
        }
        let node = ExprNode::Matches(Box::new((subject.node, compiled)));
        Ok(Checked::new(node, ExprType::Bool, subject.cost.saturating_add(1)))
    }
}

impl Checker<'_> {
    fn no_function(&self, name: &Name, is_member: bool) -> Error {
        let known = FUNCTIONS.iter().map(|(known, _, _)| *known).chain(MACROS).chain([MATCHES]);
        let nearest = nearest(&name.text, known, 1);
        let shown = excerpt(&name.text);
        let problem = match nearest.first() {
            Some(same) if *same == name.text && is_member => {
                format!("{shown} is not called as x.{shown}(), or not with these arguments")
            }
            Some(same) if *same == name.text => {
                format!("{shown} is not called as {shown}(x), or not with these arguments")
            }
            Some(near) => format!("there is no function {shown}; nearest: {near}"),
            None => format!("there is no function {shown}"),
        };
        let nearest = nearest.into_iter().map(str::to_owned).collect();
        Error::ExpressionInvalid { at: self.position(&name.span), problem, nearest }
    }
}
