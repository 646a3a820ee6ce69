//! Evaluates macros that visit elements.

use std::ops::ControlFlow;

use super::Failed;
use super::eval::{Elements, Evaluator, Scope};
use super::node::{ExprNode, Visit, VisitKind};
use super::value::ExprValue;
use super::value::List;

impl<'a> Evaluator<'a> {
    /// The value of a macro.
    pub(super) fn visit(
        &self,
        visit: &'a Visit,
        elements: Elements<'_, 'a>,
    ) -> Result<ExprValue<'a>, Failed> {
        let list = match self.value(&visit.range, elements)? {
            ExprValue::List(list) => list,
            ExprValue::Map(map) => map.keys(&self.meter),
            _ => return Err(Failed),
        };
        let each = |node: &'a ExprNode, element: &ExprValue<'a>| {
            self.value(node, Some(&Scope { element, outer: elements }))
        };
        let test = |node: &'a ExprNode, element: &ExprValue<'a>| match each(node, element)? {
            ExprValue::Bool(value) => Ok(value),
            _ => Err(Failed),
        };
        match &visit.kind {
            VisitKind::All(condition) => {
                self.fold(&list, false, |element| test(condition, element))
            }
            VisitKind::Exists(condition) => {
                self.fold(&list, true, |element| test(condition, element))
            }
            VisitKind::ExistsOne(condition) => {
                let mut count = 0_u64;
                self.each(&list, |element| {
                    count += u64::from(test(condition, &element)?);
                    Ok(())
                })?;
                Ok(ExprValue::Bool(count == 1))
            }
            VisitKind::Collect(condition, result) => {
                let mut values = Vec::new();
                self.each(&list, |element| {
                    let kept = condition.as_ref().map(|node| test(node, &element)).transpose()?;
                    if kept != Some(false) {
                        self.meter.spend_on_room(size_of::<ExprValue<'a>>());
                        values.push(each(result, &element)?);
                    }
                    Ok(())
                })?;
                Ok(ExprValue::List(List::Values(values.into())))
            }
        }
    }

    /// Returns `decisive` if one test has that result, else the opposite. A failure counts only if
    /// no test is decisive.
    fn fold(
        &self,
        list: &List<'a>,
        decisive: bool,
        test: impl Fn(&ExprValue<'a>) -> Result<bool, Failed>,
    ) -> Result<ExprValue<'a>, Failed> {
        let mut so_far = Ok(!decisive);
        let decided = list.visit(&self.meter, |element| match test(&element) {
            Ok(value) if value == decisive => ControlFlow::Break(()),
            Ok(_) => ControlFlow::Continue(()),
            Err(Failed) => {
                so_far = Err(Failed);
                // No test is possible after the steps are used up.
                if self.meter.check().is_err() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            }
        });
        self.meter.check()?;
        if decided.is_some() { Ok(ExprValue::Bool(decisive)) } else { so_far.map(ExprValue::Bool) }
    }

    /// Visits all elements, up to the first failure.
    fn each(
        &self,
        list: &List<'a>,
        mut visit: impl FnMut(ExprValue<'a>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let failed = list.visit(&self.meter, |element| match visit(element) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Failed) => ControlFlow::Break(Failed),
        });
        failed.map_or(Ok(()), Err)
    }
}
