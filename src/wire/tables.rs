//! The shape of the messages, as tables that the build generates.

/// A message of [`MESSAGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub u16);

/// An enum of [`ENUMS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnumId(pub u16);

/// The shape of a message.
#[derive(Debug)]
pub struct Message {
    /// Such as `auditgate.v1.User`.
    pub full_name: &'static str,
    /// The message is an entry of a map: `key` is field 1, `value` field 2.
    pub map_entry: bool,
    /// The rule for the message beside the types of its fields.
    pub rule: MessageRule,
    /// The fields, in the order of their numbers.
    pub fields: &'static [Field],
    /// By number, what a walk has to know of each field.
    pub steps: &'static [WalkStep],
}

/// A rule for a message beside the types of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRule {
    /// Nothing.
    None,
    /// A time within the years 1 to 9999.
    Timestamp,
    /// A duration within its range.
    Duration,
    /// A JSON value, which has a kind.
    Value,
    /// An entry of a map of JSON values, which has one.
    ValueEntry,
}

/// What a walk has to know of a field. [`Field`] says the same and more in the
/// room of a cache line; the steps of most messages share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkStep {
    /// How a value is encoded.
    pub form: WireForm,
    /// A list or a map. Many scalars of a list may be encoded as one value.
    pub repeated: bool,
    /// The message that a value is.
    pub inner: MessageId,
}

/// How a value is encoded, as far as a walk tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireForm {
    /// There is no such field: anything will do.
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

/// The shape of a field.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name in the proto file.
    pub name: &'static str,
    /// Its name in protobuf's JSON form.
    pub json_name: &'static str,
    /// The type of its value or, if repeated, of each value.
    pub kind: FieldKind,
    /// A list, or a map (then the kind is a map entry).
    pub repeated: bool,
    /// Whether a default value can be told from an absent one.
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
    /// Such as `auditgate.v1.UserKind`.
    pub full_name: &'static str,
    /// Number and name of each value.
    pub values: &'static [(i32, &'static str)],
}

impl MessageId {
    /// The shape of the message.
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
    /// Of a number that no field has.
    pub const UNKNOWN: Self =
        Self { form: WireForm::Unknown, repeated: false, inner: MessageId(0) };

    /// Of a field with values of this type; repeated, if it is a list or a map.
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
    /// What a walk has to know of the field with this number.
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
