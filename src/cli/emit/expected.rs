//! Explains what is wrong with the JSON of an event: suggests the name that was meant, and shows
//! the form of a value by an example. The errors of the protobuf library are for programmers.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Reflected};
use serde_json::Value;

use crate::catalog;
use crate::example;
use crate::json::{self, reflect};
use crate::text::nearest;

/// Makes an example of a message. That is slow, so it is made only for an error.
type Sample<'a> = &'a dyn Fn() -> Option<DynamicMessage>;

/// Package of the types that have a JSON form of their own.
const WELL_KNOWN: &str = "google.protobuf.";

/// Checks the names and the forms of an event.
///
/// # Errors
/// The first fault, as `PATH: expected ...`.
pub fn check_event(value: &Value, event: &MessageDescriptor) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(name)) = fields.get("event") {
                return Err(format!(
                    "\"event\": {name:?} is the form of Teleport: use `auditgate import --format teleport`"
                ));
            }
            if let Some(Value::String(name)) = fields.get("type") {
                let variant = catalog::by_name(name).map(|id| id.get().field_name);
                let variant = variant.unwrap_or("user_login");
                return Err(format!(
                    "the type of an event is the name of its payload: write \"{variant}\": {{}} instead of \"type\": {name:?}"
                ));
            }
            check(value, event, "", &|| None)?;
            check_payload(fields.keys(), event)
        }
        Value::Array(_) => Err("expected an object, but this is an array: send one event a line, \
                                without brackets and commas, such as `jq -c '.[]' FILE | auditgate emit`"
            .to_owned()),
        other => Err(format!("expected an object such as {{\"user_login\": {{}}}}, not {}", kind(other))),
    }
}

/// Checks that there is one payload at most.
fn check_payload<'a>(
    names: impl Iterator<Item = &'a String>,
    event: &MessageDescriptor,
) -> Result<(), String> {
    let is_payload = |name: &&String| {
        let field = event.get_field_by_name(name).or_else(|| event.get_field_by_json_name(name));
        field.is_some_and(|field| catalog::by_number(field.number()).is_some())
    };
    let payloads: Vec<&str> = names.filter(is_payload).map(String::as_str).collect();
    if payloads.len() < 2 {
        return Ok(());
    }
    Err(format!("an event has one payload, its type; this one has {}", payloads.join(" and ")))
}

/// Checks a value for a field, as a flag sets it.
///
/// # Errors
/// As [`check_event`].
pub fn check_set(value: &Value, field: &FieldDescriptor) -> Result<(), String> {
    match field.kind() {
        Kind::Message(shape) if !shape.full_name().starts_with(WELL_KNOWN) => {
            check(value, &shape, "", &|| message_of(sample_of(field, None)))
        }
        _ => Ok(()),
    }
}

/// Checks a message below `path`. `sample` makes an example of it.
fn check(
    value: &Value,
    shape: &MessageDescriptor,
    path: &str,
    sample: Sample<'_>,
) -> Result<(), String> {
    let Value::Object(fields) = value else {
        return Err(wrong(path, &object(shape, sample().as_ref()), value));
    };
    for (name, value) in fields {
        let field = shape.get_field_by_name(name).or_else(|| shape.get_field_by_json_name(name));
        let Some(field) = field else { return Err(unknown(name, shape, path)) };
        // A null means that the field is not set.
        if !value.is_null() {
            let path = join(path, name);
            check_field(value, &field, &path, sample)?;
        }
    }
    Ok(())
}

fn check_field(
    value: &Value,
    field: &FieldDescriptor,
    path: &str,
    sample: Sample<'_>,
) -> Result<(), String> {
    let sample = || sample_of(field, sample().as_ref());
    let of_kind = field.kind();
    if field.is_map() {
        let Value::Object(entries) = value else {
            return Err(wrong(path, "an object such as {\"env\": \"prod\"}", value));
        };
        let Some(of_value) = of_kind.as_message().map(MessageDescriptor::map_entry_value_field)
        else {
            return Ok(());
        };
        return entries.iter().try_for_each(|(key, value)| {
            check_one(value, &of_value.kind(), &format!("{path}[{key:?}]"), &|| None)
        });
    }
    if field.is_list() {
        let Value::Array(items) = value else {
            let sample = sample();
            let one = sample.as_ref().and_then(Reflected::as_list).and_then(<[_]>::first);
            let example = one.map_or_else(|| "[...]".to_owned(), array);
            return Err(wrong(path, &format!("an array such as {example}"), value));
        };
        return items.iter().enumerate().try_for_each(|(position, value)| {
            check_one(value, &of_kind, &format!("{path}[{position}]"), &|| None)
        });
    }
    check_one(value, &of_kind, path, &|| message_of(sample()))
}

fn check_one(value: &Value, of: &Kind, path: &str, sample: Sample<'_>) -> Result<(), String> {
    let fits = match of {
        Kind::Message(shape) => match shape.full_name() {
            "google.protobuf.Timestamp" => {
                return parsed(value, path, shape, "a time such as \"2026-03-01T12:00:00Z\"");
            }
            "google.protobuf.Duration" => {
                return parsed(value, path, shape, "a length of time such as \"1.5s\"");
            }
            "google.protobuf.Struct" => {
                let expected = "an object such as {\"key\": \"value\"}";
                return if value.is_object() { Ok(()) } else { Err(wrong(path, expected, value)) };
            }
            name if name.starts_with(WELL_KNOWN) => true,
            _ => return check(value, shape, path, sample),
        },
        Kind::String => return text(value, path, "a string"),
        Kind::Bytes => return text(value, path, "a string in base64"),
        Kind::Bool => {
            return if value.is_boolean() {
                Ok(())
            } else {
                Err(wrong(path, "true or false", value))
            };
        }
        Kind::Enum(names) => match value {
            Value::String(name) if names.get_value_by_name(name).is_none() => {
                let known: Vec<String> =
                    names.values().skip(1).map(|one| one.name().to_owned()).collect();
                let near = nearest(&name.to_uppercase(), known.iter().map(String::as_str), 1);
                let near = match near.first() {
                    Some(near) => format!("; did you mean {near}?"),
                    None => format!(": use one of {}", known.join(", ")),
                };
                return Err(format!("{path}: {name:?} is not a value of {}{near}", names.name()));
            }
            Value::String(_) | Value::Number(_) => true,
            _ => false,
        },
        // Numbers may also be written as strings.
        _ => match value {
            Value::Number(_) => true,
            Value::String(text) if text.parse::<f64>().is_ok() => true,
            Value::String(text) => return Err(format!("{path}: {text:?} is not a number")),
            _ => false,
        },
    };
    if fits { Ok(()) } else { Err(wrong(path, expected_of(of), value)) }
}

fn expected_of(of: &Kind) -> &'static str {
    if matches!(of, Kind::Enum(_)) { "the name of a value" } else { "a number" }
}

fn text(value: &Value, path: &str, expected: &str) -> Result<(), String> {
    if value.is_string() { Ok(()) } else { Err(wrong(path, expected, value)) }
}

/// Checks a text that the protobuf library parses.
fn parsed(value: &Value, path: &str, of: &MessageDescriptor, expected: &str) -> Result<(), String> {
    text(value, path, expected)?;
    match DynamicMessage::deserialize(of.clone(), value) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{path}: {value} is not {expected}")),
    }
}

fn wrong(path: &str, expected: &str, value: &Value) -> String {
    let found = kind(value);
    if path.is_empty() {
        return format!("expected {expected}, not {found}");
    }
    format!("{path}: expected {expected}, not {found}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A field that does not exist, and the one that was likely meant. Event types are known
/// by their dotted names, too.
fn unknown(name: &str, shape: &MessageDescriptor, path: &str) -> String {
    let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
    let fields: Vec<String> = shape.fields().map(|field| field.name().to_owned()).collect();
    let of_type = catalog::by_name(name).map(|id| id.get().field_name);
    let near = of_type.filter(|field| fields.iter().any(|known| known == field)).or_else(|| {
        let snake = name.replace(['.', '-'], "_");
        let found = nearest(&snake, fields.iter().map(String::as_str), 1).first().copied();
        found.and_then(|found| fields.iter().find(|field| *field == found)).map(String::as_str)
    });
    let near = near.map_or_else(String::new, |near| format!(", but there is {near:?}"));
    format!("{place}there is no field {name:?} in {}{near}", shape.name())
}

/// An object with the first text field of an example, or else its first field.
fn object(shape: &MessageDescriptor, sample: Option<&DynamicMessage>) -> String {
    let fields = || sample.into_iter().flat_map(DynamicMessage::fields);
    let of_name = fields().find(|(field, _)| field.name() == "name");
    let of_text = || fields().find(|(_, value)| value.as_str().is_some());
    match of_name.or_else(of_text) {
        Some((field, value)) => {
            let value = Value::from(value.as_str().unwrap_or_default());
            format!("an object such as {{\"{}\": {value}}}", field.name())
        }
        None => match shape.fields().next() {
            Some(field) => format!("an object such as {{\"{}\": ...}}", field.name()),
            None => "an object: {}".to_owned(),
        },
    }
}

fn array(one: &Reflected) -> String {
    match one {
        Reflected::String(text) => Value::from(vec![text.as_str()]).to_string(),
        Reflected::Message(message) => format!("[{}]", json::line(message)),
        _ => "[...]".to_owned(),
    }
}

/// An example of a field: from the message that has it, or from an event.
fn sample_of(field: &FieldDescriptor, message: Option<&DynamicMessage>) -> Option<Reflected> {
    if let Some(message) = message {
        return message.has_field(field).then(|| message.get_field(field).into_owned());
    }
    if field.parent_message().full_name() != "auditgate.v1.Event" {
        return None;
    }
    let of_field = catalog::by_number(field.number());
    let of_login = || catalog::by_name("user.login");
    let event = reflect("Event", &example::event(of_field.or_else(of_login)?));
    event.has_field(field).then(|| event.get_field(field).into_owned())
}

fn message_of(value: Option<Reflected>) -> Option<DynamicMessage> {
    match value? {
        Reflected::Message(message) => Some(message),
        _ => None,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::shape;

    fn said(json: &str) -> String {
        let value = serde_json::from_str(json).expect("JSON");
        check_event(&value, &shape("Event")).expect_err(json)
    }

    #[test]
    fn what_was_meant_is_told() {
        for (json, sentence) in [
            (
                r#"{"user_logn": {}}"#,
                "there is no field \"user_logn\" in Event, but there is \"user_login\"",
            ),
            (
                r#"{"user.login": {}}"#,
                "there is no field \"user.login\" in Event, but there is \"user_login\"",
            ),
            (
                r#"{"user": {"nam": "alice"}}"#,
                "user: there is no field \"nam\" in User, but there is \"name\"",
            ),
            (
                r#"{"user": "alice"}"#,
                "user: expected an object such as {\"name\": \"alice\"}, not a string",
            ),
            (
                r#"{"user": ["alice"]}"#,
                "user: expected an object such as {\"name\": \"alice\"}, not an array",
            ),
            (
                r#"{"labels": ["a"]}"#,
                "labels: expected an object such as {\"env\": \"prod\"}, not an array",
            ),
            (r#"{"labels": {"a": 1}}"#, "labels[\"a\"]: expected a string, not a number"),
            (
                r#"{"time": 1700000000}"#,
                "time: expected a time such as \"2026-03-01T12:00:00Z\", not a number",
            ),
            (r#"{"user": {"name": 7}}"#, "user.name: expected a string, not a number"),
            (
                r#"{"outcome": {"success": "yes"}}"#,
                "outcome.success: expected true or false, not a string",
            ),
            (
                r#"{"user": {"kind": "bot"}}"#,
                "user.kind: \"bot\" is not a value of UserKind: use one of",
            ),
            (r#"{"user": {"roles": "admin"}}"#, "user.roles: expected an array such as ["),
            (r#"{"index": true}"#, "index: expected a number, not a boolean"),
            (r#"{"user_login": true}"#, "user_login: expected an object such as {"),
            ("[]", "but this is an array: send one event a line"),
            ("7", "expected an object such as {\"user_login\": {}}, not a number"),
            (
                r#"{"user_login": {}, "exec": {}}"#,
                "an event has one payload, its type; this one has ",
            ),
            (r#"{"type": "exec"}"#, "write \"exec\": {} instead of \"type\": \"exec\""),
            (
                r#"{"time": "noon"}"#,
                "time: \"noon\" is not a time such as \"2026-03-01T12:00:00Z\"",
            ),
            (r#"{"resource": {"ttl": "1 h"}}"#, "resource.ttl: \"1 h\" is not a length of time"),
            (r#"{"index": "x"}"#, "index: \"x\" is not a number"),
            (r#"{"event": "user.login"}"#, "use `auditgate import --format teleport`"),
        ] {
            assert!(said(json).contains(sentence), "{json}: {}", said(json));
        }
    }

    #[test]
    fn every_example_fits() {
        for (type_id, event_type) in catalog::all() {
            let text = json::line(&reflect("Event", &example::event(type_id)));
            let value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(check_event(&value, &shape("Event")), Ok(()), "{}", event_type.name);
        }
        let nulls = serde_json::json!({"userLogin": null, "user": {"name": null}, "index": "7"});
        assert_eq!(check_event(&nulls, &shape("Event")), Ok(()));
    }
}
