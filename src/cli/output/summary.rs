//! Summarizes a record in a few words: the query, the command, the file, the role.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::summary_fields::FIELDS;
use crate::catalog;
use crate::cli::field_path::FieldPath;
use crate::json::{reflect, shape};
use crate::proto::pb;

/// The prefix of paths through the envelope instead of the payload.
const ENVELOPE: &str = "event.";

/// The fields that are shown, by the name of the type: paths within the event.
static SHOWN: LazyLock<HashMap<&str, Vec<FieldPath>>> = LazyLock::new(|| {
    let event = shape("Event");
    let shown = |type_name: &str, field: &str| {
        let variant = catalog::by_name(type_name)?.get().field_name;
        match field.strip_prefix(ENVELOPE) {
            Some(path) => FieldPath::new(path, &event).ok(),
            None => FieldPath::new(&format!("{variant}.{field}"), &event).ok(),
        }
    };
    let row = |(type_name, fields): &(&'static str, &[&str])| {
        (*type_name, fields.iter().filter_map(|field| shown(type_name, field)).collect())
    };
    FIELDS.iter().map(row).collect()
});

/// The summary of a record; for a failure also its error.
pub fn summary(record: &pb::Record, event: &pb::Event) -> String {
    let type_name = match record.r#type.as_str() {
        name if name.starts_with(catalog::CUSTOM_PREFIX) => catalog::CUSTOM,
        name => name,
    };
    let reflected = reflect("Event", event);
    let mut parts: Vec<String> = Vec::new();
    for path in SHOWN.get(type_name).into_iter().flatten() {
        let text = path.words(&reflected, " ").filter(|text| !text.is_empty());
        parts.extend(text.map(|text| {
            // A number or boolean needs its name.
            let is_bare = text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok();
            if is_bare { format!("{}={text}", path.last_name()) } else { text }
        }));
    }
    if record.result() == pb::Result::Failure {
        let outcome = event.outcome.as_ref();
        let reasons = [outcome.map(pb::Outcome::error), outcome.map(pb::Outcome::message)];
        let reason = reasons.into_iter().flatten().find(|reason| !reason.is_empty());
        parts.extend(reason.map(str::to_owned));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use crate::proto::pb::event::Payload;

    use super::*;

    #[test]
    fn every_type_has_its_fields_and_every_path_leads_to_one() {
        let types: Vec<&str> = catalog::all().map(|(_, event_type)| event_type.name).collect();
        let listed: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, types);
        for (name, fields) in FIELDS {
            assert_eq!(SHOWN[name].len(), fields.len(), "a path of {name} leads nowhere");
        }
    }

    #[test]
    fn words_stand_alone_and_numbers_have_a_name() {
        let request = pb::AppSessionRequest {
            method: Some("GET".into()),
            path: Some("/x y".into()),
            status_code: Some(0),
            ..Default::default()
        };
        let outcome = pb::Outcome {
            message: Some("too late".into()),
            error: Some("denied".into()),
            ..Default::default()
        };
        let event = pb::Event {
            payload: Some(Payload::AppSessionRequest(request)),
            outcome: Some(outcome),
            ..Default::default()
        };
        let mut record = pb::Record { r#type: "app.session.request".into(), ..Default::default() };
        assert_eq!(summary(&record, &event), "GET /x y status_code=0");
        record.result = pb::Result::Failure.into();
        assert_eq!(summary(&record, &event), "GET /x y status_code=0 denied");
        record.r#type = "type.of.tomorrow".into();
        assert_eq!(summary(&record, &event), "denied");
    }

    #[test]
    fn lists_enums_and_custom_data_are_readable() {
        let told = |type_name: &str, payload| {
            let event = pb::Event { payload: Some(payload), ..Default::default() };
            summary(&pb::Record { r#type: type_name.into(), ..Default::default() }, &event)
        };
        let command = pb::SessionCommand {
            path: Some("/bin/ls".into()),
            argv: vec!["-l".into(), "/etc".into()],
            ..Default::default()
        };
        assert_eq!(told("session.command", Payload::SessionCommand(command)), "/bin/ls -l /etc");
        let sftp = pb::Sftp {
            action: Some(pb::SftpAction::Rename.into()),
            path: Some("a".into()),
            ..Default::default()
        };
        assert_eq!(told("sftp", Payload::Sftp(sftp)), "rename a");
        let kind = prost_types::value::Kind::StringValue("v".into());
        let value = prost_types::Value { kind: Some(kind) };
        let data = prost_types::Struct { fields: [("k".to_owned(), value)].into() };
        let custom = pb::Custom { name: Some("x".into()), data: Some(data) };
        assert_eq!(told("custom.x", Payload::Custom(custom)), "{\"k\":\"v\"}");
    }
}
