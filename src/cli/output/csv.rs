//! Records as a table: RFC 4180, with a line of headings.

use std::borrow::Cow;

use prost_reflect::DynamicMessage;

use crate::cli::escape;
use crate::cli::field_path::FieldPath;

/// The columns where none are named.
const FIELDS: [&str; 14] = [
    "sequence",
    "event.time",
    "type",
    "severity",
    "result",
    "event.code",
    "event.user.name",
    "event.user.login",
    "event.session.id",
    "event.server.hostname",
    "event.connection.remote_address",
    "event.resource.name",
    "event.outcome.error",
    "event.id",
];

/// The columns of a table.
pub struct CsvColumns {
    headings: String,
    paths: Vec<FieldPath>,
}

impl CsvColumns {
    /// The columns of these paths; the usual ones if there are none.
    pub fn new(fields: &[String]) -> Result<Self, String> {
        let fields: Vec<&str> = match fields {
            [] => FIELDS.to_vec(),
            fields => fields.iter().map(|field| field.trim()).collect(),
        };
        let path = |field: &&str| {
            FieldPath::of_record(field).map_err(|error| format!("--fields {field}: {error}"))
        };
        let paths = fields.iter().map(path).collect::<Result<_, _>>()?;
        let headings: Vec<_> = fields.iter().map(|field| quoted((*field).into())).collect();
        Ok(Self { headings: headings.join(","), paths })
    }

    /// The first line.
    pub fn headings(&self) -> &str {
        &self.headings
    }

    /// The line of a record. In a file values stay as they are; on a terminal
    /// they are made harmless.
    pub fn line(&self, record: &DynamicMessage, terminal: bool) -> String {
        let cells = self.paths.iter().map(|path| {
            let text = path.text(record).unwrap_or_default();
            quoted(if terminal { escape::escaped(&text).into_owned().into() } else { text.into() })
        });
        cells.collect::<Vec<_>>().join(",")
    }
}

/// A cell, in quotes if it needs them.
fn quoted(text: Cow<'_, str>) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use crate::json::reflect;
    use crate::proto::pb;

    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let user = pb::User { name: Some("a,\"b\"\n\u{1b}[31m".into()), ..Default::default() };
        let event = pb::Event { user: Some(user), ..Default::default() };
        let record = pb::Record { sequence: 7, event: Some(event), ..Default::default() };
        let columns = CsvColumns::new(&["sequence".into(), " user.name".into(), "code".into()])
            .expect("they are paths");
        assert_eq!(columns.headings(), "sequence,user.name,code");
        let record = reflect("Record", &record);
        assert_eq!(columns.line(&record, false), "7,\"a,\"\"b\"\"\n\u{1b}[31m\",");
        assert_eq!(columns.line(&record, true), "7,\"a,\"\"b\"\"\\n\\u{1b}[31m\",");
    }

    #[test]
    fn the_usual_columns_are_paths() {
        assert!(CsvColumns::new(&[]).is_ok());
        let refused = CsvColumns::new(&["user.nmae".into()]).err().expect("it leads nowhere");
        assert_eq!(
            refused,
            "--fields user.nmae: there is no field \"nmae\" in User, but there is \"name\""
        );
    }
}
