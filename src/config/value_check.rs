//! Whether values are of the kinds of their keys: what serde says of others is for
//! programmers.

use std::net::SocketAddr;

use toml::{Table, Value};

use super::{ConfigKey, Error, KeyKind, keys};

/// Checks all values of a configuration.
///
/// # Errors
/// [`Error::Value`] for the first value of a wrong kind.
pub(super) fn check(table: &Table) -> Result<(), Error> {
    check_table("", "", table)
}

/// `pattern` is the path with `[]` for each place in a list, as keys have it.
fn check_table(pattern: &str, path: &str, table: &Table) -> Result<(), Error> {
    let join = |prefix: &str, name: &str| match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    };
    for (name, value) in table {
        let (pattern, path) = (join(pattern, name), join(path, name));
        let Some(key) = keys().iter().find(|key| key.path == pattern) else { continue };
        match (key.kind, value) {
            (KeyKind::Table, Value::Table(inner)) => check_table(&pattern, &path, inner)?,
            (KeyKind::Tables, Value::Array(entries)) => {
                for (place, entry) in entries.iter().enumerate() {
                    let path = format!("{path}[{place}]");
                    match entry {
                        Value::Table(inner) => check_table(&format!("{pattern}[]"), &path, inner)?,
                        other => return Err(refused(key, &path, other, "a table")),
                    }
                }
            }
            (KeyKind::Texts, Value::Array(entries)) => {
                for (place, entry) in entries.iter().enumerate() {
                    check_text(key, &format!("{path}[{place}]"), entry)?;
                }
            }
            (KeyKind::Text, value) => check_text(key, &path, value)?,
            (KeyKind::Number, Value::Integer(0..))
            | (KeyKind::Truth, Value::Boolean(_))
            // What stands in the text is theirs to judge.
            | (KeyKind::Bytes | KeyKind::Period, Value::Integer(_) | Value::String(_)) => {}
            (kind, value) => return Err(refused(key, &path, value, expected(kind))),
        }
    }
    Ok(())
}

fn check_text(key: &ConfigKey, path: &str, value: &Value) -> Result<(), Error> {
    /// Of a key that holds an address.
    const ADDRESS: &str = "ADDR";
    let text = value.as_str();
    if key.value_name == ADDRESS {
        let is_address = text.is_some_and(|text| text.parse::<SocketAddr>().is_ok());
        let expected = "an address and a port, such as 127.0.0.1:50051";
        return if is_address { Ok(()) } else { Err(refused(key, path, value, expected)) };
    }
    let Some(text) = text else { return Err(refused(key, path, value, expected(KeyKind::Text))) };
    let mut choices = key.choices.iter().map(|(choice, _)| choice.as_str());
    if key.choices.is_empty() || choices.any(|choice| choice == text) {
        return Ok(());
    }
    let choices: Vec<&str> = key.choices.iter().map(|(choice, _)| choice.as_str()).collect();
    Err(refused(key, path, value, &format!("one of {}", choices.join(", "))))
}

fn expected(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Table => "a table",
        KeyKind::Tables => "a list of tables",
        KeyKind::Texts => "a list of strings",
        KeyKind::Number => "a whole number of at least 0",
        KeyKind::Truth => "true or false",
        KeyKind::Bytes => "a number of bytes, such as \"64MiB\"",
        KeyKind::Period => "a duration, such as \"10s\"",
        KeyKind::Text => "text",
    }
}

fn refused(key: &ConfigKey, path: &str, value: &Value, expected: &str) -> Error {
    if key.secret {
        return Error::value(path, format!("it is not {expected}"));
    }
    Error::value(path, format!("{value} is not {expected}"))
}
