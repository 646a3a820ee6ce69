//! Secrets in URLs: user info, and the values of query and fragment.

use std::ops::Range;

use memchr::{memchr, memchr2, memchr3, memrchr};

use super::MARKER;
use super::lexer::{Quotes, Text};

/// Finds the secrets of what comes behind `//`, as ranges of the text. Gives where it ends.
pub(super) fn find(
    text: Text<'_>,
    start: usize,
    quotes: &Quotes,
    mut found: impl FnMut(Range<usize>),
) -> usize {
    let end = end_of(text, start, quotes);
    let rest = text.slice(start..end);
    let authority = authority_len(rest);
    let (host, behind) = rest.split_at(authority);
    if let Some(at) = memrchr(b'@', host) {
        found(start..start + at);
    }
    if let Some(query) = memchr2(b'?', b'#', behind) {
        let query = start + authority + query;
        values(text.slice(query..end), |range| found(query + range.start..query + range.end));
    }
    end
}

/// How far behind a quote or a semicolon the end of a user's secret is looked for, in bytes.
const SECRET_BYTES_MAX: usize = 128;

/// Where a URL ends: a password within may hold quotes that should have been
/// escaped, but no white space. What follows a URL in a connection string, as in
/// `//host;user=a;password=b`, is no part of it: there the rules for names and values
/// apply, and not those for URLs.
fn end_of(text: Text<'_>, start: usize, quotes: &Quotes) -> usize {
    let mut at = start;
    let mut has_query = false;
    while at < text.len() {
        match text.byte(at) {
            b'<' | b'>' => return at,
            b'?' | b'#' => has_query = true,
            b'"' | b'\'' | b'\\' => match text.plain_quote(at) {
                Some(_) if text.closes_outer(at, quotes) => return at,
                Some(_) => match user_end(text, at, quotes) {
                    Some(user) => at = user,
                    None => return at,
                },
                None => at += text.backslashes_to_pass(at) - 1,
            },
            b';' if !has_query => match user_end(text, at, quotes) {
                Some(user) => at = user,
                None => return at,
            },
            _ if text.space_len(at) > 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}

/// The `@` that ends a user's secret, if it comes before the URL ends.
fn user_end(text: Text<'_>, from: usize, quotes: &Quotes) -> Option<usize> {
    let rest = text.from(from + 1);
    let rest = rest.get(..SECRET_BYTES_MAX).unwrap_or(rest);
    let user = from + 1 + memchr(b'@', rest)?;
    let mut at = from + 1;
    while at < user {
        match text.byte(at) {
            b'<' | b'>' => return None,
            b'"' | b'\'' | b'\\' => match text.plain_quote(at) {
                Some(_) if text.closes_outer(at, quotes) => return None,
                Some((_, _, len)) => at += len - 1,
                None => at += text.backslashes_to_pass(at) - 1,
            },
            _ if text.space_len(at) > 0 => return None,
            _ => {}
        }
        at += 1;
    }
    Some(user)
}

/// Length of user info, host and port. A password that should have been escaped may
/// hold a slash: then what stands before it ends in no port.
fn authority_len(rest: &[u8]) -> usize {
    let end = memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let has_user = memchr(b'@', authority).is_some();
    if has_user && !is_within_password(authority, behind)
        || !has_user && port(authority).is_none_or(|port| port.iter().all(u8::is_ascii_digit))
        || authority.first() == Some(&b'[')
    {
        return end;
    }
    let Some(at) = memrchr(b'@', behind) else { return end };
    let host = behind.get(at..).unwrap_or_default();
    end + at + memchr3(b'/', b'?', b'#', host).unwrap_or(host.len())
}

/// What stands behind the last colon.
fn port(authority: &[u8]) -> Option<&[u8]> {
    let colon = memrchr(b':', authority)?;
    authority.get(colon + 1..)
}

/// Whether the `@` before the path is one of the password, as in `u:p@a/b@host`:
/// then what follows it is no host, or one with a port that is none.
fn is_within_password(authority: &[u8], behind: &[u8]) -> bool {
    let host = memrchr(b'@', authority).and_then(|at| authority.get(at + 1..));
    memchr(b'@', behind).is_some()
        && host.and_then(port).is_some_and(|port| port.iter().any(|byte| !byte.is_ascii_digit()))
}

/// Finds the values of `a=b&c=d`; names, and parts without a value, stay.
fn values(query: &[u8], mut found: impl FnMut(Range<usize>)) {
    let mut part = 0;
    for end in memchr::memchr3_iter(b'&', b';', b'?', query).chain([query.len()]) {
        // A fragment may begin within.
        let mut from = part;
        while from <= end {
            let piece = query.get(from..end).unwrap_or_default();
            let stop = memchr(b'#', piece).map_or(end, |hash| from + hash);
            let piece = query.get(from..stop).unwrap_or_default();
            if let Some(equals) = memchr(b'=', piece).filter(|equals| equals + 1 < piece.len()) {
                found(from + equals + 1..stop);
            }
            from = stop + 1;
        }
        part = end + 1;
    }
}

/// `a=b&c=d` with the values masked; names, and parts without a value, stay.
pub(super) fn query_masked(query: &str) -> String {
    let mut masked = String::with_capacity(query.len());
    let mut from = 0;
    values(query.as_bytes(), |range| {
        masked.push_str(query.get(from..range.start).unwrap_or_default());
        masked.push_str(MARKER);
        from = range.end;
    });
    masked.push_str(query.get(from..).unwrap_or_default());
    masked
}
