//! Parses and formats times and durations as Go does.

use prost_types::{Duration, Timestamp};

use crate::go_duration;
use crate::wire::{DURATION_SECONDS_MAX, TIMESTAMP_SECONDS};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A time in RFC 3339 and UTC, with as many digits of the second as needed.
pub fn of_timestamp(timestamp: Timestamp) -> String {
    let text = timestamp.to_string();
    match text.strip_suffix('Z') {
        Some(digits) if digits.contains('.') => format!("{}Z", digits.trim_end_matches('0')),
        _ => text,
    }
}

/// Parses RFC 3339 with any offset. Without one, it is UTC.
pub fn to_timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>()
        .ok()
        .filter(|timestamp| TIMESTAMP_SECONDS.contains(&timestamp.seconds))
}

/// Parses a time like [`to_timestamp`], and returns whether [`of_timestamp`] writes the same text.
pub fn to_timestamp_noting(text: &str) -> Option<(Timestamp, bool)> {
    if let Some(timestamp) = to_own_timestamp(text.as_bytes()) {
        return Some((timestamp, true));
    }
    let timestamp = to_timestamp(text)?;
    Some((timestamp, of_timestamp(timestamp) == text))
}

/// Parses a time in the form that [`of_timestamp`] writes. `None` for other forms, and for rare
/// times that need a calendar.
fn to_own_timestamp(text: &[u8]) -> Option<Timestamp> {
    const FRACTION_DIGITS_MAX: usize = 9;
    let (fixed, rest) = text.split_first_chunk::<19>()?;
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_i64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    };
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] =
        *fixed
    else {
        return None;
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[n0, n1])?, number(&[s0, s1])?);
    // Every month has 28 days; what comes after them takes a calendar.
    let is_plain = year >= 1 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !is_plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match rest {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] => {
            let is_shortest = digits.last().is_some_and(|last| *last != b'0');
            if !is_shortest || digits.len() > FRACTION_DIGITS_MAX {
                return None;
            }
            number(digits)? * 10_i64.pow((FRACTION_DIGITS_MAX - digits.len()) as u32)
        }
        _ => return None,
    };
    // Days since 1970-01-01, by years that begin in March: H. Hinnant, chrono-compatible
    // low-level date algorithms.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = (days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Timestamp { seconds, nanos: nanos as i32 })
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

/// Parses Go's durations: numbers, each with a unit, after an optional sign.
pub fn to_duration(text: &str) -> Option<Duration> {
    let nanos = go_duration::parse(text)?;
    let seconds = i64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    let is_short = seconds.unsigned_abs() <= DURATION_SECONDS_MAX;
    is_short.then_some(Duration { seconds, nanos: (nanos % NANOS_PER_SECOND) as i32 })
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
    fn times_are_read_alike_by_arithmetic_and_by_the_calendar() {
        let mut own = 0;
        for year in [1, 4, 100, 1600, 1900, 1969, 1970, 2000, 2024, 2025, 2100, 9999] {
            for month in 1..=12 {
                for day in [1, 27, 28, 29, 30, 31] {
                    for rest in ["T00:00:00Z", "T23:59:59.999999999Z", "T12:30:01.5Z"] {
                        let text = format!("{year:04}-{month:02}-{day:02}{rest}");
                        let read = to_timestamp(&text);
                        assert_eq!(
                            to_timestamp_noting(&text),
                            read.map(|read| (read, true)),
                            "{text}"
                        );
                        let by_arithmetic = to_own_timestamp(text.as_bytes());
                        assert!(by_arithmetic.is_none() || by_arithmetic == read, "{text}");
                        own += usize::from(by_arithmetic.is_some());
                    }
                }
            }
        }
        assert_eq!(own, 12 * 12 * 3 * 3);
        for other in [
            "2024-03-01T10:00:00.50Z",
            "2024-03-01T10:00:00+00:00",
            "2024-03-01T10:00:00.0000000001Z",
        ] {
            assert_eq!(
                to_timestamp_noting(other),
                to_timestamp(other).map(|read| (read, false)),
                "{other}"
            );
        }
        for bad in [
            "",
            "2024-00-01T10:00:00Z",
            "2024-03-01T24:00:00Z",
            "2024-03-0:T10:00:00Z",
            "0000-03-01T10:00:00Z",
        ] {
            assert_eq!(to_timestamp_noting(bad), None, "{bad}");
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
