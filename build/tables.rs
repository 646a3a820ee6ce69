//! Writes the tables by which `wire.rs` walks encoded messages: one entry for
//! each message reachable from a record, with its fields sorted by number, and a
//! step for each number up to the last.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

const ROOT: &str = "auditgate.v1.Record";
/// The largest field number: the steps of a message have a place for each.
const FIELD_NUMBER_MAX: u32 = 4_096;

/// The source of the tables.
pub fn source(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let root =
        pool.get_message_by_name(ROOT).ok_or_else(|| format!("message {ROOT} is not defined"))?;
    let mut messages = BTreeMap::new();
    let mut enums = BTreeMap::new();
    reach(&root, &mut messages, &mut enums);
    let positions = Positions { messages: positions(&messages), enums: positions(&enums) };

    let mut out = String::new();
    let _ = writeln!(
        out,
        "/// Every message of a record, in the order of their names.\npub static MESSAGES: &[Message] = &["
    );
    for message in messages.values() {
        let _ = writeln!(
            out,
            "    Message {{ full_name: {:?}, map_entry: {}, rule: MessageRule::{}, fields: &[",
            message.full_name(),
            message.is_map_entry(),
            rule(message)
        );
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in &fields {
            let oneof = field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic())
                .map(|oneof| oneof.name().to_owned());
            let _ = writeln!(
                out,
                "        Field {{ number: {}, name: {:?}, kind: FieldKind::{}, repeated: {}, presence: {}, oneof: {oneof:?} }},",
                field.number(),
                field.name(),
                positions.kind(&field.kind()),
                field.is_list() || field.is_map(),
                field.supports_presence(),
            );
        }
        let _ = writeln!(out, "    ], steps: &[{}] }},", positions.steps(&fields)?);
    }
    let _ = writeln!(
        out,
        "];\n\n/// Every enum of a record, in the order of their names.\npub static ENUMS: &[Enum] = &["
    );
    for found in enums.values() {
        let values: String = found
            .values()
            .map(|value| format!("({}, {:?}), ", value.number(), value.name()))
            .collect();
        let _ = writeln!(
            out,
            "    Enum {{ full_name: {:?}, values: &[{values}] }},",
            found.full_name()
        );
    }
    let _ = writeln!(out, "];\n");
    for (constant, name) in [
        ("RECORD", ROOT),
        ("EVENT", "auditgate.v1.Event"),
        ("TIMESTAMP", "google.protobuf.Timestamp"),
        ("DURATION", "google.protobuf.Duration"),
        ("VALUE", "google.protobuf.Value"),
        ("STRUCT", "google.protobuf.Struct"),
        ("LIST_VALUE", "google.protobuf.ListValue"),
    ] {
        let index = positions
            .messages
            .get(name)
            .ok_or_else(|| format!("message {name} is not reachable from {ROOT}"))?;
        let _ =
            writeln!(out, "/// `{name}`.\npub const {constant}: MessageId = MessageId({index});");
    }
    Ok(out)
}

fn reach(
    message: &MessageDescriptor,
    messages: &mut BTreeMap<String, MessageDescriptor>,
    enums: &mut BTreeMap<String, EnumDescriptor>,
) {
    if messages.insert(message.full_name().to_owned(), message.clone()).is_some() {
        return;
    }
    for field in message.fields() {
        match field.kind() {
            Kind::Message(found) => reach(&found, messages, enums),
            Kind::Enum(found) => {
                enums.insert(found.full_name().to_owned(), found);
            }
            _ => {}
        }
    }
}

/// What a message has to keep to beside the types of its fields: the variant of
/// `MessageRule` in `wire/tables.rs`.
fn rule(message: &MessageDescriptor) -> &'static str {
    match message.full_name() {
        "google.protobuf.Timestamp" => "Timestamp",
        "google.protobuf.Duration" => "Duration",
        "google.protobuf.Value" => "Value",
        _ if message.is_map_entry() => match message.map_entry_value_field().kind() {
            Kind::Message(value) if value.full_name() == "google.protobuf.Value" => "ValueEntry",
            _ => "None",
        },
        _ => "None",
    }
}

/// Where each message and enum stands in the tables, by full name.
struct Positions<'a> {
    messages: BTreeMap<&'a str, usize>,
    enums: BTreeMap<&'a str, usize>,
}

fn positions<T>(named: &BTreeMap<String, T>) -> BTreeMap<&str, usize> {
    named.keys().enumerate().map(|(position, name)| (name.as_str(), position)).collect()
}

impl Positions<'_> {
    /// A step for each number from 0 up to that of the last of `fields`, which are
    /// sorted.
    fn steps(&self, fields: &[FieldDescriptor]) -> Result<String, Box<dyn Error>> {
        let mut steps = String::new();
        let mut next = 0;
        for field in fields {
            if field.number() > FIELD_NUMBER_MAX {
                return Err(format!(
                    "field {} has the number {}, limit {FIELD_NUMBER_MAX}",
                    field.full_name(),
                    field.number()
                )
                .into());
            }
            steps.push_str(&"WalkStep::UNKNOWN, ".repeat((field.number() - next) as usize));
            let kind = self.kind(&field.kind());
            let repeated = field.is_list() || field.is_map();
            let _ = write!(steps, "WalkStep::of(FieldKind::{kind}, {repeated}), ");
            next = field.number() + 1;
        }
        Ok(steps)
    }

    /// The variant of `FieldKind` in `wire/tables.rs` that stands for `kind`.
    fn kind(&self, kind: &Kind) -> String {
        const REACHED: &str = "the walk reached every message and enum that a field has";
        let scalar = match kind {
            Kind::Message(inner) => {
                let position = self.messages.get(inner.full_name()).expect(REACHED);
                return format!("Message(MessageId({position}))");
            }
            Kind::Enum(inner) => {
                let position = self.enums.get(inner.full_name()).expect(REACHED);
                return format!("Enum(EnumId({position}))");
            }
            Kind::Double => "Double",
            Kind::Float => "Float",
            Kind::Int32 => "Int32",
            Kind::Int64 => "Int64",
            Kind::Uint32 => "Uint32",
            Kind::Uint64 => "Uint64",
            Kind::Sint32 => "Sint32",
            Kind::Sint64 => "Sint64",
            Kind::Fixed32 => "Fixed32",
            Kind::Fixed64 => "Fixed64",
            Kind::Sfixed32 => "Sfixed32",
            Kind::Sfixed64 => "Sfixed64",
            Kind::Bool => "Bool",
            Kind::String => "String",
            Kind::Bytes => "Bytes",
        };
        scalar.to_owned()
    }
}
