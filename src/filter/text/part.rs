//! Finds a part of a text in many bytes quickly.
//!
//! The regular expression takes a third of a nanosecond a byte, which is most of the time of a text
//! search. This module looks for two letters of the text at their distance: the rarest ones, so
//! that there are few false candidates. A loop over arrays of fixed length compares 16 bytes or
//! more at a time, and so is as fast as memory can be read.

use memchr::arch::all::packedpair::Pair;

/// Bytes that are compared together.
const STRIDE: usize = 64;
/// The bit in which the cases of an ASCII letter differ.
const CASE_BIT: u8 = 0x20;

/// A part of a text: ASCII, case-insensitive.
#[derive(Debug)]
pub(super) struct SubstringFinder {
    /// The part in lower case.
    text: Vec<u8>,
    first: CaselessByte,
    /// The second letter, after the first one.
    second: CaselessByte,
}

/// One byte of the part, in either case.
#[derive(Debug, Clone, Copy)]
struct CaselessByte {
    /// Its position in the part.
    at: usize,
    /// The letter in lower case.
    byte: u8,
    /// The case bit if the letter has cases, else 0.
    fold: u8,
}

/// The part nearly occurs at too many positions, so another method must continue from `at`. In
/// chosen bytes, each byte could be compared as often as the part has letters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyTries {
    pub(super) at: usize,
}

impl SubstringFinder {
    /// The longest part of `text` whose letters have only the two cases of ASCII; `None` if it is
    /// too short. K and S have more: the Kelvin sign and the long s fold to them.
    pub(super) fn of(text: &str) -> Option<Self> {
        let is_plain = |byte: &u8| byte.is_ascii() && !matches!(byte, b'k' | b'K' | b's' | b'S');
        let parts = text.as_bytes().split(|byte| !is_plain(byte));
        let text = parts.max_by_key(|part| part.len())?.to_ascii_lowercase();
        let pair = Pair::new(&text)?;
        let letter = |at: u8| {
            let byte = *text.get(usize::from(at))?;
            let fold = if byte.is_ascii_lowercase() { CASE_BIT } else { 0 };
            Some(CaselessByte { at: usize::from(at), byte, fold })
        };
        let first = letter(pair.index1().min(pair.index2()))?;
        let second = letter(pair.index1().max(pair.index2()))?;
        Some(Self { text, first, second })
    }

    /// The first position of the part at or after `from`. Takes time linear in the bytes.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Result<Option<usize>, TooManyTries> {
        /// Bytes that may be compared in one stride on average, beyond the usual number.
        const COMPARED_PER_STRIDE: usize = 4 * STRIDE;
        const COMPARED_MIN: usize = 4_096;
        // The positions of the first letter, and of the second one at the same match.
        let (Some(firsts), Some(seconds)) =
            (bytes.get(from + self.first.at..), bytes.get(from + self.second.at..))
        else {
            return Ok(None);
        };
        let mut compared = 0;
        let (first_strides, _) = firsts.as_chunks::<STRIDE>();
        let (second_strides, rest) = seconds.as_chunks::<STRIDE>();
        for (number, (first, second)) in first_strides.iter().zip(second_strides).enumerate() {
            if self.may_start(first, second) {
                let start = from + number * STRIDE;
                if compared > COMPARED_MIN + COMPARED_PER_STRIDE * number {
                    return Err(TooManyTries { at: start });
                }
                let found = self.starts_in(bytes, start..start + STRIDE, &mut compared);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        let start = from + second_strides.len() * STRIDE;
        Ok(self.starts_in(bytes, start..start + rest.len(), &mut compared))
    }

    /// Whether both letters are at one of these positions.
    #[inline]
    fn may_start(&self, first: &[u8; STRIDE], second: &[u8; STRIDE]) -> bool {
        let CaselessByte { byte: one, fold: fold_one, .. } = self.first;
        let CaselessByte { byte: two, fold: fold_two, .. } = self.second;
        let mut any = 0_u8;
        for (first, second) in first.iter().zip(second) {
            any |= u8::from(first | fold_one == one) & u8::from(second | fold_two == two);
        }
        any != 0
    }

    /// Adds the number of compared bytes, at most, to `compared`.
    fn starts_in(
        &self,
        bytes: &[u8],
        mut starts: std::ops::Range<usize>,
        compared: &mut usize,
    ) -> Option<usize> {
        let is_at = |at: usize, letter: CaselessByte| {
            bytes.get(at + letter.at).is_some_and(|byte| byte | letter.fold == letter.byte)
        };
        starts.find(|start| {
            if !is_at(*start, self.first) || !is_at(*start, self.second) {
                return false;
            }
            *compared += self.text.len();
            let here = bytes.get(*start..*start + self.text.len());
            here.is_some_and(|here| here.eq_ignore_ascii_case(&self.text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_wherever_it_is_and_in_any_case() {
        for text in ["Exfiltrate", "10.1.2.3", "ab", "@[`{"] {
            let part = SubstringFinder::of(text).expect("it is long enough");
            for length in [text.len(), 63, 64, 65, 130, 300] {
                for at in 0..(length + 1).saturating_sub(text.len()) {
                    let mut bytes = vec![b'.'; length];
                    let shown = if at.is_multiple_of(2) {
                        text.to_uppercase()
                    } else {
                        text.to_lowercase()
                    };
                    bytes[at..at + text.len()].copy_from_slice(shown.as_bytes());
                    for from in [0, 1, 60, at.saturating_sub(1), at, at + 1, length, length + 1] {
                        let expected = Ok((from <= at).then_some(at));
                        assert_eq!(part.find(&bytes, from), expected, "{text} {length} {from}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_like_the_part_is_not_found() {
        // Other bytes with the same bits but for that of the case.
        let part = SubstringFinder::of("a1[").expect("it is long enough");
        for bytes in [b"a\x11[" as &[u8], b"a1{", b"\x011[", b"a2[", b"a1", b""] {
            assert_eq!(part.find(bytes, 0), Ok(None), "{bytes:?}");
        }
    }

    /// Each place holds both letters that are sought, and all but the last of the part.
    #[test]
    fn bytes_that_are_made_to_be_compared_are_given_up() {
        let part = SubstringFinder::of(&"a".repeat(1_024)).expect("it is long enough");
        let bytes = format!("{}b", "a".repeat(1_023)).repeat(100).into_bytes();
        let refused = part.find(&bytes, 0).expect_err("too many tries");
        assert!(refused.at < 1_024, "{refused:?}");
        // Short parts occur often, and are compared at once.
        let part = SubstringFinder::of("abc").expect("it is long enough");
        assert_eq!(part.find(&b"abd".repeat(100_000), 0), Ok(None));
    }

    #[test]
    fn letters_with_more_than_two_cases_are_no_part() {
        let text_of = |text| SubstringFinder::of(text).map(|part| part.text);
        assert_eq!(text_of("STRASSE"), Some(b"tra".to_vec()));
        assert_eq!(text_of("desk"), Some(b"de".to_vec()));
        for none in ["ks", "\u{df}\u{1e9e}", "x", "skis"] {
            assert_eq!(text_of(none), None, "{none}");
        }
    }
}
