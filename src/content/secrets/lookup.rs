//! Looks up a word once, as a program and as a keyword.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::keywords::{self, Keyword};
use super::names::Lower;
use super::programs::{self, Program};

/// What a word may be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KnownWord {
    pub(super) program: Option<&'static Program>,
    pub(super) keyword: Option<Keyword>,
}

struct Words {
    known: HashMap<&'static [u8], KnownWord, FixedState>,
    /// By the first letter of words, their lengths as bits.
    lengths: [u32; 256],
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut known: HashMap<&'static [u8], KnownWord, FixedState> = HashMap::default();
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
    let mut lengths = [0; 256];
    for word in known.keys() {
        if let Some(bits) = word.first().and_then(|first| lengths.get_mut(usize::from(*first))) {
            *bits |= 1 << word.len();
        }
    }
    Words { known, lengths }
});

/// What is known of a word; nothing of most.
pub(super) fn find(lower: &Lower) -> KnownWord {
    let word = lower.get();
    let word = word.strip_suffix(b".exe").unwrap_or(word);
    let bits = word.first().and_then(|first| WORDS.lengths.get(usize::from(*first)));
    if bits.is_none_or(|bits| word.len() >= 32 || bits >> word.len() & 1 == 0) {
        return KnownWord::default();
    }
    WORDS.known.get(word).copied().unwrap_or_default()
}

/// What is known of the program by this name, of which a path was cut off.
pub(super) fn program(name: &[u8]) -> Option<&'static Program> {
    find(&Lower::new(name)).program
}

/// The keyword, if the word is one.
pub(super) fn keyword(word: &[u8]) -> Option<Keyword> {
    find(&Lower::new(word)).keyword
}
