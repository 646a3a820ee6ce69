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

struct Words {
    /// By the first letter.
    by_letter: Vec<Vec<(&'static [u8], KnownWord)>>,
    /// By the first letter of words, their lengths as bits.
    lengths: [u32; 256],
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
    let mut words = Words { by_letter: vec![Vec::new(); 256], lengths: [0; 256] };
    for (word, of_word) in known {
        let Some(first) = word.first().map(|first| usize::from(*first)) else { continue };
        if let (Some(list), Some(bits)) =
            (words.by_letter.get_mut(first), words.lengths.get_mut(first))
        {
            list.push((word, of_word));
            *bits |= 1 << word.len();
        }
    }
    words
});

/// A word without the `.exe` that programs of Windows may have.
fn without_ending(word: &[u8]) -> &[u8] {
    match word.split_last_chunk::<4>() {
        Some((name, ending)) if ending.eq_ignore_ascii_case(b".exe") => name,
        _ => word,
    }
}

/// What is known of a word; nothing of most.
pub(super) fn find(word: &[u8]) -> KnownWord {
    let word = without_ending(word);
    let Some(first) = word.first().map(|first| usize::from(first.to_ascii_lowercase())) else {
        return KnownWord::default();
    };
    let bits = WORDS.lengths.get(first).copied().unwrap_or(0);
    if word.len() >= 32 || bits >> word.len() & 1 == 0 {
        return KnownWord::default();
    }
    let mut list = WORDS.by_letter.get(first).into_iter().flatten();
    let found = list.find(|(known, _)| known.eq_ignore_ascii_case(word));
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
