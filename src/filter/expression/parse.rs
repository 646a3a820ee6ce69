//! From text to a tree, with the `cel` crate's parser.

use cel::IdedExpr;
use cel::common::ast::SourceInfo;
use cel::parser::Parser;

use super::DEPTH_MAX;
use super::check::Checker;
use super::node::ExprNode;
use crate::filter::error::{Error, excerpt};

/// Stack of the thread that parses, in bytes; only what is touched is taken.
///
/// The parser recurses by the bracket and its visitor by the operator, with
/// frames that reach 150 KiB a bracket in debug builds. By measure, the worst
/// text of [`super::BYTES_MAX`] stays below half of this.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// How deep brackets may be nested: what the parser takes for recursion.
const BRACKETS_MAX: u16 = DEPTH_MAX as u16 / 2;
/// By this the parser's error tells that there are more.
const RECURSION_MESSAGE: &str = "Recursion limit of";

/// A place in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Where the nodes of a tree stand in the text.
pub(super) struct Source<'s> {
    text: &'s str,
    info: SourceInfo,
}

impl Source<'_> {
    /// Where a node stands; for a selection, its dot.
    pub(super) fn position(&self, node: &IdedExpr) -> Position {
        let offset = self.info.offset_for(node.id).map_or(0, |(start, _)| start as usize);
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Position { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    /// Where the name of a selection stands.
    pub(super) fn name_position(&self, select: &IdedExpr) -> Position {
        let Position { line, column } = self.position(select);
        Position { line, column: column + 1 }
    }
}

/// Parses and checks an expression.
///
/// Both happen in a thread whose stack fits what the parser may need, wherever
/// the caller runs; it also confines a panic of the parser.
pub(super) fn compile(source: &str) -> Result<ExprNode, Error> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("auditgate-cel".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || parse_and_check(source))
            .map_err(|error| unparsed(format!("no thread to parse it: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(unparsed("the parser failed on it".to_owned())))
    })
}

fn parse_and_check(source: &str) -> Result<ExprNode, Error> {
    let parser = Parser::new().max_recursion_depth(BRACKETS_MAX);
    let (tree, info) =
        parser.parse_with_source_info(source).map_err(|errors| match errors.errors.first() {
            Some(error) if error.msg.contains(RECURSION_MESSAGE) => Error::ExpressionTooDeep,
            Some(error) => {
                let at = Position {
                    line: usize::try_from(error.pos.0).unwrap_or(1).max(1),
                    column: usize::try_from(error.pos.1).unwrap_or(1).max(1),
                };
                let slip = slip(source, at).map(str::to_owned);
                Error::ExpressionInvalid {
                    at,
                    problem: slip.unwrap_or_else(|| problem(&error.msg)),
                }
            }
            None => unparsed("it does not parse".to_owned()),
        })?;
    Checker::new(Source { text: source, info }).root(&tree)
}

/// What is meant by an operator of another language that stands there.
fn slip(source: &str, at: Position) -> Option<&'static str> {
    let line = source.lines().nth(at.line - 1)?;
    let (start, _) = line.char_indices().nth(at.column - 1)?;
    let (before, rest) = line.split_at_checked(start)?;
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let word = rest.split(|letter| !is_part(letter)).next()?.to_ascii_lowercase();
    match word.as_str() {
        "and" => Some("use && for and"),
        "or" => Some("use || for or"),
        "" if before.ends_with('<') && rest.starts_with('>') => Some("use != for <>"),
        "" if rest.starts_with('=') => Some("use == to compare"),
        _ => None,
    }
}

/// What the parser says, without what it says of itself.
fn problem(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let shown = match message.split_once(" expecting ") {
        // The list of all tokens that could have stood there helps nobody.
        Some((what, expected)) if expected.starts_with(['{', '<']) => what,
        _ => message,
    };
    excerpt(&shown.replace("'<EOF>'", "the end"))
}

fn unparsed(problem: String) -> Error {
    Error::ExpressionInvalid { at: Position { line: 1, column: 1 }, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_of_other_languages_are_known() {
        let cases = [
            ("event.user.name = 'x'", 17, "use == to compare"),
            ("'=' == type && type ='x'", 21, "use == to compare"),
            ("type == 'a' and type == 'b'", 13, "use && for and"),
            ("type == 'a' OR type == 'b'", 13, "use || for or"),
            ("type <> 'a'", 7, "use != for <>"),
        ];
        for (text, column, wanted) in cases {
            let at = Position { line: 1, column };
            let problem = wanted.to_owned();
            let refused = parse_and_check(text).err();
            assert_eq!(refused, Some(Error::ExpressionInvalid { at, problem }), "{text}");
        }
        let Err(other) = parse_and_check("type == ") else { panic!("it ends too soon") };
        assert!(!other.to_string().contains("use "), "{other}");
    }
}
