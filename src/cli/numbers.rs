//! Parses and formats numbers of the command line.

/// Parses a count or a sequence: a number from 1.
pub fn positive(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("it begins at 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) if text.starts_with('-') => Err("it begins at 1".to_owned()),
        Err(_) => Err(not_a_number(text)),
    }
}

/// Parses a number from 0.
pub fn natural(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| not_a_number(text))
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 gap`, `1,234 gaps`.
pub fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(number))
}

fn not_a_number(text: &str) -> String {
    let is_large = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_large { format!("{text} is too large") } else { format!("{text:?} is not a number") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!([0, 1, 1_000].map(|n| counted(n, "gap")), ["0 gaps", "1 gap", "1,000 gaps"]);
    }

    #[test]
    fn what_is_no_number_is_told() {
        assert_eq!((positive("1"), natural("0")), (Ok(1), Ok(0)));
        assert_eq!(positive("0"), Err("it begins at 1".to_owned()));
        assert_eq!(positive("-5"), Err("it begins at 1".to_owned()));
        assert_eq!(positive("ten"), Err("\"ten\" is not a number".to_owned()));
        assert_eq!(
            natural("99999999999999999999"),
            Err("99999999999999999999 is too large".to_owned())
        );
    }
}
