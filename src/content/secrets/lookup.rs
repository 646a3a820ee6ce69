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
    pub(super) cue: Option<Cue>,
}

/// A word that is looked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// Ends a CASE.
    End,
    /// Sends its arguments to the next program: `echo`.
    Print,
    Sudo,
    /// Commands of Redis: AUTH, and ACL SETUSER.
    Auth,
    SetUser,
}

/// Words and what they are, in lower case.
const CUES: [(Cue, &[&str]); 5] = [
    (Cue::End, &["end"]),
    (Cue::Print, &["echo", "printf"]),
    (Cue::Sudo, &["sudo"]),
    (Cue::Auth, &["auth", "auth2"]),
    (Cue::SetUser, &["setuser"]),
];

/// Known words by the hash of their beginning and length.
struct Words {
    /// Where in `words` those of a hash begin.
    begin: Vec<u16>,
    words: Vec<(&'static [u8], KnownWord)>,
}

/// Of a hash. With so many, most hashes have no word.
const HASH_BITS: u32 = 12;

/// A hash of the first eight bytes, in lower case, and of the length.
#[inline]
fn hash_of(word: &[u8]) -> usize {
    let first = match word.first_chunk::<8>() {
        Some(first) => u64::from_le_bytes(*first),
        None => word.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    /// In each byte the bit by which capital letters differ.
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let mixed = (first | LOWER) ^ (word.len() as u64) << 57;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HASH_BITS)) as usize
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
    for (cue, words) in CUES {
        for word in words {
            known.entry(word.as_bytes()).or_default().cue = Some(cue);
        }
    }
    let mut words: Vec<(&'static [u8], KnownWord)> = known.into_iter().collect();
    words.sort_unstable_by_key(|(word, _)| hash_of(word));
    let begin = |hash| words.partition_point(|(word, _)| hash_of(word) < hash) as u16;
    Words { begin: (0..=1 << HASH_BITS).map(begin).collect(), words }
});

/// A word without the `.exe` that programs of Windows may have.
#[inline]
fn without_ending(word: &[u8]) -> &[u8] {
    match word.split_last_chunk::<4>() {
        Some((name, [b'.', ending @ ..])) if ending.eq_ignore_ascii_case(b"exe") => name,
        _ => word,
    }
}

/// What is known of a word; `None` of most.
#[inline]
pub(super) fn find(word: &[u8]) -> Option<&'static KnownWord> {
    let word = without_ending(word);
    let known = &*WORDS;
    let hash = hash_of(word);
    let [begin, end] = *known.begin.get(hash..)?.first_chunk::<2>()?;
    let words = known.words.get(usize::from(begin)..usize::from(end))?;
    words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, of_word)| of_word)
}

/// What is known of the program by this name, of which a path was cut off.
pub(super) fn program(name: &[u8]) -> Option<&'static Program> {
    find(name)?.program
}

/// The keyword, if the word is one.
pub(super) fn keyword(word: &[u8]) -> Option<Keyword> {
    find(word)?.keyword
}
