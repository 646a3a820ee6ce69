//! Writes messages as protobuf JSON in a fixed order: fields by number, map entries by key.
//!
//! Format: <https://protobuf.dev/programming-guides/json/>, with the field names of the proto
//! files, which filters and paths use, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::proto::descriptor_pool;

/// Package of the types that have a JSON form of their own.
const WELL_KNOWN: &str = "google.protobuf.";

/// The descriptor of a message of the protocol.
pub fn shape(name: &str) -> MessageDescriptor {
    let found = descriptor_pool().get_message_by_name(&format!("auditgate.v1.{name}"));
    found.expect("the protocol has the message")
}

/// A message of the protocol, to be read by field paths or written as JSON.
pub fn reflect(name: &str, message: &impl prost::Message) -> DynamicMessage {
    let mut reflected = DynamicMessage::new(shape(name));
    reflected.transcode_from(message).expect("a message decodes by its own descriptor");
    reflected
}

/// A message on one line.
pub fn line(message: &DynamicMessage) -> String {
    // Times beyond the year 9999 have no JSON form; gateways refuse them.
    serde_json::to_string(&MessageJson(message)).expect("what a gateway keeps has a JSON form")
}

/// A message on several lines, indented.
pub fn indented(message: &DynamicMessage) -> String {
    serde_json::to_string_pretty(&MessageJson(message))
        .expect("what a gateway keeps has a JSON form")
}

struct MessageJson<'a>(&'a DynamicMessage);

/// A value of a field of this kind.
struct ValueJson<'a>(&'a Value, &'a Kind);

impl Serialize for MessageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.descriptor().full_name().starts_with(WELL_KNOWN) {
            // A `serde_json::Value` sorts the fields of a Struct.
            let value = serde_json::to_value(self.0).map_err(S::Error::custom)?;
            return value.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in self.0.fields() {
            map.serialize_entry(field.name(), &ValueJson(value, &field.kind()))?;
        }
        map.end()
    }
}

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ValueJson(value, kind) = self;
        match value {
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::I32(number) => serializer.serialize_i32(*number),
            Value::U32(number) => serializer.serialize_u32(*number),
            // JSON numbers cannot hold all of their values.
            Value::I64(number) => serializer.collect_str(number),
            Value::U64(number) => serializer.collect_str(number),
            Value::F32(number) => float(f64::from(*number), serializer),
            Value::F64(number) => float(*number, serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_str(&BASE64.encode(bytes)),
            Value::EnumNumber(number) => {
                let names = kind.as_enum();
                match names.and_then(|names| names.get_value(*number)) {
                    Some(value) => serializer.serialize_str(value.name()),
                    None => serializer.serialize_i32(*number),
                }
            }
            Value::Message(message) => MessageJson(message).serialize(serializer),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&ValueJson(item, kind))?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let entry = kind.as_message().ok_or_else(|| S::Error::custom("not a map"))?;
                let of = entry.map_entry_value_field().kind();
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&key_text(key), &ValueJson(value, &of))?;
                }
                map.end()
            }
        }
    }
}

fn float<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.is_nan() {
        serializer.serialize_str("NaN")
    } else if number.is_infinite() {
        serializer.serialize_str(if number > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        serializer.serialize_f64(number)
    }
}

/// The key of a map entry in JSON.
pub fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(flag) => flag.to_string(),
        MapKey::I32(number) => number.to_string(),
        MapKey::I64(number) => number.to_string(),
        MapKey::U32(number) => number.to_string(),
        MapKey::U64(number) => number.to_string(),
        MapKey::String(text) => text.clone(),
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use prost_reflect::SerializeOptions;

    use super::*;
    use crate::catalog;
    use crate::example;

    /// As the library of the descriptors writes it, in whatever order.
    fn by_the_library(message: &DynamicMessage) -> serde_json::Value {
        let options = SerializeOptions::new().use_proto_field_name(true);
        message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .expect("it has a JSON form")
    }

    #[test]
    fn every_type_is_written_as_the_format_has_it() {
        for (type_id, event_type) in catalog::all() {
            let message = reflect("Event", &example::event(type_id));
            for text in [line(&message), indented(&message)] {
                let read: serde_json::Value =
                    serde_json::from_str(&text).expect("what is written is JSON");
                assert_eq!(read, by_the_library(&message), "{}", event_type.name);
                let mut back = serde_json::Deserializer::from_str(&text);
                let back = DynamicMessage::deserialize(shape("Event"), &mut back);
                assert_eq!(back.expect("an event"), message, "{}", event_type.name);
            }
        }
    }

    #[test]
    fn the_order_is_always_the_same() {
        let labels = (0..100).map(|number| (format!("{number:03}"), String::new()));
        let event = crate::proto::pb::Event {
            id: Some("x".into()),
            labels: labels.collect(),
            index: Some(i64::MIN),
            ..Default::default()
        };
        let text = line(&reflect("Event", &event));
        let places: Vec<_> =
            (0..100).map(|number| text.find(&format!("\"{number:03}\""))).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
        assert!(
            text.starts_with(r#"{"id":"x","index":"-9223372036854775808","labels":{"#),
            "{text}"
        );
    }
}
