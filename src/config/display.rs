//! Formats the effective configuration and the reference of its keys.

use std::fmt::Write as _;

use serde_json::Value;

use super::{ConfigKey, KeyKind, LoadedSettings, keys};

/// The configuration in force as TOML; a comment after each value has its origin. Secrets are
/// hidden.
pub fn display(loaded: &LoadedSettings) -> String {
    let value = serde_json::to_value(&loaded.settings).expect("settings are plain data");
    let mut out = String::new();
    table(&mut out, loaded, "", &value);
    out
}

fn table(out: &mut String, loaded: &LoadedSettings, prefix: &str, value: &Value) {
    let of_prefix = |key: &&ConfigKey| match key.path.rsplit_once('.') {
        Some((parent, _)) => parent == prefix,
        None => prefix.is_empty(),
    };
    let own: Vec<&ConfigKey> = keys().iter().filter(of_prefix).collect();
    let is_group = |key: &ConfigKey| matches!(key.kind, KeyKind::Table | KeyKind::Tables);
    for key in own.iter().filter(|key| !is_group(key)) {
        line(out, loaded, key, value.get(name(key)).unwrap_or(&Value::Null));
    }
    for key in own.iter().filter(|key| is_group(key)) {
        match value.get(name(key)) {
            Some(Value::Array(entries)) => {
                for entry in entries {
                    let origin = origin(loaded, &key.path);
                    let _ = writeln!(out, "\n[[{}]]  # {origin}", header(key));
                    table(out, loaded, &format!("{}[]", key.path), entry);
                }
            }
            Some(inner) => {
                let _ = writeln!(out, "\n[{}]", header(key));
                table(out, loaded, &key.path, inner);
            }
            None => {}
        }
    }
}

fn line(out: &mut String, loaded: &LoadedSettings, key: &ConfigKey, value: &Value) {
    let name = name(key);
    let shown = match value {
        Value::Null => {
            let _ = writeln!(out, "# {name} is not set");
            return;
        }
        _ if key.secret => "\"(hidden)\"".to_owned(),
        value => value.to_string(),
    };
    let _ = match key.is_single() {
        true => writeln!(out, "{name} = {shown}  # {}", origin(loaded, &key.path)),
        false => writeln!(out, "{name} = {shown}"),
    };
}

fn origin(loaded: &LoadedSettings, path: &str) -> String {
    loaded.origins.get(path).map_or_else(|| "default".to_owned(), ToString::to_string)
}

/// The TOML name of a table, also of one within an entry of a list.
fn header(key: &ConfigKey) -> String {
    key.path.replace("[]", "")
}

fn name(key: &ConfigKey) -> &str {
    key.path.rsplit('.').next().unwrap_or_default()
}

/// The reference of all keys, in Markdown: docs/configuration.md.
pub fn reference() -> String {
    let mut out = String::from(include_str!("introduction.md"));
    out.push_str("## Keys of the top level\n");
    for key in keys() {
        match key.kind {
            KeyKind::Table => {
                let _ = writeln!(out, "\n## `[{}]`\n\n{}", header(key), key.description);
            }
            KeyKind::Tables => {
                let _ = writeln!(out, "\n## `[[{}]]`\n\n{}", header(key), key.description);
            }
            _ => entry(&mut out, key),
        }
    }
    out
}

fn entry(out: &mut String, key: &ConfigKey) {
    let shown = key.path.replace("[]", "");
    let _ = writeln!(out, "\n### `{shown}`\n\n{}\n", key.description);
    let what = match key.kind {
        KeyKind::Bytes => "bytes: a number, optionally followed by KiB, MiB or GiB",
        KeyKind::Period => "a duration: a number followed by ms, s, m, h or d",
        KeyKind::Number => "a number",
        KeyKind::Truth => "`true` or `false`",
        KeyKind::Texts if key.choices.is_empty() => "a list of strings",
        KeyKind::Texts => "a list of the values below",
        _ if key.choices.is_empty() => "text",
        _ => "one of the values below",
    };
    let default = match &key.default {
        Some(default) => format!("default `{default}`"),
        None if key.required => "required".to_owned(),
        None => "not set by default".to_owned(),
    };
    let _ = writeln!(out, "- Value: {what}; {default}.");
    if key.is_single() {
        let _ = writeln!(out, "- Flag `--{}`, variable `{}`.", key.flag(), key.variable());
    }
    for (choice, meaning) in &key.choices {
        let _ = writeln!(out, "- `\"{choice}\"`: {meaning}");
    }
}
