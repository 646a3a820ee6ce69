//! Examples are valid events of their type, complete, and return from Teleport's
//! form.

use auditgate::catalog::{self, CUSTOM};
use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::proto::{descriptor_pool, pb};
use auditgate::teleport::{self, LineOrdinals};
use auditgate::time::Time;
use auditgate::{example, teleport::json::Json};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};

#[test]
fn each_example_is_accepted_and_of_its_type() {
    for (type_id, event_type) in catalog::all() {
        let bytes = example::event(type_id).encode_to_vec();
        let event = Event::check(bytes.into(), Time::now(), EVENT_BYTES_MAX)
            .unwrap_or_else(|error| panic!("{}: {error}", event_type.name));
        assert_eq!(event.type_id, type_id);
        let expected = match event_type.name {
            CUSTOM => "custom.billing.refund",
            name => name,
        };
        assert_eq!(event.type_name().concat(), expected);
    }
}

#[test]
fn the_code_is_the_catalogs_and_agrees_with_the_outcome() {
    for (type_id, event_type) in catalog::all() {
        let event = example::event(type_id);
        let code = event.code.as_deref().map(|code| event_type.code(code).expect("a known code"));
        assert_eq!(code.is_none(), event_type.codes.is_empty(), "{}", event_type.name);
        let fails = code.is_some_and(|code| code.result == pb::Result::Failure as i32);
        let outcome = event.outcome.expect("an outcome");
        assert_eq!(outcome.success, Some(!fails), "{}", event_type.name);
        assert_eq!(outcome.error.is_some(), fails, "{}", event_type.name);
    }
}

/// Paths of fields that are not set, below a message.
fn holes(message: &DynamicMessage, path: &str, found: &mut Vec<String>) {
    for field in message.descriptor().fields() {
        let path = format!("{path}.{}", field.name());
        if !message.has_field(&field) {
            found.push(path);
        } else if let Value::Message(inner) = message.get_field(&field).as_ref()
            && inner.descriptor().package_name() == "auditgate.v1"
        {
            holes(inner, &path, found);
        }
    }
}

fn shape(name: &str) -> MessageDescriptor {
    descriptor_pool().get_message_by_name(name).expect(name)
}

#[test]
fn every_field_of_the_payload_is_filled() {
    for (type_id, event_type) in catalog::all() {
        let event = example::event(type_id);
        let mut dynamic = DynamicMessage::new(shape("auditgate.v1.Event"));
        dynamic.transcode_from(&event).expect("decodes");
        let payload = dynamic.get_field_by_number(event_type.number).expect("a payload");
        let mut found = Vec::new();
        holes(payload.as_message().expect("a message"), event_type.field_name, &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

/// No field's value is just its name: that is what one gets that nobody thought
/// of.
#[test]
fn values_are_lifelike() {
    fn check(value: &Value, name: &str) {
        match value {
            Value::String(text) => assert_ne!(text, name),
            Value::List(values) => values.iter().for_each(|value| check(value, name)),
            Value::Map(entries) => entries.values().for_each(|value| check(value, name)),
            Value::Message(message) => {
                message.fields().for_each(|(field, value)| check(value, field.name()));
            }
            _ => {}
        }
    }
    for (type_id, _) in catalog::all() {
        let mut dynamic = DynamicMessage::new(shape("auditgate.v1.Event"));
        dynamic.transcode_from(&example::event(type_id)).expect("decodes");
        check(&Value::Message(dynamic), "event");
    }
}

#[test]
fn the_json_is_the_request() {
    for (type_id, event_type) in catalog::all() {
        let json = example::request_json(type_id);
        let mut reader = serde_json::Deserializer::from_str(&json);
        let request = DynamicMessage::deserialize(shape("auditgate.v1.EmitRequest"), &mut reader)
            .unwrap_or_else(|error| panic!("{}: {error}", event_type.name));
        let request: pb::EmitRequest = request.transcode_to().expect("decodes");
        assert_eq!(request.event, Some(example::event(type_id)));
        assert!(json.contains(&format!("\"{}\": {{", event_type.field_name)), "{json}");
    }
}

#[test]
fn each_example_returns_from_teleports_form() {
    for (type_id, event_type) in catalog::all() {
        let event = pb::Event {
            id: Some(format!("example-{}", event_type.number)),
            time: Some(Time(1_700_000_000_123_456_789).timestamp()),
            ..example::event(type_id)
        };
        let line = teleport::export(&event).expect("exports").to_string();
        let imported = teleport::import_line(&line, &mut LineOrdinals::default()).expect("imports");
        assert_eq!(imported.event(), event, "{line}");
        assert_eq!(imported.unknown_type.is_some(), event_type.name == CUSTOM);
        let again = teleport::export(&imported.event()).expect("exports");
        assert_eq!(again, Json::parse(&line).expect("JSON"));
    }
}
