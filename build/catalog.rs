//! Reads the event types off the variants of `Event.payload`, refusing what is
//! not described in full, and writes the catalog's source.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Value};

const EVENT: &str = "auditgate.v1.Event";
const PAYLOAD: &str = "payload";
const OPTION: &str = "auditgate.v1.event_type";
/// Numbers below are the envelope, so that an unknown variant can be told from
/// an unknown envelope field.
pub const VARIANT_NUMBER_MIN: u32 = 100;

/// One event type as its variant describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    pub name: String,
    pub field_name: String,
    pub number: u32,
    pub message: String,
    pub category: i32,
    pub severity: i32,
    pub description: String,
    pub codes: Vec<Code>,
}

/// One code of an event type.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    pub code: String,
    pub result: i32,
    pub severity: i32,
    pub description: String,
}

/// Why the catalog cannot be built. Each sentence names the variant to blame.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(pub String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Reads the event types of `pool`, sorted by name.
pub fn read(pool: &DescriptorPool) -> Result<Vec<EventType>, Refusal> {
    let event = pool
        .get_message_by_name(EVENT)
        .ok_or_else(|| Refusal(format!("message {EVENT} is not defined")))?;
    let option = pool
        .get_extension_by_name(OPTION)
        .ok_or_else(|| Refusal(format!("option {OPTION} is not defined")))?;
    let payload = event
        .oneofs()
        .find(|oneof| oneof.name() == PAYLOAD)
        .ok_or_else(|| Refusal(format!("{EVENT} has no oneof {PAYLOAD}")))?;

    let mut by_name: BTreeMap<String, EventType> = BTreeMap::new();
    for field in payload.fields() {
        let options = field.options();
        if !options.has_extension(&option) {
            return Err(Refusal(format!(
                "variant {} of {EVENT} lacks the option ({OPTION})",
                field.name()
            )));
        }
        let described = options.get_extension(&option);
        let described = described
            .as_message()
            .ok_or_else(|| Refusal(format!("option {OPTION} is not a message")))?;
        let event_type = read_variant(&field, described)?;
        if let Some(other) = by_name.get(&event_type.name) {
            return Err(Refusal(format!(
                "variants {} and {} of {EVENT} both have the type {:?}",
                other.field_name, event_type.field_name, event_type.name
            )));
        }
        by_name.insert(event_type.name.clone(), event_type);
    }
    Ok(by_name.into_values().collect())
}

fn read_variant(field: &FieldDescriptor, described: &DynamicMessage) -> Result<EventType, Refusal> {
    let variant = field.name();
    let refuse = |what: String| Err(Refusal(format!("variant {variant} of {EVENT} {what}")));
    let name = text(described, "type");
    if name.is_empty() {
        return refuse("has an empty type".into());
    }
    let follows = name.replace(['.', '-'], "_");
    if variant != follows {
        return refuse(format!("has the type {name:?}: its name must be {follows}"));
    }
    let kind = field.kind();
    let Some(message) = kind.as_message() else {
        return refuse("is not a message".into());
    };
    let plain = upper_camel(&follows);
    if !message.name().starts_with(&plain) {
        return refuse(format!(
            "has the message {}: its name must be {plain}, with a suffix only if that is taken",
            message.name()
        ));
    }
    if field.number() < VARIANT_NUMBER_MIN {
        return refuse(format!(
            "has the number {}: variants begin at {VARIANT_NUMBER_MIN}",
            field.number()
        ));
    }
    let event_type = EventType {
        field_name: variant.to_owned(),
        number: field.number(),
        message: message.name().to_owned(),
        category: number(described, "category"),
        severity: number(described, "severity"),
        description: text(described, "description"),
        codes: codes(described),
        name,
    };
    if event_type.category == 0 {
        return refuse("has no category".into());
    }
    if event_type.severity == 0 {
        return refuse("has no severity".into());
    }
    if event_type.description.is_empty() {
        return refuse("has no description".into());
    }
    for (position, code) in event_type.codes.iter().enumerate() {
        if code.code.is_empty()
            || code.result == 0
            || code.severity == 0
            || code.description.is_empty()
        {
            return refuse(format!(
                "has a code {:?} without all of code, result, severity and description",
                code.code
            ));
        }
        if event_type.codes.iter().take(position).any(|other| other.code == code.code) {
            return refuse(format!("has the code {:?} twice", code.code));
        }
    }
    Ok(event_type)
}

fn codes(described: &DynamicMessage) -> Vec<Code> {
    let field = described.get_field_by_name("codes");
    let list = field.as_deref().and_then(Value::as_list).unwrap_or(&[]);
    list.iter()
        .filter_map(Value::as_message)
        .map(|code| Code {
            code: text(code, "code"),
            result: number(code, "result"),
            severity: number(code, "severity"),
            description: text(code, "description"),
        })
        .collect()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(message: &DynamicMessage, field: &str) -> i32 {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_enum_number).unwrap_or_default()
}

/// `user_login` as `UserLogin`.
pub fn upper_camel(snake: &str) -> String {
    let mut camel = String::with_capacity(snake.len());
    for part in snake.split('_') {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}

/// The source of the generated part of `catalog.rs`: the list of event types in
/// the order of their names, and the exhaustive map from variant to type.
pub fn source(types: &[EventType]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "/// All event types, in the order of their names.\npub static EVENT_TYPES: &[EventType] = &["
    );
    for event_type in types {
        let codes: String = event_type
            .codes
            .iter()
            .map(|code| {
                format!(
                    "Code {{ code: {:?}, result: {}, severity: {}, description: {:?} }}, ",
                    code.code, code.result, code.severity, code.description
                )
            })
            .collect();
        let _ = writeln!(
            out,
            "    EventType {{ name: {:?}, field_name: {:?}, number: {}, message: {:?}, category: {}, severity: {}, description: {:?}, codes: &[{codes}] }},",
            event_type.name,
            event_type.field_name,
            event_type.number,
            event_type.message,
            event_type.category,
            event_type.severity,
            event_type.description,
        );
    }
    let _ = writeln!(out, "];\n");
    let _ = writeln!(
        out,
        "/// The event type of a decoded payload: a variant without an entry does not compile.\n\
         pub fn type_of(payload: &pb::event::Payload) -> TypeId {{\n    match payload {{"
    );
    for (position, event_type) in types.iter().enumerate() {
        let _ = writeln!(
            out,
            "        pb::event::Payload::{}(_) => TypeId({position}),",
            upper_camel(&event_type.field_name)
        );
    }
    let _ = writeln!(out, "    }}\n}}");
    out
}
