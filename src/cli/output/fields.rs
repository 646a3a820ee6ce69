//! Selects fields of records by their paths.

use prost_reflect::DynamicMessage;
use serde_json::{Map, Value};

use crate::cli::field_path::FieldPath;
use crate::json;

/// The paths of `--fields` with their names; `None` if there are none.
pub fn paths(fields: &[String]) -> Result<Option<Vec<(String, FieldPath)>>, String> {
    if fields.is_empty() {
        return Ok(None);
    }
    if fields.iter().any(|field| field.trim().is_empty()) {
        return Err("--fields has an empty path".to_owned());
    }
    let path = |field: &String| match FieldPath::of_record(field.trim()) {
        Ok(path) => Ok((field.trim().to_owned(), path)),
        Err(error) => Err(format!("--fields {field}: {error}")),
    };
    fields.iter().map(path).collect::<Result<_, _>>().map(Some)
}

/// Writes some fields of a record as JSON, each at its position in the whole record.
#[derive(Debug)]
pub struct FieldMask(Vec<Vec<String>>);

impl FieldMask {
    /// A mask of these paths.
    pub fn new(paths: Vec<(String, FieldPath)>) -> Self {
        Self(paths.into_iter().map(|(_, path)| path.names()).collect())
    }

    /// The fields of a record on one line.
    pub fn line(&self, record: &DynamicMessage) -> String {
        self.of(record).to_string()
    }

    /// The fields of a record on several lines, indented.
    pub fn indented(&self, record: &DynamicMessage) -> String {
        format!("{:#}", self.of(record))
    }

    fn of(&self, record: &DynamicMessage) -> Value {
        let whole = json::line(record);
        let whole: Value = serde_json::from_str(&whole).expect("what is written is JSON");
        let mut out = Map::new();
        for names in &self.0 {
            copy(&whole, names, &mut out);
        }
        Value::Object(out)
    }
}

/// Copies the value at the end of a path, if it is set.
fn copy(from: &Value, names: &[String], to: &mut Map<String, Value>) {
    let Some((name, rest)) = names.split_first() else { return };
    let Some(value) = from.get(name) else { return };
    if rest.is_empty() {
        to.insert(name.clone(), value.clone());
        return;
    }
    let mut inner = Map::new();
    copy(value, rest, &mut inner);
    match to.get_mut(name) {
        _ if inner.is_empty() => {}
        Some(Value::Object(own)) => merge(own, inner),
        // The whole value was copied already.
        Some(_) => {}
        None => drop(to.insert(name.clone(), Value::Object(inner))),
    }
}

fn merge(to: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (to.get_mut(&name), value) {
            (Some(Value::Object(own)), Value::Object(inner)) => merge(own, inner),
            (Some(_), _) => {}
            (None, value) => drop(to.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::json::reflect;
    use crate::proto::pb;

    use super::*;

    #[test]
    fn fields_stand_where_they_are_in_the_record() {
        let user = pb::User {
            name: Some("alice".into()),
            login: Some("root".into()),
            ..Default::default()
        };
        let event = pb::Event {
            user: Some(user),
            labels: [("a.b".to_owned(), "1".to_owned()), ("c".to_owned(), "2".to_owned())].into(),
            ..Default::default()
        };
        let record = pb::Record { sequence: 7, event: Some(event), ..Default::default() };
        let record = reflect("Record", &record);
        let masked = |fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            FieldMask::new(paths(&fields).expect("paths").expect("some")).line(&record)
        };
        assert_eq!(masked(&["sequence", "code"]), r#"{"sequence":"7"}"#);
        assert_eq!(
            masked(&["user.name", "event.user.login", "labels.a.b"]),
            r#"{"event":{"labels":{"a.b":"1"},"user":{"login":"root","name":"alice"}}}"#
        );
        assert_eq!(masked(&["user", "user.name"]), masked(&["user"]));
        assert_eq!(masked(&["user.name", "user"]), masked(&["user"]));
        let refused = paths(&["type".into(), " ".into()]).expect_err("it is empty");
        assert_eq!(refused, "--fields has an empty path");
        assert_eq!(
            paths(&["user.nmae".into()]).expect_err("it leads nowhere"),
            "--fields user.nmae: there is no field \"nmae\" in User, but there is \"name\""
        );
    }
}
