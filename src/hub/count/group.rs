//! The groups of a count.

use crate::catalog::{self, TypeId};
use crate::proto::{PlainName, pb};
use crate::record::RecordColumns;

/// The groups of a count.
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
        match self {
            Self::Type => TypeId(number).get().name.to_owned(),
            Self::Category => plain::<pb::Category>(number),
            Self::Severity => plain::<pb::Severity>(number),
            Self::Result => plain::<pb::Result>(number),
        }
    }

    /// The number of groups with numbers.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Type => catalog::EVENT_TYPES.len(),
            // Numbers of small enums.
            Self::Category | Self::Severity | Self::Result => 256,
        }
    }
}

/// The name of an enum's value; empty if it has none.
fn plain<T: PlainName>(number: u16) -> String {
    T::try_from(i32::from(number)).map(T::plain_name).unwrap_or_default()
}
