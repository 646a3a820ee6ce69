//! Recognizes secrets by their form alone: tokens, variables, placeholders.

use super::budget::Work;
use super::lexer::Text;
use super::names;

/// Beginnings of tokens, and how many bytes must follow.
pub(super) static TOKENS: [(&[u8], usize); 30] = [
    (b"AKIA", 12),
    (b"ASIA", 12),
    (b"ghp_", 20),
    (b"gho_", 20),
    (b"ghu_", 20),
    (b"ghs_", 20),
    (b"ghr_", 20),
    (b"github_pat_", 20),
    (b"glpat-", 16),
    (b"gldt-", 16),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxa-", 10),
    (b"xoxr-", 10),
    (b"xoxs-", 10),
    (b"xapp-", 10),
    (b"sk_live_", 10),
    (b"sk_test_", 10),
    (b"rk_live_", 10),
    (b"sk-", 20),
    (b"AIza", 30),
    (b"ya29.", 10),
    (b"npm_", 30),
    (b"pypi-", 30),
    (b"hvs.", 20),
    (b"hvb.", 20),
    (b"SG.", 30),
    (b"dop_v1_", 30),
    (b"shpat_", 20),
    (b"AGE-SECRET-KEY-", 20),
];

/// Whether a token may begin so: the first two bytes of all beginnings.
fn may_begin(first: u8, second: u8) -> bool {
    match first {
        b'e' => second == b'y',
        b'A' => matches!(second, b'K' | b'S' | b'I' | b'G'),
        b'g' => matches!(second, b'h' | b'i' | b'l' | b'd'),
        b'x' => matches!(second, b'o' | b'a'),
        b's' => matches!(second, b'k' | b'h'),
        b'p' => second == b'y',
        b'r' => second == b'k',
        b'y' => second == b'a',
        b'n' => second == b'p',
        b'h' => second == b'v',
        b'S' => second == b'G',
        b'd' => second == b'o',
        _ => false,
    }
}

/// The beginning of a token that stands here, and how many bytes must follow.
fn beginning(rest: &[u8]) -> Option<&'static (&'static [u8], usize)> {
    let first = rest.first();
    TOKENS.iter().find(|(prefix, _)| prefix.first() == first && rest.starts_with(prefix))
}

/// Looks for tokens in a text from the front. What was read on in vain is not read again.
#[derive(Debug, Default)]
pub(super) struct TokenFinder {
    /// Up to here there is no digit in what would be a token.
    without_digit: usize,
    /// Up to here there is no web token.
    without_web_token: usize,
}

impl TokenFinder {
    /// Length of the token that begins here.
    pub(super) fn token_len(&mut self, text: Text<'_>, at: usize) -> Option<usize> {
        if !may_begin(text.byte(at), text.byte(at + 1)) || at > 0 && is_word_byte(text.byte(at - 1))
        {
            return None;
        }
        text.count(Work::Flag);
        let from = at.max(self.without_digit).max(self.without_web_token);
        let len = self.find_len(text, at);
        let read = self.without_digit.max(self.without_web_token).max(at + len.unwrap_or(0));
        text.count_read(from, read);
        len
    }

    fn find_len(&mut self, text: Text<'_>, at: usize) -> Option<usize> {
        let rest = text.from(at);
        if rest.starts_with(b"eyJ") {
            text.count_announced();
            return self.web_token_len(rest, at);
        }
        let (prefix, least) = beginning(rest)?;
        // Much is compared and read on to tell that it is none.
        text.count_announced();
        let body = rest.get(prefix.len()..)?;
        let is_part = |byte: &&u8| is_word_byte(**byte) || matches!(**byte, b'-' | b'.');
        if matches!(*prefix, b"AKIA" | b"ASIA") {
            let id = body.iter().take(least + 1).take_while(is_part).copied();
            let fits = id.clone().count() == *least
                && id.clone().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            return fits.then_some(prefix.len() + least);
        }
        if at < self.without_digit {
            return None;
        }
        let len = body.iter().take_while(is_part).count();
        if !body.iter().take(len).any(u8::is_ascii_digit) {
            self.without_digit = at + prefix.len() + len;
            return None;
        }
        (len >= *least).then_some(prefix.len() + len)
    }

    /// A JSON web token: parts in base64url, with dots between.
    fn web_token_len(&mut self, rest: &[u8], at: usize) -> Option<usize> {
        /// Of a part, in bytes.
        const PART_BYTES_MIN: usize = 8;
        if at < self.without_web_token {
            return None;
        }
        let is_part = |byte: &&u8| is_word_byte(**byte) || **byte == b'-';
        let first = rest.iter().take_while(is_part).count();
        let mut parts = usize::from(first >= PART_BYTES_MIN);
        let mut len = first;
        while parts > 0 && rest.get(len) == Some(&b'.') {
            let part = rest.get(len + 1..).unwrap_or_default().iter().take_while(is_part).count();
            if parts == 1 && part < PART_BYTES_MIN {
                break;
            }
            parts += 1;
            len += 1 + part;
        }
        if parts < 2 {
            self.without_web_token = at + first;
            return None;
        }
        Some(len)
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Words that follow words are prose; what is long and has a digit is not.
pub(super) fn looks_secret(word: &[u8]) -> bool {
    /// In bytes.
    const LENGTH_MIN: usize = 8;
    word.len() >= LENGTH_MIN
        && word.iter().any(u8::is_ascii_digit)
        && !word.contains(&b'(')
        && word.first() != Some(&b'/')
        && !names::is_type(word)
}

/// Whether this is a variable that is named for a secret, not the secret: `$DB_PASS`.
pub(super) fn is_variable(word: &[u8]) -> bool {
    /// Of the name, in bytes.
    const NAME_BYTES_MAX: usize = 64;
    /// Of the path of a file, in bytes.
    const PATH_BYTES_MAX: usize = 1_024;
    let word = strip(word, b"\"", b"\"").unwrap_or(word);
    let is_name = |name: &[u8]| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && name.first().is_some_and(|byte| !byte.is_ascii_digit())
            && names::mentions_secret(name)
    };
    let bare = word.strip_prefix(b"$").unwrap_or_default();
    let braced = strip(word, b"${", b"}").unwrap_or_default();
    let windows = strip(word, b"%", b"%").unwrap_or_default();
    let file = strip(word, b"$(cat ", b")").or(strip(word, b"$(<", b")")).unwrap_or_default();
    let is_path = !file.is_empty()
        && file.len() <= PATH_BYTES_MAX
        && file
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-'))
        && file.contains(&b'/');
    is_name(bare) || is_name(braced) || is_name(windows) || is_path
}

/// Whether this stands for a value that is elsewhere: `?`, `$1`, `%s`, `:name`.
pub(super) fn is_placeholder(word: &[u8], in_query: bool) -> bool {
    let end =
        word.iter().rposition(|byte| !matches!(byte, b')' | b',' | b';')).map_or(0, |at| at + 1);
    let word = word.get(..end).unwrap_or_default();
    let digits = |text: &[u8]| text.len() <= 3 && text.iter().all(u8::is_ascii_digit);
    let name = |text: &[u8]| {
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    match word.split_first() {
        Some((b'?', rest)) => digits(rest),
        Some((b'$', rest)) => !rest.is_empty() && digits(rest) || in_query && name(rest),
        Some((b'%', rest)) => {
            matches!(rest, b"s" | b"L" | b"Q") || strip(rest, b"(", b")s").is_some_and(name)
        }
        Some((b':' | b'@', rest)) => in_query && name(rest) || !rest.is_empty() && digits(rest),
        Some((b'*', rest)) => rest.iter().all(|byte| *byte == b'*'),
        Some((b'<', rest)) => rest.strip_suffix(b">").is_some_and(|inner| {
            inner.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
        }),
        _ => false,
    }
}

fn strip<'a>(text: &'a [u8], front: &[u8], back: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(front)?.strip_suffix(back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_a_token_is_looked_for() {
        for (prefix, _) in TOKENS {
            assert!(may_begin(prefix[0], prefix[1]), "{}", String::from_utf8_lossy(prefix));
        }
    }
}
