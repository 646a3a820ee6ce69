//! Tables of how the values of a line are encoded, by event type. They are built once from
//! [`KeyPlan`].

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::catalog::{self, TypeId};
use crate::teleport::key_map::{self, KeyMapping, KeyPlan};
use crate::teleport::value;

/// A map by keys of the protocol, which nobody can choose so that they collide.
type ByKey<T> = HashMap<String, T, FixedState>;

/// A field that a key of a line may set.
#[derive(Debug)]
pub struct FieldTable {
    /// Its number.
    pub number: u32,
    /// The encoding of one value.
    pub kind: ValueForm,
    /// The number of its values.
    pub shape: FieldShape,
}

/// The number of values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldShape {
    /// One.
    Single,
    /// Any number, each encoded as a field.
    List,
    /// Any number, encoded as one field.
    Packed,
    /// One for each key of a map with text keys.
    Map,
}

/// The encoding of a value.
#[derive(Debug)]
pub enum ValueForm {
    /// A text.
    Text,
    /// Bytes, in base64 in the line.
    Bytes,
    /// A boolean.
    Bool,
    /// A signed number of 32 bits.
    Int32,
    /// A signed number of 64 bits.
    Int64,
    /// A number of 32 bits.
    Uint32,
    /// A number of 64 bits.
    Uint64,
    /// An enum, with the difference of its numbers from Teleport's.
    Enum(i64),
    /// A time in RFC 3339.
    Timestamp,
    /// A duration, as Go writes it.
    Duration,
    /// Any object.
    Struct,
    /// A list of texts, as the value of a map.
    StringList,
    /// An object with a field for each key.
    Message(MessageTable),
    /// A field that holds no value of a line.
    Other,
}

/// The fields of a message, by the keys of its JSON object.
#[derive(Debug, Default)]
pub struct MessageTable(ByKey<FieldTable>);

/// The field that a key of the line sets.
#[derive(Debug)]
pub struct LineEntry {
    /// Position among the entries of its event type, in the order of their paths.
    pub rank: u16,
    /// The table; `None` for a message whose fields are keys of the line: the key only says that it
    /// exists.
    pub field: Option<FieldTable>,
}

/// The keys of the lines of one event type.
#[derive(Debug)]
pub struct LineTable {
    by_key: ByKey<LineEntry>,
    /// The numbers of the enclosing messages of a field, by rank.
    paths: Vec<Vec<u32>>,
    /// Rank of the event's id.
    pub id: u16,
    /// Rank of `Event.unmapped`.
    pub unmapped: u16,
    /// Rank of the payload itself.
    pub payload: u16,
}

/// Number of `Event.unmapped`.
pub const UNMAPPED: u32 = 15;
const ID: u32 = 1;

impl MessageTable {
    fn of(message: &MessageDescriptor) -> Self {
        let fields = message.fields();
        Self(
            fields.map(|field| (key_map::key(&field).to_owned(), FieldTable::of(&field))).collect(),
        )
    }

    /// The field of a key.
    pub fn field(&self, key: &str) -> Option<&FieldTable> {
        self.0.get(key)
    }
}

impl FieldTable {
    fn of(field: &FieldDescriptor) -> Self {
        let (kind, shape) = if field.is_map() {
            let entry = field.kind();
            let entry = entry.as_message().expect("a map has entries");
            let is_text = entry.map_entry_key_field().kind() == Kind::String;
            let kind = if is_text {
                ValueForm::of(&entry.map_entry_value_field().kind())
            } else {
                ValueForm::Other
            };
            (kind, FieldShape::Map)
        } else {
            let shape = match (field.is_list(), field.is_packed()) {
                (false, _) => FieldShape::Single,
                (true, false) => FieldShape::List,
                (true, true) => FieldShape::Packed,
            };
            (ValueForm::of(&field.kind()), shape)
        };
        Self { number: field.number(), kind, shape }
    }
}

impl ValueForm {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Bool => Self::Bool,
            Kind::Int32 => Self::Int32,
            Kind::Int64 => Self::Int64,
            Kind::Uint32 => Self::Uint32,
            Kind::Uint64 => Self::Uint64,
            Kind::Enum(shape) => Self::Enum(value::shift(shape)),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => Self::Timestamp,
                "google.protobuf.Duration" => Self::Duration,
                "google.protobuf.Struct" => Self::Struct,
                "auditgate.v1.StringList" => Self::StringList,
                _ => Self::Message(MessageTable::of(message)),
            },
            _ => Self::Other,
        }
    }
}

impl LineTable {
    /// The table of an event type.
    pub fn of(type_id: TypeId) -> &'static LineTable {
        static TABLES: LazyLock<Vec<LineTable>> =
            LazyLock::new(|| catalog::all().map(|(type_id, _)| LineTable::new(type_id)).collect());
        TABLES.get(usize::from(type_id.0)).expect("there is a table for each type")
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&LineEntry> {
        self.by_key.get(key)
    }

    /// The numbers of the enclosing messages of the field with this rank.
    pub fn path(&self, rank: u16) -> &[u32] {
        self.paths.get(usize::from(rank)).map_or(&[], Vec::as_slice)
    }

    fn new(type_id: TypeId) -> Self {
        let payload = vec![type_id.get().number];
        let mut all: Vec<Vec<u32>> = vec![vec![UNMAPPED], payload.clone()];
        let entries = KeyPlan::of(type_id).entries();
        all.extend(entries.iter().map(full_path));
        all.sort();
        let rank = |path: &Vec<u32>| all.binary_search(path).expect("it is one of them") as u16;
        let by_key = entries.iter().map(|entry| {
            let field = (!entry.is_group).then(|| FieldTable::of(entry.field()));
            (entry.key.clone(), LineEntry { rank: rank(&full_path(entry)), field })
        });
        let (by_key, id) = (by_key.collect(), rank(&vec![ID]));
        let (unmapped, payload_rank) = (rank(&vec![UNMAPPED]), rank(&payload));
        let is_whole = |path: &Vec<u32>| {
            *path == payload
                || entries.iter().any(|entry| entry.is_group && full_path(entry) == *path)
        };
        let holders = all.iter().map(|path| match path.split_last() {
            Some((_, holders)) if !is_whole(path) => holders.to_vec(),
            _ => path.clone(),
        });
        Self { paths: holders.collect(), by_key, id, unmapped, payload: payload_rank }
    }
}

fn full_path(entry: &KeyMapping) -> Vec<u32> {
    entry.path.iter().map(FieldDescriptor::number).collect()
}
