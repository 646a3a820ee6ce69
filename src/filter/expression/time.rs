//! Timestamps and durations, in nanoseconds.

use std::ops::RangeInclusive;

use prost_types::Timestamp;

use crate::go_duration;

/// Nanoseconds a second.
pub(super) const NANOS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// The years 1 to 9999, to which CEL bounds timestamps.
const TIMESTAMPS: RangeInclusive<i128> =
    -62_135_596_800 * NANOS_PER_SECOND..=253_402_300_800 * NANOS_PER_SECOND - 1;
/// The range of `google.protobuf.Duration`.
const DURATIONS: RangeInclusive<i128> =
    -315_576_000_000 * NANOS_PER_SECOND..=315_576_000_000 * NANOS_PER_SECOND;

/// A part of a timestamp in UTC, or of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    /// The milliseconds, from 0.
    Month,
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// From Sunday, which is 0.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// The nanoseconds, if they are in the range of timestamps.
pub(super) fn timestamp(nanos: i128) -> Option<i128> {
    TIMESTAMPS.contains(&nanos).then_some(nanos)
}

/// The nanoseconds, if they are in the range of durations.
pub(super) fn duration(nanos: i128) -> Option<i128> {
    DURATIONS.contains(&nanos).then_some(nanos)
}

/// Parses a timestamp in RFC 3339.
pub(super) fn parse_timestamp(text: &str) -> Option<i128> {
    let parsed: Timestamp = text.parse().ok()?;
    timestamp(i128::from(parsed.seconds) * NANOS_PER_SECOND + i128::from(parsed.nanos))
}

/// Formats a timestamp in RFC 3339.
pub(super) fn format_timestamp(nanos: i128) -> String {
    let seconds = nanos.div_euclid(NANOS_PER_SECOND) as i64;
    Timestamp { seconds, nanos: nanos.rem_euclid(NANOS_PER_SECOND) as i32 }.to_string()
}

/// Parses a duration: numbers with units, `1h30m` or `-1.5s`.
pub(super) fn parse_duration(text: &str) -> Option<i128> {
    duration(go_duration::parse(text)?)
}

/// Formats a duration in seconds: `1.5s`.
pub(super) fn format_duration(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, nanos) = (nanos.abs() / NANOS_PER_SECOND, nanos.abs() % NANOS_PER_SECOND);
    let fraction = format!(".{nanos:09}");
    format!("{sign}{seconds}{}s", fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// A part of a timestamp, in UTC.
pub(super) fn part_of_timestamp(nanos: i128, part: TimePart) -> i64 {
    let seconds = nanos.div_euclid(NANOS_PER_SECOND) as i64;
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = civil(days);
    match part {
        TimePart::FullYear => year,
        TimePart::Month => month - 1,
        TimePart::Date => day,
        TimePart::DayOfMonth => day - 1,
        // 1970-01-01 was a Thursday.
        TimePart::DayOfWeek => (days + 4).rem_euclid(7),
        TimePart::DayOfYear => days - days_before(year),
        TimePart::Hours => second / 3_600,
        TimePart::Minutes => second / 60 % 60,
        TimePart::Seconds => second % 60,
        TimePart::Milliseconds => (nanos.rem_euclid(NANOS_PER_SECOND) / 1_000_000) as i64,
    }
}

/// A part of a duration: the whole of it in hours, minutes or seconds, or the milliseconds within
/// its second. `None` for parts that only a timestamp has.
pub(super) fn part_of_duration(nanos: i128, part: TimePart) -> Option<i64> {
    let seconds = (nanos / NANOS_PER_SECOND) as i64;
    match part {
        TimePart::Hours => Some(seconds / 3_600),
        TimePart::Minutes => Some(seconds / 60),
        TimePart::Seconds => Some(seconds),
        TimePart::Milliseconds => Some((nanos % NANOS_PER_SECOND / 1_000_000) as i64),
        _ => None,
    }
}

/// Year, month and day of a day since 1970, all but the year from 1, in the
/// Gregorian calendar. Years are counted from March, so that the leap day is the
/// last; 400 of them are 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    /// Days from 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: i64 = 719_468;
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let leaps = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March, each group of five months has 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days from 1970-01-01 to the first of January of a year.
fn days_before(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_and_taken_apart() {
        let leap_day = parse_timestamp("2024-02-29T23:59:58.125Z").expect("a timestamp");
        assert_eq!(format_timestamp(leap_day), "2024-02-29T23:59:58.125Z");
        for (part, expected) in [
            (TimePart::FullYear, 2024),
            (TimePart::Month, 1),
            (TimePart::Date, 29),
            (TimePart::DayOfMonth, 28),
            (TimePart::DayOfWeek, 4),
            (TimePart::DayOfYear, 59),
            (TimePart::Hours, 23),
            (TimePart::Minutes, 59),
            (TimePart::Seconds, 58),
            (TimePart::Milliseconds, 125),
        ] {
            assert_eq!(part_of_timestamp(leap_day, part), expected, "{part:?}");
        }
        assert_eq!(parse_timestamp("2024-03-01T00:59:58.125+01:00"), Some(leap_day));
        for bad in ["", "yesterday", "2024-13-01T00:00:00Z", "99999-01-01T00:00:00Z"] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_calendar_holds_over_all_its_days() {
        let mut before = (0, 12, 31);
        let mut day_of_year = 0;
        for days in -719_162..=2_932_896 {
            let (year, month, day) = civil(days);
            let new_year = year != before.0;
            day_of_year = if new_year { 0 } else { day_of_year + 1 };
            let follows = (year, month, day) == (before.0, before.1, before.2 + 1)
                || (year, month, day) == (before.0, before.1 + 1, 1)
                || (year, month, day) == (before.0 + 1, 1, 1);
            assert!(follows, "{before:?} {year}-{month}-{day}");
            assert_eq!(days - days_before(year), day_of_year);
            before = (year, month, day);
        }
        assert_eq!(before, (9999, 12, 31));
        assert_eq!(civil(0), (1970, 1, 1));
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds) in [
            ("0", "0s"),
            ("1h30m", "5400s"),
            ("-1.5s", "-1.5s"),
            ("+2m", "120s"),
            ("1h0.5s", "3600.5s"),
            ("250ms", "0.25s"),
            ("1us", "0.000001s"),
            ("3ns", "0.000000003s"),
            ("0s", "0s"),
            (".5s", "0.5s"),
            ("1.00000000000000000000000001h", "3600s"),
        ] {
            let parsed = parse_duration(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(format_duration(parsed), seconds, "{text}");
        }
        for bad in ["", "-", "1", "1x", "h", ".s", "1h 30m", "--1s", "99999999999999h", "1h2"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn parts_of_durations_count_the_whole() {
        let nanos = parse_duration("25h1m1.5s").expect("a duration");
        let part = |part| part_of_duration(nanos, part);
        assert_eq!(part(TimePart::Hours), Some(25));
        assert_eq!(part(TimePart::Minutes), Some(1_501));
        assert_eq!(part(TimePart::Seconds), Some(90_061));
        assert_eq!(part(TimePart::Milliseconds), Some(500));
        assert_eq!(part(TimePart::FullYear), None);
    }
}
