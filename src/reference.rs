//! The reference of event types on the command line and in `docs/EVENTS.md`, generated from the
//! catalog and the descriptors.

mod mappings;
mod markdown;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind};

use crate::catalog::{EventType, TypeId};
use crate::proto::{PlainName as _, descriptor_pool, pb};
use crate::teleport::key_map;

pub use mappings::mappings;
pub use markdown::markdown;

/// A line for each event type: name, category, severity and description.
pub fn list(types: &[TypeId]) -> String {
    let width = types.iter().map(|id| id.get().name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for event_type in types.iter().map(|id| id.get()) {
        let _ = writeln!(
            out,
            "{:width$}  {:15}  {:8}  {}",
            event_type.name,
            category(event_type),
            severity(event_type.severity),
            event_type.description
        );
    }
    out
}

/// An event type with its codes and the fields of its payload.
pub fn describe(type_id: TypeId) -> String {
    let event_type = type_id.get();
    let mut out = format!("{}\n{}\n\n", event_type.name, event_type.description);
    let _ = writeln!(out, "variant   {} ({})", event_type.field_name, event_type.number);
    let _ = writeln!(out, "category  {}", category(event_type));
    let _ = writeln!(out, "severity  {}", severity(event_type.severity));
    if !event_type.codes.is_empty() {
        let _ = writeln!(out, "\ncodes");
    }
    for code in event_type.codes {
        let (result, severity) = (result(code.result), severity(code.severity));
        let _ = writeln!(out, "  {:8}  {result:7}  {severity:8}  {}", code.code, code.description);
    }
    let fields: Vec<FieldRow> =
        payload_fields(event_type).map(|field| FieldRow::new(&field)).collect();
    if !fields.is_empty() {
        let _ = writeln!(out, "\nfields of {}", event_type.field_name);
    }
    let name_width = fields.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let type_width = fields.iter().map(|row| row.type_name.len()).max().unwrap_or(0);
    for FieldRow { name, type_name, comment, .. } in &fields {
        let _ = writeln!(out, "  {name:name_width$}  {type_name:type_width$}  {comment}");
    }
    let _ = writeln!(
        out,
        "\nBeside it, every event has id, time, code, user, session, server and the other fields\n\
         of auditgate.v1.Event. A filled one: auditgate example {}",
        event_type.name
    );
    out
}

/// A row of a field table.
struct FieldRow {
    name: String,
    type_name: String,
    comment: String,
    /// Teleport's key; `None` if the fields of the field's message are keys themselves.
    key: Option<String>,
}

impl FieldRow {
    fn new(field: &FieldDescriptor) -> Self {
        Self {
            name: field.name().to_owned(),
            type_name: type_name(field),
            comment: comment(&field.parent_file(), field.path()),
            key: (!key_map::is_group(field)).then(|| key_map::key(field).to_owned()),
        }
    }
}

fn payload_fields(event_type: &EventType) -> impl Iterator<Item = FieldDescriptor> {
    let variant = key_map::event()
        .get_field(event_type.number)
        .expect("the catalog is made of the variants of Event");
    let payload = variant.kind();
    let payload = payload.as_message().expect("a payload is a message").clone();
    payload.fields().collect::<Vec<_>>().into_iter()
}

/// The type of a field in words.
fn type_name(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let kind = field.kind();
        let entry = kind.as_message().expect("a map field has entries");
        let value = entry.map_entry_value_field().kind();
        return format!("map of string to {}", kind_name(&value));
    }
    let name = kind_name(&field.kind());
    if field.is_list() { format!("list of {name}") } else { name }
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "timestamp".to_owned(),
            "google.protobuf.Duration" => "duration".to_owned(),
            "google.protobuf.Struct" => "JSON object".to_owned(),
            "auditgate.v1.StringList" => "list of string".to_owned(),
            _ => message.name().to_owned(),
        },
        Kind::Enum(shape) => shape.name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// The comment that stands before an element in its file, on one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    type Comments = HashMap<(String, Vec<i32>), String>;
    static COMMENTS: LazyLock<Comments> = LazyLock::new(|| {
        let mut comments = Comments::new();
        for file in descriptor_pool().file_descriptor_protos() {
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                let words: Vec<&str> = location.leading_comments().split_whitespace().collect();
                comments.insert((file.name().to_owned(), location.path.clone()), words.join(" "));
            }
        }
        comments
    });
    COMMENTS.get(&(file.name().to_owned(), path.to_vec())).cloned().unwrap_or_default()
}

fn category(event_type: &EventType) -> String {
    pb::Category::try_from(event_type.category).unwrap_or_default().plain_name()
}

fn severity(number: i32) -> String {
    pb::Severity::try_from(number).unwrap_or_default().plain_name()
}

fn result(number: i32) -> String {
    pb::Result::try_from(number).unwrap_or_default().plain_name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn the_list_has_a_line_for_each_type() {
        let all: Vec<TypeId> = catalog::all().map(|(id, _)| id).collect();
        let list = list(&all);
        assert_eq!(list.lines().count(), catalog::all().count());
        for ((_, event_type), line) in catalog::all().zip(list.lines()) {
            assert!(line.starts_with(event_type.name) && line.ends_with(event_type.description));
        }
    }

    #[test]
    fn a_description_tells_codes_and_fields() {
        let text = describe(catalog::by_name("session.network").expect("known"));
        for part in ["session_network (", "T4002I", "success", "tcp_version", "NetworkAction"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn each_field_has_a_comment() {
        for (_, event_type) in catalog::all() {
            for field in payload_fields(event_type) {
                assert!(!FieldRow::new(&field).comment.is_empty(), "{}", field.full_name());
            }
        }
    }
}
