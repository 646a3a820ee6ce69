//! The functions of CEL's standard library that filters have a use for.

use std::borrow::Cow;

use super::Failed;
use super::body::Meter;
use super::kinds::Type;
use super::time::{self, Part};
use super::value::Value;

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
    Part(Part),
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `f(x)`.
    Global,
    /// `x.f()`, or `x.f(y)`.
    Member,
    /// `f(x)` and `x.f()`.
    Both,
}

/// Name and form of each function.
pub(super) const FUNCTIONS: [(&str, Form, Function); 22] = [
    ("size", Form::Both, Function::Size),
    ("startsWith", Form::Member, Function::StartsWith),
    ("endsWith", Form::Member, Function::EndsWith),
    ("contains", Form::Member, Function::Contains),
    ("lowerAscii", Form::Member, Function::LowerAscii),
    ("upperAscii", Form::Member, Function::UpperAscii),
    ("timestamp", Form::Global, Function::Timestamp),
    ("duration", Form::Global, Function::Duration),
    ("int", Form::Global, Function::Int),
    ("uint", Form::Global, Function::Uint),
    ("double", Form::Global, Function::Double),
    ("string", Form::Global, Function::String),
    ("getFullYear", Form::Member, Function::Part(Part::FullYear)),
    ("getMonth", Form::Member, Function::Part(Part::Month)),
    ("getDate", Form::Member, Function::Part(Part::Date)),
    ("getDayOfMonth", Form::Member, Function::Part(Part::DayOfMonth)),
    ("getDayOfWeek", Form::Member, Function::Part(Part::DayOfWeek)),
    ("getDayOfYear", Form::Member, Function::Part(Part::DayOfYear)),
    ("getHours", Form::Member, Function::Part(Part::Hours)),
    ("getMinutes", Form::Member, Function::Part(Part::Minutes)),
    ("getSeconds", Form::Member, Function::Part(Part::Seconds)),
    ("getMilliseconds", Form::Member, Function::Part(Part::Milliseconds)),
];

impl Function {
    /// The type of the result; `None` where the function does not take these.
    pub(super) fn result(self, subject: &Type, argument: Option<&Type>) -> Option<Type> {
        use Type::{Bool, Bytes, Double, Duration, Dyn, Int, List, Map, String, Timestamp, Uint};
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
        subject: Value<'a>,
        argument: Option<&Value<'a>>,
        meter: &Meter,
    ) -> Result<Value<'a>, Failed> {
        self.pay(&subject, argument, meter)?;
        let result = match (self, subject, argument) {
            (Function::Size, subject, None) => size(&subject, meter),
            (
                Function::StartsWith | Function::EndsWith | Function::Contains,
                Value::String(text),
                Some(Value::String(part)),
            ) => {
                let part = part.as_ref();
                Some(Value::Bool(match self {
                    Function::StartsWith => text.starts_with(part),
                    Function::EndsWith => text.ends_with(part),
                    _ => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
                }))
            }
            (Function::LowerAscii, Value::String(text), None) => {
                Some(Value::String(Cow::Owned(text.to_ascii_lowercase())))
            }
            (Function::UpperAscii, Value::String(text), None) => {
                Some(Value::String(Cow::Owned(text.to_ascii_uppercase())))
            }
            (Function::Timestamp, subject, None) => to_timestamp(&subject).map(Value::Timestamp),
            (Function::Duration, Value::Duration(nanos), None) => Some(Value::Duration(nanos)),
            (Function::Duration, Value::String(text), None) => {
                time::parse_duration(&text).map(Value::Duration)
            }
            (Function::Int, subject, None) => to_int(&subject).map(Value::Int),
            (Function::Uint, subject, None) => to_uint(&subject).map(Value::Uint),
            (Function::Double, subject, None) => to_double(&subject).map(Value::Double),
            (Function::String, subject, None) => to_string(subject),
            (Function::Part(part), Value::Timestamp(nanos), None) => {
                Some(Value::Int(time::part_of_timestamp(nanos, part)))
            }
            (Function::Part(part), Value::Duration(nanos), None) => {
                time::part_of_duration(nanos, part).map(Value::Int)
            }
            _ => None,
        };
        result.ok_or(Failed)
    }

    /// Pays for the bytes that a call will look at.
    fn pay(
        self,
        subject: &Value<'_>,
        argument: Option<&Value<'_>>,
        meter: &Meter,
    ) -> Result<(), Failed> {
        let text = if let Value::String(text) = subject { text.len() } else { 0 };
        let part = if let Some(Value::String(part)) = argument { part.len() } else { 0 };
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

fn size<'a>(value: &Value<'_>, meter: &Meter) -> Option<Value<'a>> {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(meter),
        Value::Map(map) => map.keys(meter).len(meter),
        _ => return None,
    };
    i64::try_from(size).ok().map(Value::Int)
}

fn to_timestamp(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Timestamp(nanos) => Some(*nanos),
        Value::Int(seconds) => time::timestamp(i128::from(*seconds) * time::NANOS_PER_SECOND),
        Value::String(text) => time::parse_timestamp(text),
        _ => None,
    }
}

fn to_int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Double(number) => whole(*number).and_then(|number| i64::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        Value::Timestamp(nanos) => i64::try_from(nanos.div_euclid(time::NANOS_PER_SECOND)).ok(),
        _ => None,
    }
}

fn to_uint(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Uint(number) => Some(*number),
        Value::Double(number) => whole(*number).and_then(|number| u64::try_from(number).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Towards zero. Saturates beyond 128 bits, which no integer reaches.
fn whole(number: f64) -> Option<i128> {
    (!number.is_nan()).then_some(number as i128)
}

fn to_double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn to_string(value: Value<'_>) -> Option<Value<'_>> {
    let text = match value {
        Value::String(text) => return Some(Value::String(text)),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Timestamp(nanos) => time::format_timestamp(nanos),
        Value::Duration(nanos) => time::format_duration(nanos),
        _ => return None,
    };
    Some(Value::String(Cow::Owned(text)))
}
