//! Splits an expression into tokens.
//!
//! It follows the lexical rules of the language definition,
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>.

mod text;

use std::ops::Range;

use text::text_prefix;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, or a keyword.
    Name(String),
    /// A name in backquotes: only a selection may have one.
    QuotedName(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// An operator, a bracket or another sign.
    Sign(&'static str),
    End,
}

/// A token with its range in the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) span: Range<usize>,
}

/// An error in the source, with its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) kind: FaultKind,
}

/// The kind of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// A sentence.
    Syntax(String),
    /// Brackets, operators, calls or selections are nested too deep.
    TooDeep,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Self { span, kind: FaultKind::Syntax(problem.into()) }
    }
}

/// The signs; a longer one comes before its prefixes.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")",
    "[", "]", "{", "}", ".", ",", "=",
];

/// Splits a source into tokens, of which the last is [`Token::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Lexeme>, Fault> {
    let mut lexer = Lexer { source, at: 0 };
    let mut found = Vec::new();
    loop {
        let lexeme = lexer.next()?;
        let is_end = lexeme.token == Token::End;
        found.push(lexeme);
        if is_end {
            return Ok(found);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    /// The next byte.
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Result<Lexeme, Fault> {
        self.skip_blanks();
        let start = self.at;
        let rest = self.rest();
        let token = match rest.chars().next() {
            None => Token::End,
            Some(letter) if letter == '"' || letter == '\'' => self.text("")?,
            Some(letter) if letter.is_ascii_digit() => self.number()?,
            Some('.') if rest.get(1..).is_some_and(|it| it.starts_with(is_digit)) => {
                self.number()?
            }
            Some(letter) if is_name_start(letter) => match text_prefix(rest) {
                Some(prefix) => self.text(prefix)?,
                None => Token::Name(self.take_while(is_name_part).to_owned()),
            },
            Some('`') => self.quoted_name()?,
            Some(letter) => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    Token::Sign(sign)
                }
                None => return Err(Fault::new(start..start + letter.len_utf8(), stray(letter))),
            },
        };
        Ok(Lexeme { token, span: start..self.at })
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|letter| matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|letter| letter != '\n');
        }
    }

    fn take_while(&mut self, mut fits: impl FnMut(char) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        if ["0x", "0X"].iter().any(|prefix| self.rest().starts_with(prefix)) {
            self.at += 2;
            let digits = self.take_while(|letter| letter.is_ascii_hexdigit());
            return self.integer(start, digits, 16);
        }
        let whole = self.take_while(is_digit);
        let mut is_double = false;
        let after = self.rest();
        if after.starts_with('.') && after.get(1..).is_some_and(|it| it.starts_with(is_digit)) {
            is_double = true;
            self.at += 1;
            self.take_while(is_digit);
        }
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.starts_with(is_digit) {
                is_double = true;
                self.at += 1 + exponent.len() - digits.len();
                self.take_while(is_digit);
            }
        }
        if !is_double {
            return self.integer(start, whole, 10);
        }
        self.end_number(start)?;
        let text = self.source.get(start..self.at).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Token::Double(number)),
            _ => Err(Fault::new(start..self.at, "this number is too large for a double")),
        }
    }

    fn integer(&mut self, start: usize, digits: &str, radix: u32) -> Result<Token, Fault> {
        let is_unsigned = self.rest().starts_with(['u', 'U']);
        self.at += usize::from(is_unsigned);
        self.end_number(start)?;
        let span = start..self.at;
        match u64::from_str_radix(digits, radix) {
            Ok(number) if is_unsigned => Ok(Token::Uint(number)),
            // The parser checks the range, because it knows whether the number is negative.
            Ok(number) if number <= i64::MIN.unsigned_abs() => Ok(Token::Int(number)),
            _ if digits.is_empty() => Err(Fault::new(span, "a digit must follow 0x")),
            _ if is_unsigned => Err(Fault::new(span, "this number is too large for a uint")),
            _ => Err(Fault::new(span, "this number is too large for an int")),
        }
    }

    /// Refuses letters right after a number.
    fn end_number(&mut self, start: usize) -> Result<(), Fault> {
        if self.take_while(is_name_part).is_empty() {
            return Ok(());
        }
        let text = self.source.get(start..self.at).unwrap_or_default();
        let hint = if text.contains(['s', 'm', 'h', 'd']) {
            "; a duration is written duration('1h')"
        } else {
            ""
        };
        Err(Fault::new(start..self.at, format!("this is not a number{hint}")))
    }

    fn quoted_name(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        let name = self.take_while(|letter| letter != '`' && letter != '\n');
        let closed = self.rest().starts_with('`');
        self.at += usize::from(closed);
        let span = start..self.at;
        let fits = |letter: char| is_name_part(letter) || matches!(letter, '.' | '-' | '/' | ' ');
        if !closed {
            Err(Fault::new(span, "unterminated name: the closing ` is missing"))
        } else if name.is_empty() || !name.chars().all(fits) {
            Err(Fault::new(span, "a name in backquotes has letters, digits, _ . - / or spaces"))
        } else {
            Ok(Token::QuotedName(name.to_owned()))
        }
    }
}

fn is_digit(letter: char) -> bool {
    letter.is_ascii_digit()
}

fn is_name_start(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_'
}

fn is_name_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn stray(letter: char) -> String {
    match letter {
        '&' => "use && for and".to_owned(),
        '|' => "use || for or".to_owned(),
        '“' | '”' | '„' | '‘' | '’' => {
            format!("{letter} is not a quote here: use ' or \"")
        }
        letter => format!("unexpected character {letter:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(source: &str) -> Token {
        let mut found = tokens(source).unwrap_or_else(|fault| panic!("{source}: {fault:?}"));
        assert_eq!(found.len(), 2, "{source}: {found:?}");
        found.remove(0).token
    }

    fn fault(source: &str) -> (Range<usize>, String) {
        let fault = tokens(source).expect_err(source);
        match fault.kind {
            FaultKind::Syntax(problem) => (fault.span, problem),
            FaultKind::TooDeep => panic!("{source}"),
        }
    }

    #[test]
    fn literals_have_their_values() {
        let text = |text: &str| Token::String(text.to_owned());
        for (source, expected) in [
            ("0", Token::Int(0)),
            ("0xfF", Token::Int(255)),
            ("9223372036854775808", Token::Int(1 << 63)),
            ("18446744073709551615u", Token::Uint(u64::MAX)),
            ("0x0U", Token::Uint(0)),
            ("1.5", Token::Double(1.5)),
            (".5e1", Token::Double(5.0)),
            ("2E-1", Token::Double(0.2)),
            ("'a\"b'", text("a\"b")),
            (r#""a\"\'\`\?\\\n\x41\101é\U0001F600""#, text("a\"'`?\\\nAAé😀")),
            (r"r'a\n'", text("a\\n")),
            ("'''a'b\r\n\"c'''", text("a'b\n\"c")),
            ("\"\"\"\"\"\"", text("")),
            (r"b'\xffé\377'", Token::Bytes(vec![0xff, 0xc3, 0xa9, 0xff])),
            (r#"bR"\x""#, Token::Bytes(b"\\x".to_vec())),
            ("_a1", Token::Name("_a1".to_owned())),
            ("`a.b-c/d e`", Token::QuotedName("a.b-c/d e".to_owned())),
            ("1 // and no more", Token::Int(1)),
        ] {
            assert_eq!(only(source), expected, "{source}");
        }
    }

    #[test]
    fn faults_name_the_bytes_and_the_problem() {
        for (source, span, part) in [
            ("a == 'abc", 5..9, "unterminated string: the closing ' is missing"),
            ("'abc\n'", 0..4, "unterminated string"),
            ("'''abc'", 0..7, "the closing ''' is missing"),
            ("`a", 0..2, "unterminated name"),
            (r"'\q'", 1..3, r"there is no escape sequence \q"),
            (r"'\x4'", 1..5, "2 hexadecimal digits"),
            (r"'\ud800'", 1..7, "no such character"),
            (r"b'\u0041'", 2..4, "bytes have no escape sequence"),
            ("1x", 0..2, "not a number"),
            ("5m", 0..2, "duration('1h')"),
            ("0x", 0..2, "a digit must follow"),
            ("99999999999999999999", 0..20, "too large for an int"),
            ("18446744073709551616u", 0..21, "too large for a uint"),
            ("1e999", 0..5, "too large for a double"),
            ("a & b", 2..3, "use && for and"),
            ("a == “b”", 5..8, "is not a quote here"),
            ("é", 0..2, "unexpected character"),
        ] {
            let (found, problem) = fault(source);
            assert_eq!(found, span, "{source}: {problem}");
            assert!(problem.contains(part), "{source}: {problem}");
        }
    }
}
