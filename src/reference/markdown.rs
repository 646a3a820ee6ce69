//! Generates the reference of event types, `docs/EVENTS.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::{FieldRow, category, comment, kind_name, payload_fields, result, severity};
use crate::catalog::{self, EventType, TypeId};
use crate::event::VARIANT_NUMBER_MIN;
use crate::teleport::key_map::{self, KeyPlan};
use crate::teleport::value;

const INTRODUCTION: &str = "\
# Event types

<!-- Written by `auditgate types --markdown`. Do not edit: change the comments and options in
proto/auditgate/v1, and renew the page with `cargo run -- types --markdown > docs/EVENTS.md`. -->

An event is an envelope, the same for each type, and one payload, the variant of its type. A record's
severity is that of the code, if it is listed here, else that of the type; its result is the event's
`outcome.success`, else what the code means. Other codes are accepted, too.

## Teleport's form

`auditgate import --format teleport` reads, and `auditgate export --format teleport` writes, one flat
JSON object a line. The columns headed *Teleport* give the key of each field.

- The fields of `user`, `session`, `server`, `connection`, `outcome` and `resource` are keys of the line
  itself, and so are those of a payload's field without a key here. Nested objects have their fields
  within.
- Enums are numbers, bytes base64 text, times RFC 3339 in UTC, durations Go's text (`15m0s`).
- Where payload and envelope have the same key, it is the payload's; the types below say so. What
  Teleport has no key for is written under `auditgate.` and its path: `auditgate.labels`,
  `auditgate.source`, `auditgate.trace_id`, or a message that is set and empty (`auditgate.user`).
- What the schema has no place for stays in `unmapped` of the event, as the JSON text that it was: by
  its key, or, further down, by a JSON pointer (`/identity/traits/level`). An empty text says that the
  line did not have the key. An export lays all of it over the line, so that each key and value returns.
- A type that is not listed here becomes `custom`: keys of the envelope are mapped, the others are
  members of `custom.data`. Those that would be taken for something else in a line are written in
  `auditgate.data`, and `auditgate.type` tells a custom event by the name of a listed type.
";

/// The whole page, `docs/EVENTS.md`.
pub fn markdown() -> String {
    let mut page = MarkdownPage { out: INTRODUCTION.to_owned() };
    page.index();
    page.envelope();
    page.types();
    page.messages();
    page.out
}

struct MarkdownPage {
    out: String,
}

impl MarkdownPage {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn index(&mut self) {
        self.line("\n## Overview\n");
        self.line("| Type | Category | Severity | |");
        self.line("|---|---|---|---|");
        for (_, event_type) in catalog::all() {
            self.line(&format!(
                "| {} | {} | {} | {} |",
                link(event_type.name),
                category(event_type),
                severity(event_type.severity),
                cell(event_type.description)
            ));
        }
    }

    fn envelope(&mut self) {
        self.line("\n## Envelope\n");
        let fields = key_map::event().fields().filter(|field| field.number() < VARIANT_NUMBER_MIN);
        self.fields(fields);
    }

    fn types(&mut self) {
        self.line("\n## Types");
        for (type_id, event_type) in catalog::all() {
            self.event_type(type_id, event_type);
        }
    }

    fn event_type(&mut self, type_id: TypeId, event_type: &EventType) {
        self.line(&format!("\n### {}\n\n{}\n", event_type.name, event_type.description));
        self.line(&format!(
            "Variant `{}`, field {}. Category {}, severity {}.",
            event_type.field_name,
            event_type.number,
            category(event_type),
            severity(event_type.severity)
        ));
        if !event_type.codes.is_empty() {
            self.line("\n| Code | Result | Severity | Meaning |\n|---|---|---|---|");
        }
        for code in event_type.codes {
            self.line(&format!(
                "| `{}` | {} | {} | {} |",
                code.code,
                result(code.result),
                severity(code.severity),
                cell(code.description)
            ));
        }
        let fields: Vec<FieldDescriptor> = payload_fields(event_type).collect();
        if fields.is_empty() {
            self.line("\nNo fields beside the envelope.");
        } else {
            self.line("");
            self.fields(fields.into_iter());
        }
        self.shadows(KeyPlan::of(type_id));
    }

    /// Writes which fields of the envelope have a key that the payload uses.
    fn shadows(&mut self, plan: &KeyPlan) {
        for entry in plan.entries() {
            let is_shadowed = entry.path.len() > 1
                && !entry.is_teleports()
                && !entry.is_group
                && entry.path.first().is_some_and(|field| field.number() < VARIANT_NUMBER_MIN);
            if is_shadowed {
                let (name, key) = (entry.path_name(), &entry.key);
                self.line(&format!("\nThe envelope's `{name}` is `{key}` in Teleport's form."));
            }
        }
    }

    fn fields(&mut self, fields: impl Iterator<Item = FieldDescriptor>) {
        self.line("| Field | Type | Teleport | Meaning |\n|---|---|---|---|");
        for field in fields {
            let row = FieldRow::new(&field);
            self.line(&format!(
                "| `{}` | {} | {} | {} |",
                row.name,
                linked_type(&field, &row.type_name),
                teleport_key(&field, row.key),
                cell(&row.comment)
            ));
        }
    }

    fn messages(&mut self) {
        let (messages, enums) = used();
        self.line("\n## Messages");
        for message in messages.values() {
            let about = comment(&message.parent_file(), message.path());
            self.line(&format!("\n### {}\n\n{about}\n", message.name()));
            self.fields(message.fields());
        }
        self.line("\n## Enums");
        for shape in enums.values() {
            self.enumeration(shape);
        }
    }

    fn enumeration(&mut self, shape: &EnumDescriptor) {
        let about = comment(&shape.parent_file(), shape.path());
        self.line(&format!("\n### {}\n\n{about}\n", shape.name()));
        self.line("| Value | Number | Teleport | Meaning |\n|---|---|---|---|");
        for value in shape.values() {
            let teleport = i64::from(value.number()) - value::shift(shape);
            let teleport = if teleport < 0 { String::new() } else { teleport.to_string() };
            self.line(&format!(
                "| `{}` | {} | {teleport} | {} |",
                value.name(),
                value.number(),
                cell(&comment(&shape.parent_file(), value.path()))
            ));
        }
    }
}

/// The messages and enums that events use, by name, payloads apart.
fn used() -> (BTreeMap<String, MessageDescriptor>, BTreeMap<String, EnumDescriptor>) {
    let mut messages = BTreeMap::new();
    let mut enums = BTreeMap::new();
    let mut pending: Vec<FieldDescriptor> = Vec::new();
    for field in key_map::event().fields() {
        if field.number() < VARIANT_NUMBER_MIN {
            pending.push(field);
        }
    }
    for (_, event_type) in catalog::all() {
        pending.extend(payload_fields(event_type));
    }
    while let Some(field) = pending.pop() {
        match inner_kind(&field) {
            Kind::Message(message) if has_section(&message) => {
                let seen = messages.insert(message.name().to_owned(), message.clone());
                if seen.is_none() {
                    pending.extend(message.fields());
                }
            }
            Kind::Enum(shape) => {
                enums.insert(shape.name().to_owned(), shape);
            }
            _ => {}
        }
    }
    (messages, enums)
}

fn has_section(message: &MessageDescriptor) -> bool {
    message.package_name() == "auditgate.v1"
        && message.name() == kind_name(&Kind::Message(message.clone()))
}

/// The kind of a field, or of the values of a map.
fn inner_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

/// The type in words, with a link where the page describes it.
fn linked_type(field: &FieldDescriptor, type_name: &str) -> String {
    let name = match inner_kind(field) {
        Kind::Message(message) if has_section(&message) => message.name().to_owned(),
        Kind::Enum(shape) => shape.name().to_owned(),
        _ => return type_name.to_owned(),
    };
    type_name.replace(&name, &link(&name))
}

fn teleport_key(field: &FieldDescriptor, key: Option<String>) -> String {
    if field.parent_message() != key_map::event() {
        return key.map_or_else(String::new, |key| format!("`{key}`"));
    }
    // The keys of the envelope are the same for each type, except for those that a payload uses.
    let plan =
        KeyPlan::of(catalog::by_name(catalog::CUSTOM).expect("the protocol has custom events"));
    let entry = plan.entries().iter().find(|entry| entry.path_name() == field.name());
    entry
        .filter(|entry| !entry.is_group)
        .map_or_else(String::new, |entry| format!("`{}`", entry.key))
}

/// A link to the section of this name.
fn link(name: &str) -> String {
    let anchor: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        .collect();
    format!("[{name}](#{anchor})")
}

/// Escapes a text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
