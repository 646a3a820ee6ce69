//! Secrets within text: passwords in URLs, tokens in arguments, and the like.
//!
//! Secrets are recognized by their form, so some are missed: docs/content.md lists the
//! forms. If a form is ambiguous, the text is masked.

mod arguments;
mod budget;
mod forms;
mod keywords;
mod lexer;
mod lookup;
mod names;
mod programs;
mod scan;
mod shell;
mod sql;
mod url;

use crate::text::prefix;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, StartKind};

pub(super) use arguments::Arguments;
pub(super) use budget::MaskBudget;
use scan::SecretScan;

/// What stands for what was masked.
pub const MARKER: &str = "[redacted]";

/// A text without any of these holds no secret that can be told.
const HINTS: [&str; 78] = [
    "://",
    "@tcp(",
    "@unix(",
    ":thin:",
    "pass",
    "pwd",
    "pw=",
    "_pw",
    "-pw",
    "psw",
    "secret",
    "token",
    "credential",
    "key",
    "auth",
    "cookie",
    "bearer",
    "basic",
    "digest",
    "negotiate",
    "identified",
    "crypt",
    "otp",
    "_pin",
    "-pin",
    "sp_add",
    "sp_set",
    "eyj",
    "akia",
    "asia",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat",
    "glpat",
    "gldt-",
    "xox",
    "xapp-",
    "sk_",
    "rk_live",
    "sk-",
    "aiza",
    "ya29",
    "npm_",
    "pypi-",
    "hvs.",
    "hvb.",
    "sg.",
    "dop_v1",
    "shpat",
    "age-",
    "mysql",
    "maria",
    "xtraback",
    "mycli",
    "mytop",
    "7z",
    "rar",
    "cqlsh",
    "mongo",
    "beeline",
    "desktop",
    "user",
    "arango",
    "sqlcmd",
    "bcp",
    "osql",
    "isql",
    "ipmi",
    "zip",
    "tsql",
    "redis",
    "valkey",
    "ldap",
    "snmp",
    "signature",
];
const MORE_HINTS: [&str; 39] = [
    "curl",
    "lftp",
    "smb",
    "rpcclient",
    "login",
    "openssl",
    "tool",
    "freerdp",
    "runas",
    "kinit",
    "htp",
    "sqlplus",
    "sqlcl",
    "rman",
    "expdp",
    "impdp",
    "sqlldr",
    "http -",
    "connect",
    "keydb",
    "sudo",
    "securestring",
    "mosquitto",
    "twine",
    "ncftp",
    "hydra",
    "psexec",
    "rabbitmq",
    "schtasks",
    "net use",
    "vault",
    "hmac",
    "hashbytes",
    "openrowset",
    "conn ",
    " -p ",
    "psk",
    "set_config",
    "alias set",
];

static HINT: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .start_kind(StartKind::Unanchored)
        .build(HINTS.iter().chain(&MORE_HINTS))
        .expect("the patterns are few and short")
});

/// The text with its secrets masked; `None` where there are none.
pub(super) fn mask(text: &str, budget: &MaskBudget) -> Option<String> {
    has_hint(text, budget).then(|| masked(text, budget))?
}

/// Whether the text may hold a secret. Once the work is abandoned, it may.
fn has_hint(text: &str, budget: &MaskBudget) -> bool {
    /// As much as is read until it is looked whether the caller still waits.
    const SLICE_BYTES: usize = 64 * 1024;
    /// A hint may begin in one slice and end in the next one.
    const HINT_BYTES_MAX: usize = 16;
    let mut from = 0;
    loop {
        let end = text.len().min(from + SLICE_BYTES);
        let span = from..text.len().min(end + HINT_BYTES_MAX);
        let input = Input::new(text).span(span).anchored(Anchored::No).earliest(true);
        if matches!(HINT.try_find(input), Ok(Some(_))) {
            return true;
        }
        budget.work(end - from);
        if end == text.len() || budget.is_abandoned() {
            return end < text.len();
        }
        from = end;
    }
}

/// The text masked; `None` where nothing is to be masked.
fn masked(text: &str, budget: &MaskBudget) -> Option<String> {
    /// What was masked is looked through again, as often: what is left by itself may
    /// announce something else.
    const ROUNDS_MAX: usize = 4;
    let mut before = budget.worked();
    let mut masked = once(text, budget)?;
    for _ in 1..ROUNDS_MAX {
        let work = budget.worked() - before;
        if !budget.take_again(masked.len(), work) {
            return Some(masked);
        }
        before = budget.worked();
        match once(&masked, budget) {
            Some(again) if again != masked => masked = again,
            _ => return Some(masked),
        }
    }
    Some(MARKER.to_owned())
}

fn once(text: &str, budget: &MaskBudget) -> Option<String> {
    let found = SecretScan::new(text, budget).run();
    if found.is_empty() {
        return None;
    }
    let hidden: usize = found.iter().map(ExactSizeIterator::len).sum();
    let marked = text.len().saturating_sub(hidden) + found.len() * MARKER.len();
    let mut masked = String::with_capacity(marked);
    let mut from = 0;
    for range in &found {
        let start = prefix(text, range.start).len();
        masked.push_str(text.get(from..start).unwrap_or_default());
        masked.push_str(MARKER);
        from =
            (range.end..text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    }
    masked.push_str(text.get(from..).unwrap_or_default());
    (masked != text).then_some(masked)
}

/// Whether a query has a parameter in the place of a secret.
fn binds_secret(text: &str, budget: &MaskBudget) -> bool {
    has_hint(text, budget)
        && text.contains(['?', '$', ':', '@', '%'])
        && SecretScan::new(text, budget).binds_secret()
}

/// The values of a URL's query masked; `None` where there are none.
pub(super) fn mask_query(query: &str) -> Option<String> {
    let masked = url::query_masked(query);
    (masked != query).then_some(masked)
}

/// Whether a value by this name is a secret: of a map's key, or of a JSON object's.
pub(super) fn is_secret_name(name: &str) -> bool {
    names::is_secret(name.as_bytes())
}

#[cfg(test)]
mod tests;
