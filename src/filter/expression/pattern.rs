//! Patterns of `matches`.

use regex::{Regex, RegexBuilder};

use super::Failed;
use super::body::Meter;
use crate::filter::error::excerpt;

/// Sizes between which compiled patterns are told apart, in bytes. Those larger
/// than the last are refused.
const SIZES: [usize; 7] = [4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144];
/// Largest cache of a pattern, in bytes.
const CACHE_BYTES_MAX: usize = 256 * 1024;
/// A step is a byte of text for so many bytes of the compiled pattern.
///
/// Mostly a text is passed once, whatever the pattern, in far less time. In the
/// worst case each byte of the text meets each state of the pattern, and by
/// measure takes ten times as long as other steps.
const SIZE_PER_STEP: usize = 3_200;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Of [`SIZES`], the one that it does not exceed.
    size: usize,
}

impl Pattern {
    /// # Errors
    /// A sentence: the pattern is not valid, or too large.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut too_large = String::new();
        for size in SIZES {
            let built =
                RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(CACHE_BYTES_MAX).build();
            match built {
                Ok(regex) => {
                    return Ok(Self { regex, size });
                }
                Err(regex::Error::CompiledTooBig(limit)) => {
                    too_large = format!("the pattern compiles to more than {limit} bytes");
                }
                Err(error) => return Err(not_valid(&error)),
            }
        }
        Err(too_large)
    }

    /// Whether it occurs in a text.
    pub(super) fn is_match(&self, text: &str, meter: &Meter) -> Result<bool, Failed> {
        meter.spend((self.size.saturating_mul(text.len()) / SIZE_PER_STEP) as u64);
        meter.check()?;
        Ok(self.regex.is_match(text))
    }
}

fn not_valid(error: &regex::Error) -> String {
    // The message draws the pattern over several lines; the last one says why.
    let message = error.to_string();
    let why = message.lines().last().unwrap_or_default();
    format!("the pattern is not valid: {}", excerpt(why.trim_start_matches("error: ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_pattern_may_look_at_less_text() {
        const STEPS: u64 = 1_000_000;
        let text = "x".repeat(50_000);
        let plain = Pattern::new("^x+$").expect("valid");
        assert_eq!(plain.is_match(&text, &Meter::new(STEPS)), Ok(true));
        let large = Pattern::new("x[a-z]{0,1000}y").expect("valid");
        assert!(large.size > plain.size);
        assert_eq!(large.is_match(&text, &Meter::new(STEPS)), Err(Failed));
        assert_eq!(large.is_match("xxy", &Meter::new(STEPS)), Ok(true));
    }

    #[test]
    fn faults_are_told_in_one_line() {
        let fault = Pattern::new("(").expect_err("not closed");
        assert_eq!(fault, "the pattern is not valid: unclosed group");
        let fault = Pattern::new("\\w{100}{100}").expect_err("too large");
        assert_eq!(fault, "the pattern compiles to more than 262144 bytes");
    }
}
