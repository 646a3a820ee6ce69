//! The mapping tables in `catalog/`, as plain data.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Value;

/// A mapping table: how the records of each type become records of another schema.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingTable {
    /// Name and version of the other schema.
    pub schema: String,
    /// The URL of its documentation.
    pub reference: String,
    /// The name of the catch-all, for values without a place.
    pub catch_all: String,
    /// Rows of the record and of its event's envelope, the same for all types: lines of
    /// `SOURCE = PLACE, PLACE`; `-` stands for the catch-all.
    pub envelope: String,
    /// Constants by place.
    #[serde(default, rename = "const")]
    pub constants: BTreeMap<String, Value>,
    /// The value of a place if its row has none.
    #[serde(default)]
    pub fallback: BTreeMap<String, Value>,
    /// Tables for the conversion `map`, by name: from a value to what is written.
    #[serde(default)]
    pub values: BTreeMap<String, BTreeMap<String, Value>>,
    /// Rules for objects, by place.
    #[serde(default)]
    pub object: BTreeMap<String, ObjectRule>,
    /// Top-level places that every class has. Empty if there are no classes.
    #[serde(default)]
    pub common: Vec<String>,
    /// Classes of the other schema, by number.
    #[serde(default)]
    pub class: BTreeMap<String, OcsfClass>,
    /// A row for each event type, for `custom`, and for `auditgate.gap`.
    #[serde(rename = "type")]
    pub types: BTreeMap<String, TypeRow>,
}

/// The condition for writing an object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRule {
    /// Groups of members, one of which must be present.
    pub needs: Vec<Vec<String>>,
    /// The member to write if the object is required and none of a group is present.
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
    /// Its top-level places beside the common ones.
    #[serde(default)]
    pub has: Vec<String>,
    /// Objects that are always written.
    #[serde(default)]
    pub required: Vec<String>,
    /// Constants by place.
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
    /// Number of its class, if the schema has classes.
    pub class: Option<u32>,
    /// Number of its activity in the class.
    pub activity: Option<u32>,
    /// Constants by place.
    #[serde(default, rename = "const")]
    pub constants: BTreeMap<String, Value>,
    /// Rows of the fields of the payload, as in the envelope. A source that begins with `event.` is
    /// a field of the envelope, and overrides its row.
    #[serde(default)]
    pub fields: String,
    /// The field whose value selects a case.
    pub by: Option<String>,
    /// The differences from the row, by value.
    #[serde(default)]
    pub case: BTreeMap<String, TypeRow>,
}

/// A line of rows: a source and its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingRow {
    /// Path of the field, from the record or from the payload.
    pub source: String,
    /// Its places, each with a conversion unless it is the default. Empty for the catch-all.
    pub places: Vec<(Option<String>, String)>,
}

/// Parses lines of rows.
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
    /// The row with the differences of a case.
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
