//! Parses and formats times for people.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use prost_types::Timestamp as Stamp;

/// A point in time on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeArg {
    /// A time before now: `90s`, `1h30m`, `2 days`.
    Ago(SignedDuration),
    /// A time with an offset: `2026-03-01T12:00:00Z`.
    At(Timestamp),
    /// A local time: `2026-03-01`, `2026-03-01 12:00`.
    Civil(DateTime),
}

impl TimeArg {
    /// The time, relative to `now` and in `zone`.
    ///
    /// # Errors
    /// If it is out of range.
    pub fn resolve(self, now: Timestamp, zone: &TimeZone) -> Result<Stamp, jiff::Error> {
        let time = match self {
            TimeArg::Ago(ago) => now.checked_sub(ago)?,
            TimeArg::At(time) => time,
            TimeArg::Civil(time) => time.to_zoned(zone.clone())?.timestamp(),
        };
        Ok(stamp(time))
    }
}

/// Parses a time: how long ago, RFC 3339, or a local date and time. `-1h` and `1h` both mean an
/// hour ago. `+1h`, which is a future time in other programs, is refused.
pub fn parse(text: &str) -> Result<TimeArg, String> {
    if text.starts_with('+') {
        return Err(format!(
            "{text:?} has a sign: write how long ago without one (1h is an hour ago), and a time \
             to come as a date or in RFC 3339"
        ));
    }
    if let Ok(time) = text.parse() {
        return Ok(TimeArg::At(time));
    }
    if let Ok(time) = text.parse() {
        return Ok(TimeArg::Civil(time));
    }
    parse_span(text.strip_prefix('-').unwrap_or(text)).map(TimeArg::Ago).map_err(|_| {
        format!(
            "{text:?} is not a time: write how long ago (90s, 1h30m, 2d), \
             a date (2026-03-01, \"2026-03-01 12:00\") or RFC 3339 (2026-03-01T12:00:00Z)"
        )
    })
}

/// Parses a duration without a sign; a day has 24 hours.
pub fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is not a duration: write 90s, 1h30m or 2d");
    if text.starts_with('+') {
        return Err(wrong());
    }
    let length = text.parse::<Span>().and_then(length).map_err(|_| wrong())?;
    if length.is_negative() { Err(wrong()) } else { Ok(length) }
}

/// Parses how long ago something was, with or without `ago` after it.
fn parse_span(text: &str) -> Result<SignedDuration, ()> {
    if text.starts_with(['+', '-']) {
        return Err(());
    }
    text.parse::<Span>().and_then(length).map(SignedDuration::abs).map_err(drop)
}

fn length(span: Span) -> Result<SignedDuration, jiff::Error> {
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
}

/// A time in seconds since 1970, in RFC 3339.
pub fn unix(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| Timestamp::from_second(time).ok());
    time.map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}

/// The time as a protobuf timestamp.
pub fn stamp(time: Timestamp) -> Stamp {
    let nanos = time.as_nanosecond();
    Stamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default(),
    }
}

/// Formats a time in a zone by a `strftime` pattern; in seconds if it is out of range.
pub fn format(time: &Stamp, zone: &TimeZone, pattern: &str) -> String {
    match Timestamp::new(time.seconds, time.nanos) {
        Ok(told) => told.to_zoned(zone.clone()).strftime(pattern).to_string(),
        Err(_) => time.seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-07-26T12:00:00Z";

    fn resolved(text: &str) -> String {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let when = parse(text).expect("a time");
        when.resolve(NOW.parse().expect("a time"), &zone).expect("in range").to_string()
    }

    #[test]
    fn times_are_written_in_many_ways() {
        assert_eq!(resolved("1h"), "2026-07-26T11:00:00Z");
        assert_eq!(resolved("1h30m"), "2026-07-26T10:30:00Z");
        assert_eq!(resolved("2d"), "2026-07-24T12:00:00Z");
        assert_eq!(resolved("1 week"), "2026-07-19T12:00:00Z");
        assert_eq!(resolved("90 seconds ago"), "2026-07-26T11:58:30Z");
        assert_eq!(resolved("2026-07-01T00:00:00.5+02:00"), "2026-06-30T22:00:00.500Z");
        assert_eq!(resolved("2026-07-01"), "2026-06-30T22:00:00Z", "local");
        assert_eq!(resolved("2026-07-01 12:30"), "2026-07-01T10:30:00Z");
        assert_eq!(resolved("1969-12-31T23:59:59.25Z"), "1969-12-31T23:59:59.250Z");
        assert_eq!(resolved("-1h"), resolved("1h"), "a minus changes nothing");
        for wrong in ["+1h", "+90 seconds", "+"] {
            assert!(parse(wrong).unwrap_err().contains("1h is an hour ago"), "{wrong}");
        }
        let wrong = ["--1h", "-", "-2026-07-01", "-1", "", "1", "yesterday", "1 month", "12:00"];
        for wrong in wrong.into_iter().chain(["2026-13-01"]) {
            assert!(parse(wrong).unwrap_err().contains("is not a time"), "{wrong}");
        }
        for wrong in ["+1h", "-1h", "1h ago", "", "1"] {
            assert!(parse_duration(wrong).unwrap_err().contains("is not a duration"), "{wrong}");
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_is_told_in_seconds() {
        let far = Stamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(format(&far, &TimeZone::UTC, "%Y"), i64::MAX.to_string());
        let near = Stamp { seconds: 0, nanos: 7_000_000 };
        assert_eq!(format(&near, &TimeZone::UTC, "%F %T%.3f"), "1970-01-01 00:00:00.007");
    }
}
