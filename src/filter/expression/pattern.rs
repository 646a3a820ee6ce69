//! Compiles and matches the patterns of `matches`.

use regex::{Regex, RegexBuilder};
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};

use super::Failed;
use super::body::StepBudget;
use crate::filter::error::excerpt;

/// Size classes of compiled patterns, in bytes. Patterns larger than the last one are refused.
const SIZES: [usize; 7] = [4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144];
/// Largest cache of a pattern, in bytes.
const CACHE_BYTES_MAX: usize = 256 * 1024;
/// Largest automaton of one pattern, and the most memory for building it, in bytes. A `\w`, with
/// all letters of Unicode, takes a quarter of it.
const AUTOMATON_BYTES_MAX: usize = 640 * 1024;
/// Ticks for 1,000 bytes of text in an automaton. It takes 1.8 ns a byte, measured with any text.
const AUTOMATON_MILLITICKS: u64 = 1_000;
/// Size of a compiled pattern for which one more tick is counted for each byte of text.
///
/// Without an automaton, each byte of the text may meet each state of the pattern. That takes up to
/// 0.09 ns a byte of the text and of the pattern, measured.
const SIZE_PER_TICK: u64 = 22;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct RegexPattern {
    /// An automaton that takes constant time a byte. `None` if it would be too large.
    automaton: Option<Box<dense::DFA<Vec<u32>>>>,
    /// Matches what the automaton cannot: texts that are not ASCII, and word boundaries.
    regex: Regex,
    /// The size class of the regular expression, from [`SIZES`].
    size: usize,
}

impl RegexPattern {
    /// # Errors
    /// A sentence: the pattern is not valid, or too large.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut too_large = String::new();
        for size in SIZES {
            let built =
                RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(CACHE_BYTES_MAX).build();
            match built {
                Ok(regex) => {
                    return Ok(Self { automaton: automaton(pattern), regex, size });
                }
                Err(regex::Error::CompiledTooBig(limit)) => {
                    too_large = format!("the pattern compiles to more than {limit} bytes");
                }
                Err(error) => return Err(not_valid(&error)),
            }
        }
        Err(too_large)
    }

    /// Estimated memory that it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        // Forwards, backwards, and what is cut of them.
        let regex = 3 * self.size;
        match &self.automaton {
            Some(automaton) => regex + automaton.memory_usage(),
            None => regex + 2 * CACHE_BYTES_MAX,
        }
    }

    /// Whether the pattern occurs in a text.
    pub(super) fn is_match(&self, text: &str, meter: &StepBudget) -> Result<bool, Failed> {
        if let Some(automaton) = &self.automaton {
            meter.spend_on_pattern(text.len(), AUTOMATON_MILLITICKS);
            meter.check()?;
            let input = Input::new(text).anchored(Anchored::No).earliest(true);
            if let Ok(found) = automaton.try_search_fwd(&input) {
                return Ok(found.is_some());
            }
        }
        let ticks_per_byte = (self.size as u64).div_ceil(SIZE_PER_TICK);
        meter.spend_on_pattern(text.len(), ticks_per_byte.saturating_mul(1_000));
        meter.check()?;
        Ok(self.regex.is_match(text))
    }
}

fn automaton(pattern: &str) -> Option<Box<dense::DFA<Vec<u32>>>> {
    let config = dense::Config::new()
        .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .determinize_size_limit(Some(AUTOMATON_BYTES_MAX))
        .start_kind(StartKind::Unanchored)
        .unicode_word_boundary(true);
    let last = SIZES.last().copied();
    let built = dense::Builder::new()
        .configure(config)
        .thompson(thompson::Config::new().nfa_size_limit(last))
        .build(pattern);
    built.ok().map(Box::new)
}

fn not_valid(error: &regex::Error) -> String {
    // The message shows the pattern on several lines; the last one has the reason.
    let message = error.to_string();
    let why = message.lines().last().unwrap_or_default();
    format!("the pattern is not valid: {}", excerpt(why.trim_start_matches("error: ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_an_automaton_may_look_at_less_text() {
        const STEPS: u64 = 100_000;
        let text = "x".repeat(900_000);
        for plain in ["^x+$", "\\w+$", "(?i)^(drop|truncate)|x"] {
            let plain = RegexPattern::new(plain).expect("valid");
            assert_eq!(plain.is_match(&text, &StepBudget::new(STEPS)), Ok(true), "{plain:?}");
        }
        let large = RegexPattern::new("x[a-z]{0,1000}y").expect("valid");
        assert!(large.automaton.is_none());
        assert_eq!(large.is_match(&text, &StepBudget::new(STEPS)), Err(Failed));
        assert_eq!(large.is_match("xxy", &StepBudget::new(STEPS)), Ok(true));
    }

    #[test]
    fn word_boundaries_hold_in_every_script() {
        let pattern = RegexPattern::new("\\bfoo\\b").expect("valid");
        for (text, expected) in
            [("a foo b", true), ("afoo", false), ("é foo ü", true), ("éfoo", false), ("", false)]
        {
            assert_eq!(pattern.is_match(text, &StepBudget::new(1_000)), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_are_told_in_one_line() {
        let fault = RegexPattern::new("(").expect_err("not closed");
        assert_eq!(fault, "the pattern is not valid: unclosed group");
        let fault = RegexPattern::new("\\w{100}{100}").expect_err("too large");
        assert_eq!(fault, "the pattern compiles to more than 262144 bytes");
    }
}
