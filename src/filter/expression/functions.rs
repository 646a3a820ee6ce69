//! The functions of CEL's standard library that filters support.

use std::borrow::Cow;

use super::Failed;
use super::body::StepBudget;
use super::kinds::ExprType;
use super::time::{self, TimePart};
use super::value::ExprValue;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    Timestamp,
    Duration,
    Int,
    Uint,
    Double,
    String,
    Part(TimePart),
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallForm {
    /// `f(x)`.
    Global,
    /// `x.f()`, or `x.f(y)`.
    Member,
    /// `f(x)` and `x.f()`.
    Both,
}

/// Name and form of each function.
pub(super) const FUNCTIONS: [(&str, CallForm, Function); 22] = [
    ("size", CallForm::Both, Function::Size),
    ("startsWith", CallForm::Member, Function::StartsWith),
    ("endsWith", CallForm::Member, Function::EndsWith),
    ("contains", CallForm::Member, Function::Contains),
    ("lowerAscii", CallForm::Member, Function::LowerAscii),
    ("upperAscii", CallForm::Member, Function::UpperAscii),
    ("timestamp", CallForm::Global, Function::Timestamp),
    ("duration", CallForm::Global, Function::Duration),
    ("int", CallForm::Global, Function::Int),
    ("uint", CallForm::Global, Function::Uint),
    ("double", CallForm::Global, Function::Double),
    ("string", CallForm::Global, Function::String),
    ("getFullYear", CallForm::Member, Function::Part(TimePart::FullYear)),
    ("getMonth", CallForm::Member, Function::Part(TimePart::Month)),
    ("getDate", CallForm::Member, Function::Part(TimePart::Date)),
    ("getDayOfMonth", CallForm::Member, Function::Part(TimePart::DayOfMonth)),
    ("getDayOfWeek", CallForm::Member, Function::Part(TimePart::DayOfWeek)),
    ("getDayOfYear", CallForm::Member, Function::Part(TimePart::DayOfYear)),
    ("getHours", CallForm::Member, Function::Part(TimePart::Hours)),
    ("getMinutes", CallForm::Member, Function::Part(TimePart::Minutes)),
    ("getSeconds", CallForm::Member, Function::Part(TimePart::Seconds)),
    ("getMilliseconds", CallForm::Member, Function::Part(TimePart::Milliseconds)),
];

impl Function {
    /// The type of the result; `None` if the function does not accept these types.
    pub(super) fn result(
        self,
        subject: &ExprType,
        argument: Option<&ExprType>,
    ) -> Option<ExprType> {
        use ExprType::{
            Bool, Bytes, Double, Duration, Dyn, Int, List, Map, String, Timestamp, Uint,
        };
        Some(match (self, subject, argument) {
            (Function::Size, Dyn | String | Bytes | List(_) | Map(_), None) => Int,
            (
                Function::StartsWith | Function::EndsWith | Function::Contains,
                Dyn | String,
                Some(Dyn | String),
            ) => Bool,
            (Function::LowerAscii | Function::UpperAscii, Dyn | String, None) => String,
            (Function::Timestamp, Dyn | String | Timestamp | Int, None) => Timestamp,
            (Function::Duration, Dyn | String | Duration, None) => Duration,
            (Function::Int, Dyn | Int | Uint | Double | String | Timestamp, None) => Int,
            (Function::Uint, Dyn | Int | Uint | Double | String, None) => Uint,
            (Function::Double, Dyn | Int | Uint | Double | String, None) => Double,
            (
                Function::String,
                Dyn | Bool | Int | Uint | Double | String | Timestamp | Duration,
                None,
            ) => String,
            (Function::Part(_), Dyn | Timestamp, None) => Int,
            (Function::Part(part), Duration, None) => {
                time::part_of_duration(0, part).map(|_| Int)?
            }
            _ => return None,
        })
    }

    /// Calls the function.
    pub(super) fn call<'a>(
        self,
        subject: ExprValue<'a>,
        argument: Option<&ExprValue<'a>>,
        meter: &StepBudget,
    ) -> Result<ExprValue<'a>, Failed> {
        self.pay(&subject, argument, meter)?;
        let result = match (self, subject, argument) {
            (Function::Size, subject, None) => size(&subject, meter),
            (
                Function::StartsWith | Function::EndsWith | Function::Contains,
                ExprValue::String(text),
                Some(ExprValue::String(part)),
            ) => {
                let part = part.as_ref();
                Some(ExprValue::Bool(match self {
                    Function::StartsWith => text.starts_with(part),
                    Function::EndsWith => text.ends_with(part),
                    _ => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
                }))
            }
            (Function::LowerAscii, ExprValue::String(text), None) => {
                Some(ExprValue::String(Cow::Owned(text.to_ascii_lowercase())))
            }
            (Function::UpperAscii, ExprValue::String(text), None) => {
                Some(ExprValue::String(Cow::Owned(text.to_ascii_uppercase())))
            }
            (Function::Timestamp, subject, None) => {
                to_timestamp(&subject).map(ExprValue::Timestamp)
            }
            (Function::Duration, ExprValue::Duration(nanos), None) => {
                Some(ExprValue::Duration(nanos))
            }
            (Function::Duration, ExprValue::String(text), None) => {
                time::parse_duration(&text).map(ExprValue::Duration)
            }
            (Function::Int, subject, None) => to_int(&subject).map(ExprValue::Int),
            (Function::Uint, subject, None) => to_uint(&subject).map(ExprValue::Uint),
            (Function::Double, subject, None) => to_double(&subject).map(ExprValue::Double),
            (Function::String, subject, None) => to_string(subject),
            (Function::Part(part), ExprValue::Timestamp(nanos), None) => {
                Some(ExprValue::Int(time::part_of_timestamp(nanos, part)))
            }
            (Function::Part(part), ExprValue::Duration(nanos), None) => {
                time::part_of_duration(nanos, part).map(ExprValue::Int)
            }
            _ => None,
        };
        result.ok_or(Failed)
    }

    /// Pays for the bytes that a call will read.
    fn pay(
        self,
        subject: &ExprValue<'_>,
        argument: Option<&ExprValue<'_>>,
        meter: &StepBudget,
    ) -> Result<(), Failed> {
        let text = if let ExprValue::String(text) = subject { text.len() } else { 0 };
        let part = if let Some(ExprValue::String(part)) = argument { part.len() } else { 0 };
        match self {
            Function::Size => meter.spend_on_pass(text),
            Function::StartsWith | Function::EndsWith => meter.spend_on_pass(part),
            Function::Contains => meter.spend_on_search(text.saturating_add(part)),
            Function::LowerAscii | Function::UpperAscii | Function::String => {
                meter.spend_on_memory(text);
            }
            Function::Timestamp
            | Function::Duration
            | Function::Int
            | Function::Uint
            | Function::Double => meter.spend_on_each(text.saturating_mul(4)),
            Function::Part(_) => {}
        }
        meter.check()
    }
}

fn size<'a>(value: &ExprValue<'_>, meter: &StepBudget) -> Option<ExprValue<'a>> {
    let size = match value {
        ExprValue::String(text) => text.chars().count(),
        ExprValue::Bytes(bytes) => bytes.len(),
        ExprValue::List(list) => list.len(meter),
        ExprValue::Map(map) => map.keys(meter).len(meter),
        _ => return None,
    };
    i64::try_from(size).ok().map(ExprValue::Int)
}

fn to_timestamp(value: &ExprValue<'_>) -> Option<i128> {
    match value {
        ExprValue::Timestamp(nanos) => Some(*nanos),
        ExprValue::Int(seconds) => time::timestamp(i128::from(*seconds) * time::NANOS_PER_SECOND),
        ExprValue::String(text) => time::parse_timestamp(text),
        _ => None,
    }
}

fn to_int(value: &ExprValue<'_>) -> Option<i64> {
    match value {
        ExprValue::Int(number) => Some(*number),
        ExprValue::Uint(number) => i64::try_from(*number).ok(),
        ExprValue::Double(number) => whole(*number).and_then(|number| i64::try_from(number).ok()),
        ExprValue::String(text) => text.parse().ok(),
        ExprValue::Timestamp(nanos) => i64::try_from(nanos.div_euclid(time::NANOS_PER_SECOND)).ok(),
        _ => None,
    }
}

fn to_uint(value: &ExprValue<'_>) -> Option<u64> {
    match value {
        ExprValue::Int(number) => u64::try_from(*number).ok(),
        ExprValue::Uint(number) => Some(*number),
        ExprValue::Double(number) => whole(*number).and_then(|number| u64::try_from(number).ok()),
        ExprValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Rounds towards zero; saturates beyond 128 bits.
fn whole(number: f64) -> Option<i128> {
    (!number.is_nan()).then_some(number as i128)
}

fn to_double(value: &ExprValue<'_>) -> Option<f64> {
    match value {
        ExprValue::Int(number) => Some(*number as f64),
        ExprValue::Uint(number) => Some(*number as f64),
        ExprValue::Double(number) => Some(*number),
        ExprValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn to_string(value: ExprValue<'_>) -> Option<ExprValue<'_>> {
    let text = match value {
        ExprValue::String(text) => return Some(ExprValue::String(text)),
        ExprValue::Bool(value) => value.to_string(),
        ExprValue::Int(number) => number.to_string(),
        ExprValue::Uint(number) => number.to_string(),
        ExprValue::Double(number) => number.to_string(),
        ExprValue::Timestamp(nanos) => time::format_timestamp(nanos),
        ExprValue::Duration(nanos) => time::format_duration(nanos),
        _ => return None,
    };
    Some(ExprValue::String(Cow::Owned(text)))
}
