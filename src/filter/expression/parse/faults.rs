//! Makes the sentences about syntax errors of an expression.

use std::ops::Range;

use super::Parser;
use crate::filter::error::excerpt;
use crate::filter::expression::token::{Fault, Lexeme, Token};

impl Parser {
    /// Takes the bracket that closes one.
    pub(super) fn close(
        &mut self,
        open: &Range<usize>,
        bracket: &str,
        sign: &str,
    ) -> Result<Range<usize>, Fault> {
        self.take(sign).ok_or_else(|| self.not_closed(open, bracket, sign))
    }

    pub(super) fn not_closed(&self, open: &Range<usize>, bracket: &str, sign: &str) -> Fault {
        match self.peek().token {
            Token::End => {
                Fault::new(open.clone(), format!("{bracket} is not closed: {sign} is missing"))
            }
            _ => self.behind_value(),
        }
    }

    /// The error about a token after a value, where an operator or the end is expected.
    pub(super) fn behind_value(&self) -> Fault {
        let Lexeme { token, span } = self.peek();
        let before = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let before = before.map(|before| &before.token);
        let problem = match token {
            Token::Name(name) if name.eq_ignore_ascii_case("and") => "use && for and".to_owned(),
            Token::Name(name) if name.eq_ignore_ascii_case("or") => "use || for or".to_owned(),
            Token::Name(name) if name.eq_ignore_ascii_case("not") => "use ! for not".to_owned(),
            Token::Name(name) if name.eq_ignore_ascii_case("is") => "use == for is".to_owned(),
            Token::Name(name) if name.eq_ignore_ascii_case("like") => {
                "use contains(), startsWith() or matches() for like".to_owned()
            }
            Token::Sign("=") => "use == to compare".to_owned(),
            Token::Sign(sign @ (")" | "]" | "}")) => format!("{sign} closes nothing"),
            Token::Name(_) if matches!(before, Some(Token::Name(name)) if name.eq_ignore_ascii_case("not")) => {
                "use ! for not".to_owned()
            }
            token => format!("an operator is expected before {}", shown(token)),
        };
        Fault::new(span.clone(), problem)
    }

    /// The error about an unexpected token.
    pub(super) fn unexpected(&self, wanted: &str) -> Fault {
        let Lexeme { token, span } = self.peek();
        let before = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let problem = match (token, before.map(|before| &before.token)) {
            (Token::Sign(">"), Some(Token::Sign("<"))) => "use != for <>".to_owned(),
            (Token::Sign("="), Some(Token::Sign("=="))) => "use == for ===".to_owned(),
            (Token::Sign("="), _) => "use == to compare".to_owned(),
            (Token::End, Some(_)) => format!("unexpected end: {wanted}"),
            (token, _) => format!("unexpected {}: {wanted}", shown(token)),
        };
        Fault::new(span.clone(), problem)
    }
}

/// The part of a token that an error shows.
fn shown(token: &Token) -> String {
    match token {
        Token::Name(name) | Token::QuotedName(name) => excerpt(name),
        Token::Sign(sign) => (*sign).to_owned(),
        Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".to_owned(),
        Token::String(_) => "a string".to_owned(),
        Token::Bytes(_) => "bytes".to_owned(),
        Token::End => "the end".to_owned(),
    }
}

pub(super) fn optional(sign: Range<usize>) -> Fault {
    Fault::new(sign, "optional values are not supported: use has()")
}
