//! Recognizes secrets by their form alone: tokens, variables, placeholders.

use super::lexer::Text;
use super::names;

/// Beginnings of tokens, and how many bytes must follow.
const TOKENS: [(&[u8], usize); 30] = [
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

/// Length of the token that begins here.
pub(super) fn token_len(text: Text<'_>, at: usize) -> Option<usize> {
    if at > 0 && (text.byte(at - 1).is_ascii_alphanumeric() || text.byte(at - 1) == b'_') {
        return None;
    }
    let rest = text.from(at);
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-');
    if rest.starts_with(b"eyJ") {
        return web_token_len(rest);
    }
    let first = *rest.first()?;
    if !matches!(first, b'A' | b'g' | b'x' | b's' | b'r' | b'y' | b'n' | b'p' | b'h' | b'S' | b'd')
    {
        return None;
    }
    let (prefix, least) = TOKENS.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    let body = rest.get(prefix.len()..)?;
    let len = body.iter().take_while(|byte| is_part(byte) || **byte == b'.').count();
    let has_digit = || body.iter().take(len).any(u8::is_ascii_digit);
    let fits = match *prefix {
        b"AKIA" | b"ASIA" => {
            len == *least
                && body
                    .iter()
                    .take(len)
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        }
        _ => len >= *least && has_digit(),
    };
    fits.then_some(prefix.len() + len)
}

/// A JSON web token: parts in base64url, with dots between.
fn web_token_len(rest: &[u8]) -> Option<usize> {
    /// Of a part, in bytes.
    const PART_BYTES_MIN: usize = 8;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-');
    let mut len = rest.iter().take_while(is_part).count();
    let mut parts = usize::from(len >= PART_BYTES_MIN);
    while parts > 0 && rest.get(len) == Some(&b'.') {
        let part = rest.get(len + 1..).unwrap_or_default().iter().take_while(is_part).count();
        if parts == 1 && part < PART_BYTES_MIN {
            return None;
        }
        parts += 1;
        len += 1 + part;
    }
    (parts > 1).then_some(len)
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
