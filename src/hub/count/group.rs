//! What records are counted by.

use crate::catalog::{self, TypeId};
use crate::proto::pb;
use crate::record::RecordColumns;

/// What records are counted by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Their type; custom types by name.
    #[default]
    Type,
    /// The category of their type.
    Category,
    /// Their severity.
    Severity,
    /// Their result.
    Result,
}

impl Group {
    /// The number of a record's group; `None` for a custom type, which has a name.
    #[inline]
    pub fn number(self, row: &RecordColumns) -> Option<u16> {
        match self {
            Self::Type if row.type_id.is_custom() => None,
            Self::Type => Some(row.type_id.0),
            Self::Category => Some(row.type_id.get().category as u16),
            Self::Severity => Some(u16::from(row.severity)),
            Self::Result => Some(u16::from(row.result)),
        }
    }

    /// The name of the group with a number.
    pub fn name(self, number: u16) -> String {
        let number_of = i32::from(number);
        match self {
            Self::Type => TypeId(number).get().name.to_owned(),
            Self::Category => lower(
                pb::Category::try_from(number_of).ok(),
                "CATEGORY_",
                pb::Category::as_str_name,
            ),
            Self::Severity => lower(
                pb::Severity::try_from(number_of).ok(),
                "SEVERITY_",
                pb::Severity::as_str_name,
            ),
            Self::Result => {
                lower(pb::Result::try_from(number_of).ok(), "RESULT_", pb::Result::as_str_name)
            }
        }
    }

    /// How many groups with numbers there are.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Type => catalog::EVENT_TYPES.len(),
            // Numbers of small enums.
            Self::Category | Self::Severity | Self::Result => 256,
        }
    }
}

/// The name of an enum's value without its prefix, in lower case.
fn lower<T>(value: Option<T>, prefix: &str, name: fn(&T) -> &'static str) -> String {
    let name = value.as_ref().map_or("", name);
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}
