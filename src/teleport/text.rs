//! Times and durations in the formats of Go.

use prost_types::{Duration, Timestamp};

/// First and last second of the years 1 to 9999, the range of a timestamp.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Largest magnitude of a duration, in seconds.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;
const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// Go's units with their length in nanoseconds. Microseconds have two
/// spellings, with the micro sign and with the Greek letter.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
];

/// RFC 3339 in UTC, with as many digits of the second as are needed.
pub fn of_timestamp(timestamp: Timestamp) -> String {
    let text = timestamp.to_string();
    match text.strip_suffix('Z') {
        Some(digits) if digits.contains('.') => format!("{}Z", digits.trim_end_matches('0')),
        _ => text,
    }
}

/// Reads RFC 3339 with any offset. Without one, it is UTC.
pub fn to_timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>()
        .ok()
        .filter(|timestamp| TIMESTAMP_SECONDS.contains(&timestamp.seconds))
}

/// Go's `Duration.String`: `1h15m0s`, `1.5s`, `20ms`, `0s`.
pub fn of_duration(duration: &Duration) -> String {
    let nanos = i128::from(duration.seconds) * NANOS_PER_SECOND + i128::from(duration.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.abs();
    if nanos >= NANOS_PER_SECOND {
        let seconds = decimal(nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND);
        let minutes = nanos / (60 * NANOS_PER_SECOND);
        return match (minutes / 60, minutes % 60) {
            (0, 0) => format!("{sign}{seconds}s"),
            (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
            (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
        };
    }
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{nanos}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(nanos, 1_000)),
        _ => format!("{sign}{}ms", decimal(nanos, 1_000_000)),
    }
}

/// `nanos / unit` as a decimal fraction without trailing zeros.
fn decimal(nanos: i128, unit: i128) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", nanos / unit, nanos % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads Go's duration text: numbers, each with a unit, after an optional sign.
pub fn to_duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() && rest != "0" {
        let unit_start = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(unit_start);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(scaled(number, *unit)?)?;
        rest = after;
    }
    let seconds = i64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    if seconds.unsigned_abs() > DURATION_SECONDS_MAX {
        return None;
    }
    let sign = if negative { -1 } else { 1 };
    let nanos = (nanos % NANOS_PER_SECOND) as i32;
    Some(Duration { seconds: sign * seconds, nanos: sign as i32 * nanos })
}

/// A decimal number of `unit` nanoseconds, rounded down to a nanosecond.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(i128::from(digit - b'0') * place)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for text in [
            "2020-06-05T16:24:05Z",
            "2021-11-01T22:24:47.99Z",
            "2021-05-21T22:23:55.313562027Z",
            "1969-12-31T23:59:59.5Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            assert_eq!(of_timestamp(to_timestamp(text).expect(text)), text);
        }
    }

    #[test]
    fn offsets_are_read() {
        let utc = to_timestamp("2020-06-05T16:24:05Z");
        assert!(utc.is_some());
        assert_eq!(to_timestamp("2020-06-05T18:24:05+02:00"), utc);
        assert_eq!(to_timestamp("2020-06-05t16:24:05.000z"), utc);
        for bad in ["", "yesterday", "2020-13-01T00:00:00Z", "2020-06-05T25:00:00Z", "1591374245"] {
            assert_eq!(to_timestamp(bad), None, "{bad}");
        }
        // Within the year 1 by its own clock, before it in UTC.
        assert_eq!(to_timestamp("0001-01-01T00:00:00+01:00"), None);
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for text in [
            "0s",
            "1ns",
            "1.5µs",
            "20ms",
            "999.999999ms",
            "1s",
            "1.000000001s",
            "15m0s",
            "1m0.5s",
            "1h0m0s",
            "87660000h0m0s",
            "-5m0s",
            "-1.5s",
        ] {
            assert_eq!(of_duration(&to_duration(text).expect(text)), text);
        }
    }

    #[test]
    fn other_spellings_of_durations_are_read() {
        let duration = |seconds, nanos| Some(Duration { seconds, nanos });
        assert_eq!(to_duration("1.5h"), duration(5_400, 0));
        assert_eq!(to_duration("90s"), duration(90, 0));
        assert_eq!(to_duration(".5s"), duration(0, 500_000_000));
        assert_eq!(to_duration("3us"), duration(0, 3_000));
        assert_eq!(to_duration("0"), duration(0, 0));
        assert_eq!(to_duration("-0.000000001s"), duration(0, -1));
        for bad in ["", "-", "s", "5", "5 s", "1.2.3s", ".s", "1y", "87660001h", "m5", "5s5", "é"]
        {
            assert_eq!(to_duration(bad), None, "{bad}");
        }
        assert_eq!(to_duration(&"9".repeat(60)), None);
    }
}
