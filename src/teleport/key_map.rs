//! Maps the keys of a line to fields of an event.

mod renamed;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

use crate::catalog::{self, TypeId};
use crate::event::VARIANT_NUMBER_MIN;
use crate::proto::descriptor_pool;
use renamed::RENAMED;

/// Key of the event type.
pub const TYPE: &str = "event";
/// Key of the event id.
pub const ID: &str = "uid";
/// Key of the event time.
pub const TIME: &str = "time";
/// The prefix of the keys of fields for which Teleport has no key.
pub const OWN_PREFIX: &str = "auditgate.";

const EVENT: &str = "auditgate.v1.Event";
/// The field of `Event` that is not a field of a line: see [`super::unmapped`].
const UNMAPPED: &str = "unmapped";
/// Fields of `Event` that Teleport has no key for.
const OWN: [&str; 3] = ["source", "trace_id", "labels"];
/// Fields of `Event` whose fields are keys of the line itself.
const GROUPS: [&str; 6] = ["user", "session", "server", "connection", "outcome", "resource"];
/// Messages whose fields are keys of the line itself in a payload.
const PAYLOAD_GROUPS: [&str; 9] = [
    "App",
    "AwsRequest",
    "Bpf",
    "Command",
    "Database",
    "KubernetesCluster",
    "KubernetesPod",
    "KubernetesResource",
    "MfaDevice",
];
/// The field of a payload that is a nested object, although its message is one of
/// [`PAYLOAD_GROUPS`].
const NESTED: (&str, &str) = ("UserLogin", "mfa_device");

/// The key of a field, within the object of its message.
pub fn key(field: &FieldDescriptor) -> &str {
    let message = field.parent_message().name();
    RENAMED
        .iter()
        .find(|(of, name, _)| *of == message && *name == field.name())
        .map_or(field.name(), |(_, _, key)| key)
}

/// Whether the fields of this field's message are keys of the line itself.
pub fn is_group(field: &FieldDescriptor) -> bool {
    let parent = field.parent_message();
    if parent.full_name() == EVENT {
        return GROUPS.contains(&field.name());
    }
    let kind = field.kind();
    kind.as_message().is_some_and(|message| PAYLOAD_GROUPS.contains(&message.name()))
        && (parent.name(), field.name()) != NESTED
}

/// The descriptor of an event.
pub fn event() -> &'static MessageDescriptor {
    static EVENT_SHAPE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        descriptor_pool().get_message_by_name(EVENT).expect("the protocol has the message Event")
    });
    &EVENT_SHAPE
}

/// A key of a line and its field of the event.
#[derive(Debug)]
pub struct KeyMapping {
    /// The key.
    pub key: String,
    /// The path of fields from the event.
    pub path: Vec<FieldDescriptor>,
    /// Whether the field is a group: its own key only says that the message exists although it has
    /// no field.
    pub is_group: bool,
}

impl KeyMapping {
    fn new(key: String, path: &[FieldDescriptor]) -> Self {
        Self { key, path: path.to_vec(), is_group: path.last().is_some_and(is_group) }
    }

    /// The field itself.
    pub fn field(&self) -> &FieldDescriptor {
        self.path.last().expect("a path has at least one field")
    }

    /// Names of the fields of the path, joined by dots.
    pub fn path_name(&self) -> String {
        path_name(&self.path)
    }

    /// Whether Teleport has the key.
    pub fn is_teleports(&self) -> bool {
        !self.key.starts_with(OWN_PREFIX)
    }

    /// The value of the field, if it is set.
    pub fn find<'a>(&self, event: &'a DynamicMessage) -> Option<&'a Value> {
        let (last, parents) = self.path.split_last()?;
        let mut message = event;
        for parent in parents {
            message = value_of(message, parent)?.as_message()?;
        }
        value_of(message, last)
    }
}

/// The value of a field that is set.
fn value_of<'a>(message: &'a DynamicMessage, field: &FieldDescriptor) -> Option<&'a Value> {
    if !message.has_field(field) {
        return None;
    }
    match message.get_field(field) {
        Cow::Borrowed(value) => Some(value),
        // The field is not set, and this is its default.
        Cow::Owned(_) => None,
    }
}

/// The keys of the lines of one event type.
#[derive(Debug)]
pub struct KeyPlan {
    entries: Vec<KeyMapping>,
    by_key: HashMap<String, usize>,
}

impl KeyPlan {
    /// The plan of an event type.
    pub fn of(type_id: TypeId) -> &'static KeyPlan {
        static PLANS: LazyLock<Vec<KeyPlan>> =
            LazyLock::new(|| catalog::all().map(|(type_id, _)| KeyPlan::new(type_id)).collect());
        PLANS.get(usize::from(type_id.0)).expect("there is a plan for each type")
    }

    /// The entries, those of the payload first.
    pub fn entries(&self) -> &[KeyMapping] {
        &self.entries
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&KeyMapping> {
        self.entries.get(*self.by_key.get(key)?)
    }

    fn new(type_id: TypeId) -> Self {
        let mut plan = Self { entries: Vec::new(), by_key: HashMap::new() };
        // The payload of a custom event is the rest of the line.
        if !type_id.is_custom() {
            let variant = event()
                .get_field(type_id.get().number)
                .expect("the catalog is made of the variants of Event");
            for field in message_of(&variant).fields() {
                plan.add(&[variant.clone(), field]);
            }
        }
        for field in event().fields().filter(|field| field.number() < VARIANT_NUMBER_MIN) {
            if field.name() != UNMAPPED {
                plan.add(&[field]);
            }
        }
        plan
    }

    fn add(&mut self, path: &[FieldDescriptor]) {
        let Some(field) = path.last() else { return };
        if is_group(field) {
            for inner in message_of(field).fields() {
                let mut path = path.to_vec();
                path.push(inner);
                self.add(&path);
            }
        }
        let own = format!("{OWN_PREFIX}{}", path_name(path));
        let is_own = is_group(field) || path.len() == 1 && OWN.contains(&field.name());
        let key = if is_own { own.clone() } else { key(field).to_owned() };
        // The first field, that of the payload, has the key.
        let key = if self.by_key.contains_key(&key) { own } else { key };
        self.by_key.insert(key.clone(), self.entries.len());
        self.entries.push(KeyMapping::new(key, path));
    }
}

fn path_name(path: &[FieldDescriptor]) -> String {
    path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

fn message_of(field: &FieldDescriptor) -> MessageDescriptor {
    field.kind().as_message().expect("groups and payloads are messages").clone()
}

#[cfg(test)]
mod tests;
