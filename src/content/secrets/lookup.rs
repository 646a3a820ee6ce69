//! Looks up a word once, as a program and as a keyword.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::keywords::{self, Keyword};
use super::programs::{self, Program};

/// What a word may be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KnownWord {
    pub(super) program: Option<&'static Program>,
    pub(super) keyword: Option<Keyword>,
}

/// Longer words are not known, in bytes.
const WORD_BYTES_MAX: usize = 31;

/// Words by their first letter and their length.
type Words = Vec<Vec<(&'static [u8], KnownWord)>>;

/// The place among the words of those that begin so and have this length.
fn place(first: u8, len: usize) -> Option<usize> {
    let first = match first {
        b'a'..=b'z' => first - b'a',
        b'A'..=b'Z' => first - b'A',
        b'0'..=b'9' => first - b'0' + 26,
        _ => return None,
    };
    (len <= WORD_BYTES_MAX).then_some(usize::from(first) * (WORD_BYTES_MAX + 1) + len)
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut known: HashMap<&'static [u8], KnownWord> = HashMap::new();
    for (names, program) in programs::all() {
        for name in *names {
            known.entry(name.as_bytes()).or_default().program = Some(program);
        }
    }
    for (keyword, words) in keywords::ALL {
        for word in words {
            known.entry(word.as_bytes()).or_default().keyword = Some(keyword);
        }
    }
    let mut words = vec![Vec::new(); 36 * (WORD_BYTES_MAX + 1)];
    for (word, of_word) in known {
        let place = word.first().and_then(|first| place(*first, word.len()));
        let list = place.and_then(|place| words.get_mut(place));
        list.expect("a word begins with a letter or a digit, and is short").push((word, of_word));
    }
    words
});

/// A word without the `.exe` that programs of Windows may have.
fn without_ending(word: &[u8]) -> &[u8] {
    match word.split_last_chunk::<4>() {
        Some((name, ending))
            if ending.first() == Some(&b'.') && ending.eq_ignore_ascii_case(b".exe") =>
        {
            name
        }
        _ => word,
    }
}

/// What is known of a word; nothing of most.
pub(super) fn find(word: &[u8]) -> KnownWord {
    let word = without_ending(word);
    let place = word.first().and_then(|first| place(*first, word.len()));
    let list = place.and_then(|place| WORDS.get(place)).map_or(&[][..], Vec::as_slice);
    let found = list.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, of_word)| *of_word).unwrap_or_default()
}

/// What is known of the program by this name, of which a path was cut off.
pub(super) fn program(name: &[u8]) -> Option<&'static Program> {
    find(name).program
}

/// The keyword, if the word is one.
pub(super) fn keyword(word: &[u8]) -> Option<Keyword> {
    find(word).keyword
}
