//! Descriptors of the messages, as tables that the build generates.

/// A message of [`MESSAGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub u16);

/// An enum of [`ENUMS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnumId(pub u16);

/// The descriptor of a message.
#[derive(Debug)]
pub struct Message {
    /// The full name, such as `auditgate.v1.User`.
    pub full_name: &'static str,
    /// Whether the message is a map entry: `key` is field 1, `value` field 2.
    pub map_entry: bool,
    /// The additional rule for the message.
    pub rule: MessageRule,
    /// The fields, in the order of their numbers.
    pub fields: &'static [Field],
    /// The walk steps, by field number.
    pub steps: &'static [WalkStep],
}

/// A rule for a message in addition to the types of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRule {
    /// No rule.
    None,
    /// A time within the years 1 to 9999.
    Timestamp,
    /// A duration within its range.
    Duration,
    /// A JSON value, which must have a kind.
    Value,
    /// An entry of a map of JSON values, which must have a value.
    ValueEntry,
}

/// The facts about a field that a walk needs. A [`Field`] takes a whole cache line; the steps of
/// most messages share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkStep {
    /// The encoding of a value.
    pub form: WireForm,
    /// Whether the field is a list or a map. Scalars of a list may be packed into one value.
    pub repeated: bool,
    /// The message of a value.
    pub inner: MessageId,
}

/// The encoding of a value, as far as a walk distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireForm {
    /// An unknown field, with any encoding.
    Unknown,
    /// As a varint.
    Varint,
    /// In 8 bytes.
    Fixed64,
    /// In 4 bytes.
    Fixed32,
    /// As a length and text.
    Text,
    /// As a length and bytes.
    Bytes,
    /// As a length and a message.
    Message,
}

/// The descriptor of a field.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name in the proto file.
    pub name: &'static str,
    /// The type of its value or, if repeated, of each value.
    pub kind: FieldKind,
    /// Whether it is a list, or a map (then the kind is a map entry).
    pub repeated: bool,
    /// Whether it has presence: a default value differs from an absent one.
    pub presence: bool,
    /// The oneof to which it belongs.
    pub oneof: Option<&'static str>,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are protobuf's")]
pub enum FieldKind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
}

/// The values of an enum.
#[derive(Debug)]
pub struct Enum {
    /// The full name, such as `auditgate.v1.UserKind`.
    pub full_name: &'static str,
    /// Number and name of each value.
    pub values: &'static [(i32, &'static str)],
}

impl MessageId {
    /// The descriptor of the message.
    #[inline]
    pub fn get(self) -> &'static Message {
        MESSAGES.get(usize::from(self.0)).expect("the build numbers the messages that it writes")
    }
}

impl EnumId {
    /// The values of the enum.
    pub fn get(self) -> &'static Enum {
        ENUMS.get(usize::from(self.0)).expect("the build numbers the enums that it writes")
    }
}

impl WalkStep {
    /// The step of an unknown field.
    pub const UNKNOWN: Self =
        Self { form: WireForm::Unknown, repeated: false, inner: MessageId(0) };

    /// The step of a field with values of this type; `repeated` for a list or a map.
    pub const fn of(kind: FieldKind, repeated: bool) -> Self {
        let form = match kind {
            FieldKind::Int32
            | FieldKind::Int64
            | FieldKind::Uint32
            | FieldKind::Uint64
            | FieldKind::Sint32
            | FieldKind::Sint64
            | FieldKind::Bool
            | FieldKind::Enum(_) => WireForm::Varint,
            FieldKind::Double | FieldKind::Fixed64 | FieldKind::Sfixed64 => WireForm::Fixed64,
            FieldKind::Float | FieldKind::Fixed32 | FieldKind::Sfixed32 => WireForm::Fixed32,
            FieldKind::String => WireForm::Text,
            FieldKind::Bytes => WireForm::Bytes,
            FieldKind::Message(_) => WireForm::Message,
        };
        let inner = if let FieldKind::Message(inner) = kind { inner } else { MessageId(0) };
        Self { form, repeated, inner }
    }
}

impl Message {
    /// The step of the field with this number.
    #[inline(always)]
    pub fn step(&self, number: u32) -> WalkStep {
        self.steps.get(number as usize).copied().unwrap_or(WalkStep::UNKNOWN)
    }

    /// The field with this number.
    #[inline]
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        // Most messages number their fields from 1 without holes, and an event its
        // payloads up to the last one.
        let is_it = |field: &&Field| field.number == number;
        let guess = self.fields.get((number as usize).wrapping_sub(1));
        if let Some(field) = guess.filter(is_it) {
            return Some(field);
        }
        let behind = self.fields.last()?.number.checked_sub(number)?;
        let guess = self.fields.get(self.fields.len().wrapping_sub(behind as usize + 1));
        if let Some(field) = guess.filter(is_it) {
            return Some(field);
        }
        let found = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(found)
    }

    /// The field with this name.
    pub fn field_by_name(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));
