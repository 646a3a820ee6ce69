//! Values with a unit: sizes and durations.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::log::disk::SyncPolicy;

/// A number of bytes: a number, optionally followed by KiB, MiB or GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

/// A duration: a number followed by ms, s, m, h or d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// When a log is synced.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SyncSetting(pub SyncPolicy);

impl Period {
    /// Checks that the duration is within these seconds.
    ///
    /// # Errors
    /// A sentence, if it is not.
    pub fn check(self, seconds: RangeInclusive<u64>) -> Result<(), String> {
        let (least, most) =
            (Duration::from_secs(*seconds.start()), Duration::from_secs(*seconds.end()));
        if (least..=most).contains(&self.0) {
            return Ok(());
        }
        Err(format!("{self}, which must be from {} to {}", Self(least), Self(most)))
    }
}

impl FromStr for SyncSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SyncSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SyncPolicy::Interval(interval) => write!(f, "interval={}", Period(interval)),
            other => other.fmt(f),
        }
    }
}

/// Units of [`ByteSize`], the largest first.
const SIZE_UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
/// Units of [`Period`] in milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let unit = match unit {
            "" | "B" => 1,
            other => SIZE_UNITS
                .iter()
                .find(|(name, _)| *name == other)
                .map(|(_, size)| *size)
                .ok_or_else(|| format!("unknown unit {other:?}: use KiB, MiB or GiB"))?,
        };
        let number: usize =
            number.parse().map_err(|_| format!("{text:?} is not a number of bytes"))?;
        let bytes = number.checked_mul(unit);
        bytes.map(Self).ok_or_else(|| format!("{text:?} is more than this machine can address"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS.iter().find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        match whole {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let millis = TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
        let millis = millis.ok_or_else(|| {
            format!("{text:?} is not a duration: a number followed by ms, s, m, h or d")
        })?;
        let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a duration"))?;
        let total = number.checked_mul(millis).map(Duration::from_millis);
        total.map(Self).ok_or_else(|| format!("{text:?} is too long a time"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_millis() as u64;
        let whole =
            TIME_UNITS.iter().find(|(_, millis)| total > 0 && total.is_multiple_of(*millis));
        match whole {
            Some((name, millis)) => write!(f, "{}{name}", total / millis),
            None => f.write_str("0s"),
        }
    }
}

/// The number, and the letters after it.
fn split(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    (number.trim(), text.get(number.len()..).unwrap_or_default())
}

/// Reads a value with a unit from a string; a number of bytes may also be an integer.
struct UnitText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for UnitText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, such as \"64MiB\" or \"10s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! written_as_text {
    ($type:ident, $format:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(UnitText(std::marker::PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

written_as_text!(ByteSize, "bytes");
written_as_text!(Period, "time");
written_as_text!(SyncSetting, "sync");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let cases = [
            ("1048576", 1 << 20, "1MiB"),
            ("256MiB", 256 << 20, "256MiB"),
            ("2GiB", 2 << 30, "2GiB"),
            ("1023KiB", 1023 << 10, "1023KiB"),
            ("7", 7, "7"),
            ("0", 0, "0"),
        ];
        for (text, bytes, shown) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), shown);
        }
        for (bad, why) in [
            ("", "is not a number of bytes"),
            ("MiB", "is not a number of bytes"),
            ("12XB", "unknown unit"),
            ("-5MiB", "is not a number of bytes"),
            ("99999999999999GiB", "more than this machine can address"),
            ("1.5MiB", "is not a number of bytes"),
        ] {
            let refused = bad.parse::<ByteSize>().unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn times_have_units() {
        let cases = [
            ("10s", 10_000, "10s"),
            ("90s", 90_000, "90s"),
            ("1500ms", 1_500, "1500ms"),
            ("120m", 7_200_000, "2h"),
            ("1d", 86_400_000, "1d"),
            ("0s", 0, "0s"),
        ];
        for (text, millis, shown) in cases {
            assert_eq!(text.parse(), Ok(Period(Duration::from_millis(millis))), "{text}");
            assert_eq!(Period(Duration::from_millis(millis)).to_string(), shown);
        }
        for bad in ["", "10", "s", "-1s", "1y"] {
            let refused = bad.parse::<Period>().unwrap_err();
            assert!(refused.contains("is not a duration"), "{refused}");
        }
        let refused = "99999999999999999d".parse::<Period>().unwrap_err();
        assert!(refused.contains("is too long a time"), "{refused}");
    }
}
