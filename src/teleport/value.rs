//! Writes values of fields as Teleport's JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, ReflectMessage as _, Value,
};
use prost_types::value::Kind as StructKind;
use prost_types::{Duration, Struct, Timestamp};

use super::json::Json;
use super::{key_map, text};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";
const STRUCT: &str = "google.protobuf.Struct";
const STRING_LIST: &str = "auditgate.v1.StringList";
/// The field of `StringList`.
const VALUES: u32 = 1;
/// Enums in which Teleport uses zero for a value. In the protocol zero is unspecified, so the
/// numbers are one higher.
const SHIFTED_ENUMS: [&str; 2] = ["NetworkAction", "NetworkOperation"];
/// The largest number up to which every integer is a double.
pub const DOUBLE_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes the value of a field.
pub fn write(field: &FieldDescriptor, value: &Value) -> Json<'static> {
    match value {
        Value::Map(entries) => {
            let kind = field.kind();
            let value_kind =
                kind.as_message().expect("a map field has entries").map_entry_value_field().kind();
            let members = entries.iter().map(|(key, value)| {
                let key = key.as_str().unwrap_or_default().to_owned().into();
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

fn write_one(kind: &Kind, value: &Value) -> Json<'static> {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(number) => Json::Number(number.to_string().into()),
        Value::I64(number) => Json::Number(number.to_string().into()),
        Value::U32(number) => Json::Number(number.to_string().into()),
        Value::U64(number) => Json::Number(number.to_string().into()),
        Value::F32(number) => Json::Number(write_double(f64::from(*number)).into()),
        Value::F64(number) => Json::Number(write_double(*number).into()),
        Value::String(text) => Json::String(text.clone().into()),
        Value::Bytes(bytes) => Json::String(BASE64.encode(bytes).into()),
        Value::EnumNumber(number) => {
            let shift = kind.as_enum().map_or(0, shift);
            Json::Number((i64::from(*number) - shift).to_string().into())
        }
        Value::Message(message) => write_message(message),
        Value::List(_) | Value::Map(_) => unreachable!("an element is neither a list nor a map"),
    }
}

fn write_message(message: &DynamicMessage) -> Json<'static> {
    const VALID: &str = "a message of this name decodes as its type";
    match message.descriptor().full_name() {
        TIMESTAMP => {
            let timestamp: Timestamp = message.transcode_to().expect(VALID);
            Json::String(text::of_timestamp(timestamp).into())
        }
        DURATION => {
            let duration: Duration = message.transcode_to().expect(VALID);
            Json::String(text::of_duration(&duration).into())
        }
        STRUCT => write_struct(message.transcode_to().expect(VALID)),
        STRING_LIST => {
            let values = message.get_field_by_number(VALUES);
            let texts = values.as_deref().and_then(Value::as_list).unwrap_or_default();
            Json::Array(texts.iter().map(|text| write_one(&Kind::String, text)).collect())
        }
        _ => {
            let members = message.fields().map(|(field, value)| {
                (key_map::key(&field).to_owned().into(), write(&field, value))
            });
            Json::Object(members.collect())
        }
    }
}

/// The members of a `Struct`.
pub fn write_struct(message: Struct) -> Json<'static> {
    let members =
        message.fields.into_iter().map(|(key, value)| (key.into(), write_struct_value(value)));
    Json::Object(members.collect())
}

fn write_struct_value(value: prost_types::Value) -> Json<'static> {
    match value.kind {
        None | Some(StructKind::NullValue(_)) => Json::Null,
        Some(StructKind::BoolValue(value)) => Json::Bool(value),
        Some(StructKind::NumberValue(number)) => Json::Number(write_double(number).into()),
        Some(StructKind::StringValue(text)) => Json::String(text.into()),
        Some(StructKind::ListValue(list)) => {
            Json::Array(list.values.into_iter().map(write_struct_value).collect())
        }
        Some(StructKind::StructValue(inner)) => write_struct(inner),
    }
}

/// An integer if it is one, else the shortest text that parses as the number.
pub fn write_double(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() <= DOUBLE_INTEGER_MAX {
        // Also -0, which parses as itself.
        return format!("{number:.0}");
    }
    serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |text| text.to_string())
}

/// The difference of the protocol's numbers of an enum from Teleport's.
pub fn shift(shape: &EnumDescriptor) -> i64 {
    i64::from(SHIFTED_ENUMS.contains(&shape.name()))
}
