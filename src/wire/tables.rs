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
    /// The fields, in the order of their numbers.
    pub fields: &'static [Field],
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
    pub kind: Kind,
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
pub enum Kind {
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

impl Message {
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
