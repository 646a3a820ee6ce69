//! Secrets in URLs: user info, and the values of query and fragment.

use super::MARKER;
use super::lexer::{Quotes, Text};

/// What comes behind `//`, masked, and how many bytes of the text it stands for.
/// `None` where nothing is to be masked.
pub(super) fn mask_at(text: Text<'_>, start: usize, quotes: &Quotes) -> (usize, Option<String>) {
    let end = end_of(text, start, quotes);
    let rest = std::str::from_utf8(text.slice(start..end)).unwrap_or_default();
    let masked = mask(rest);
    (end, (masked != rest).then_some(masked))
}

/// Where a URL ends: a password within may hold quotes that should have been
/// escaped, but no white space.
fn end_of(text: Text<'_>, start: usize, quotes: &Quotes) -> usize {
    let mut at = start;
    let mut quote = None;
    while at < text.len() {
        match text.byte(at) {
            b'<' | b'>' => break,
            b'"' | b'\'' | b'\\' if text.plain_quote(at).is_some() => {
                if text.closes_outer(at, quotes) {
                    break;
                }
                quote.get_or_insert(at);
            }
            b'@' => quote = None,
            _ if text.space_len(at) > 0 => break,
            _ => {}
        }
        at += 1;
    }
    quote.unwrap_or(at)
}

/// User info, and the values of query and fragment, masked.
fn mask(rest: &str) -> String {
    let (authority, behind) = rest.split_at(authority_len(rest));
    let host = authority.rfind('@').and_then(|at| authority.get(at..));
    let authority = host.map_or_else(|| authority.to_owned(), |host| format!("{MARKER}{host}"));
    let (path, query) = match behind.find(['?', '#']) {
        Some(start) => behind.split_at(start),
        None => (behind, ""),
    };
    format!("{authority}{path}{}", query_masked(query))
}

/// Length of user info, host and port. A password that should have been escaped may
/// hold a slash: then what stands before it ends in no port.
fn authority_len(rest: &str) -> usize {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let ends_in_port = authority
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if authority.contains('@') && !behind_has_host(authority, behind)
        || !authority.contains('@') && ends_in_port
        || authority.starts_with('[')
    {
        return end;
    }
    let Some(at) = behind.rfind('@') else { return end };
    let host = behind.get(at..).unwrap_or_default();
    end + at + host.find(['/', '?', '#']).unwrap_or(host.len())
}

/// Whether the `@` before the path is one of the password, as in `u:p@a/b@host`:
/// then what follows it is no host, or one with a port that is none.
fn behind_has_host(authority: &str, behind: &str) -> bool {
    let port = authority.rsplit_once('@').and_then(|(_, host)| host.rsplit_once(':'));
    behind.contains('@')
        && port.is_some_and(|(_, port)| port.bytes().any(|byte| !byte.is_ascii_digit()))
}

/// `a=b&c=d` with the values masked; names, and parts without a value, stay.
pub(super) fn query_masked(query: &str) -> String {
    let mut masked = String::with_capacity(query.len());
    for part in query.split_inclusive(['&', ';', '?', '#']) {
        let (part, end) = match part.char_indices().next_back() {
            Some((at, '&' | ';' | '?' | '#')) => part.split_at(at),
            _ => (part, ""),
        };
        match part.split_once('=') {
            Some((name, value)) if !value.is_empty() => {
                masked.extend([name, "=", MARKER]);
            }
            _ => masked.push_str(part),
        }
        masked.push_str(end);
    }
    masked
}
