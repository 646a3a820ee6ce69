//! Parses durations in Go's syntax, numbers with units, for expressions and Teleport's logs.

const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// The units with their length in nanoseconds. Microseconds have three spellings, with the
/// letter u, the micro sign and the Greek letter.
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

/// Parses a duration, such as `1h30m` or `-1.5s`, as nanoseconds, rounded towards zero. `None` for
/// other texts, and for numbers that do not fit 64 bits.
pub fn parse(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0_i128;
    loop {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (unit, after) = unit(after)?;
        rest = after;
        nanos = nanos.checked_add(scaled(whole, fraction, unit)?)?;
        if rest.is_empty() {
            return Some(sign * nanos);
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Nanoseconds of the unit that `text` starts with, and what follows it.
fn unit(text: &str) -> Option<(i128, &str)> {
    UNITS.iter().find_map(|(name, nanos)| Some((*nanos, text.strip_prefix(name)?)))
}

/// `whole.fraction` of a unit, rounded down.
fn scaled(whole: &str, fraction: &str, unit: i128) -> Option<i128> {
    /// Digits of a fraction that can matter: an hour has 3.6e12 nanoseconds.
    const FRACTION_DIGITS_MAX: usize = 13;
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let fraction = fraction.get(..FRACTION_DIGITS_MAX).unwrap_or(fraction);
    let parts = 10_i128.pow(fraction.len() as u32);
    Some(i128::from(number(whole)?) * unit + i128::from(number(fraction)?) * unit / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_added_up() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("1h30m", 5_400 * NANOS_PER_SECOND),
            ("-1.5s", -1_500_000_000),
            ("+2m", 120 * NANOS_PER_SECOND),
            ("1h0.5s", 3_600_500_000_000),
            ("250ms", 250_000_000),
            ("1us2µs4μs", 7_000),
            ("3ns", 3),
            (".5s", 500_000_000),
            ("5.s", 5 * NANOS_PER_SECOND),
            ("0.9ns", 0),
            ("1.00000000000000000000000001h", 3_600 * NANOS_PER_SECOND),
        ] {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
        let nines = format!("{}h", "9".repeat(60));
        for bad in [
            "", "-", "1", "1x", "h", ".s", "1h 30m", "--1s", "1h2", "1h0", "1.2.3s", "1y", "é",
            &nines,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
