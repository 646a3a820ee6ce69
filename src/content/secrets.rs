//! Secrets within text: passwords in URLs, tokens in arguments, and the like.
//!
//! Secrets are recognized by their form, so some are missed: docs/content.md lists the
//! forms. If a form is ambiguous, the text is masked.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands for what was masked.
pub const MARKER: &str = "[redacted]";

/// Ends of names whose values are secrets: `--db-password`, `AWS_SECRET_ACCESS_KEY`.
const SECRET_NAME: &str = "[0-9A-Za-z_.-]*(?:password|passwd|passphrase|pwd|secret|token|credentials?\
    |(?:api|access|secret|private|account|shared|signing|encryption)[-_.]?key)|(?:[0-9A-Za-z_.-]*[-_.])?pass";
/// A value: in quotes, or up to white space, a quote or what parts values. A quote
/// that is not closed goes on to the end.
const VALUE: &str = r#"(?:\\"(?:[^"\\]|\\[^"])*(?:\\"|$)|"(?:[^"\\]|\\.)*(?:"|$)|'[^']*(?:'|$)|(?:[^\s"'&;\\]|\\[^\s"'])+)"#;
/// What stands between a name and its value.
const SEPARATOR: &str = r#"\\?["']?\s*[:=]{1,2}>?\s*"#;

/// Text in which nothing of this occurs holds no secret that can be told.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        "(?i)://|pass|pwd|secret|token|credential|key|authorization|cookie|bearer|basic|identified\
        |curl|mysql|mariadb|eyJ",
    )
});
/// A URL, as far as it goes.
static URL: LazyLock<Regex> =
    LazyLock::new(|| compile(r#"[A-Za-z][0-9A-Za-z+.-]*://(?P<rest>[^\s"'<>\\]+)"#));
/// What is masked by form, in this order. The group `secret` is what is masked; all
/// of it where there is none.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let forms = [
        // A private key in PEM.
        "(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)".into(),
        // A header that authenticates, up to the end of the line or of the quote.
        format!(r#"(?i)\b(?:(?:proxy-)?authorization|(?:set-)?cookie){SEPARATOR}\\?["']?(?P<secret>[^"'\r\n\\]+)"#),
        // A JSON web token.
        r"\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*)*".into(),
        // name=value, name: value and "name": "value".
        format!("(?i)\\b(?:{SECRET_NAME}){SEPARATOR}(?P<secret>{VALUE})"),
        // PASSWORD('value').
        format!(r#"(?i)\b(?:{SECRET_NAME})\(\s*(?P<secret>'[^']*'|"[^"]*")"#),
        // SQL.
        format!(r"(?i)\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?(?P<secret>{VALUE})"),
        // curl -u name:password
        r#"(?i:\bcurl\b)[^|;\n]*?\s(?:-u|--user|--proxy-user|-U)[\s=]*["']?[^\s:"']*:(?P<secret>[^\s"']+)"#.into(),
        // mysql -ppassword, sshpass -p password
        r"(?i:\b(?:mysql|mysqldump|mysqladmin|mysqlimport|mariadb|mariadb-dump)\b)[^|;\n]*?\s-p(?P<secret>\S+)".into(),
        format!(r"\bsshpass\s+-p\s*(?P<secret>{VALUE})"),
    ];
    forms.iter().map(|form: &String| compile(form)).collect()
});
/// A flag and its value, unless that is the next flag.
static ARGUMENTS: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(r#"(?i)(?:^|[\s"'=(])--?(?:{SECRET_NAME})\s+(?P<secret>{VALUE})"#))
});
/// A word and what follows it, which is a secret only if it looks like one.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    compile(&format!(
        r#"(?i)\b(?:password|passwd|passphrase|secret|token|apikey|api-key|bearer|basic)\s+(?P<secret>{VALUE})"#
    ))
});
/// A flag whose value is the next argument.
static FLAG: LazyLock<Regex> = LazyLock::new(|| compile(&format!("^(?i)--?(?:{SECRET_NAME})$")));

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is valid")
}

/// The text with its secrets masked; `None` where there are none.
pub(super) fn mask(text: &str) -> Option<String> {
    if !HINT.is_match(text) {
        return None;
    }
    let mut masked = URL.replace_all(text, |found: &Captures<'_>| {
        in_part(found, "rest", &mask_url(found.name("rest").map_or("", |rest| rest.as_str())))
    });
    for form in FORMS.iter() {
        masked = replaced(form, masked, |_| true);
    }
    masked = replaced(&ARGUMENTS, masked, |value| !value.starts_with('-'));
    masked = replaced(&WORD, masked, looks_secret);
    match masked {
        Cow::Owned(masked) if masked != text => Some(masked),
        _ => None,
    }
}

/// The values of a URL's query masked; `None` where there are none.
pub(super) fn mask_query(query: &str) -> Option<String> {
    let masked = query_masked(query);
    (masked != query).then_some(masked)
}

/// Whether an argument is a flag whose value is the next one: `--password`.
pub(super) fn is_flag(argument: &str) -> bool {
    FLAG.is_match(argument)
}

/// Masks what `form` finds and `is_secret` agrees to.
fn replaced<'t>(
    form: &Regex,
    text: Cow<'t, str>,
    is_secret: impl Fn(&str) -> bool,
) -> Cow<'t, str> {
    let mask = |found: &Captures<'_>| {
        let secret = found.name("secret").or_else(|| found.get(0)).map_or("", |part| part.as_str());
        if secret.is_empty() || !is_secret(secret) {
            return found.get(0).map_or("", |whole| whole.as_str()).to_owned();
        }
        in_part(found, "secret", &masked_in_quotes(secret))
    };
    match form.replace_all(&text, mask) {
        Cow::Borrowed(_) => text,
        Cow::Owned(masked) => Cow::Owned(masked),
    }
}

/// What was found, with its part `name` replaced; all of it, where there is no such
/// part.
fn in_part(found: &Captures<'_>, name: &str, replacement: &str) -> String {
    let Some(whole) = found.get(0) else { return String::new() };
    let Some(part) = found.name(name) else { return replacement.to_owned() };
    let (start, end) = (part.start() - whole.start(), part.end() - whole.start());
    let text = whole.as_str();
    let (before, after) = (text.get(..start), text.get(end..));
    format!("{}{replacement}{}", before.unwrap_or_default(), after.unwrap_or_default())
}

/// The marker, between the quotes that the secret has around it.
fn masked_in_quotes(secret: &str) -> String {
    let quoted = ["\\\"", "\"", "'"].into_iter().find(|quote| {
        let inner = secret.strip_prefix(quote);
        inner.is_some_and(|inner| inner.ends_with(quote))
    });
    quoted.map_or_else(|| MARKER.to_owned(), |quote| format!("{quote}{MARKER}{quote}"))
}

/// Words that follow words are prose; what is quoted, or long and with a digit, is
/// not.
fn looks_secret(value: &str) -> bool {
    /// In bytes.
    const LENGTH_MIN: usize = 8;
    value.starts_with(['"', '\'', '\\'])
        || value.len() >= LENGTH_MIN && value.bytes().any(|byte| byte.is_ascii_digit())
}

/// What comes behind `://`, masked: the user info, and the values of query and
/// fragment.
fn mask_url(rest: &str) -> String {
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
    if authority.contains('@') || ends_in_port || authority.starts_with('[') {
        return end;
    }
    let Some(at) = behind.rfind('@') else { return end };
    let host = behind.get(at..).unwrap_or_default();
    end + at + host.find(['/', '?', '#']).unwrap_or(host.len())
}

/// `a=b&c=d` with the values masked; names, and parts without a value, stay.
fn query_masked(query: &str) -> String {
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

#[cfg(test)]
mod tests;
