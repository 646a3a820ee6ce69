//! The event types that the gateway knows, generated from the options in
//! `proto/auditgate/v1/event.proto`.

use std::sync::LazyLock;

use crate::proto::pb;

/// Position of an event type in [`EVENT_TYPES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u16);

/// One event type.
#[derive(Debug, PartialEq, Eq)]
pub struct EventType {
    /// The dotted name, such as `user.login`.
    pub name: &'static str,
    /// The variant of `Event.payload`, such as `user_login`.
    pub field_name: &'static str,
    /// Field number of the variant.
    pub number: u32,
    /// Name of the payload's message, such as `UserLogin`.
    pub message: &'static str,
    /// A number of `auditgate.v1.Category`.
    pub category: i32,
    /// A number of `auditgate.v1.Severity`.
    pub severity: i32,
    /// What an event of this type reports, in one sentence.
    pub description: &'static str,
    /// The known codes of this type.
    pub codes: &'static [Code],
}

/// A known code of an event type.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Such as `T1000I`.
    pub code: &'static str,
    /// A number of `auditgate.v1.Result`.
    pub result: i32,
    /// A number of `auditgate.v1.Severity`.
    pub severity: i32,
    /// What the code means.
    pub description: &'static str,
}

/// The type of `Event.payload.custom`; its records have the type
/// `custom.NAME`.
pub const CUSTOM: &str = "custom";
/// The prefix of the type of a custom event.
pub const CUSTOM_PREFIX: &str = "custom.";
/// Longest name of a custom event, in bytes.
pub const CUSTOM_NAME_BYTES_MAX: usize = 128;

impl TypeId {
    /// The event type.
    pub fn get(self) -> &'static EventType {
        EVENT_TYPES.get(usize::from(self.0)).expect("type ids are positions in the catalog")
    }

    /// The id of a record's type. Custom events, and types that only a newer gateway knows, share
    /// one id.
    pub fn of(type_name: &str) -> Self {
        by_name(type_name).unwrap_or(CUSTOM_ID)
    }

    /// Whether this is the type of custom events.
    pub fn is_custom(self) -> bool {
        self == CUSTOM_ID
    }
}

impl EventType {
    /// Whether only the gateway itself emits such events.
    pub fn is_reserved(&self) -> bool {
        self.category == pb::Category::Auditgate as i32
    }

    /// The code, if the catalog lists it for this type.
    pub fn code(&self, code: impl AsRef<[u8]>) -> Option<&'static Code> {
        self.codes.iter().find(|known| known.code.as_bytes() == code.as_ref())
    }
}

/// All event types with their ids, in the order of their names.
pub fn all() -> impl Iterator<Item = (TypeId, &'static EventType)> {
    EVENT_TYPES
        .iter()
        .enumerate()
        .map(|(position, event_type)| (TypeId(position as u16), event_type))
}

/// Whether only the gateway itself emits events of the type with this name.
pub fn is_reserved(name: &str) -> bool {
    by_name(name).is_some_and(|id| id.get().is_reserved())
}

/// The type with this name. `custom.NAME` is not in the catalog: see
/// [`CUSTOM_PREFIX`].
pub fn by_name(name: &str) -> Option<TypeId> {
    let found = EVENT_TYPES.binary_search_by_key(&name, |event_type| event_type.name).ok()?;
    Some(TypeId(found as u16))
}

/// The type whose variant of `Event.payload` has this field number.
pub fn by_number(number: u32) -> Option<TypeId> {
    BY_NUMBER.get(number as usize).copied().flatten()
}

/// Whether `name` may be the name of a custom event: 1 to
/// [`CUSTOM_NAME_BYTES_MAX`] letters, digits, dots, dashes or underscores.
pub fn is_custom_name(name: &str) -> bool {
    (1..=CUSTOM_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

static BY_NUMBER: LazyLock<Vec<Option<TypeId>>> = LazyLock::new(|| {
    let last = EVENT_TYPES.iter().map(|event_type| event_type.number).max();
    let mut by_number = vec![None; last.map_or(0, |last| last as usize + 1)];
    for (id, event_type) in all() {
        if let Some(place) = by_number.get_mut(event_type.number as usize) {
            *place = Some(id);
        }
    }
    by_number
});

include!(concat!(env!("OUT_DIR"), "/catalog.rs"));
