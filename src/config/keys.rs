//! The keys of the configuration, derived from the schema of [`Settings`].

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Settings;

/// The prefix of the environment variables.
pub const VARIABLE_PREFIX: &str = "AUDITGATE_";

/// A key.
#[derive(Debug)]
pub struct ConfigKey {
    /// Its path, such as `ring.bytes`; `[]` stands for each entry of a list.
    pub path: String,
    /// The kind of its value.
    pub kind: KeyKind,
    /// Its description: the comment of its field.
    pub description: String,
    /// Its default as TOML; `None` if it has no default.
    pub default: Option<String>,
    /// Its possible values with their comments, if it is a choice.
    pub choices: Vec<(String, String)>,
    /// The placeholder of its value in the help.
    pub value_name: String,
    /// Whether its value is hidden.
    pub secret: bool,
    /// The path from which its flag and variable are named, if another one.
    pub name: Option<String>,
    /// Whether each entry of its list must have it.
    pub required: bool,
}

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Other keys.
    Table,
    /// A list of tables.
    Tables,
    /// A list of strings.
    Texts,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Truth,
    /// A text with a size.
    Bytes,
    /// A text with a duration.
    Period,
    /// A text.
    Text,
}

/// All keys: values before tables, a table before its keys.
pub fn all() -> &'static [ConfigKey] {
    static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| {
        let mut keys = Vec::new();
        collect("", &schema(), &mut keys);
        keys
    });
    &KEYS
}

impl ConfigKey {
    /// Whether it has a single value, and so a variable and a flag. Tables and keys within lists do
    /// not.
    pub fn is_single(&self) -> bool {
        !matches!(self.kind, KeyKind::Table | KeyKind::Tables) && !self.path.contains("[]")
    }

    /// Its variable in the environment: `AUDITGATE_RING_BYTES`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name().to_uppercase().replace('.', "_"))
    }

    /// Its flag, without the dashes before it: `ring-bytes`.
    pub fn flag(&self) -> String {
        self.name().replace(['.', '_'], "-")
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.path)
    }

    /// Whether it names a file or a folder.
    pub fn is_path(&self) -> bool {
        matches!(self.value_name.as_str(), "FILE" | "DIR")
    }

    /// The first sentence of its description.
    pub fn summary(&self) -> &str {
        self.description
            .split_once(". ")
            .map_or(self.description.trim_end_matches('.'), |(first, _)| first)
    }

    /// The value that a variable or a flag holds.
    ///
    /// # Errors
    /// If it is not of this kind.
    pub fn parse(&self, text: &str) -> Result<toml::Value, String> {
        Ok(match self.kind {
            KeyKind::Number => toml::Value::Integer(
                text.parse().map_err(|_| format!("{text:?} is not a whole number"))?,
            ),
            KeyKind::Truth => toml::Value::Boolean(
                text.parse().map_err(|_| format!("{text:?} is neither true nor false"))?,
            ),
            KeyKind::Texts => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                toml::Value::Array(entries.map(|entry| entry.to_owned().into()).collect())
            }
            _ => toml::Value::String(text.to_owned()),
        })
    }
}

/// The schema with all references resolved.
fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Settings>().to_value()
}

fn collect(prefix: &str, schema: &Value, keys: &mut Vec<ConfigKey>) {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return };
    let required = schema.get("required").and_then(Value::as_array);
    let is_group = |kind| matches!(kind, KeyKind::Table | KeyKind::Tables);
    let (groups, values): (Vec<_>, Vec<_>) =
        fields.iter().partition(|(_, field)| is_group(kind(field)));
    // In the order of a file: the values of a table come before its tables.
    for (name, field) in values.into_iter().chain(groups) {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let kind = kind(field);
        let default = field.get("default").filter(|value| !value.is_null());
        keys.push(ConfigKey {
            kind,
            description: text(field, "description"),
            default: default.filter(|_| !is_group(kind)).map(ToString::to_string),
            choices: choices(field),
            value_name: value_name(kind, field),
            secret: field.get("secret").is_some(),
            name: field.get("name").and_then(Value::as_str).map(str::to_owned),
            required: required.is_some_and(|names| names.iter().any(|other| other == name)),
            path: path.clone(),
        });
        match kind {
            KeyKind::Table => collect(&path, field, keys),
            KeyKind::Tables => {
                let entry = field.get("items").unwrap_or(&Value::Null);
                collect(&format!("{path}[]"), entry, keys);
            }
            _ => {}
        }
    }
}

fn kind(field: &Value) -> KeyKind {
    let is = |name: &str| match field.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(some)) => some.iter().any(|one| one == name),
        _ => false,
    };
    let of_tables = field.pointer("/items/properties").is_some();
    match field.get("format").and_then(Value::as_str) {
        Some("bytes") => KeyKind::Bytes,
        Some("time") => KeyKind::Period,
        _ if is("object") => KeyKind::Table,
        _ if is("array") && of_tables => KeyKind::Tables,
        _ if is("array") => KeyKind::Texts,
        _ if is("integer") => KeyKind::Number,
        _ if is("boolean") => KeyKind::Truth,
        _ => KeyKind::Text,
    }
}

fn value_name(kind: KeyKind, field: &Value) -> String {
    let named = text(field, "value_name");
    let by_kind = match kind {
        KeyKind::Bytes => "BYTES",
        KeyKind::Period => "TIME",
        KeyKind::Number => "COUNT",
        _ => "VALUE",
    };
    if named.is_empty() { by_kind.to_owned() } else { named }
}

/// The values of a choice: of the field itself, or of the entries of its list.
fn choices(field: &Value) -> Vec<(String, String)> {
    let of_option = || field.pointer("/anyOf/0/oneOf");
    let listed = field.get("oneOf").or_else(|| field.pointer("/items/oneOf")).or_else(of_option);
    let listed = listed.and_then(Value::as_array).into_iter().flatten();
    listed.map(|choice| (text(choice, "const"), text(choice, "description"))).collect()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}
