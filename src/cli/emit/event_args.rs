//! Builds an event from flags.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use super::expected;
use crate::catalog;
use crate::cli::field_path::nearest;
use crate::cli::times::{self, TimeArg};
use crate::cli::{Error, filter, types};
use crate::json::shape;
use crate::proto::pb;

/// An event.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Event")]
pub struct Args {
    /// Type of the event, such as user.login or custom.NAME
    #[arg(value_name = "TYPE", help_heading = None)]
    event_type: Option<String>,
    /// Name of the acting user
    #[arg(long, value_name = "NAME", requires = "event_type")]
    user: Option<String>,
    /// Whether the action succeeded
    #[arg(long, value_name = "BOOL", requires = "event_type")]
    success: Option<bool>,
    /// Event code, such as T1000W
    #[arg(long, value_name = "CODE", requires = "event_type")]
    code: Option<String>,
    /// Session id
    #[arg(long, value_name = "ID", requires = "event_type")]
    session: Option<String>,
    /// Event id [default: a new UUIDv7]
    #[arg(long, value_name = "ID", requires = "event_type")]
    id: Option<String>,
    /// Time of the event [default: now]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = times::parse,
        allow_hyphen_values = true,
        requires = "event_type"
    )]
    time: Option<TimeArg>,
    /// A label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = filter::label, requires = "event_type")]
    labels: Vec<(String, String)>,
    /// Set a field of the event by its path, as in user_login.method=local; repeat it
    /// to add to a list. Messages are written as JSON
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = filter::label, requires = "event_type")]
    fields: Vec<(String, String)>,
}

impl Args {
    /// Whether a field of this path is set.
    fn sets(&self, wanted: &str) -> bool {
        self.fields.iter().any(|(path, _)| path.strip_prefix("event.").unwrap_or(path) == wanted)
    }

    /// The event, if a type was given.
    ///
    /// # Errors
    /// [`Error::TypeUnknown`], or [`Error::Usage`] if a path names no field or a value is not of
    /// its field's kind.
    pub fn build(&self) -> Result<Option<pb::Event>, Error> {
        let Some(name) = &self.event_type else { return Ok(None) };
        let mut event = DynamicMessage::new(shape("Event"));
        let custom = name.strip_prefix(catalog::CUSTOM_PREFIX);
        let event_type = types::find(custom.map_or(name, |_| catalog::CUSTOM))?.get();
        if event_type.name == catalog::CUSTOM && custom.is_none() && !self.sets("custom.name") {
            return Err(Error::Usage("a custom event has a name: emit custom.NAME".to_owned()));
        }
        let variant = event.descriptor().get_field(event_type.number);
        let variant = variant.expect("the catalog is made of the variants of Event");
        if let Kind::Message(payload) = variant.kind() {
            event.set_field(&variant, Value::Message(DynamicMessage::new(payload)));
        }
        let time = self.time.map(|when| when.resolve(Timestamp::now(), &TimeZone::system()));
        let time = time.transpose().map_err(|error| Error::Usage(format!("--time: {error}")))?;
        let plain = [
            ("custom.name", custom.map(str::to_owned)),
            ("user.name", self.user.clone()),
            ("outcome.success", self.success.map(|success| success.to_string())),
            ("code", self.code.clone()),
            ("session.id", self.session.clone()),
            ("id", self.id.clone()),
            ("time", time.map(|time| time.to_string())),
        ];
        for (path, value) in plain {
            if let Some(value) = value {
                set(&mut event, path, &value).map_err(Error::Usage)?;
            }
        }
        for (key, value) in &self.labels {
            set(&mut event, &format!("labels.{key}"), value).map_err(Error::Usage)?;
        }
        for (path, value) in &self.fields {
            let within = path.strip_prefix("event.").unwrap_or(path);
            check_payload(within, event_type)
                .and_then(|()| set(&mut event, within, value))
                .map_err(|error| Error::Usage(format!("--set {path}: {error}")))?;
        }
        let event = event.transcode_to().map_err(|error| Error::Usage(error.to_string()))?;
        Ok(Some(event))
    }
}

/// Checks that a path does not lead to the payload of another type, and is not one within the
/// payload that lacks its first part.
fn check_payload(path: &str, event_type: &catalog::EventType) -> Result<(), String> {
    let own = event_type.field_name;
    let first = path.split('.').next().unwrap_or_default();
    let event = shape("Event");
    match event.get_field_by_name(first) {
        Some(field) if catalog::by_number(field.number()).is_some() && first != own => {
            Err(format!("the event is a {}, whose payload is {own}", event_type.name))
        }
        Some(_) => Ok(()),
        None => {
            let payload = event.get_field(event_type.number).map(|field| field.kind());
            let inner = payload.as_ref().and_then(Kind::as_message);
            match inner.and_then(|inner| inner.get_field_by_name(first)) {
                Some(_) => Err(format!("it is a field of the payload: write {own}.{path}")),
                None => Ok(()),
            }
        }
    }
}

/// Sets the field to which the path leads.
fn set(message: &mut DynamicMessage, path: &str, text: &str) -> Result<(), String> {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let shape = message.descriptor();
    let field = shape.get_field_by_name(step).ok_or_else(|| unknown(step, &shape))?;
    let kind = field.kind();
    let current = message.get_field_mut(&field);
    match (current, rest) {
        (Value::Map(entries), Some(key)) => {
            let of = kind.as_message().map(|entry| entry.map_entry_value_field());
            let of = of.ok_or_else(|| format!("{step} is not a map"))?;
            entries.insert(MapKey::String(key.to_owned()), value(&of, text)?);
        }
        (Value::Message(inner), Some(rest)) => return set(inner, rest, text),
        (Value::List(items), None) => items.push(value(&field, text)?),
        (single, None) if !field.is_map() => *single = value(&field, text)?,
        (_, Some(_)) => return Err(format!("{step} has no fields")),
        (_, None) => return Err(format!("{step} is a map: write {step}.KEY=VALUE")),
    }
    Ok(())
}

fn unknown(step: &str, shape: &MessageDescriptor) -> String {
    match nearest(step, shape) {
        Some(nearest) => {
            format!("there is no field {step:?} in {}, but there is {nearest:?}", shape.name())
        }
        None => format!("there is no field {step:?} in {}", shape.name()),
    }
}

/// Parses the text as a value of the field, or as an element of it.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("{text:?} is not a number that fits"))
    }
    Ok(match field.kind() {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bool => {
            Value::Bool(text.parse().map_err(|_| format!("{text:?} is neither true nor false"))?)
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number(text)?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number(text)?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number(text)?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number(text)?),
        Kind::Float => Value::F32(number(text)?),
        Kind::Double => Value::F64(number(text)?),
        Kind::Bytes => {
            let bytes = BASE64.decode(text).map_err(|_| format!("{text:?} is not base64"))?;
            Value::Bytes(bytes.into())
        }
        Kind::Enum(names) => {
            let zero = names.default_value();
            let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
            let short = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase();
            let found = names.values().find(|value| {
                value.name() == text || short(value.name()) == text.to_ascii_lowercase()
            });
            let found = found.ok_or_else(|| {
                let known: Vec<String> =
                    names.values().skip(1).map(|value| short(value.name())).collect();
                format!("{text:?} is not one of {}", known.join(", "))
            })?;
            Value::EnumNumber(found.number())
        }
        Kind::Message(shape) => {
            // Timestamps and durations are JSON strings, and are written without quotes.
            let json = serde_json::from_str(text).unwrap_or_else(|_| text.into());
            let json: serde_json::Value = json;
            expected::check_set(&json, field)?;
            let message = DynamicMessage::deserialize(shape.clone(), json)
                .map_err(|error| format!("{text:?} is not a {}: {error}", shape.name()))?;
            Value::Message(message)
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::proto::pb::event::Payload;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        event: Args,
    }

    fn build(flags: &[&str]) -> Result<pb::Event, String> {
        let line = Line::try_parse_from(std::iter::once(&"x").chain(flags));
        let built = line.map_err(|error| error.to_string())?.event.build();
        built.map(|event| event.expect("a type was given")).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_make_an_event() {
        let event = build(&[
            "user.login",
            "--user=alice",
            "--success=false",
            "--code=T1000W",
            "--session=s",
            "--id=mine",
            "--time=2026-03-01T12:00:00.5Z",
            "--label=app.example/x=1=2",
            "--set=user_login.method=local",
            "--set=event.user.roles=admin",
            "--set=user.roles=dev",
            "--set=user.kind=bot",
            "--set=index=-3",
            "--set=resource.ttl=1.5s",
            "--set=user_login.attributes={\"a\": [1]}",
        ])
        .expect("an event");
        let user = event.user.as_ref().expect("a user");
        assert_eq!((user.name(), user.kind()), ("alice", pb::UserKind::Bot));
        assert_eq!(user.roles, ["admin", "dev"]);
        assert_eq!(event.outcome.as_ref().and_then(|outcome| outcome.success), Some(false));
        assert_eq!((event.code(), event.id(), event.index()), ("T1000W", "mine", -3));
        assert_eq!(event.session.as_ref().map(pb::Session::id), Some("s"));
        let time = event.time.as_ref().expect("a time");
        assert_eq!((time.seconds, time.nanos), (1_772_366_400, 500_000_000));
        assert_eq!(event.labels["app.example/x"], "1=2");
        let ttl = event.resource.and_then(|resource| resource.ttl).expect("a duration");
        assert_eq!((ttl.seconds, ttl.nanos), (1, 500_000_000));
        let Some(Payload::UserLogin(login)) = event.payload else { panic!("another variant") };
        assert_eq!(login.method(), "local");
        assert!(login.attributes.is_some_and(|data| data.fields.contains_key("a")));
    }

    #[test]
    fn a_type_alone_is_enough() {
        let event = build(&["x11-forward"]).expect("an event");
        assert!(matches!(event.payload, Some(Payload::X11Forward(_))));
        let event = build(&["custom.deploy"]).expect("an event");
        let Some(Payload::Custom(custom)) = event.payload else { panic!("another variant") };
        assert_eq!(custom.name(), "deploy");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_advice() {
        let refused = |set: &str| {
            build(&["user.login", &format!("--set={set}")]).expect_err("it does not fit")
        };
        assert!(refused("user.nam=x").contains("but there is \"name\""));
        assert!(refused("user.kind=cat").contains("is not one of human, bot, system"));
        assert!(refused("index=ten").contains("not a number"));
        assert!(refused("labels=x").contains("labels.KEY=VALUE"));
        assert!(refused("id.x=1").contains("id has no fields"));
        assert!(
            refused("user=alice").contains("an object such as {\"name\": \"alice\"}, not a string")
        );
        assert!(refused("time=noon").contains("not a Timestamp"));
        assert!(refused("method=local").contains("write user_login.method"));
        assert!(refused("exec.command.line=x").contains("the event is a user.login"));
        assert!(build(&["custom"]).expect_err("no name").contains("custom.NAME"));
        assert!(build(&["custom", "--set=custom.name=x"]).is_ok());
        assert!(build(&["user.logn"]).expect_err("there is none").contains("user.login"));
        let refused = build(&["user.login", "--success=maybe"]).expect_err("no truth value");
        assert!(refused.contains("'maybe'"), "{refused}");
    }
}
