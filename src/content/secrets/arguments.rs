//! Lists of arguments, each a text of its own.

use super::keywords::Keyword;
use super::shell::Shell;
use super::{MARKER, MaskBudget, binds_secret, has_hint, lookup, masked, names};

/// The arguments of a command so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    shell: Shell,
    next: Next,
    /// They are parameters of a query, one of which is a secret.
    all_secret: bool,
}

/// What the next argument is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Any,
    Secret,
    /// A secret, whatever it looks like.
    Parameter,
    /// A name and a secret, with this between.
    Pair(u8),
}

impl Arguments {
    /// Takes a text that stands beside the list: the program, or a query whose
    /// parameters these are.
    pub(crate) fn tell(&mut self, text: &str, budget: &MaskBudget) {
        if self.shell.program.is_none() {
            self.start(text);
        }
        self.all_secret |= binds_secret(text, budget);
    }

    fn start(&mut self, text: &str) -> bool {
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default().trim_start_matches('(');
        // A command may stand there with arguments.
        let name = name.split_ascii_whitespace().next().unwrap_or_default();
        let Some(program) = lookup::program(name.as_bytes()) else { return false };
        self.shell.start(program, 0);
        true
    }

    /// Whether this word is one of those that are secrets by their position. Counts it.
    fn is_positional(&mut self, text: &str, is_flag: bool) -> bool {
        if is_flag {
            self.shell.flag(text.as_bytes());
            return false;
        }
        if self.shell.takes_positional() {
            return true;
        }
        self.shell.counts_from(text.as_bytes());
        false
    }

    /// Where the secret of a login begins and ends: `name/secret@place`.
    fn login(&self, text: &str) -> Option<(usize, usize)> {
        let login = text.strip_prefix("userid=").unwrap_or(text);
        let is_login =
            self.shell.program.is_some_and(|program| program.slash) || login.len() < text.len();
        if !is_login || login.contains(' ') || login.starts_with(['@', '/', '-']) {
            return None;
        }
        let (name, rest) = login.split_once('/')?;
        let place = rest.rfind('@').unwrap_or(rest.len());
        let start = text.len() - login.len() + name.len() + 1;
        let is_path = place == rest.len() && (rest.contains('/') || rest.ends_with(".sql"));
        (place > 0 && !is_path && !name.is_empty()).then_some((start, start + place))
    }

    /// The next argument masked; `None` where it stays.
    pub(crate) fn mask(&mut self, text: &str, budget: &MaskBudget) -> Option<String> {
        let next = if self.all_secret { Next::Parameter } else { std::mem::take(&mut self.next) };
        let is_flag = text.starts_with('-');
        match next {
            Next::Parameter => {
                return (text != MARKER && !text.is_empty()).then(|| MARKER.to_owned());
            }
            Next::Secret if !is_flag => {
                if text.starts_with('(') && !text.ends_with(')') {
                    // An expression: the secret is within.
                    self.next = Next::Secret;
                }
                return (text != MARKER && !text.is_empty()).then(|| MARKER.to_owned());
            }
            Next::Pair(between) if !is_flag => {
                let Some((name, _)) = text.split_once(char::from(between)) else {
                    let whole = self.shell.program.is_some_and(|program| program.whole);
                    return (whole && text != MARKER).then(|| MARKER.to_owned());
                };
                let masked = format!("{name}{}{MARKER}", char::from(between));
                return (masked != text).then_some(masked);
            }
            _ => {}
        }
        if self.is_positional(text, is_flag) {
            return (text != MARKER && !text.is_empty()).then(|| MARKER.to_owned());
        }
        if let Some((start, end)) = self.login(text) {
            let masked = format!(
                "{}{MARKER}{}",
                text.get(..start).unwrap_or_default(),
                text.get(end..).unwrap_or_default()
            );
            return (masked != text).then_some(masked);
        }
        if let Some(announced) = self.flag(text) {
            self.next = announced;
            return None;
        }
        if let Some(start) = self.secret_from(text) {
            let masked = format!("{}{MARKER}", text.get(..start).unwrap_or_default());
            return (masked != text).then_some(masked);
        }
        let counts = self.shell.counts_already();
        let file = text.rsplit(['/', '\\']).next().unwrap_or_default();
        if !file.contains(' ') && !is_flag && !counts && self.start(text) {
            return None;
        }
        if self.shell.program.is_some_and(|program| program.names) && self.is_name(text) {
            self.next = Next::Secret;
            return None;
        }
        if self.shell.announces(text.as_bytes()) {
            self.next = Next::Secret;
            return None;
        }
        if !has_hint(text, budget) && !is_flag {
            return None;
        }
        self.announce_by_words(text);
        masked(text, budget)
    }

    /// Whether this word is the name of a secret, of which the value follows.
    fn is_name(&self, text: &str) -> bool {
        let name = text.rsplit([':', '/']).next().unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !text.starts_with('-') && name.bytes().all(is_word) && names::is_secret(name.as_bytes())
    }

    /// What comes behind this argument, if it is a flag that announces something.
    fn flag(&self, text: &str) -> Option<Next> {
        let program = self.shell.flags();
        if let Some(program) = program {
            if program.separate.contains(&text) {
                return Some(Next::Secret);
            }
            if program.needs == "put-parameter" && text == "--secret-id" {
                return None;
            }
            if program.pair.contains(&text) {
                return Some(Next::Pair(program.between));
            }
            let cluster = text.strip_prefix('-').unwrap_or_default();
            let is_cluster =
                cluster.len() > 1 && cluster.bytes().all(|byte| byte.is_ascii_alphabetic());
            if is_cluster && program.pair.contains(&"-u") && cluster.ends_with('u') {
                return Some(Next::Pair(program.between));
            }
        }
        let name = text.trim_start_matches('-');
        let is_flag = name.len() < text.len() && names::is_secret(name.as_bytes());
        let is_word = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        (is_flag && is_word).then_some(Next::Secret)
    }

    /// Where in an argument a secret begins that goes on to its end: `-pX`,
    /// `--password=X`, `PASSWORD=X`.
    fn secret_from(&self, text: &str) -> Option<usize> {
        let program = self.shell.flags();
        if let Some(program) = program {
            let attached = program.attached.iter().find(|flag| text.starts_with(**flag));
            if let Some(flag) = attached
                && text.len() > flag.len()
            {
                let equals = usize::from(text.as_bytes().get(flag.len()) == Some(&b'='));
                return Some(flag.len() + equals).filter(|start| *start < text.len());
            }
            let pair = program.pair.iter().find(|flag| text.starts_with(**flag));
            if let Some(flag) = pair {
                let rest = text.get(flag.len()..).unwrap_or_default();
                let at = rest.find(char::from(program.between))?;
                if flag.len() == 2 || rest.starts_with('=') {
                    return Some(flag.len() + at + 1);
                }
            }
        }
        let (name, value) = text.split_once('=')?;
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        let is_secret = is_name && !value.is_empty() && names::is_secret(name.as_bytes());
        is_secret.then_some(name.len() + 1)
    }

    /// The next argument is a secret where this one ends in what announces it:
    /// `Authorization:`, `IDENTIFIED BY`, `password=`.
    fn announce_by_words(&mut self, text: &str) {
        let trimmed = text.trim_end();
        let from = (trimmed.len().saturating_sub(64)..).find(|at| trimmed.is_char_boundary(*at));
        let lower =
            trimmed.get(from.unwrap_or_default()..).unwrap_or_default().to_ascii_lowercase();
        let named = lower.strip_suffix([':', '=']).is_some_and(|name| {
            let word = name.rsplit([' ', '"', '\'', '/', '{', ',']).next().unwrap_or_default();
            names::is_secret(word.as_bytes())
                || lookup::keyword(word.as_bytes()) == Some(Keyword::Header)
        });
        let words = ["identified by", "bearer", "identified by password"];
        if named || words.iter().any(|words| lower.ends_with(words)) {
            self.next = Next::Secret;
        }
    }
}
