//! The mapping tables as they stand in `catalog/`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Value;

/// A mapping table: how the records of each type become records of another schema.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingTable {
    /// Name and version of the other schema.
    pub schema: String,
    /// Where its documentation stands.
    pub reference: String,
    /// Where values go that have no place of their own.
    pub catch_all: String,
    /// Rows of the record and of its event's envelope, the same for all types: lines of
    /// `SOURCE = PLACE, PLACE`; `-` stands for the catch-all.
    pub envelope: String,
    /// Values that are always the same, by place.
    #[serde(default, rename = "const")]
    pub constants: BTreeMap<String, Value>,
    /// What stands in a place where the row for it has nothing.
    #[serde(default)]
    pub fallback: BTreeMap<String, Value>,
    /// Tables for the conversion `map`, by name: from a value to what is written.
    #[serde(default)]
    pub values: BTreeMap<String, BTreeMap<String, Value>>,
    /// What objects need in order to be written, by place.
    #[serde(default)]
    pub object: BTreeMap<String, ObjectRule>,
    /// Places at the top that every class has. Empty where there are no classes.
    #[serde(default)]
    pub common: Vec<String>,
    /// Classes of the other schema, by number.
    #[serde(default)]
    pub class: BTreeMap<String, OcsfClass>,
    /// A row for each event type, for `custom`, and for `auditgate.gap`.
    #[serde(rename = "type")]
    pub types: BTreeMap<String, TypeRow>,
}

/// What an object needs in order to be written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRule {
    /// Of each group of members, one has to be there.
    pub needs: Vec<Vec<String>>,
    /// What stands there, where the object is required and none of a group is there.
    #[serde(default)]
    pub default: BTreeMap<String, Value>,
}

/// A class of OCSF.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OcsfClass {
    /// Its name.
    pub name: String,
    /// Number of its category.
    pub category: i64,
    /// Name of its category.
    pub category_name: String,
    /// Names of its activities, by number.
    pub activity: BTreeMap<String, String>,
    /// Its places at the top, beside the common ones.
    #[serde(default)]
    pub has: Vec<String>,
    /// Objects that are always written.
    #[serde(default)]
    pub required: Vec<String>,
    /// Values that are always the same, by place.
    #[serde(default, rename = "const")]
    pub constants: BTreeMap<String, Value>,
    /// Rows of the envelope that differ for this class.
    #[serde(default)]
    pub envelope: String,
}

/// The row of an event type.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeRow {
    /// Number of its class, where the schema has classes.
    pub class: Option<u32>,
    /// Number of its activity in the class.
    pub activity: Option<u32>,
    /// Values that are always the same, by place.
    #[serde(default, rename = "const")]
    pub constants: BTreeMap<String, Value>,
    /// Rows of the fields of the payload, as in the envelope. A source that begins with `event.`
    /// is one of the envelope, and its row comes before that of the envelope.
    #[serde(default)]
    pub fields: String,
    /// A field, by whose value the cases are told apart.
    pub by: Option<String>,
    /// By value: what differs from the row.
    #[serde(default)]
    pub case: BTreeMap<String, TypeRow>,
}

/// A line of rows: a source and its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRow {
    /// Path of the field, from the record or from the payload.
    pub source: String,
    /// Where it goes: a conversion, unless it is the usual one, and a place. Empty for the
    /// catch-all.
    pub places: Vec<(Option<String>, String)>,
}

/// Reads lines of rows.
///
/// # Errors
/// The line that is wrong.
pub fn rows(text: &str) -> Result<Vec<MappingRow>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(row).collect()
}

fn row(line: &str) -> Result<MappingRow, String> {
    let wrong = || format!("{line:?} is not SOURCE = PLACE, PLACE");
    let (source, places) = line.split_once('=').ok_or_else(wrong)?;
    let places = match places.trim() {
        "-" => Vec::new(),
        places => places.split(',').map(place).collect::<Option<_>>().ok_or_else(wrong)?,
    };
    Ok(MappingRow { source: source.trim().to_owned(), places })
}

/// `PLACE`, `CONVERSION PLACE` or `map NAME PLACE`.
fn place(text: &str) -> Option<(Option<String>, String)> {
    let (conversion, place) = match text.trim().rsplit_once(' ') {
        Some((conversion, place)) => (Some(conversion.trim().to_owned()), place),
        None => (None, text.trim()),
    };
    (!place.is_empty()).then(|| (conversion, place.to_owned()))
}

impl TypeRow {
    /// The row with what differs in a case.
    pub fn with(&self, case: &TypeRow) -> TypeRow {
        let mut merged = TypeRow {
            class: case.class.or(self.class),
            activity: case.activity.or(self.activity),
            constants: self.constants.clone(),
            fields: format!("{}\n{}", case.fields, self.fields),
            by: None,
            case: BTreeMap::new(),
        };
        merged.constants.extend(case.constants.clone());
        merged
    }
}
