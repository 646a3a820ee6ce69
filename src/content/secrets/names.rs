//! Words that say that a secret follows, and words that are never one.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

/// Only the end of a longer name is looked at, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Ends of names whose values are secrets, in lower case, without `-`, `_` and `.`.
pub(super) const SECRET_ENDS: [&[u8]; 49] = [
    b"password",
    b"passwd",
    b"passwort",
    b"passphrase",
    b"passcode",
    b"pswd",
    b"pwd",
    b"secret",
    b"token",
    b"credential",
    b"credentials",
    b"apikey",
    b"accesskey",
    b"secretkey",
    b"privatekey",
    b"accountkey",
    b"sharedkey",
    b"signingkey",
    b"encryptionkey",
    b"masterkey",
    b"storagekey",
    b"sessionkey",
    b"authkey",
    b"sastoken",
    b"secretid",
    b"secretstring",
    b"secretvalue",
    b"secretdata",
    b"passwordstring",
    b"passwordvalue",
    b"passwordconfirmation",
    b"passwordconfirm",
    b"passwordagain",
    b"passwordnew",
    b"passwordold",
    b"sharedaccesssignature",
    b"connectionpassword",
    b"authenticationstring",
    b"keysource",
    b"requirepass",
    b"masterauth",
    b"storepass",
    b"keypass",
    b"sshpass",
    b"sharedaccesskey",
    b"secretkeybase",
    b"passwordcommand",
    b"passphrasecommand",
    b"passcommand",
];
/// The ends, and then the whole words, by their last two letters.
static BY_LAST_LETTERS: LazyLock<Vec<[Vec<&'static [u8]>; 2]>> = LazyLock::new(|| {
    let of = |place: usize, ends: &[&'static [u8]]| {
        ends.iter().copied().filter(|end| last_letters(end) == Some(place)).collect()
    };
    (0..26 * 26).map(|place| [of(place, &SECRET_ENDS), of(place, &SECRET_WORDS)]).collect()
});

/// The place of the last two letters among all pairs of letters in lower case.
fn last_letters(name: &[u8]) -> Option<usize> {
    let [first, second] = name.last_chunk::<2>()?;
    let place = |letter: u8| letter.is_ascii_lowercase().then(|| usize::from(letter - b'a'));
    Some(place(*first)? * 26 + place(*second)?)
}

/// Whether a name of a secret may end with two letters.
static LAST_LETTERS: LazyLock<[bool; 26 * 26]> = LazyLock::new(|| {
    let ends = SECRET_ENDS.iter().chain(&SECRET_WORDS);
    let pairs: Vec<usize> = ends.filter_map(|end| last_letters(end)).collect();
    std::array::from_fn(|place| pairs.contains(&place))
});

/// Whether a name of a secret may end with a byte.
static ENDS_SECRET: LazyLock<[bool; 256]> = LazyLock::new(|| {
    let ends = SECRET_ENDS.iter().chain(&SECRET_WORDS);
    let last: Vec<u8> = ends.filter_map(|end| end.last().copied()).collect();
    std::array::from_fn(|byte| last.contains(&(byte as u8)))
});
/// Names that are secret as whole words of a name: `DB_PASS`, not `bypass`.
pub(super) const SECRET_WORDS: [&[u8]; 7] =
    [b"pass", b"pw", b"psw", b"pin", b"otp", b"auth", b"psk"];

/// Words that stand where a secret may, and are none: values that say that there is
/// no secret, keywords of SQL, and words of prose.
const NEUTRAL: [&str; 99] = [
    "null",
    "none",
    "nil",
    "default",
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "undefined",
    "required",
    "optional",
    "empty",
    "missing",
    "unset",
    "invalid",
    "incorrect",
    "wrong",
    "expired",
    "expires",
    "expire",
    "must",
    "should",
    "may",
    "might",
    "can",
    "cannot",
    "could",
    "will",
    "would",
    "shall",
    "is",
    "isn't",
    "are",
    "was",
    "were",
    "be",
    "been",
    "has",
    "have",
    "had",
    "does",
    "did",
    "do",
    "not",
    "too",
    "the",
    "a",
    "an",
    "and",
    "or",
    "but",
    "for",
    "of",
    "to",
    "in",
    "at",
    "by",
    "from",
    "with",
    "if",
    "when",
    "while",
    "then",
    "this",
    "that",
    "it",
    "its",
    "your",
    "you",
    "please",
    "see",
    "use",
    "using",
    "changed",
    "change",
    "reset",
    "failed",
    "found",
    "denied",
    "accepted",
    "rejected",
    "authentication",
    "random",
    "externally",
    "globally",
    "require",
    "history",
    "reuse",
    "interval",
    "never",
    "current",
    "unbounded",
    "lock",
    "don",
    "doesn",
    "isn",
    "wasn",
];
static NEUTRAL_SET: LazyLock<HashMap<&'static [u8], (), FixedState>> =
    LazyLock::new(|| NEUTRAL.iter().map(|word| (word.as_bytes(), ())).collect());

/// Types of columns, with which definitions go on after a name.
const TYPES: [&str; 16] = [
    "varchar",
    "nvarchar",
    "char",
    "nchar",
    "character",
    "text",
    "string",
    "int",
    "bigint",
    "number",
    "numeric",
    "decimal",
    "binary",
    "varbinary",
    "raw",
    "bytea",
];

/// The lower-case end of a word, for looking it up.
pub(super) struct Lower {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

impl Lower {
    pub(super) fn new(word: &[u8]) -> Self {
        let end = word.get(word.len().saturating_sub(NAME_BYTES_MAX)..).unwrap_or_default();
        let mut lower = Self { bytes: [0; NAME_BYTES_MAX], len: end.len() };
        if let Some(bytes) = lower.bytes.get_mut(..end.len()) {
            bytes.copy_from_slice(end);
            bytes.make_ascii_lowercase();
        }
        lower
    }

    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Whether a value by this name is a secret: `DB_PASSWORD`, `x-api-key`.
pub(super) fn is_secret(name: &[u8]) -> bool {
    may_end_secret(name) && is_secret_lower(Lower::new(name).get())
}

/// Whether a name ends with two letters with which those of secrets end. Most words end otherwise.
#[inline]
fn may_end_secret(name: &[u8]) -> bool {
    let mut name = name.get(name.len().saturating_sub(NAME_BYTES_MAX)..).unwrap_or_default();
    // A digit may stand behind the name.
    while let [before @ .., b'0'..=b'9'] = name {
        name = before;
    }
    let [.., before, last] = name else { return false };
    let last = last.to_ascii_lowercase();
    match before {
        b'a'..=b'z' | b'A'..=b'Z' => {
            let place = last_letters(&[before.to_ascii_lowercase(), last]);
            place.and_then(|place| LAST_LETTERS.get(place)) == Some(&true)
        }
        b'0'..=b'9' => false,
        // A sign stands between two letters of the name.
        _ => ENDS_SECRET.get(usize::from(last)) == Some(&true),
    }
}

fn is_secret_lower(lower: &[u8]) -> bool {
    // A password that is one of several is numbered: `password1`.
    let end = lower.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    let lower = lower.get(..end).unwrap_or_default();
    // Most words end otherwise.
    if lower.last().and_then(|last| ENDS_SECRET.get(usize::from(*last))) != Some(&true) {
        return false;
    }
    let mut buffer = [0; NAME_BYTES_MAX];
    // Most words have no signs.
    let joined = match lower.iter().all(u8::is_ascii_alphanumeric) {
        true => lower,
        false => without_signs(lower, &mut buffer),
    };
    // What ends with a word ends with its letters without signs, too.
    let by_letters = last_letters(joined).and_then(|place| BY_LAST_LETTERS.get(place));
    let Some([ends, words]) = by_letters else { return false };
    if ends.iter().any(|end| joined.ends_with(end)) {
        return true;
    }
    words.iter().any(|word| {
        lower.strip_suffix(*word).is_some_and(|before| {
            before.last().is_none_or(|byte| !byte.is_ascii_alphanumeric())
                && (*word == b"pass" || *word == b"pw" || *word == b"psw" || !before.is_empty())
        })
    })
}

fn without_signs<'b>(name: &[u8], buffer: &'b mut [u8; NAME_BYTES_MAX]) -> &'b [u8] {
    let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let len = buffer.iter_mut().zip(letters).map(|(to, byte)| *to = *byte).count();
    buffer.get(..len).unwrap_or_default()
}

/// Whether a word that stands where a secret may is none.
pub(super) fn is_neutral(word: &[u8]) -> bool {
    let word = word.strip_suffix(b",").or(word.strip_suffix(b".")).unwrap_or(word);
    NEUTRAL_SET.contains_key(Lower::new(word).get()) && word.len() < NAME_BYTES_MAX
}

/// Whether a word says that there is no secret: `null`.
pub(super) fn is_no_value(word: &[u8]) -> bool {
    const NONE: [&str; 11] =
        ["null", "none", "nil", "default", "true", "false", "yes", "no", "on", "off", "undefined"];
    let may_be = matches!(word.len(), 2..=9)
        && word.first().is_some_and(|first| {
            matches!(first.to_ascii_lowercase(), b'd' | b'f' | b'n' | b'o' | b't' | b'u' | b'y')
        });
    may_be && NONE.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a word is the type of a column: `VARCHAR2(30)`.
pub(super) fn is_type(word: &[u8]) -> bool {
    let lower = Lower::new(word);
    let letters = lower.get().iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let letters = lower.get().get(..letters).unwrap_or_default();
    word.len() < NAME_BYTES_MAX && TYPES.iter().any(|known| known.as_bytes() == letters)
}

/// Whether the name speaks of secrets, as that of a variable may: `DB_PASS`.
pub(super) fn mentions_secret(name: &[u8]) -> bool {
    const PARTS: [&[u8]; 7] = [b"pass", b"pwd", b"pw", b"secret", b"token", b"key", b"cred"];
    let lower = Lower::new(name);
    name.len() < NAME_BYTES_MAX
        && PARTS.iter().any(|part| lower.get().windows(part.len()).any(|window| window == *part))
}

/// Whether this is the name of a digest, as functions take it: `SHA2_256`.
pub(super) fn is_digest(text: &[u8]) -> bool {
    const NAMES: [&str; 12] = [
        "md4", "md5", "sha", "sha1", "sha224", "sha256", "sha384", "sha512", "sha2_256",
        "sha2_512", "bf", "hex",
    ];
    NAMES.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()))
}
