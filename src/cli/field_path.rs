//! Parses paths of record fields, and reads the values at them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

use crate::json::{self, shape};
use crate::text;

/// A path to a field.
#[derive(Debug, Clone)]
pub struct FieldPath {
    steps: Vec<PathStep>,
}

#[derive(Debug, Clone)]
enum PathStep {
    Field(FieldDescriptor),
    /// A key of a map: the rest of the path, dots included.
    Key(String),
    /// A member of a Struct, which has no descriptor.
    Json(Vec<String>),
}

/// The path names no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no field {step:?} in {message}{}", nearest.as_ref().map(|name| format!(", but there is {name:?}")).unwrap_or_default())]
pub struct UnknownPath {
    /// The unknown part of the path.
    step: String,
    /// The message without that field.
    message: String,
    /// The field with the most similar name.
    nearest: Option<String>,
}

impl FieldPath {
    /// Checks a path within a record: `event.user.name`. A field of the event
    /// may be named without `event`.
    pub fn of_record(text: &str) -> Result<Self, UnknownPath> {
        let record = shape("Record");
        let first = text.split('.').next().unwrap_or_default();
        if record.get_field_by_name(first).is_none()
            && shape("Event").get_field_by_name(first).is_some()
        {
            return Self::new(&format!("event.{text}"), &record);
        }
        Self::new(text, &record).map_err(|mut unknown| {
            // The fields of the event may have been meant, too.
            if unknown.message == record.name() && unknown.nearest.is_none() {
                unknown.nearest = nearest(&unknown.step, &shape("Event"));
            }
            unknown
        })
    }

    /// Checks a path within a message.
    pub fn new(text: &str, root: &MessageDescriptor) -> Result<Self, UnknownPath> {
        let mut steps = Vec::new();
        let mut message = Some(root.clone());
        let mut rest = Some(text);
        while let Some(path) = rest {
            let (step, after) = match path.split_once('.') {
                Some((step, after)) => (step, Some(after)),
                None => (path, None),
            };
            let unknown = |inside: &str, nearest| UnknownPath {
                step: step.to_owned(),
                message: inside.to_owned(),
                nearest,
            };
            let Some(inside) = message.take() else {
                return Err(unknown(path_before(text, path), None));
            };
            let field = inside
                .get_field_by_name(step)
                .ok_or_else(|| unknown(inside.name(), nearest(step, &inside)))?;
            rest = after;
            if let Some(path) = rest {
                if field.is_map() {
                    steps.push(PathStep::Field(field));
                    steps.push(PathStep::Key(path.to_owned()));
                    break;
                }
                let kind = field.kind();
                let inner = kind.as_message();
                if inner.is_some_and(|inner| inner.full_name() == "google.protobuf.Struct") {
                    steps.push(PathStep::Field(field));
                    steps.push(PathStep::Json(path.split('.').map(str::to_owned).collect()));
                    break;
                }
                message = inner.filter(|_| !field.is_list()).cloned();
            }
            steps.push(PathStep::Field(field));
        }
        Ok(Self { steps })
    }

    /// Name of the last field.
    pub fn last_name(&self) -> &str {
        match self.steps.last() {
            Some(PathStep::Field(field)) => field.name(),
            Some(PathStep::Key(key)) => key,
            Some(PathStep::Json(keys)) => keys.last().map(String::as_str).unwrap_or_default(),
            None => "",
        }
    }

    /// The names along the path, as in JSON.
    pub fn names(&self) -> Vec<String> {
        let names = self.steps.iter().flat_map(|step| match step {
            PathStep::Field(field) => vec![field.name().to_owned()],
            PathStep::Key(key) => vec![key.clone()],
            PathStep::Json(keys) => keys.clone(),
        });
        names.collect()
    }

    /// The value as text; lists, maps and messages as JSON. `None` if it is
    /// absent.
    pub fn text(&self, message: &DynamicMessage) -> Option<String> {
        read(message, &self.steps, None)
    }

    /// The value as text, with the elements of a list separated by `separator`.
    pub fn words(&self, message: &DynamicMessage, separator: &str) -> Option<String> {
        read(message, &self.steps, Some(separator))
    }
}

/// The value at the end of the path. A list is joined by the separator, or is JSON if there is
/// none.
fn read(message: &DynamicMessage, steps: &[PathStep], separator: Option<&str>) -> Option<String> {
    let (PathStep::Field(field), rest) = steps.split_first()? else { return None };
    if !message.has_field(field) {
        return None;
    }
    let value = message.get_field(field);
    match rest {
        [] => Some(whole(&value, field, separator)),
        [PathStep::Key(key), ..] => {
            let found = value.as_map()?.get(&MapKey::String(key.clone()))?;
            Some(scalar(found, &map_value_kind(field)?))
        }
        [PathStep::Json(keys), ..] => {
            let mut inner: serde_json::Value =
                serde_json::from_str(&json::line(value.as_message()?)).ok()?;
            for key in keys {
                inner = inner.get_mut(key)?.take();
            }
            Some(match inner {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            })
        }
        [PathStep::Field(_), ..] => read(value.as_message()?, rest, separator),
    }
}

/// A whole field as text.
pub fn whole(value: &Value, field: &FieldDescriptor, separator: Option<&str>) -> String {
    let kind = field.kind();
    match (value, separator) {
        (Value::List(items), Some(separator)) => {
            let words: Vec<String> = items.iter().map(|item| scalar(item, &kind)).collect();
            words.join(separator)
        }
        (Value::List(items), None) => {
            let items: Vec<String> = items.iter().map(|item| element(item, &kind)).collect();
            format!("[{}]", items.join(","))
        }
        (Value::Map(entries), _) => {
            let kind = map_value_kind(field).unwrap_or(kind);
            let mut entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| {
                    format!("{}:{}", quoted(&json::key_text(key)), element(value, &kind))
                })
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        (single, _) => scalar(single, &kind),
    }
}

/// The kind of a map's values.
pub fn map_value_kind(field: &FieldDescriptor) -> Option<Kind> {
    Some(field.kind().as_message()?.map_entry_value_field().kind())
}

fn path_before<'a>(text: &'a str, rest: &str) -> &'a str {
    text.strip_suffix(rest).unwrap_or(text).trim_end_matches('.')
}

/// A value that is not a list or map, as text.
pub fn scalar(value: &Value, kind: &Kind) -> String {
    match (value, kind) {
        (Value::String(text), _) => text.clone(),
        (Value::Bytes(bytes), _) => BASE64.encode(bytes),
        (Value::EnumNumber(number), Kind::Enum(names)) => enum_name(*number, names),
        (Value::Message(message), _) => {
            let text = json::line(message);
            // Timestamps and durations are JSON strings.
            serde_json::from_str::<String>(&text).unwrap_or(text)
        }
        (Value::Bool(flag), _) => flag.to_string(),
        (Value::I32(number), _) => number.to_string(),
        (Value::I64(number), _) => number.to_string(),
        (Value::U32(number), _) => number.to_string(),
        (Value::U64(number), _) => number.to_string(),
        (Value::F32(number), _) => number.to_string(),
        (Value::F64(number), _) => number.to_string(),
        (Value::EnumNumber(number), _) => number.to_string(),
        (Value::List(_) | Value::Map(_), _) => String::new(),
    }
}

/// A value within a list or map, as JSON.
fn element(value: &Value, kind: &Kind) -> String {
    match value {
        Value::Message(message) => json::line(message),
        Value::String(_) | Value::Bytes(_) | Value::EnumNumber(_) => quoted(&scalar(value, kind)),
        other => scalar(other, kind),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `failure` for RESULT_FAILURE; the number where it has no name.
fn enum_name(number: i32, names: &EnumDescriptor) -> String {
    let Some(value) = names.get_value(number) else { return number.to_string() };
    let zero = names.default_value();
    let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    value.name().strip_prefix(prefix).unwrap_or(value.name()).to_ascii_lowercase()
}

/// The field whose name is most similar, if any is.
pub fn nearest(name: &str, message: &MessageDescriptor) -> Option<String> {
    let names: Vec<_> = message.fields().map(|field| field.name().to_owned()).collect();
    text::nearest_one(name, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::json::reflect;
    use crate::proto::pb;
    use crate::proto::pb::event::Payload;

    use super::*;

    fn record() -> DynamicMessage {
        let data = prost_types::Struct {
            fields: BTreeMap::from([(
                "rate".to_owned(),
                prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(1.5)) },
            )]),
        };
        let event = pb::Event {
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            user: Some(pb::User {
                name: Some("alice".into()),
                roles: vec!["admin".into(), "d\"ev".into()],
                kind: Some(pb::UserKind::Bot.into()),
                ..Default::default()
            }),
            outcome: Some(pb::Outcome { success: Some(false), ..Default::default() }),
            labels: BTreeMap::from([("app.example/x".into(), "1".into()), ("b".into(), "".into())]),
            payload: Some(Payload::Custom(pb::Custom { name: Some("x".into()), data: Some(data) })),
            ..Default::default()
        };
        let record = pb::Record {
            sequence: 7,
            r#type: "custom.x".into(),
            result: pb::Result::Failure.into(),
            event: Some(event),
            ..Default::default()
        };
        reflect("Record", &record)
    }

    fn text(path: &str) -> Option<String> {
        FieldPath::of_record(path).expect("a path").text(&record())
    }

    #[test]
    fn a_path_leads_to_a_value() {
        assert_eq!(text("sequence").as_deref(), Some("7"));
        assert_eq!(text("result").as_deref(), Some("failure"));
        assert_eq!(text("event.user.name").as_deref(), Some("alice"));
        assert_eq!(text("user.name").as_deref(), Some("alice"), "without event");
        assert_eq!(text("user.kind").as_deref(), Some("bot"));
        assert_eq!(text("time").as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(text("outcome.success").as_deref(), Some("false"), "a fact");
        assert_eq!(text("outcome.error"), None);
        assert_eq!(text("session.id"), None);
        assert_eq!(text("labels.app.example/x").as_deref(), Some("1"));
        assert_eq!(text("labels.b").as_deref(), Some(""));
        assert_eq!(text("labels.c"), None);
        assert_eq!(text("labels").as_deref(), Some(r#"{"app.example/x":"1","b":""}"#));
        assert_eq!(text("user.roles").as_deref(), Some(r#"["admin","d\"ev"]"#));
        assert_eq!(text("custom.data.rate").as_deref(), Some("1.5"));
        assert_eq!(text("custom.data").as_deref(), Some(r#"{"rate":1.5}"#));
        assert_eq!(text("user_login.method"), None, "of another variant");
        let roles = FieldPath::of_record("user.roles").expect("a path");
        assert_eq!(roles.words(&record(), " ").as_deref(), Some("admin d\"ev"));
        assert_eq!(roles.last_name(), "roles");
    }

    #[test]
    fn a_path_that_leads_nowhere_is_refused() {
        let refused = |path| FieldPath::of_record(path).expect_err("it leads nowhere").to_string();
        assert_eq!(
            refused("event.user.nam"),
            "there is no field \"nam\" in User, but there is \"name\""
        );
        assert_eq!(refused("zzz"), "there is no field \"zzz\" in Record");
        assert_eq!(
            refused("usr.name"),
            "there is no field \"usr\" in Record, but there is \"user\""
        );
        assert_eq!(refused("type.x"), "there is no field \"x\" in type");
        assert_eq!(refused(""), "there is no field \"\" in Record");
        assert_eq!(refused("user.roles.x"), "there is no field \"x\" in event.user.roles");
    }
}
