//! An example event of each type, with every field of its payload filled.

mod values;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, SerializeOptions, Value,
};

use crate::catalog::{Code, EventType, TypeId};
use crate::event::VARIANT_NUMBER_MIN;
use crate::proto::{descriptor_pool, pb};

/// Fields of the envelope that an example leaves out: the gateway appends id and
/// time, so that each emission of an example is a new event, and `unmapped` is
/// for importers.
const LEFT_OUT: [&str; 3] = ["id", "time", "unmapped"];
/// Fields of a payload that say why something failed: an example that has one is
/// of a failure, if the type has a code for it.
const FAILURE_FIELDS: [&str; 2] = ["error", "exit_error"];
/// How deep payloads are filled. The schema is not recursive, so this only ends
/// a loop that a change might make.
const DEPTH_MAX: usize = 8;

/// An example of this type: the same one at each call, with a code of the catalog.
pub fn event(type_id: TypeId) -> pb::Event {
    let event_type = type_id.get();
    let shape = shape("auditgate.v1.Event");
    let code = code(event_type, &shape);
    let mut event = DynamicMessage::new(shape.clone());
    for field in shape.fields() {
        let is_envelope = field.number() < VARIANT_NUMBER_MIN;
        if is_envelope && !LEFT_OUT.contains(&field.name()) || field.number() == event_type.number {
            event.set_field(&field, value(&field, 1));
        }
    }
    let mut event: pb::Event =
        event.transcode_to().expect("a message of the event's shape decodes as an event");
    event.code = code.map(|code| code.code.to_owned());
    event.outcome = match event.outcome {
        Some(told) if code.is_some_and(is_failure) => {
            Some(pb::Outcome { success: Some(false), ..told })
        }
        _ => Some(pb::Outcome { success: Some(true), ..Default::default() }),
    };
    event
}

/// A request with an example of this type, as protobuf JSON: what `grpcurl -d`
/// takes for `Emit`.
pub fn request_json(type_id: TypeId) -> String {
    let request = pb::EmitRequest { event: Some(event(type_id)), validate_only: false };
    let mut message = DynamicMessage::new(shape("auditgate.v1.EmitRequest"));
    message.transcode_from(&request).expect("a request decodes as a message of its shape");
    let mut json = Vec::new();
    message
        .serialize_with_options(
            &mut serde_json::Serializer::pretty(&mut json),
            &SerializeOptions::new().use_proto_field_name(true),
        )
        .expect("a valid event has a JSON form");
    String::from_utf8(json).expect("JSON is UTF-8")
}

fn shape(name: &str) -> MessageDescriptor {
    descriptor_pool().get_message_by_name(name).expect("the protocol has the message")
}

/// The first code; the first one of a failure if the payload describes a failure.
fn code(event_type: &EventType, event: &MessageDescriptor) -> Option<&'static Code> {
    let payload = event.get_field(event_type.number)?.kind();
    let tells_of_failure = payload.as_message()?.fields().any(|field| fails(&field));
    let codes = event_type.codes;
    codes.iter().find(|code| tells_of_failure && is_failure(code)).or(codes.first())
}

fn fails(field: &FieldDescriptor) -> bool {
    FAILURE_FIELDS.contains(&field.name())
        || field.kind().as_message().is_some_and(|message| {
            message.fields().any(|inner| FAILURE_FIELDS.contains(&inner.name()))
        })
}

fn is_failure(code: &Code) -> bool {
    code.result == pb::Result::Failure as i32
}

fn message(shape: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(shape.clone());
    if depth <= DEPTH_MAX {
        for field in shape.fields() {
            message.set_field(&field, value(&field, depth));
        }
    }
    message
}

fn value(field: &FieldDescriptor, depth: usize) -> Value {
    let text = values::of(field);
    let kind = field.kind();
    if field.is_map() {
        let entry = kind.as_message().expect("a map field has entries").clone();
        let value_kind = entry.map_entry_value_field().kind();
        let entries = pairs(text)
            .map(|(key, value)| (MapKey::String(key.to_owned()), one(&value_kind, value, depth)));
        return Value::Map(entries.collect());
    }
    if field.is_list() {
        let parts = text.split(values::SEPARATOR);
        return Value::List(parts.map(|part| one(&kind, part, depth)).collect());
    }
    one(&kind, text, depth)
}

fn one(kind: &Kind, text: &str, depth: usize) -> Value {
    const FITS: &str = "the example of a field fits its type";
    match kind {
        Kind::Bool => Value::Bool(true),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(text.parse().expect(FITS)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(text.parse().expect(FITS)),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().expect(FITS)),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().expect(FITS)),
        Kind::Float => Value::F32(text.parse().expect(FITS)),
        Kind::Double => Value::F64(text.parse().expect(FITS)),
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => Value::Bytes(text.as_bytes().to_vec().into()),
        Kind::Enum(shape) => {
            // Zero means that nothing is stated.
            let stated = shape.values().find(|value| value.number() != 0);
            Value::EnumNumber(stated.map_or(0, |value| value.number()))
        }
        Kind::Message(shape) => Value::Message(one_message(shape, text, depth + 1)),
    }
}

fn one_message(shape: &MessageDescriptor, text: &str, depth: usize) -> DynamicMessage {
    const FITS: &str = "the example of a field fits its type";
    let mut dynamic = DynamicMessage::new(shape.clone());
    let filled = match shape.full_name() {
        "google.protobuf.Timestamp" => {
            dynamic.transcode_from(&text.parse::<prost_types::Timestamp>().expect(FITS))
        }
        "google.protobuf.Duration" => {
            dynamic.transcode_from(&text.parse::<prost_types::Duration>().expect(FITS))
        }
        "google.protobuf.Struct" => dynamic.transcode_from(&structure(text)),
        "auditgate.v1.StringList" => {
            let values = text.split(',').map(str::to_owned).collect();
            dynamic.transcode_from(&pb::StringList { values })
        }
        _ => return message(shape, depth),
    };
    filled.expect("a known message decodes as one of its shape");
    dynamic
}

/// A struct from `name=value` pairs; values that parse as numbers become numbers.
fn structure(text: &str) -> prost_types::Struct {
    use prost_types::value::Kind;
    let fields = pairs(text).map(|(key, value)| {
        let kind = match value.parse() {
            Ok(number) => Kind::NumberValue(number),
            Err(_) => Kind::StringValue(value.to_owned()),
        };
        (key.to_owned(), prost_types::Value { kind: Some(kind) })
    });
    prost_types::Struct { fields: fields.collect() }
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(values::SEPARATOR).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
