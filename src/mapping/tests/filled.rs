//! Records of each type: with every field, each with a value of its own, and with none.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use crate::catalog;
use crate::json::shape;
use crate::mapping::{GAP, TargetSchema};
use crate::proto::pb;

/// How much a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// What every record has.
    Least,
    /// Every field.
    Most,
}

/// The number of the variant from which payloads begin.
const VARIANT_MIN: u32 = crate::event::VARIANT_NUMBER_MIN;

/// Gives each field another value.
#[derive(Debug, Default)]
pub struct Filler {
    next: u32,
    /// What values a reader must find, and the field that has each.
    pub expected: Vec<(String, Expected)>,
}

/// A value that a reader must find.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// A text.
    Text(String),
    /// Host and port of an address.
    Address(String, u16),
    /// A number.
    Number(i64),
    /// A time.
    Time(i64, i32),
    /// A duration, in seconds.
    Duration(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// True.
    Flag,
    /// The value of an enum.
    Name(String),
}

impl Filler {
    pub fn number(&mut self) -> u32 {
        self.next += 1;
        10_000 + self.next
    }

    pub fn fill(&mut self, message: &mut DynamicMessage, path: &str, variant: Option<u32>) {
        for field in message.descriptor().fields() {
            let is_event = message.descriptor().name() == "Event";
            if is_event && field.number() >= VARIANT_MIN && Some(field.number()) != variant {
                continue;
            }
            let path = format!("{path}.{}", field.name());
            let value = self.value(&field, &path, variant);
            message.set_field(&field, value);
        }
    }

    fn value(&mut self, field: &FieldDescriptor, path: &str, variant: Option<u32>) -> Value {
        if field.is_map() {
            let number = self.number();
            let key = format!("key{number}");
            self.expect(path, Expected::Text(key.clone()));
            let entry = field.kind();
            let kind = entry.as_message().expect("entries").map_entry_value_field().kind();
            let value = self.one(&kind, field, path, variant);
            return Value::Map([(MapKey::String(key), value)].into());
        }
        if field.is_list() {
            return Value::List(
                (0..2).map(|_| self.one(&field.kind(), field, path, variant)).collect(),
            );
        }
        self.one(&field.kind(), field, path, variant)
    }

    fn expect(&mut self, path: &str, expected: Expected) {
        self.expected.push((path.to_owned(), expected));
    }

    fn one(
        &mut self,
        kind: &Kind,
        field: &FieldDescriptor,
        path: &str,
        variant: Option<u32>,
    ) -> Value {
        let number = self.number();
        let (value, expected) = match kind {
            Kind::String => {
                let name = field.name();
                if ["address", "addr", "uri", "peer"].iter().any(|end| name.ends_with(end)) {
                    let ip = format!("10.0.{}.{}", number / 250 % 250, number % 250);
                    let port = 20_000 + (number % 40_000) as u16;
                    (Value::String(format!("{ip}:{port}")), Expected::Address(ip, port))
                } else if name.ends_with("exit_code") {
                    (Value::String(number.to_string()), Expected::Number(i64::from(number)))
                } else {
                    let text = format!("text{number}");
                    (Value::String(text.clone()), Expected::Text(text))
                }
            }
            Kind::Bool => (Value::Bool(true), Expected::Flag),
            Kind::Bytes => {
                let bytes = number.to_string().into_bytes();
                (Value::Bytes(bytes.clone().into()), Expected::Bytes(bytes))
            }
            Kind::Int32 => (Value::I32(number as i32), Expected::Number(i64::from(number))),
            Kind::Int64 => (Value::I64(i64::from(number)), Expected::Number(i64::from(number))),
            Kind::Uint32 => (Value::U32(number), Expected::Number(i64::from(number))),
            Kind::Uint64 => (Value::U64(u64::from(number)), Expected::Number(i64::from(number))),
            Kind::Enum(shape) => {
                let last = shape.values().last().expect("values");
                (Value::EnumNumber(last.number()), Expected::Name(last.name().to_owned()))
            }
            Kind::Message(shape) => {
                let mut message = DynamicMessage::new(shape.clone());
                let seconds = 1_600_000_000 + i64::from(number);
                match shape.full_name() {
                    "google.protobuf.Timestamp" => {
                        let time = prost_types::Timestamp { seconds, nanos: 7 };
                        message.transcode_from(&time).expect("a time");
                        self.expect(path, Expected::Time(seconds, 7));
                    }
                    "google.protobuf.Duration" => {
                        let seconds = i64::from(number);
                        let duration = prost_types::Duration { seconds, nanos: 0 };
                        message.transcode_from(&duration).expect("a duration");
                        self.expect(path, Expected::Duration(seconds));
                    }
                    "google.protobuf.Struct" => {
                        let text = format!("deep{number}");
                        let kind = prost_types::value::Kind::StringValue(text.clone());
                        let value = prost_types::Value { kind: Some(kind) };
                        let fields = [(format!("key{number}"), value)].into();
                        message.transcode_from(&prost_types::Struct { fields }).expect("a struct");
                        self.expect(path, Expected::Text(text));
                        self.expect(path, Expected::Text(format!("key{number}")));
                    }
                    _ => self.fill(&mut message, path, variant),
                }
                return Value::Message(message);
            }
            other => panic!("no value for {other:?}"),
        };
        self.expect(path, expected);
        value
    }
}

/// A record of this type, and what a reader must find.
pub fn record(type_name: &str, number: u32, fill: Fill) -> (DynamicMessage, Filler) {
    let mut record = DynamicMessage::new(shape("Record"));
    let mut filler = Filler::default();
    match fill {
        Fill::Most => filler.fill(&mut record, "", Some(number)),
        Fill::Least => {
            let mut event = DynamicMessage::new(shape("Event"));
            event.set_field_by_name("id", Value::String("id".into()));
            let payload = shape("Event").get_field(number).expect("a variant").kind();
            let payload = payload.as_message().expect("a message").clone();
            event.set_field_by_number(number, Value::Message(DynamicMessage::new(payload)));
            record.set_field_by_name("event", Value::Message(event));
        }
    }
    filler.expected.retain(|(path, _)| path != ".sequence" && path != ".type");
    record.set_field_by_name("sequence", Value::U64(7));
    record.set_field_by_name("type", Value::String(type_name.to_owned()));
    (record, filler)
}

/// Encoded records of all types.
pub fn samples(fill: Fill) -> Vec<(&'static str, Vec<u8>)> {
    let of = |(id, event_type): (catalog::TypeId, &'static catalog::EventType)| {
        let name = if id.is_custom() { "custom.billing.refund" } else { event_type.name };
        (event_type.name, record(name, event_type.number, fill).0.encode_to_vec())
    };
    catalog::all().map(of).collect()
}

/// As [`samples`], with a record for each case that the tables of all schemas tell apart, and its
/// name.
pub fn cases() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for schema in TargetSchema::ALL {
        let table = super::table(schema);
        for (type_name, row) in table.types.iter().filter(|(name, _)| *name != GAP) {
            let Some(by) = &row.by else { continue };
            let event_type = catalog::by_name(type_name).expect("known").get();
            for value in row.case.keys() {
                let (mut record, _) = record(type_name, event_type.number, Fill::Most);
                let path = match &**by {
                    "result" => by.clone(),
                    by => format!("event.{}.{by}", event_type.field_name),
                };
                set(&mut record, &path, value);
                found.push((format!("{type_name} {value}"), record.encode_to_vec()));
            }
        }
    }
    found
}

/// Sets the field at a path, which is a text or an enum.
fn set(message: &mut DynamicMessage, path: &str, value: &str) {
    match path.split_once('.') {
        Some((first, rest)) => {
            let inner = message.get_field_by_name_mut(first).expect("a field");
            let Value::Message(inner) = inner else { panic!("{path} is no message") };
            set(inner, rest, value);
        }
        None => {
            let field = message.descriptor().get_field_by_name(path).expect("a field");
            let value = match field.kind() {
                Kind::Enum(names) => {
                    Value::EnumNumber(names.get_value_by_name(value).expect("a name").number())
                }
                _ => Value::String(value.to_owned()),
            };
            message.set_field(&field, value);
        }
    }
}

/// A login that was refused.
pub fn login() -> Vec<u8> {
    let event = pb::Event {
        id: Some("event-1".into()),
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 }),
        code: Some("T1000W".into()),
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        connection: Some(pb::Connection {
            remote_address: Some("203.0.113.9:51544".into()),
            ..Default::default()
        }),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        payload: Some(pb::event::Payload::UserLogin(pb::UserLogin {
            method: Some("local".into()),
            ..Default::default()
        })),
        ..Default::default()
    };
    let record = pb::Record {
        sequence: 7,
        r#type: "user.login".into(),
        severity: pb::Severity::Warning.into(),
        result: pb::Result::Failure.into(),
        event: Some(event),
        ..Default::default()
    };
    record.encode_to_vec()
}
