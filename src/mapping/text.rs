//! Writes strings, numbers, times and base64 for all formats.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The character after the backslash for each byte that JSON escapes (`u` for a numeric escape),
/// and 0 for all other bytes.
static ESCAPES: LazyLock<[u8; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| match byte as u8 {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => b'u',
        _ => 0,
    })
});

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    string_body(out, text);
    out.push(b'"');
}

/// Appends a JSON string of a text that is known to be UTF-8.
pub fn string_bytes(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    body_bytes(out, text);
    out.push(b'"');
}

/// Appends the content of a JSON string, without the quotes.
pub fn string_body(out: &mut Vec<u8>, text: &str) {
    body_bytes(out, text.as_bytes());
}

fn body_bytes(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    let escape = |byte: &u8| ESCAPES.get(usize::from(*byte)).copied().unwrap_or(0);
    while let Some(at) = rest.iter().position(|byte| escape(byte) != 0) {
        let (plain, after) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = after.split_first() else { break };
        match escape(byte) {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                out.extend(hex(*byte));
            }
            letter => out.extend([b'\\', letter]),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// A byte as two hexadecimal digits.
pub fn hex(byte: u8) -> [u8; 2] {
    let digit = |of: u8| HEX.get(usize::from(of & 15)).copied().unwrap_or(b'0');
    [digit(byte >> 4), digit(byte)]
}

/// Appends a number in decimal.
pub fn uint(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        if let Some(digit) = digits.get_mut(from) {
            *digit = b'0' + (number % 10) as u8;
        }
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// Appends a number in decimal.
pub fn int(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    uint(out, number.unsigned_abs());
}

/// Appends a number as JSON; infinite numbers and NaN as in protobuf JSON.
pub fn double(out: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        serde_json::to_writer(out, &number).expect("a finite number has a JSON form");
    }
}

/// Appends bytes as base64.
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
}

fn two(out: &mut Vec<u8>, number: i64) {
    out.extend([b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// Appends a time of the years 1 to 9999 by RFC 3339 in UTC, with 0, 3, 6 or 9 digits after
/// the second.
pub fn timestamp(out: &mut Vec<u8>, seconds: i64, nanos: i64) {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    two(out, year / 100);
    two(out, year % 100);
    out.push(b'-');
    two(out, month);
    out.push(b'-');
    two(out, day);
    out.push(b'T');
    two(out, second / 3_600);
    out.push(b':');
    two(out, second / 60 % 60);
    out.push(b':');
    two(out, second % 60);
    fraction(out, nanos);
    out.push(b'Z');
}

/// Year, month and day of a number of days since 1970-01-01, by the Gregorian calendar
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Appends the fraction of a second, in groups of three digits.
fn fraction(out: &mut Vec<u8>, nanos: i64) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let groups = [nanos / 1_000_000 % 1_000, nanos / 1_000 % 1_000, nanos % 1_000];
    let used = groups.iter().rposition(|group| *group != 0).map_or(0, |last| last + 1);
    for group in groups.iter().take(used) {
        out.push(b'0' + (group / 100) as u8);
        two(out, group % 100);
    }
}

/// Appends a duration as in protobuf JSON, such as `90s` or `-0.500s`.
pub fn duration(out: &mut Vec<u8>, seconds: i64, nanos: i64) {
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    uint(out, seconds.unsigned_abs());
    fraction(out, nanos.abs());
    out.push(b's');
}
