//! Equality, order and arithmetic of values.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::Failed;
use super::body::StepBudget;
use super::kinds::ExprType;
use super::time;
use super::value::ExprValue;
use super::value::List;

/// An operator that compares by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operator that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Comparison {
    /// Whether two values are in this order. NaN is in no order.
    pub(super) fn holds(
        self,
        a: &ExprValue<'_>,
        b: &ExprValue<'_>,
        meter: &StepBudget,
    ) -> Result<bool, Failed> {
        Ok(order(a, b, meter)?.is_some_and(|order| self.includes(order)))
    }

    /// Whether the comparison holds for values in this order.
    pub(super) fn includes(self, order: Ordering) -> bool {
        match self {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The same comparison with its operands exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        }
    }
}

impl Arithmetic {
    /// The type of the result; `None` if the operator is not defined.
    pub(super) fn result(self, a: &ExprType, b: &ExprType) -> Option<ExprType> {
        use Arithmetic::{Add, Remainder, Subtract};
        Some(match (self, a, b) {
            (_, ExprType::Dyn, _) | (_, _, ExprType::Dyn) => ExprType::Dyn,
            (_, ExprType::Int, ExprType::Int) => ExprType::Int,
            (_, ExprType::Uint, ExprType::Uint) => ExprType::Uint,
            (Remainder, ExprType::Double, _) => return None,
            (_, ExprType::Double, ExprType::Double) => ExprType::Double,
            (Add, ExprType::String, ExprType::String) => ExprType::String,
            (Add, ExprType::List(_), ExprType::List(_)) => a.clone().join(b.clone())?,
            (Add, ExprType::Timestamp, ExprType::Duration)
            | (Add, ExprType::Duration, ExprType::Timestamp) => ExprType::Timestamp,
            (Subtract, ExprType::Timestamp, ExprType::Timestamp) => ExprType::Duration,
            (Subtract, ExprType::Timestamp, ExprType::Duration) => ExprType::Timestamp,
            (Add | Subtract, ExprType::Duration, ExprType::Duration) => ExprType::Duration,
            _ => return None,
        })
    }

    /// Computes. Fails on overflow, division by zero and types that do not
    /// match.
    pub(super) fn apply<'a>(
        self,
        a: &ExprValue<'a>,
        b: &ExprValue<'a>,
        meter: &StepBudget,
    ) -> Result<ExprValue<'a>, Failed> {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        let result = match (a, b) {
            (ExprValue::Int(a), ExprValue::Int(b)) => match self {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                Remainder => a.checked_rem(*b),
            }
            .map(ExprValue::Int),
            (ExprValue::Uint(a), ExprValue::Uint(b)) => match self {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                Remainder => a.checked_rem(*b),
            }
            .map(ExprValue::Uint),
            (ExprValue::Double(a), ExprValue::Double(b)) => match self {
                Add => Some(a + b),
                Subtract => Some(a - b),
                Multiply => Some(a * b),
                Divide => Some(a / b),
                Remainder => None,
            }
            .map(ExprValue::Double),
            (ExprValue::String(a), ExprValue::String(b)) if self == Add => {
                meter.spend_on_memory(a.len() + b.len());
                // A text of some MiB takes longer than a slice to copy.
                meter.check()?;
                Some(ExprValue::String(Cow::Owned([&**a, &**b].concat())))
            }
            (ExprValue::List(a), ExprValue::List(b)) if self == Add => {
                Some(ExprValue::List(List::concat(a, b, meter)))
            }
            _ => self.apply_to_time(a, b),
        };
        result.ok_or(Failed)
    }

    fn apply_to_time<'a>(self, a: &ExprValue<'a>, b: &ExprValue<'a>) -> Option<ExprValue<'a>> {
        use Arithmetic::{Add, Subtract};
        use ExprValue::{Duration, Timestamp};
        match (self, a, b) {
            (Add, Timestamp(a), Duration(b)) | (Add, Duration(a), Timestamp(b)) => {
                time::timestamp(a + b).map(Timestamp)
            }
            (Subtract, Timestamp(a), Duration(b)) => time::timestamp(a - b).map(Timestamp),
            (Subtract, Timestamp(a), Timestamp(b)) => time::duration(a - b).map(Duration),
            (Add, Duration(a), Duration(b)) => time::duration(a + b).map(Duration),
            (Subtract, Duration(a), Duration(b)) => time::duration(a - b).map(Duration),
            _ => None,
        }
    }
}

/// Whether two values are equal; values of different types are not. Maps and
/// messages cannot be compared.
pub(super) fn equal(
    a: &ExprValue<'_>,
    b: &ExprValue<'_>,
    meter: &StepBudget,
) -> Result<bool, Failed> {
    match (a, b) {
        (ExprValue::Null, ExprValue::Null) => Ok(true),
        (ExprValue::List(a), ExprValue::List(b)) => equal_lists(a, b, meter),
        (ExprValue::Map(_) | ExprValue::Message(_), _)
        | (_, ExprValue::Map(_) | ExprValue::Message(_)) => Err(Failed),
        _ => Ok(order(a, b, meter) == Ok(Some(Ordering::Equal))),
    }
}

fn equal_lists(a: &List<'_>, b: &List<'_>, meter: &StepBudget) -> Result<bool, Failed> {
    let mut others = Vec::new();
    b.visit(meter, |value| {
        meter.spend_on_room(size_of_val(&value));
        others.push(value);
        if meter.check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    meter.check()?;
    let mut others = others.iter();
    let differs = a.visit(meter, |value| match others.next() {
        None => ControlFlow::Break(Ok(false)),
        Some(other) => match equal(&value, other, meter) {
            Ok(true) => ControlFlow::Continue(()),
            other => ControlFlow::Break(other),
        },
    });
    differs.unwrap_or(Ok(others.next().is_none()))
}

/// The order of two values; `None` if one is NaN.
fn order(
    a: &ExprValue<'_>,
    b: &ExprValue<'_>,
    meter: &StepBudget,
) -> Result<Option<Ordering>, Failed> {
    let bytewise = |a: &[u8], b: &[u8]| {
        meter.spend_on_pass(a.len().min(b.len()));
        Some(a.cmp(b))
    };
    let wide = |value: &ExprValue<'_>| match value {
        ExprValue::Int(number) => Some(i128::from(*number)),
        ExprValue::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    Ok(match (a, b) {
        (ExprValue::Bool(a), ExprValue::Bool(b)) => Some(a.cmp(b)),
        (ExprValue::String(a), ExprValue::String(b)) => bytewise(a.as_bytes(), b.as_bytes()),
        (ExprValue::Bytes(a), ExprValue::Bytes(b)) => bytewise(a, b),
        (ExprValue::Timestamp(a), ExprValue::Timestamp(b))
        | (ExprValue::Duration(a), ExprValue::Duration(b)) => Some(a.cmp(b)),
        (ExprValue::Double(a), ExprValue::Double(b)) => a.partial_cmp(b),
        (ExprValue::Double(a), b) => {
            order_with_double(wide(b).ok_or(Failed)?, *a).map(Ordering::reverse)
        }
        (a, ExprValue::Double(b)) => order_with_double(wide(a).ok_or(Failed)?, *b),
        (a, b) => Some(wide(a).ok_or(Failed)?.cmp(&wide(b).ok_or(Failed)?)),
    })
}

/// Compares by value, without rounding the integer, which has 64 bits.
fn order_with_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // The conversion saturates beyond the range of 64-bit integers.
    let whole = integer.cmp(&(double.trunc() as i128));
    let fraction = || 0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal);
    Some(if double.is_finite() { whole.then_with(fraction) } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METER_STEPS: u64 = 1_000;

    #[test]
    fn numbers_compare_by_value() {
        const TWO_POW_53: i64 = 1 << 53;
        for (a, b, expected) in [
            (ExprValue::Int(-1), ExprValue::Uint(u64::MAX), Some(Ordering::Less)),
            (ExprValue::Int(5), ExprValue::Uint(5), Some(Ordering::Equal)),
            (ExprValue::Int(5), ExprValue::Double(5.0), Some(Ordering::Equal)),
            (ExprValue::Int(5), ExprValue::Double(5.5), Some(Ordering::Less)),
            (ExprValue::Int(-5), ExprValue::Double(-5.5), Some(Ordering::Greater)),
            (ExprValue::Double(0.5), ExprValue::Uint(0), Some(Ordering::Greater)),
            (
                ExprValue::Int(TWO_POW_53 + 1),
                ExprValue::Double(TWO_POW_53 as f64),
                Some(Ordering::Greater),
            ),
            (ExprValue::Uint(u64::MAX), ExprValue::Double(f64::INFINITY), Some(Ordering::Less)),
            (
                ExprValue::Int(i64::MIN),
                ExprValue::Double(f64::NEG_INFINITY),
                Some(Ordering::Greater),
            ),
            (ExprValue::Int(0), ExprValue::Double(f64::NAN), None),
        ] {
            let meter = StepBudget::new(METER_STEPS);
            assert_eq!(order(&a, &b, &meter), Ok(expected), "{a:?} {b:?}");
            assert_eq!(order(&b, &a, &meter), Ok(expected.map(Ordering::reverse)), "{b:?} {a:?}");
        }
    }

    #[test]
    fn values_of_different_types_are_unequal_and_have_no_order() {
        let meter = StepBudget::new(METER_STEPS);
        let (text, number) = (ExprValue::String("1".into()), ExprValue::Int(1));
        assert_eq!(equal(&text, &number, &meter), Ok(false));
        assert_eq!(Comparison::Less.holds(&text, &number, &meter), Err(Failed));
        assert_eq!(Comparison::Less.holds(&ExprValue::Null, &ExprValue::Null, &meter), Err(Failed));
        assert_eq!(equal(&ExprValue::Null, &ExprValue::Null, &meter), Ok(true));
    }

    #[test]
    fn lists_are_equal_element_by_element() {
        let meter = StepBudget::new(METER_STEPS);
        let list = |numbers: &[i64]| {
            ExprValue::List(List::Values(
                numbers.iter().map(|number| ExprValue::Int(*number)).collect(),
            ))
        };
        assert_eq!(equal(&list(&[1, 2]), &list(&[1, 2]), &meter), Ok(true));
        for other in [vec![1], vec![1, 2, 3], vec![2, 1], vec![]] {
            assert_eq!(equal(&list(&[1, 2]), &list(&other), &meter), Ok(false), "{other:?}");
        }
    }

    #[test]
    fn texts_are_not_joined_beyond_the_budget() {
        let text = ExprValue::String("x".repeat(1_000_000).into());
        let join = |steps| Arithmetic::Add.apply(&text, &text, &StepBudget::new(steps));
        assert!(
            matches!(join(100 * METER_STEPS), Ok(ExprValue::String(joined)) if joined.len() == 2_000_000)
        );
        assert!(matches!(join(METER_STEPS), Err(Failed)));
    }

    #[test]
    fn arithmetic_fails_where_there_is_no_result() {
        let meter = StepBudget::new(METER_STEPS);
        let fails =
            |operator: Arithmetic, a, b| matches!(operator.apply(&a, &b, &meter), Err(Failed));
        assert!(fails(Arithmetic::Divide, ExprValue::Int(1), ExprValue::Int(0)));
        assert!(fails(Arithmetic::Remainder, ExprValue::Uint(1), ExprValue::Uint(0)));
        assert!(fails(Arithmetic::Divide, ExprValue::Int(i64::MIN), ExprValue::Int(-1)));
        assert!(fails(Arithmetic::Add, ExprValue::Int(i64::MAX), ExprValue::Int(1)));
        assert!(fails(Arithmetic::Subtract, ExprValue::Uint(0), ExprValue::Uint(1)));
        assert!(fails(Arithmetic::Add, ExprValue::Int(1), ExprValue::Uint(1)));
        let late = time::parse_timestamp("9999-12-31T23:59:59Z").expect("a timestamp");
        let second = ExprValue::Duration(time::NANOS_PER_SECOND);
        assert!(fails(Arithmetic::Add, ExprValue::Timestamp(late), second));
    }
}
