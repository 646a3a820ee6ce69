//! Writes records as comma-separated values (RFC 4180) with a header line.

use std::borrow::Cow;

use prost_reflect::DynamicMessage;

use crate::cli::escape;
use crate::cli::field_path::FieldPath;

/// The default columns.
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
    /// The columns of these paths, or the default ones.
    pub fn new(paths: Option<Vec<(String, FieldPath)>>) -> Self {
        let usual = |name: &str| {
            let path = FieldPath::of_record(name).expect("the usual columns are fields");
            (name.to_owned(), path)
        };
        let paths = paths.unwrap_or_else(|| FIELDS.map(usual).to_vec());
        let headings: Vec<_> = paths.iter().map(|(name, _)| quoted(name.as_str().into())).collect();
        let headings = headings.join(",");
        Self { headings, paths: paths.into_iter().map(|(_, path)| path).collect() }
    }

    /// The first line.
    pub fn headings(&self) -> &str {
        &self.headings
    }

    /// The line of a record. On a terminal, values are escaped.
    pub fn line(&self, record: &DynamicMessage, terminal: bool) -> String {
        let cells = self.paths.iter().map(|path| {
            let text = path.text(record).unwrap_or_default();
            quoted(if terminal { escape::escaped(&text).into_owned().into() } else { text.into() })
        });
        cells.collect::<Vec<_>>().join(",")
    }
}

/// A cell, in quotes if it needs them.
pub fn quoted(text: Cow<'_, str>) -> String {
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
        let path = |name: &str| (name.to_owned(), FieldPath::of_record(name).expect("a path"));
        let paths = ["sequence", "user.name", "code"].map(path).to_vec();
        let columns = CsvColumns::new(Some(paths));
        assert_eq!(columns.headings(), "sequence,user.name,code");
        let record = reflect("Record", &record);
        assert_eq!(columns.line(&record, false), "7,\"a,\"\"b\"\"\n\u{1b}[31m\",");
        assert_eq!(columns.line(&record, true), "7,\"a,\"\"b\"\"\\n\\u{1b}[31m\",");
    }

    #[test]
    fn the_usual_columns_are_paths() {
        assert_eq!(CsvColumns::new(None).paths.len(), FIELDS.len());
    }
}
