//! Values of fields in Teleport's JSON, both ways.
//!
//! Reading is partial: it skips values that a field cannot hold. The caller finds them by
//! writing the result and comparing it with the line.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};
use prost_types::value::Kind as StructKind;
use prost_types::{Duration, ListValue, Struct, Timestamp};

use super::json::{Json, Object};
use super::{key_map, text};
use crate::wire::DEPTH_MAX;

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";
const STRUCT: &str = "google.protobuf.Struct";
const STRING_LIST: &str = "auditgate.v1.StringList";
/// The field of `StringList`.
const VALUES: u32 = 1;
/// Enums whose zero Teleport uses for a value. Ours has no meaning, so the
/// numbers are one higher.
const SHIFTED_ENUMS: [&str; 2] = ["NetworkAction", "NetworkOperation"];
/// Up to here each integer is a double; above, some are not.
const DOUBLE_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads the value of `field`, which belongs to a message `depth` messages deep
/// (an event's own fields: 1). `None` where the field cannot hold it, or would
/// be absent.
pub fn read(field: &FieldDescriptor, json: &Json, depth: usize) -> Option<Value> {
    let kind = field.kind();
    if field.is_map() {
        let value = kind.as_message()?.map_entry_value_field().kind();
        let entries: HashMap<MapKey, Value> = json
            .as_object()?
            .iter()
            .filter_map(|(key, json)| {
                Some((MapKey::String(key.clone()), read_one(&value, json, depth + 1)?))
            })
            .collect();
        return (!entries.is_empty()).then_some(Value::Map(entries));
    }
    if field.is_list() {
        let elements = json.as_array()?;
        let values: Option<Vec<Value>> =
            elements.iter().map(|element| read_one(&kind, element, depth)).collect();
        return values.filter(|values| !values.is_empty()).map(Value::List);
    }
    read_one(&kind, json, depth)
}

fn read_one(kind: &Kind, json: &Json, depth: usize) -> Option<Value> {
    Some(match (kind, json) {
        (Kind::String, Json::String(text)) => Value::String(text.clone()),
        (Kind::Bytes, Json::String(text)) => Value::Bytes(BASE64.decode(text).ok()?.into()),
        (Kind::Bool, Json::Bool(value)) => Value::Bool(*value),
        (Kind::Int32, Json::Number(text)) => Value::I32(text.parse().ok()?),
        (Kind::Int64, Json::Number(text)) => Value::I64(text.parse().ok()?),
        (Kind::Uint32, Json::Number(text)) => Value::U32(text.parse().ok()?),
        (Kind::Uint64, Json::Number(text)) => Value::U64(text.parse().ok()?),
        (Kind::Enum(shape), Json::Number(text)) => {
            let number = text.parse::<i64>().ok()?.checked_add(shift(shape))?;
            Value::EnumNumber(number.try_into().ok()?)
        }
        (Kind::Message(shape), json) => Value::Message(read_message(shape, json, depth + 1)?),
        _ => return None,
    })
}

/// `depth` is that of the message itself.
fn read_message(shape: &MessageDescriptor, json: &Json, depth: usize) -> Option<DynamicMessage> {
    match shape.full_name() {
        TIMESTAMP => known(shape, &text::to_timestamp(json.as_str()?)?),
        DURATION => known(shape, &text::to_duration(json.as_str()?)?),
        STRUCT => known(shape, &read_struct(json.as_object()?, depth)),
        STRING_LIST => {
            let texts: Option<Vec<Value>> = json
                .as_array()?
                .iter()
                .map(|element| Some(Value::String(element.as_str()?.to_owned())))
                .collect();
            let mut message = DynamicMessage::new(shape.clone());
            message.set_field_by_number(VALUES, Value::List(texts?));
            Some(message)
        }
        _ => {
            let members = json.as_object()?;
            let mut message = DynamicMessage::new(shape.clone());
            for field in shape.fields() {
                let json = members.get(key_map::key(&field));
                if let Some(value) = json.and_then(|json| read(&field, json, depth)) {
                    message.set_field(&field, value);
                }
            }
            Some(message)
        }
    }
}

/// A message of Google's types, as one that is read by reflection.
pub fn known(shape: &MessageDescriptor, message: &impl prost::Message) -> Option<DynamicMessage> {
    let mut dynamic = DynamicMessage::new(shape.clone());
    dynamic.transcode_from(message).ok()?;
    Some(dynamic)
}

/// Reads the members that a `Struct`, `depth` messages deep, can hold.
pub fn read_struct(members: &Object, depth: usize) -> Struct {
    let fields = members
        .iter()
        .filter_map(|(key, json)| {
            // The entry of the map is a message between the two.
            Some((key.clone(), read_struct_value(json, depth + 2)?))
        })
        .collect();
    Struct { fields }
}

fn read_struct_value(json: &Json, depth: usize) -> Option<prost_types::Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let kind = match json {
        Json::Null => StructKind::NullValue(0),
        Json::Bool(value) => StructKind::BoolValue(*value),
        Json::Number(text) => StructKind::NumberValue(read_double(text)?),
        Json::String(text) => StructKind::StringValue(text.clone()),
        Json::Array(_) | Json::Object(_) if depth >= DEPTH_MAX => return None,
        Json::Array(elements) => {
            let values: Option<Vec<_>> =
                elements.iter().map(|element| read_struct_value(element, depth + 2)).collect();
            StructKind::ListValue(ListValue { values: values? })
        }
        Json::Object(members) => StructKind::StructValue(read_struct(members, depth + 1)),
    };
    Some(prost_types::Value { kind: Some(kind) })
}

/// The number as a double, unless that would be another integer.
fn read_double(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let may_differ = is_integer && number.abs() >= DOUBLE_INTEGER_MAX;
    (number.is_finite() && (!may_differ || write_double(number) == text)).then_some(number)
}

/// Writes the value of a field.
pub fn write(field: &FieldDescriptor, value: &Value) -> Json {
    match value {
        Value::Map(entries) => {
            let kind = field.kind();
            let value_kind =
                kind.as_message().expect("a map field has entries").map_entry_value_field().kind();
            let members = entries.iter().map(|(key, value)| {
                let key = key.as_str().unwrap_or_default().to_owned();
                (key, write_one(&value_kind, value))
            });
            Json::Object(members.collect())
        }
        Value::List(values) => {
            Json::Array(values.iter().map(|value| write_one(&field.kind(), value)).collect())
        }
        value => write_one(&field.kind(), value),
    }
}

fn write_one(kind: &Kind, value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(number) => Json::Number(number.to_string()),
        Value::I64(number) => Json::Number(number.to_string()),
        Value::U32(number) => Json::Number(number.to_string()),
        Value::U64(number) => Json::Number(number.to_string()),
        Value::F32(number) => Json::Number(write_double(f64::from(*number))),
        Value::F64(number) => Json::Number(write_double(*number)),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(BASE64.encode(bytes)),
        Value::EnumNumber(number) => {
            let shift = kind.as_enum().map_or(0, shift);
            Json::Number((i64::from(*number) - shift).to_string())
        }
        Value::Message(message) => write_message(message),
        Value::List(_) | Value::Map(_) => unreachable!("an element is neither a list nor a map"),
    }
}

fn write_message(message: &DynamicMessage) -> Json {
    const VALID: &str = "a message of this name decodes as its type";
    match message.descriptor().full_name() {
        TIMESTAMP => {
            let timestamp: Timestamp = message.transcode_to().expect(VALID);
            Json::String(text::of_timestamp(timestamp))
        }
        DURATION => {
            let duration: Duration = message.transcode_to().expect(VALID);
            Json::String(text::of_duration(&duration))
        }
        STRUCT => write_struct(message.transcode_to().expect(VALID)),
        STRING_LIST => {
            let values = message.get_field_by_number(VALUES);
            let texts = values.as_deref().and_then(Value::as_list).unwrap_or_default();
            Json::Array(texts.iter().map(|text| write_one(&Kind::String, text)).collect())
        }
        _ => {
            let members = message
                .fields()
                .map(|(field, value)| (key_map::key(&field).to_owned(), write(&field, value)));
            Json::Object(members.collect())
        }
    }
}

/// The members of a `Struct`.
pub fn write_struct(message: Struct) -> Json {
    let members = message.fields.into_iter().map(|(key, value)| (key, write_struct_value(value)));
    Json::Object(members.collect())
}

fn write_struct_value(value: prost_types::Value) -> Json {
    match value.kind {
        None | Some(StructKind::NullValue(_)) => Json::Null,
        Some(StructKind::BoolValue(value)) => Json::Bool(value),
        Some(StructKind::NumberValue(number)) => Json::Number(write_double(number)),
        Some(StructKind::StringValue(text)) => Json::String(text),
        Some(StructKind::ListValue(list)) => {
            Json::Array(list.values.into_iter().map(write_struct_value).collect())
        }
        Some(StructKind::StructValue(inner)) => write_struct(inner),
    }
}

/// An integer where it is one, else the shortest text that reads as the number.
fn write_double(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() <= DOUBLE_INTEGER_MAX {
        // Also -0, which reads as itself.
        return format!("{number:.0}");
    }
    serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |text| text.to_string())
}

/// What our number of an enum value is above Teleport's.
pub fn shift(shape: &EnumDescriptor) -> i64 {
    i64::from(SHIFTED_ENUMS.contains(&shape.name()))
}
