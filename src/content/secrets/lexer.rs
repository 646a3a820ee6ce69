//! Values as lexers of SQL, shells and JSON read them: quotes of all kinds, escapes,
//! pieces that adjoin. Where languages differ, the longer reading counts.

mod value;

use std::ops::Range;

use super::budget::Work;
use super::{MARKER, MaskBudget};

/// How a quoted piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// By this quote with at most so many backslashes before it.
    Quote { quote: u8, backslashes: usize },
    /// By these characters, whatever stands before them.
    Text { range: (usize, usize) },
    /// By one of several typographic quotes.
    Typographic(&'static [&'static str]),
    /// By a bracket and a quote, as Oracle's `q'[...]'`.
    Bracket(u8),
    /// By a closing brace, which is doubled within, as in ODBC.
    Brace,
}

/// A quote that opens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    /// Where the content begins.
    pub(super) inner: usize,
    pub(super) close: Close,
    /// A backslash escapes the next character for certain, or for certain not.
    pub(super) escapes: Option<bool>,
}

/// A value that was read.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// What is to be replaced.
    pub(super) secret: Range<usize>,
    /// Where reading goes on.
    pub(super) end: usize,
    pub(super) quoted: bool,
}

/// Quotes that are open around a place, the outermost first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quotes {
    /// Behind those that are open there is `None`.
    open: [Option<(u8, usize)>; Quotes::DEPTH_MAX],
    depth: usize,
}

impl Quotes {
    /// More are not told apart: texts are not quoted that often.
    const DEPTH_MAX: usize = 6;

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (u8, usize)> + ExactSizeIterator {
        self.open.get(..self.depth).unwrap_or_default().iter().map(|open| open.unwrap_or_default())
    }

    pub(super) fn has(&self, quote: u8, backslashes: usize) -> bool {
        self.iter().any(|open| open == (quote, backslashes))
    }

    /// Whether quotes behind so many backslashes are those of a text within.
    pub(super) fn has_within(&self, backslashes: usize) -> bool {
        backslashes > 0 && self.iter().any(|(quote, open)| quote == b'"' && open + 1 == backslashes)
    }

    /// A quote stands here: it closes what it opened, or opens.
    pub(super) fn toggle(&mut self, quote: u8, backslashes: usize) -> bool {
        let opened = self.iter().rposition(|open| open == (quote, backslashes));
        if let Some(at) = opened {
            self.truncate(at);
            return false;
        }
        if self.depth == Self::DEPTH_MAX {
            self.truncate(0);
        }
        if let Some(open) = self.open.get_mut(self.depth) {
            *open = Some((quote, backslashes));
            self.depth += 1;
        }
        true
    }

    fn truncate(&mut self, depth: usize) {
        self.open.iter_mut().skip(depth).for_each(|open| *open = None);
        self.depth = depth;
    }

    pub(super) fn top(&self) -> Option<(u8, usize)> {
        self.iter().next_back()
    }
}

/// A text, by byte. What lies behind the end is read as zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    bytes: &'t [u8],
    /// What is read ahead is counted here.
    budget: &'t MaskBudget,
}

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t str, budget: &'t MaskBudget) -> Self {
        Self { bytes: text.as_bytes(), budget }
    }

    pub(super) fn len(self) -> usize {
        self.bytes.len()
    }

    /// The text up to this place, or to its end.
    pub(super) fn until(self, end: usize) -> Self {
        Self { bytes: self.bytes.get(..end).unwrap_or(self.bytes), ..self }
    }

    /// Counts what looks as if it announced a secret.
    pub(super) fn count_announced(self) {
        self.budget.spend();
    }

    pub(super) fn count(self, work: Work) {
        self.budget.count(work);
    }

    /// Counts what was read between these places to find an end.
    pub(super) fn count_read(self, from: usize, to: usize) {
        self.budget.read(to.saturating_sub(from));
    }

    #[inline]
    pub(super) fn byte(self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    pub(super) fn from(&self, at: usize) -> &[u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// Length of the white space at this place; 0 where there is none.
    #[inline]
    pub(super) fn space_len(&self, at: usize) -> usize {
        match self.byte(at) {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => 1,
            0xc2 if matches!(self.byte(at + 1), 0x85 | 0xa0) => 2,
            // Spaces of all widths, none included, and line separators.
            0xe2 if self.byte(at + 1) == 0x80
                && matches!(self.byte(at + 2), 0x80..=0x8f | 0xa8..=0xaf) =>
            {
                3
            }
            0xe1 if self.from(at).starts_with("\u{1680}".as_bytes()) => 3,
            0xe3 if self.from(at).starts_with("\u{3000}".as_bytes()) => 3,
            0xef if self.from(at).starts_with("\u{feff}".as_bytes()) => 3,
            _ => 0,
        }
    }

    /// How many backslashes stand here, as far as they are told apart.
    pub(super) fn backslashes(&self, at: usize) -> usize {
        /// A quote within six levels of quotes has 63.
        const BACKSLASHES_MAX: usize = 64;
        let bytes = self.from(at).iter().take(BACKSLASHES_MAX);
        bytes.take_while(|byte| **byte == b'\\').count()
    }

    /// Length of what is passed where backslashes stand before no quote: all of them
    /// but the last, which may escape what follows.
    pub(super) fn backslashes_to_pass(&self, at: usize) -> usize {
        self.backslashes(at).saturating_sub(1).max(1)
    }

    /// The plain quote here, behind backslashes or not, and its length with them.
    #[inline]
    pub(super) fn plain_quote(&self, at: usize) -> Option<(u8, usize, usize)> {
        let backslashes = if self.byte(at) == b'\\' { self.backslashes(at) } else { 0 };
        match self.byte(at + backslashes) {
            quote @ (b'"' | b'\'') => Some((quote, backslashes, backslashes + 1)),
            _ => None,
        }
    }

    /// The quote that opens here, also behind a prefix.
    #[inline]
    pub(super) fn open(&self, at: usize) -> Option<Open> {
        match self.byte(at) {
            b'"' | b'\'' | b'\\' | b'`' | b'&' | b'$' | b'@' | b'#' | 0xc2 | 0xe2 => {
                self.opened(at)
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.prefixed(at),
            _ => None,
        }
    }

    fn opened(&self, at: usize) -> Option<Open> {
        self.count(Work::Quote);
        let opened = |inner, close| Open { inner, close, escapes: None };
        let first = self.byte(at);
        match first {
            // A shell's way to write a quote within quotes.
            b'\'' if self.shell_quote(at).is_some_and(|end| self.byte(end) == b'\'') => {
                let end = self.shell_quote(at).map_or(at, |end| end + 1);
                let close = Close::Text { range: (at, end) };
                Some(Open { escapes: Some(false), ..opened(end, close) })
            }
            // The same by other quotes around.
            b'\'' if self.from(at).starts_with(br#"'"'"'"#) => Some(Open {
                escapes: Some(false),
                ..opened(at + 5, Close::Text { range: (at, at + 5) })
            }),
            b'"' | b'\'' | b'\\' => {
                let next = self.byte(at + 1);
                if first == b'\\'
                    && next == b'$'
                    && let Some(len) = self.escaped_dollar(at)
                {
                    let close = Close::Text { range: (at, at + len) };
                    return Some(Open { escapes: Some(false), ..opened(at + len, close) });
                }
                if let Some((quote, backslashes, len)) = self.plain_quote(at) {
                    return Some(opened(at + len, Close::Quote { quote, backslashes }));
                }
                if !matches!(next, b'u' | b'x') {
                    return None;
                }
                let escaped = ["\\u0027", "\\u0022", "\\x27", "\\x22"];
                let found = escaped.iter().find(|it| self.from(at).starts_with(it.as_bytes()))?;
                Some(opened(at + found.len(), Close::Text { range: (at, at + found.len()) }))
            }
            b'`' => Some(Open {
                escapes: Some(false),
                ..opened(at + 1, Close::Quote { quote: b'`', backslashes: 0 })
            }),
            b'&' if matches!(self.byte(at + 1), b'q' | b'#' | b'a') => {
                let entities = ["&quot;", "&#39;", "&#34;", "&apos;", "&#x27;", "&#x22;", "&#039;"];
                let found = entities.iter().find(|it| self.from(at).starts_with(it.as_bytes()))?;
                Some(opened(at + found.len(), Close::Text { range: (at, at + found.len()) }))
            }
            b'$' => self.dollar(at),
            b'@' | b'#' if matches!(self.byte(at + 1), b'"' | b'\'') => {
                self.behind(at + 1, Some(false))
            }
            0xc2 | 0xe2 => {
                const PAIRS: [(&str, &[&str]); 6] = [
                    ("“", &["”", "“"]),
                    ("”", &["”", "“"]),
                    ("„", &["“", "”"]),
                    ("‘", &["’", "‘"]),
                    ("’", &["’", "‘"]),
                    ("«", &["»"]),
                ];
                let found =
                    PAIRS.iter().find(|(it, _)| self.from(at).starts_with(it.as_bytes()))?;
                Some(opened(at + found.0.len(), Close::Typographic(found.1)))
            }
            _ => None,
        }
    }

    /// Behind `'\'`, with which a shell's way to write a quote within quotes begins. In a text of JSON the backslash is
    /// doubled.
    pub(super) fn shell_quote(&self, at: usize) -> Option<usize> {
        if self.byte(at) != b'\'' || self.byte(at + 1) != b'\\' {
            return None;
        }
        let backslashes = self.backslashes(at + 1);
        let end = at + 1 + backslashes;
        (matches!(backslashes, 1 | 2 | 4) && self.byte(end) == b'\'').then_some(end + 1)
    }

    /// The quote here, behind a prefix that tells how it is escaped.
    fn behind(&self, quote: usize, escapes: Option<bool>) -> Option<Open> {
        let open = self.open(quote)?;
        Some(Open { escapes, ..open })
    }

    /// `N'x'`, `U&'x'`, `_utf8mb4'x'`, `q'[x]'`.
    #[inline]
    fn prefixed(&self, at: usize) -> Option<Open> {
        // All prefixes but those of character sets have one letter or two.
        let may_quote = |at| matches!(self.byte(at), b'"' | b'\'' | b'\\');
        let may_be = self.byte(at) == b'_' || may_quote(at + 1) || may_quote(at + 2);
        if may_be { self.opened_behind_prefix(at) } else { None }
    }

    fn opened_behind_prefix(&self, at: usize) -> Option<Open> {
        self.count(Work::Step);
        /// Of the longest name of a character set, in bytes.
        const PREFIX_BYTES_MAX: usize = 20;
        let bytes = self.from(at).iter().take(PREFIX_BYTES_MAX);
        let len = bytes
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'&'))
            .count();
        let mut quote = at + len;
        if self.byte(at) == b'_' {
            // An introducer may stand apart.
            while self.byte(quote) == b' ' && quote < at + PREFIX_BYTES_MAX {
                quote += 1;
            }
        }
        let plain = self.plain_quote(quote)?;
        let prefix = self.slice(at..at + len);
        let is = |known: &[&[u8]]| known.iter().any(|known| prefix.eq_ignore_ascii_case(known));
        match prefix {
            [b'_', ..] => self.behind(quote, None),
            _ if plain.0 == b'\'' && is(&[b"q", b"nq"]) => {
                let inner = quote + plain.2;
                let close = match self.byte(inner) {
                    b'[' => b']',
                    b'(' => b')',
                    b'{' => b'}',
                    b'<' => b'>',
                    other if other.is_ascii() => other,
                    _ => return self.behind(quote, None),
                };
                Some(Open { inner: inner + 1, close: Close::Bracket(close), escapes: Some(false) })
            }
            _ if is(&[b"e", b"b", b"rb", b"br", b"c"]) => self.behind(quote, Some(true)),
            _ if is(&[b"x", b"u&", b"r"]) => self.behind(quote, Some(false)),
            _ if is(&[b"n"]) => self.behind(quote, None),
            _ => None,
        }
    }

    /// Length of `\$\$` or `\$tag\$`, as a shell needs it within quotes.
    fn escaped_dollar(&self, at: usize) -> Option<usize> {
        const TAG_BYTES_MAX: usize = 63;
        let rest = self.from(at).strip_prefix(br"\$")?;
        let is_tag = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let tag = rest.iter().take(TAG_BYTES_MAX).take_while(is_tag).count();
        rest.get(tag..)?.starts_with(br"\$").then_some(2 + tag + 2)
    }

    /// `$$x$$`, `$tag$x$tag$`, `$'x'`, `$"x"`.
    fn dollar(&self, at: usize) -> Option<Open> {
        /// Longest tag, in bytes: an identifier of Postgres.
        const TAG_BYTES_MAX: usize = 63;
        if matches!(self.byte(at + 1), b'"' | b'\'') {
            return self.behind(at + 1, Some(true));
        }
        let is_tag =
            |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || !byte.is_ascii();
        let tag = self.from(at + 1).iter().take(TAG_BYTES_MAX).take_while(is_tag).count();
        if self.byte(at + 1).is_ascii_digit() || self.byte(at + 1 + tag) != b'$' {
            return None;
        }
        let end = at + tag + 2;
        let close = Close::Text { range: (at, end) };
        Some(Open { inner: end, close, escapes: Some(false) })
    }

    /// Whether the marker alone stands at this place: masked before.
    pub(super) fn is_marker(&self, range: Range<usize>) -> bool {
        self.slice(range) == MARKER.as_bytes()
    }
}
