//! Lists of arguments, each a text of its own.

use super::programs::{self, Program};
use super::{MARKER, binds_secret, has_hint, keywords, masked, names};

/// The arguments of a command so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    program: Option<&'static Program>,
    /// The word that its flags need was read.
    has_needed: bool,
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
    pub(crate) fn tell(&mut self, text: &str) {
        if self.program.is_none() {
            self.start(text);
        }
        self.all_secret |= binds_secret(text);
    }

    fn start(&mut self, text: &str) -> bool {
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
        // A command may stand there with arguments.
        let name = name.split_ascii_whitespace().next().unwrap_or_default();
        let Some(program) = programs::find(name.as_bytes()) else { return false };
        self.program = Some(program);
        self.has_needed = program.needs.is_empty();
        true
    }

    /// The next argument masked; `None` where it stays.
    pub(crate) fn mask(&mut self, text: &str) -> Option<String> {
        let next = if self.all_secret { Next::Parameter } else { std::mem::take(&mut self.next) };
        let is_flag = text.starts_with('-');
        match next {
            Next::Parameter => {
                return (text != MARKER && !text.is_empty()).then(|| MARKER.to_owned());
            }
            Next::Secret if !is_flag => {
                return (text != MARKER && !text.is_empty()).then(|| MARKER.to_owned());
            }
            Next::Pair(between) if !is_flag => {
                let (name, _) = text.split_once(char::from(between))?;
                let masked = format!("{name}{}{MARKER}", char::from(between));
                return (masked != text).then_some(masked);
            }
            _ => {}
        }
        if let Some(announced) = self.flag(text) {
            self.next = announced;
            return None;
        }
        if let Some(start) = self.secret_from(text) {
            let masked = format!("{}{MARKER}", text.get(..start).unwrap_or_default());
            return (masked != text).then_some(masked);
        }
        if !text.contains(' ') && !is_flag && self.start(text) {
            return None;
        }
        self.has_needed |= self.program.is_some_and(|program| program.needs == text);
        let words = self.program.map_or(&[][..], |program| program.words);
        if words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            self.next = Next::Secret;
            return None;
        }
        if !has_hint(text) && !is_flag {
            return None;
        }
        self.announce_by_words(text);
        masked(text)
    }

    /// What comes behind this argument, if it is a flag that announces something.
    fn flag(&self, text: &str) -> Option<Next> {
        let program = self.program.filter(|_| self.has_needed);
        if let Some(program) = program {
            if program.separate.contains(&text) {
                return Some(Next::Secret);
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
        let program = self.program.filter(|_| self.has_needed);
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
        let lower = trimmed
            .get(trimmed.len().saturating_sub(64)..)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let named = lower.strip_suffix([':', '=']).is_some_and(|name| {
            let word = name.rsplit([' ', '"', '\'', '/', '{', ',']).next().unwrap_or_default();
            names::is_secret(word.as_bytes())
                || keywords::keyword(word.as_bytes()) == Some(keywords::Keyword::Header)
        });
        let words = ["identified by", "bearer", "identified by password"];
        if named || words.iter().any(|words| lower.ends_with(words)) {
            self.next = Next::Secret;
        }
    }
}
