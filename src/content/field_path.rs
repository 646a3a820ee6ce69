//! Parses field paths, in the syntax of expressions, and checks them against the schema.

use super::Action;
use crate::event::{VARIANT_NUMBER_MIN, field};
use crate::text;
use crate::wire::{EVENT, Field, FieldKind, LIST_VALUE, MessageId, STRUCT, VALUE};

/// The variable of expressions that paths may begin with.
const ROOT: &str = "event";
/// The wildcard for every key.
const ANY: &str = "*";
/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 1_024;

/// One segment of a field path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathSegment {
    /// The field with this number.
    Field(u32),
    /// The value of a key, in a map or in JSON.
    Key(String),
    /// The values of all keys.
    AnyKey,
}

/// The schema element that the segments so far lead to.
#[derive(Debug, Clone, Copy)]
enum SchemaNode {
    /// A message, or a list of them.
    Message(MessageId),
    /// A map whose values are of this kind.
    Map(FieldKind),
    /// JSON of any form.
    Json,
    /// A value without fields.
    Scalar(FieldKind),
}

/// Parses a path to a field that allows `action`; otherwise returns what is wrong.
pub(super) fn resolve(text: &str, action: Action) -> Result<Vec<PathSegment>, String> {
    if text.len() > PATH_BYTES_MAX {
        return Err(format!("is {} bytes, limit {PATH_BYTES_MAX}", text.len()));
    }
    let mut names = split(text)?;
    if names.first().is_some_and(|name| name == ROOT) {
        names.remove(0);
    }
    if names.is_empty() {
        return Err(format!("is {text:?}: name a field, such as user.login"));
    }
    let mut place = SchemaNode::Message(EVENT);
    let mut steps = Vec::with_capacity(names.len() + 1);
    let mut before = ROOT.to_owned();
    for name in names {
        let (step, next) =
            take(place, &name, &before).map_err(|what| format!("is {text:?}: {what}"))?;
        steps.push(step);
        place = next;
        before = name;
    }
    // A map stands for all of its values.
    if let SchemaNode::Map(kind) = place {
        steps.push(PathSegment::AnyKey);
        place = of_kind(kind);
    }
    check(&steps, place, action).map_err(|what| format!("is {text:?}: {what}"))?;
    Ok(steps)
}

/// Resolves one segment at a schema node; `before` is the path to it.
fn take(place: SchemaNode, name: &str, before: &str) -> Result<(PathSegment, SchemaNode), String> {
    match place {
        SchemaNode::Message(message) => {
            let shape = message.get();
            let found = shape.field_by_name(name).ok_or_else(|| {
                let of = shape.full_name.rsplit('.').next().unwrap_or_default();
                format!("{of} has no field {name:?}{}", nearest(name, shape.fields))
            })?;
            Ok((PathSegment::Field(found.number), of_field(found)))
        }
        SchemaNode::Map(kind) => Ok((key(name), of_kind(kind))),
        SchemaNode::Json => Ok((key(name), SchemaNode::Json)),
        SchemaNode::Scalar(_) => {
            Err(format!("{before} is not a message: it has no field {name:?}"))
        }
    }
}

fn key(name: &str) -> PathSegment {
    if name == ANY { PathSegment::AnyKey } else { PathSegment::Key(name.to_owned()) }
}

fn of_field(field: &Field) -> SchemaNode {
    if let FieldKind::Message(message) = field.kind
        && message.get().map_entry
        && let Some(value) = message.get().field(field::MAP_VALUE)
    {
        return SchemaNode::Map(value.kind);
    }
    of_kind(field.kind)
}

fn of_kind(kind: FieldKind) -> SchemaNode {
    match kind {
        FieldKind::Message(STRUCT | VALUE | LIST_VALUE) => SchemaNode::Json,
        FieldKind::Message(message) => SchemaNode::Message(message),
        kind => SchemaNode::Scalar(kind),
    }
}

/// Checks that this action is allowed at this node.
fn check(steps: &[PathSegment], place: SchemaNode, action: Action) -> Result<(), String> {
    let number = |step: &PathSegment| {
        if let PathSegment::Field(number) = step { Some(*number) } else { None }
    };
    let mut numbers = steps.iter().map(number);
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(field::ID), _) => {
            return Err("the id cannot be redacted, because it identifies retries".into());
        }
        (Some(field::TIME), _) => return Err("the time of an event cannot be redacted".into()),
        (Some(field::CUSTOM), None | Some(field::CUSTOM_NAME)) => {
            return Err("the name of a custom event is its type, which cannot be redacted: name custom.data".into());
        }
        (Some(variant), None) if variant >= VARIANT_NUMBER_MIN && action == Action::Drop => {
            return Err("the payload has the type, so it cannot be dropped: name its fields".into());
        }
        _ => {}
    }
    if action == Action::Drop || holds_text(place) {
        Ok(())
    } else {
        Err("it has no text: it can only be dropped".into())
    }
}

fn holds_text(place: SchemaNode) -> bool {
    match place {
        SchemaNode::Json | SchemaNode::Scalar(FieldKind::String) => true,
        SchemaNode::Scalar(_) => false,
        SchemaNode::Map(kind) => holds_text(of_kind(kind)),
        // Only JSON makes the schema recursive.
        SchemaNode::Message(message) => {
            message.get().fields.iter().any(|field| holds_text(of_field(field)))
        }
    }
}

fn nearest(name: &str, fields: &[Field]) -> String {
    let found = text::nearest_one(name, fields.iter().map(|field| field.name));
    found.map_or_else(String::new, |name| format!("; nearest: {name}"))
}

/// The names of a path: `labels.env`, `labels['team.name']`.
fn split(text: &str) -> Result<Vec<String>, String> {
    let malformed = || format!("is {text:?}, which is not a path such as exec.command.line");
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('[') {
            let quote = quoted.chars().next().filter(|quote| matches!(quote, '\'' | '"'));
            let (name, after) = quote
                .and_then(|quote| quoted.get(1..)?.split_once(&format!("{quote}]")))
                .ok_or_else(malformed)?;
            names.push(name.to_owned());
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return Err(malformed());
            }
            names.push(name.to_owned());
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() {
                return Err(malformed());
            }
            rest = after;
        } else if !rest.is_empty() && !rest.starts_with('[') {
            return Err(malformed());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, action: Action) -> String {
        resolve(text, action).expect_err(text)
    }

    #[test]
    fn paths_lead_through_messages_maps_and_json() {
        let key = |name: &str| PathSegment::Key(name.to_owned());
        for (text, expected) in [
            ("user.login", vec![PathSegment::Field(6), PathSegment::Field(2)]),
            ("event.user.login", vec![PathSegment::Field(6), PathSegment::Field(2)]),
            ("labels", vec![PathSegment::Field(14), PathSegment::AnyKey]),
            ("labels.*", vec![PathSegment::Field(14), PathSegment::AnyKey]),
            ("labels.env", vec![PathSegment::Field(14), key("env")]),
            ("labels['a.b']", vec![PathSegment::Field(14), key("a.b")]),
            ("labels[\"a'b\"]", vec![PathSegment::Field(14), key("a'b")]),
            (
                "user.traits.groups.values",
                vec![
                    PathSegment::Field(6),
                    PathSegment::Field(15),
                    key("groups"),
                    PathSegment::Field(1),
                ],
            ),
            ("custom.data", vec![PathSegment::Field(100), PathSegment::Field(2)]),
            (
                "custom.data.card['no.'].x",
                vec![
                    PathSegment::Field(100),
                    PathSegment::Field(2),
                    key("card"),
                    key("no."),
                    key("x"),
                ],
            ),
        ] {
            assert_eq!(resolve(text, Action::Mask), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        assert_eq!(
            refused("db_session_query.db_qery", Action::Mask),
            "is \"db_session_query.db_qery\": DbSessionQuery has no field \"db_qery\"; nearest: db_query"
        );
        assert!(refused("db_sesion_query.x", Action::Mask).ends_with("nearest: db_session_query"));
        assert!(refused("zzzzzz", Action::Mask).ends_with("Event has no field \"zzzzzz\""));
        assert!(
            refused("user.name.x", Action::Drop)
                .ends_with("name is not a message: it has no field \"x\"")
        );
    }

    #[test]
    fn what_tells_events_apart_cannot_be_redacted() {
        for text in ["id", "time", "event.time.seconds", "custom", "custom.name"] {
            for action in [Action::Drop, Action::Mask] {
                let refused = refused(text, action);
                assert!(!refused.contains("has no field"), "{text}: {refused}");
            }
        }
        assert!(refused("exec", Action::Drop).contains("cannot be dropped"));
        assert!(resolve("exec", Action::Mask).is_ok(), "its text can");
        assert!(refused("event", Action::Mask).contains("name a field"));
    }

    #[test]
    fn what_holds_no_text_can_only_be_dropped() {
        for text in
            ["index", "outcome.success", "resource.expire_time", "desktop_recording.message"]
        {
            assert!(refused(text, Action::Mask).ends_with("it can only be dropped"), "{text}");
            assert!(resolve(text, Action::Drop).is_ok(), "{text}");
        }
        assert!(resolve("resource", Action::Hmac).is_ok());
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            ".",
            "user.",
            ".user",
            "user..name",
            "labels[",
            "labels['a",
            "labels['a']b",
            "labels[a]",
        ] {
            let refused = refused(text, Action::Mask);
            assert!(refused.contains("which is not a path"), "{refused}");
        }
        assert!(refused("", Action::Mask).contains("name a field"));
    }
}
