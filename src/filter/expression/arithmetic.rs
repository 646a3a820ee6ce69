//! Equality, order and arithmetic of values.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::Failed;
use super::body::Meter;
use super::kinds::Type;
use super::lists::List;
use super::time;
use super::value::Value;

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
    /// Whether two values stand in this order. A NaN stands in none.
    pub(super) fn holds(self, a: &Value<'_>, b: &Value<'_>, meter: &Meter) -> Result<bool, Failed> {
        let Some(order) = order(a, b, meter)? else { return Ok(false) };
        Ok(match self {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        })
    }
}

impl Arithmetic {
    /// The type of the result; `None` where the operator is not defined.
    pub(super) fn result(self, a: &Type, b: &Type) -> Option<Type> {
        use Arithmetic::{Add, Remainder, Subtract};
        Some(match (self, a, b) {
            (_, Type::Dyn, _) | (_, _, Type::Dyn) => Type::Dyn,
            (_, Type::Int, Type::Int) => Type::Int,
            (_, Type::Uint, Type::Uint) => Type::Uint,
            (Remainder, Type::Double, _) => return None,
            (_, Type::Double, Type::Double) => Type::Double,
            (Add, Type::String, Type::String) => Type::String,
            (Add, Type::List(_), Type::List(_)) => a.clone().join(b.clone())?,
            (Add, Type::Timestamp, Type::Duration) | (Add, Type::Duration, Type::Timestamp) => {
                Type::Timestamp
            }
            (Subtract, Type::Timestamp, Type::Timestamp) => Type::Duration,
            (Subtract, Type::Timestamp, Type::Duration) => Type::Timestamp,
            (Add | Subtract, Type::Duration, Type::Duration) => Type::Duration,
            _ => return None,
        })
    }

    /// Computes. Fails on overflow, division by zero and types that do not
    /// match.
    pub(super) fn apply<'a>(
        self,
        a: &Value<'a>,
        b: &Value<'a>,
        meter: &Meter,
    ) -> Result<Value<'a>, Failed> {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        let result = match (a, b) {
            (Value::Int(a), Value::Int(b)) => match self {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                Remainder => a.checked_rem(*b),
            }
            .map(Value::Int),
            (Value::Uint(a), Value::Uint(b)) => match self {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                Remainder => a.checked_rem(*b),
            }
            .map(Value::Uint),
            (Value::Double(a), Value::Double(b)) => match self {
                Add => Some(a + b),
                Subtract => Some(a - b),
                Multiply => Some(a * b),
                Divide => Some(a / b),
                Remainder => None,
            }
            .map(Value::Double),
            (Value::String(a), Value::String(b)) if self == Add => {
                meter.spend_on_memory(a.len() + b.len());
                Some(Value::String(Cow::Owned(format!("{a}{b}"))))
            }
            (Value::List(a), Value::List(b)) if self == Add => {
                Some(Value::List(List::concat(a, b, meter)))
            }
            _ => self.apply_to_time(a, b),
        };
        result.ok_or(Failed)
    }

    fn apply_to_time<'a>(self, a: &Value<'a>, b: &Value<'a>) -> Option<Value<'a>> {
        use Arithmetic::{Add, Subtract};
        use Value::{Duration, Timestamp};
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
pub(super) fn equal(a: &Value<'_>, b: &Value<'_>, meter: &Meter) -> Result<bool, Failed> {
    match (a, b) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::List(a), Value::List(b)) => equal_lists(a, b, meter),
        (Value::Map(_) | Value::Message(_), _) | (_, Value::Map(_) | Value::Message(_)) => {
            Err(Failed)
        }
        _ => Ok(order(a, b, meter) == Ok(Some(Ordering::Equal))),
    }
}

fn equal_lists(a: &List<'_>, b: &List<'_>, meter: &Meter) -> Result<bool, Failed> {
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

/// How two values stand to each other; `None` where one is NaN.
fn order(a: &Value<'_>, b: &Value<'_>, meter: &Meter) -> Result<Option<Ordering>, Failed> {
    let bytewise = |a: &[u8], b: &[u8]| {
        meter.spend_on_pass(a.len().min(b.len()));
        Some(a.cmp(b))
    };
    let wide = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => bytewise(a.as_bytes(), b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => bytewise(a, b),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => {
            Some(a.cmp(b))
        }
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => {
            order_with_double(wide(b).ok_or(Failed)?, *a).map(Ordering::reverse)
        }
        (a, Value::Double(b)) => order_with_double(wide(a).ok_or(Failed)?, *b),
        (a, b) => Some(wide(a).ok_or(Failed)?.cmp(&wide(b).ok_or(Failed)?)),
    })
}

/// Compares by value, without rounding the integer, which has 64 bits.
fn order_with_double(integer: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // The conversion saturates, beyond what an integer of 64 bits reaches.
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
            (Value::Int(-1), Value::Uint(u64::MAX), Some(Ordering::Less)),
            (Value::Int(5), Value::Uint(5), Some(Ordering::Equal)),
            (Value::Int(5), Value::Double(5.0), Some(Ordering::Equal)),
            (Value::Int(5), Value::Double(5.5), Some(Ordering::Less)),
            (Value::Int(-5), Value::Double(-5.5), Some(Ordering::Greater)),
            (Value::Double(0.5), Value::Uint(0), Some(Ordering::Greater)),
            (Value::Int(TWO_POW_53 + 1), Value::Double(TWO_POW_53 as f64), Some(Ordering::Greater)),
            (Value::Uint(u64::MAX), Value::Double(f64::INFINITY), Some(Ordering::Less)),
            (Value::Int(i64::MIN), Value::Double(f64::NEG_INFINITY), Some(Ordering::Greater)),
            (Value::Int(0), Value::Double(f64::NAN), None),
        ] {
            let meter = Meter::new(METER_STEPS);
            assert_eq!(order(&a, &b, &meter), Ok(expected), "{a:?} {b:?}");
            assert_eq!(order(&b, &a, &meter), Ok(expected.map(Ordering::reverse)), "{b:?} {a:?}");
        }
    }

    #[test]
    fn values_of_different_types_are_unequal_and_have_no_order() {
        let meter = Meter::new(METER_STEPS);
        let (text, number) = (Value::String("1".into()), Value::Int(1));
        assert_eq!(equal(&text, &number, &meter), Ok(false));
        assert_eq!(Comparison::Less.holds(&text, &number, &meter), Err(Failed));
        assert_eq!(Comparison::Less.holds(&Value::Null, &Value::Null, &meter), Err(Failed));
        assert_eq!(equal(&Value::Null, &Value::Null, &meter), Ok(true));
    }

    #[test]
    fn lists_are_equal_element_by_element() {
        let meter = Meter::new(METER_STEPS);
        let list = |numbers: &[i64]| {
            Value::List(List::Values(numbers.iter().map(|number| Value::Int(*number)).collect()))
        };
        assert_eq!(equal(&list(&[1, 2]), &list(&[1, 2]), &meter), Ok(true));
        for other in [vec![1], vec![1, 2, 3], vec![2, 1], vec![]] {
            assert_eq!(equal(&list(&[1, 2]), &list(&other), &meter), Ok(false), "{other:?}");
        }
    }

    #[test]
    fn arithmetic_fails_where_there_is_no_result() {
        let meter = Meter::new(METER_STEPS);
        let fails = |operator: Arithmetic, a, b| operator.apply(&a, &b, &meter).is_err();
        assert!(fails(Arithmetic::Divide, Value::Int(1), Value::Int(0)));
        assert!(fails(Arithmetic::Remainder, Value::Uint(1), Value::Uint(0)));
        assert!(fails(Arithmetic::Divide, Value::Int(i64::MIN), Value::Int(-1)));
        assert!(fails(Arithmetic::Add, Value::Int(i64::MAX), Value::Int(1)));
        assert!(fails(Arithmetic::Subtract, Value::Uint(0), Value::Uint(1)));
        assert!(fails(Arithmetic::Add, Value::Int(1), Value::Uint(1)));
        let late = time::parse_timestamp("9999-12-31T23:59:59Z").expect("a timestamp");
        let second = Value::Duration(time::NANOS_PER_SECOND);
        assert!(fails(Arithmetic::Add, Value::Timestamp(late), second));
    }
}
