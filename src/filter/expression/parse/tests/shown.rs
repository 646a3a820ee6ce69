//! Trees as cel-go prints them, without blanks and kinds.

use crate::filter::expression::syntax::{Binary, Expr, Kind, Literal, Unary};

pub(super) fn shown(tree: &Expr) -> String {
    let list = |nodes: &[Expr]| nodes.iter().map(shown).collect::<Vec<_>>().join(",");
    match &tree.kind {
        Kind::Literal(literal) => shown_literal(literal),
        Kind::Name(name) => name.clone(),
        Kind::Select(operand, name) => format!("{}.{}", shown(operand), name.text),
        Kind::Index(parts) => format!("_[_]({},{})", shown(&parts.0), shown(&parts.1)),
        Kind::Call { target: None, name, arguments } => match (name.text.as_str(), &**arguments) {
            ("has", [Expr { kind: Kind::Select(operand, name), .. }]) => {
                format!("{}.{}~test-only~", shown(operand), name.text)
            }
            (name, arguments) => format!("{name}({})", list(arguments)),
        },
        Kind::Call { target: Some(target), name, arguments } => {
            format!("{}.{}({})", shown(target), name.text, list(arguments))
        }
        Kind::List(elements) => format!("[{}]", list(elements)),
        Kind::Map(entries) => {
            let entry = |(key, value): &(Expr, Expr)| format!("{}:{}", shown(key), shown(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        Kind::Message(name, fields) => {
            let fields =
                fields.iter().map(|(name, value)| format!("{}:{}", name.text, shown(value)));
            format!("{name}{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Kind::Unary(Unary::Not, operand) => format!("!_({})", shown(operand)),
        Kind::Unary(Unary::Negate, operand) => format!("-_({})", shown(operand)),
        Kind::Binary(operator, parts) => {
            format!("{}({},{})", name_of(*operator), shown(&parts.0), shown(&parts.1))
        }
        Kind::Conditional(parts) => {
            format!("_?_:_({},{},{})", shown(&parts.0), shown(&parts.1), shown(&parts.2))
        }
    }
}

fn name_of(operator: Binary) -> &'static str {
    match operator {
        Binary::Or => "_||_",
        Binary::And => "_&&_",
        Binary::Equal => "_==_",
        Binary::NotEqual => "_!=_",
        Binary::Less => "_<_",
        Binary::LessOrEqual => "_<=_",
        Binary::Greater => "_>_",
        Binary::GreaterOrEqual => "_>=_",
        Binary::In => "@in",
        Binary::Add => "_+_",
        Binary::Subtract => "_-_",
        Binary::Multiply => "_*_",
        Binary::Divide => "_/_",
        Binary::Remainder => "_%_",
    }
}

pub(super) fn shown_literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Int(value) => value.to_string(),
        Literal::Uint(value) => format!("{value}u"),
        Literal::Double(value) => double(*value),
        Literal::String(value) => quoted(value),
        Literal::Bytes(value) => format!("b{}", quoted_bytes(value)),
    }
}

/// As Go prints it.
fn double(value: f64) -> String {
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').expect("an exponent");
        let exponent: i32 = exponent.parse().expect("a number");
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    value.to_string()
}

/// As Go quotes it.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    text.chars().for_each(|letter| push(&mut out, letter));
    out + "\""
}

fn quoted_bytes(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|letter| push(&mut out, letter));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out + "\""
}

fn push(out: &mut String, letter: char) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        letter if (letter as u32) < 0x20 || letter as u32 == 0x7f => {
            out.push_str(&format!("\\x{:02x}", letter as u32));
        }
        letter if is_printable(letter) => out.push(letter),
        letter if letter as u32 > 0xffff => out.push_str(&format!("\\U{:08x}", letter as u32)),
        letter => out.push_str(&format!("\\u{:04x}", letter as u32)),
    }
}

/// Whether Rust, as Go, shows the letter as itself. At the beginning of a text, it would also
/// escape what only goes with a letter before it.
fn is_printable(letter: char) -> bool {
    !format!("a{letter}").escape_debug().to_string().contains("\\u{")
}
