//! Parses the header `grpc-timeout`, the deadline of a call (gRPC over HTTP/2).

use std::time::Duration;

use http::HeaderMap;

/// Name of the header.
const HEADER: &str = "grpc-timeout";
/// The most digits of its number.
const DIGITS_MAX: usize = 8;

/// The timeout of the client; `None` if the header is absent or malformed.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        timeout(&HeaderMap::from_iter([(HEADER.parse().unwrap(), text.parse().unwrap())]))
    }

    #[test]
    fn all_units_are_known() {
        let second = Duration::from_secs(1);
        for (text, expected) in [
            ("2H", second * 7_200),
            ("3M", second * 180),
            ("99999999S", second * 99_999_999),
            ("250m", second / 4),
            ("1000000u", second),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
        for text in ["", "S", "5", "5s", "-5S", "+5S", "5.5S", "123456789S", "5 S", "5é"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
