//! Checks that values have the kinds of their keys. The errors of serde are for programmers.

use toml::{Table, Value};

use super::{ConfigKey, Error, KeyKind, keys};
use crate::address;

/// The value name of keys with an address.
const ADDRESS: &str = "ADDR";

/// Replaces the names of hosts in a configuration that was checked by their addresses.
pub(super) fn resolve_addresses(table: &mut Table) {
    for key in keys().iter().filter(|key| key.is_single() && key.value_name == ADDRESS) {
        if let Some(value) = at(table, &key.path)
            && let Some(Ok(address)) = value.as_str().map(address::parse)
        {
            *value = Value::String(address.to_string());
        }
    }
}

/// The value at a dotted path.
fn at<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Value> {
    match path.split_once('.') {
        None => table.get_mut(path),
        Some((first, rest)) => at(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

/// Checks all values of a configuration.
///
/// # Errors
/// [`Error::Value`] for the first value of a wrong kind.
pub(super) fn check(table: &Table) -> Result<(), Error> {
    check_table("", "", table)
}

/// `pattern` is the path with `[]` for each position in a list, as in the paths of keys.
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
            // The types of these fields parse the text themselves.
            | (KeyKind::Bytes | KeyKind::Period, Value::Integer(_) | Value::String(_)) => {}
            (kind, value) => return Err(refused(key, &path, value, expected(kind))),
        }
    }
    Ok(())
}

fn check_text(key: &ConfigKey, path: &str, value: &Value) -> Result<(), Error> {
    let text = value.as_str();
    if key.value_name == ADDRESS {
        let expected = "an address and a port, such as 127.0.0.1:50051 or localhost:50051";
        let Some(text) = text else { return Err(refused(key, path, value, expected)) };
        return address::parse(text).map(drop).map_err(|what| Error::value(path, what));
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
