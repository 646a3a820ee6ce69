//! Reads the event types off the variants of `Event.payload`, refusing what is
//! not described in full, and writes the catalog's source.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Value};

const EVENT: &str = "auditgate.v1.Event";
const PAYLOAD: &str = "payload";
const OPTION: &str = "auditgate.v1.event_type";
/// The type of custom events.
const CUSTOM: &str = "custom";
/// What precedes the names of custom events in their types.
const CUSTOM_PREFIX: &str = "custom.";
/// Numbers below are the envelope, so that an unknown variant can be told from
/// an unknown envelope field.
const VARIANT_NUMBER_MIN: u32 = 100;

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

    for field in event.fields() {
        let number = field.number();
        if number >= VARIANT_NUMBER_MIN && field.containing_oneof().as_ref() != Some(&payload) {
            return Err(Refusal(format!(
                "field {} of {EVENT} has the number {number}: those from {VARIANT_NUMBER_MIN} on \
                 are variants of {PAYLOAD}",
                field.name()
            )));
        }
    }
    let mut by_name: BTreeMap<String, EventType> = BTreeMap::new();
    for field in payload.fields() {
        let read = read_variant(&field, &option, &by_name)
            .map_err(|what| Refusal(format!("variant {} of {EVENT} {what}", field.name())))?;
        by_name.insert(read.name.clone(), read);
    }
    Ok(by_name.into_values().collect())
}

/// Reads one variant; an error says what is wrong with it. `others` are those
/// that were read before.
fn read_variant(
    field: &FieldDescriptor,
    option: &ExtensionDescriptor,
    others: &BTreeMap<String, EventType>,
) -> Result<EventType, String> {
    let options = field.options();
    if !options.has_extension(option) {
        return Err(format!("lacks the option ({OPTION})"));
    }
    let described = options.get_extension(option);
    let described =
        described.as_message().ok_or_else(|| format!("has a ({OPTION}) that is not a message"))?;
    let name = text(described, "type");
    if let Some(other) = others.get(&name) {
        return Err(format!("has the type {name:?}, as {} has", other.field_name));
    }
    check_name(&name, field.name())?;
    if field.number() < VARIANT_NUMBER_MIN {
        return Err(format!(
            "has the number {}: variants begin at {VARIANT_NUMBER_MIN}",
            field.number()
        ));
    }
    let event_type = EventType {
        name,
        field_name: field.name().to_owned(),
        number: field.number(),
        message: message_name(field)?,
        category: number(described, "category"),
        severity: number(described, "severity"),
        description: text(described, "description"),
        codes: codes(described),
    };
    if event_type.category == 0 {
        return Err("has no category".into());
    }
    if event_type.severity == 0 {
        return Err("has no severity".into());
    }
    if event_type.description.is_empty() {
        return Err("has no description".into());
    }
    check_codes(&event_type.codes)?;
    Ok(event_type)
}

fn check_name(name: &str, variant: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("has an empty type".into());
    }
    if name.starts_with(CUSTOM_PREFIX) {
        return Err(format!(
            "has the type {name:?}: {CUSTOM_PREFIX} is for names that emitters give"
        ));
    }
    let follows = name.replace(['.', '-'], "_");
    if variant != follows {
        return Err(format!("has the type {name:?}: its name must be {follows}"));
    }
    Ok(())
}

/// Name of the variant's message, which must follow from that of the variant.
fn message_name(field: &FieldDescriptor) -> Result<String, String> {
    let kind = field.kind();
    let message = kind.as_message().ok_or("is not a message")?;
    let plain = upper_camel(field.name());
    let full_name = format!("{}.{plain}", message.package_name());
    let pool = message.parent_pool();
    let taken = pool.get_message_by_name(&full_name).is_some()
        || pool.get_enum_by_name(&full_name).is_some();
    if message.name() == plain || (taken && message.name().starts_with(&plain)) {
        return Ok(message.name().to_owned());
    }
    Err(format!(
        "has the message {}: its name must be {plain}, with a suffix only if that is taken",
        message.name()
    ))
}

fn check_codes(codes: &[Code]) -> Result<(), String> {
    for (position, code) in codes.iter().enumerate() {
        if code.code.is_empty()
            || code.result == 0
            || code.severity == 0
            || code.description.is_empty()
        {
            return Err(format!(
                "has a code {:?} without all of code, result, severity and description",
                code.code
            ));
        }
        if codes.iter().take(position).any(|other| other.code == code.code) {
            return Err(format!("has the code {:?} twice", code.code));
        }
    }
    Ok(())
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
fn upper_camel(snake: &str) -> String {
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
    // Without it, what names it does not compile.
    if let Some(custom) = types.iter().position(|event_type| event_type.name == CUSTOM) {
        let _ = writeln!(
            out,
            "/// The type [`CUSTOM`].\nconst CUSTOM_ID: TypeId = TypeId({custom});\n"
        );
    }
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
