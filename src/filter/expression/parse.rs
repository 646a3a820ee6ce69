//! Parses a text to a tree: a Pratt parser for the grammar of CEL,
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax>.
//!
//! The bounds below limit its stack and the depth of its tree, so it runs on any thread.

mod brackets;
mod faults;

use std::ops::Range;

use super::DEPTH_MAX;
use super::syntax::{Binary, Expr, Kind, Literal, Name, Unary};
use super::token::{Fault, FaultKind, Lexeme, Token, tokens};
use faults::optional;

/// How deep brackets, arguments and branches may be nested.
const RECURSION_MAX: usize = DEPTH_MAX / 2;
/// Reserved words of the language.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Parses an expression.
pub(super) fn parse(source: &str) -> Result<Expr, Fault> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, recursion: 0 };
    let root = parser.expression()?;
    let next = parser.peek();
    match &next.token {
        Token::End => Ok(root),
        _ => Err(parser.behind_value()),
    }
}

struct Parser {
    /// The last one is [`Token::End`].
    tokens: Vec<Lexeme>,
    at: usize,
    recursion: usize,
}

/// The precedence of a binary operator: a higher number binds tighter. Operators of one precedence
/// associate to the left.
fn precedence(token: &Token) -> Option<(Binary, u8)> {
    let operator = match token {
        Token::Sign("||") => (Binary::Or, 1),
        Token::Sign("&&") => (Binary::And, 2),
        Token::Sign("==") => (Binary::Equal, 3),
        Token::Sign("!=") => (Binary::NotEqual, 3),
        Token::Sign("<") => (Binary::Less, 3),
        Token::Sign("<=") => (Binary::LessOrEqual, 3),
        Token::Sign(">") => (Binary::Greater, 3),
        Token::Sign(">=") => (Binary::GreaterOrEqual, 3),
        Token::Name(name) if name == "in" => (Binary::In, 3),
        Token::Sign("+") => (Binary::Add, 4),
        Token::Sign("-") => (Binary::Subtract, 4),
        Token::Sign("*") => (Binary::Multiply, 5),
        Token::Sign("/") => (Binary::Divide, 5),
        Token::Sign("%") => (Binary::Remainder, 5),
        _ => return None,
    };
    Some(operator)
}

impl Parser {
    fn peek(&self) -> &Lexeme {
        let last = self.tokens.last().expect("there is at least the end");
        self.tokens.get(self.at).unwrap_or(last)
    }

    fn next(&mut self) -> Lexeme {
        let lexeme = self.peek().clone();
        self.at += 1;
        lexeme
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(&self.peek().token, Token::Sign(found) if *found == sign)
    }

    /// Takes this sign, if it is next.
    fn take(&mut self, sign: &str) -> Option<Range<usize>> {
        self.is_sign(sign).then(|| self.next().span)
    }

    /// An expression: `or` or `or ? or : expression`.
    fn expression(&mut self) -> Result<Expr, Fault> {
        if self.recursion == RECURSION_MAX + 1 {
            return Err(Fault { span: self.peek().span.clone(), kind: FaultKind::TooDeep });
        }
        self.recursion += 1;
        let mut parsed = self.binary(1)?;
        if let Some(question) = self.take("?") {
            let one = self.binary(1)?;
            if self.take(":").is_none() {
                return Err(self.not_closed(&question, "?", ":"));
            }
            let other = self.expression()?;
            let span = parsed.span.start..other.span.end;
            let depth = parsed.depth.max(one.depth).max(other.depth);
            let kind = Kind::Conditional(Box::new((parsed, one, other)));
            parsed = node(span, depth, kind)?;
        }
        self.recursion -= 1;
        Ok(parsed)
    }

    /// Operands and operators of at least this precedence.
    fn binary(&mut self, least: u8) -> Result<Expr, Fault> {
        let mut left = self.unary()?;
        while let Some((operator, strength)) = precedence(&self.peek().token) {
            if strength < least {
                break;
            }
            if matches!(operator, Binary::Or | Binary::And) {
                left = self.chain(left, operator, strength)?;
                continue;
            }
            self.at += 1;
            let right = self.binary(strength + 1)?;
            left = joined(operator, left, right)?;
        }
        Ok(left)
    }

    /// Parses a chain of `&&` or `||`, which does not nest deep, however many operands it has.
    fn chain(&mut self, first: Expr, operator: Binary, strength: u8) -> Result<Expr, Fault> {
        let mut operands = vec![first];
        while precedence(&self.peek().token) == Some((operator, strength)) {
            self.at += 1;
            operands.push(self.binary(strength + 1)?);
        }
        balanced(operator, operands)
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        for (sign, operator) in [("!", Unary::Not), ("-", Unary::Negate)] {
            let start = self.peek().span.start;
            let mut count = 0_usize;
            while self.is_sign(sign) {
                self.at += 1;
                count += 1;
            }
            // A single sign belongs to the number, so that -9223372036854775808 is a literal.
            let is_number = matches!(self.peek().token, Token::Int(_) | Token::Double(_));
            if sign == "-" && count == 1 && is_number {
                self.at -= 1;
                break;
            }
            if count == 0 {
                continue;
            }
            let operand = self.member()?;
            // Two signs cancel out, as in other parsers.
            if count.is_multiple_of(2) {
                return Ok(operand);
            }
            let (span, depth) = (start..operand.span.end, operand.depth);
            return node(span, depth, Kind::Unary(operator, Box::new(operand)));
        }
        self.member()
    }

    /// A value followed by selections, calls and indexes.
    fn member(&mut self) -> Result<Expr, Fault> {
        let mut operand = self.primary()?;
        loop {
            if self.take(".").is_some() {
                operand = self.select(operand)?;
            } else if let Some(open) = self.take("[") {
                if let Some(sign) = self.take("?") {
                    return Err(optional(sign));
                }
                let index = self.expression()?;
                let close = self.close(&open, "[", "]")?;
                let span = operand.span.start..close.end;
                let depth = operand.depth.max(index.depth);
                operand = node(span, depth, Kind::Index(Box::new((operand, index))))?;
            } else if let (true, Some(name)) = (self.is_sign("{"), message_name(&operand)) {
                operand = self.message(operand.span.start, name)?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// Parses a selection or call after a dot.
    fn select(&mut self, operand: Expr) -> Result<Expr, Fault> {
        if let Some(sign) = self.take("?") {
            return Err(optional(sign));
        }
        let Lexeme { token, span } = self.next();
        let (text, is_quoted) = match token {
            Token::Name(text) => (text, false),
            Token::QuotedName(text) => (text, true),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("the name of a field must follow the dot"));
            }
        };
        if !is_quoted && is_keyword(&text) {
            return Err(Fault::new(span, format!("{text} is a keyword: write it as `{text}`")));
        }
        let name = Name { text, span };
        let start = operand.span.start;
        if let (false, Some(open)) = (is_quoted, self.take("(")) {
            let (arguments, end) = self.arguments(&open)?;
            let depth = deepest(&arguments).max(operand.depth);
            let kind = Kind::Call { target: Some(Box::new(operand)), name, arguments };
            return node(start..end, depth, kind);
        }
        let (end, depth) = (name.span.end, operand.depth);
        node(start..end, depth, Kind::Select(Box::new(operand), name))
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let Lexeme { token, span } = self.next();
        let literal = match token {
            Token::Int(number) => Literal::Int(
                i64::try_from(number)
                    .map_err(|_| Fault::new(span.clone(), "this number is too large for an int"))?,
            ),
            Token::Uint(number) => Literal::Uint(number),
            Token::Double(number) => Literal::Double(number),
            Token::String(text) => Literal::String(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::Name(name) if name == "true" => Literal::Bool(true),
            Token::Name(name) if name == "false" => Literal::Bool(false),
            Token::Name(name) if name == "null" => Literal::Null,
            Token::Name(name) => return self.name(name, span),
            Token::Sign("-") => return self.negative(span),
            Token::Sign("(") => {
                let mut inner = self.expression()?;
                let close = self.close(&span, "(", ")")?;
                inner.span = span.start..close.end;
                return Ok(inner);
            }
            Token::Sign("[") => return self.list(span),
            Token::Sign("{") => return self.map(span),
            Token::Sign(".") => {
                let Lexeme { token, span: name_span } = self.next();
                let name = match token {
                    Token::Name(name) if !is_keyword(&name) => name,
                    _ => {
                        self.at -= 1;
                        return Err(self.unexpected("a name must follow the dot"));
                    }
                };
                return self.name(format!(".{name}"), span.start..name_span.end);
            }
            Token::QuotedName(_) => {
                let problem = "a name in backquotes may only follow a dot";
                return Err(Fault::new(span, problem));
            }
            Token::Sign(_) | Token::End => {
                self.at -= 1;
                return Err(self.unexpected("a value is expected here"));
            }
        };
        node(span, 0, Kind::Literal(literal))
    }

    /// Parses a number after its sign.
    fn negative(&mut self, sign: Range<usize>) -> Result<Expr, Fault> {
        let Lexeme { token, span } = self.next();
        let span = sign.start..span.end;
        let literal = match token {
            Token::Int(number) => match 0_i64.checked_sub_unsigned(number) {
                Some(number) => Literal::Int(number),
                None => return Err(Fault::new(span, "this number is too small for an int")),
            },
            Token::Double(number) => Literal::Double(-number),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("a value is expected here"));
            }
        };
        node(span, 0, Kind::Literal(literal))
    }

    fn name(&mut self, text: String, span: Range<usize>) -> Result<Expr, Fault> {
        let bare = text.trim_start_matches('.');
        if bare == "in" {
            self.at -= 1;
            return Err(self.unexpected("a value is expected before in"));
        }
        if RESERVED.contains(&bare) {
            return Err(Fault::new(span, format!("{bare} is a reserved word")));
        }
        if let Some(open) = self.take("(") {
            let (arguments, end) = self.arguments(&open)?;
            let depth = deepest(&arguments);
            let start = span.start;
            let name = Name { text, span };
            return node(start..end, depth, Kind::Call { target: None, name, arguments });
        }
        node(span, 0, Kind::Name(text))
    }
}

/// Whether a name is a keyword: a literal or an operator.
fn is_keyword(name: &str) -> bool {
    matches!(name, "in" | "true" | "false" | "null")
}

/// A node whose deepest child has this depth.
fn node(span: Range<usize>, inner_depth: usize, kind: Kind) -> Result<Expr, Fault> {
    let depth = inner_depth + 1;
    if depth > DEPTH_MAX {
        return Err(Fault { span, kind: FaultKind::TooDeep });
    }
    Ok(Expr { span, depth, kind })
}

fn joined(operator: Binary, left: Expr, right: Expr) -> Result<Expr, Fault> {
    let span = left.span.start..right.span.end;
    let depth = left.depth.max(right.depth);
    node(span, depth, Kind::Binary(operator, Box::new((left, right))))
}

/// Joins at least one operand to a tree of minimum depth, as cel-go does.
fn balanced(operator: Binary, mut left: Vec<Expr>) -> Result<Expr, Fault> {
    if left.len() == 1 {
        return Ok(left.remove(0));
    }
    let right = left.split_off(left.len().div_ceil(2));
    joined(operator, balanced(operator, left)?, balanced(operator, right)?)
}

fn deepest(nodes: &[Expr]) -> usize {
    nodes.iter().map(|node| node.depth).max().unwrap_or_default()
}

/// The name of a message in front of its fields: names with dots between them.
fn message_name(operand: &Expr) -> Option<String> {
    match &operand.kind {
        Kind::Name(name) => Some(name.clone()),
        Kind::Select(outer, name) => Some(format!("{}.{}", message_name(outer)?, name.text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
