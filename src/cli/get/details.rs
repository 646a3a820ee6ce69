//! Shows a record as a page for people: sections of names and values, with all fields.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};
use prost_types::Timestamp as Stamp;

use crate::catalog::{self, TypeId};
use crate::cli::field_path;
use crate::cli::output::cells;
use crate::cli::terminal::{self, Color, TextStyle};
use crate::cli::{escape, times};
use crate::json::{self, reflect};
use crate::proto::pb;
use crate::text::hex;

/// The widest name, in columns; the value of a longer one is on the next line.
const NAME_COLUMNS_MAX: usize = 30;
/// The indentation of rows.
const INDENT: &str = "  ";
/// The format of times: with the offset, because pages are copied to other places.
const TIME_PATTERN: &str = "%F %T%.3f %:z";

/// The sections of the fields of an event; fields that are not listed come last.
const SECTIONS: [(&str, &[&str]); 5] = [
    ("who", &["user"]),
    ("where", &["cluster_name", "server", "source"]),
    ("connection", &["connection"]),
    ("session", &["session", "index", "trace_id"]),
    ("labels", &["labels"]),
];
/// Fields of an event that are shown elsewhere.
const ELSEWHERE: [&str; 5] = ["id", "time", "code", "outcome", "resource"];
/// Fields of a record that are shown elsewhere.
const OF_RECORD: [&str; 9] = [
    "sequence",
    "accept_time",
    "accept_time_raised",
    "type",
    "severity",
    "result",
    "amendments",
    "clock_skew",
    "event",
];

/// The page of a record.
pub struct Details {
    title: Vec<(String, TextStyle)>,
    description: &'static str,
    sections: Vec<Section>,
}

struct Section {
    name: &'static str,
    rows: Vec<DetailRow>,
}

/// A name and its value.
type DetailRow = (String, String);

impl Details {
    /// The page of `record`, with times in `zone`.
    pub fn of(record: &pb::Record, zone: &TimeZone) -> Self {
        let nothing = pb::Event::default();
        let event = record.event.as_ref().unwrap_or(&nothing);
        let reflected = reflect("Event", event);
        let fields: Vec<(FieldDescriptor, &Value)> = reflected.fields().collect();
        let payload = fields
            .iter()
            .find(|(field, _)| is_payload(field))
            .map(|(field, value)| (field, *value));
        let mut listed: Vec<&str> = ELSEWHERE.to_vec();
        listed.extend(payload.iter().map(|(field, _)| field.name()));
        let mut sections = vec![Section { name: "what", rows: what(event, &fields, payload) }];
        sections.push(Section { name: "outcome", rows: rows_of(&fields, "outcome") });
        for (name, of) in SECTIONS {
            listed.extend(of);
            let rows = of.iter().flat_map(|field| rows_of(&fields, field));
            let rows = rows.map(|row| if of.len() > 1 { row } else { without_first(row) });
            sections.push(Section { name, rows: rows.collect() });
        }
        sections.push(Section { name: "times", rows: times_of(record, event, zone) });
        let changes = record.amendments.iter().map(amendment).collect();
        sections.push(Section { name: "changed by the gateway", rows: changes });
        let rest = fields.iter().filter(|(field, _)| !listed.contains(&field.name()));
        let rest = rest.flat_map(|(field, value)| flat(field, value, field.name()));
        sections.push(Section { name: "rest of the event", rows: rest.collect() });
        sections.push(Section { name: "record", rows: of_record(record, event) });
        sections.retain(|section| !section.rows.is_empty());
        let (severity, severity_style) = cells::severity(record.severity(), true);
        let (result, result_style) = cells::result(record.result(), true);
        let mut title = vec![
            (format!("record {}", record.sequence), TextStyle::Bold),
            (record.r#type.clone(), TextStyle::Bold),
        ];
        title.push((severity.to_owned(), severity_style));
        title.push((result.to_owned(), result_style));
        title.retain(|(text, _)| text != "-");
        Self { title, description: TypeId::of(&record.r#type).get().description, sections }
    }

    /// The page in lines of at most `width` columns.
    pub fn draw(&self, width: Option<usize>, color: Color) -> String {
        let title: Vec<String> = self
            .title
            .iter()
            .map(|(text, style)| color.paint(*style, &escape::escaped(text)))
            .collect();
        let width = width.unwrap_or(usize::MAX);
        let plain: Vec<&str> = self.title.iter().map(|(text, _)| text.as_str()).collect();
        let plain = escape::escaped(&plain.join("  ")).into_owned();
        let mut out = match terminal::columns(&plain) <= width {
            true => format!("{}\n", title.join("  ")),
            false => terminal::wrapped(&plain, width).join("\n") + "\n",
        };
        for line in terminal::wrapped(self.description, width) {
            let _ = writeln!(out, "{}", color.paint(TextStyle::Faint, &line));
        }
        let rows = || self.sections.iter().flat_map(|section| &section.rows);
        let names = rows().map(|(name, _)| terminal::columns(&escape::escaped(name)));
        let names = names.filter(|name| *name <= NAME_COLUMNS_MAX).max().unwrap_or_default();
        let names = names.min(width / 3);
        for section in &self.sections {
            let _ = writeln!(
                out,
                "\n{}",
                color.paint(TextStyle::Bold, &terminal::cut(section.name, width))
            );
            for (name, value) in &section.rows {
                draw_row(&mut out, &escape::escaped(name), value, names, width, color);
            }
        }
        out
    }
}

fn draw_row(out: &mut String, name: &str, value: &str, names: usize, width: usize, color: Color) {
    let before = INDENT.len() + names + INDENT.len();
    let room = width.saturating_sub(before).max(1);
    let mut name_cell = terminal::fitted(name, names);
    if terminal::columns(name) > names {
        for line in terminal::wrapped(name, width.saturating_sub(INDENT.len())) {
            let _ = writeln!(out, "{INDENT}{}", color.paint(TextStyle::Faint, &line));
        }
        name_cell = " ".repeat(names);
    }
    let escaped = escape::escaped_lines(value);
    for line in escaped.lines().flat_map(|line| terminal::wrapped(line, room)) {
        let row = format!("{INDENT}{}{INDENT}{line}", color.paint(TextStyle::Faint, &name_cell));
        let _ = writeln!(out, "{}", row.trim_end());
        name_cell = " ".repeat(names);
    }
}

/// The type with what it and its code mean, the resource, and the payload.
fn what(
    event: &pb::Event,
    fields: &[(FieldDescriptor, &Value)],
    payload: Option<(&FieldDescriptor, &Value)>,
) -> Vec<DetailRow> {
    let mut rows = Vec::new();
    if let Some(code) = &event.code {
        let of_type = payload.as_ref().and_then(|(field, _)| catalog::by_number(field.number()));
        let known = of_type.and_then(|of_type| of_type.get().code(code));
        let meaning = known.map(|known| format!(" ({})", known.description)).unwrap_or_default();
        rows.push(("code".to_owned(), format!("{}{meaning}", shown(code))));
    }
    rows.extend(rows_of(fields, "resource"));
    if let Some((field, value)) = payload {
        rows.extend(flat(field, value, ""));
    }
    rows
}

/// Whether a field of an event is its payload. Optional fields are oneofs of their own.
fn is_payload(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| oneof.name() == "payload")
}

/// The rows of the field of this name, if it is there.
fn rows_of(fields: &[(FieldDescriptor, &Value)], name: &str) -> Vec<DetailRow> {
    let found = fields.iter().find(|(field, _)| field.name() == name);
    found.map(|(field, value)| flat(field, value, field.name())).unwrap_or_default()
}

/// `name` of `user.name`.
fn without_first((name, value): DetailRow) -> DetailRow {
    match name.split_once('.') {
        Some((_, rest)) => (rest.to_owned(), value),
        None => (name, value),
    }
}

/// A row for each value in a field; messages and maps have several.
fn flat(field: &FieldDescriptor, value: &Value, path: &str) -> Vec<DetailRow> {
    let joined = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Message(message) if is_ours(message) => {
            let inner = message.fields();
            inner.flat_map(|(field, value)| flat(&field, value, &joined(field.name()))).collect()
        }
        Value::Map(entries) => {
            let mut rows: Vec<DetailRow> = entries
                .iter()
                .map(|(key, value)| {
                    let kind = field_path::map_value_kind(field).unwrap_or(field.kind());
                    (joined(&json::key_text(key)), shown(&field_path::scalar(value, &kind)))
                })
                .collect();
            rows.sort();
            rows
        }
        value => {
            let name = if path.is_empty() { field.name() } else { path };
            vec![(name.to_owned(), shown(&field_path::whole(value, field, Some(", "))))]
        }
    }
}

/// Whether a message belongs to the protocol; others, such as timestamps, have their own format.
fn is_ours(message: &DynamicMessage) -> bool {
    !message.descriptor().full_name().starts_with("google.protobuf.")
}

/// A value; an empty one is shown as `""`.
fn shown(value: &str) -> String {
    if value.is_empty() { "\"\"".to_owned() } else { value.to_owned() }
}

fn times_of(record: &pb::Record, event: &pb::Event, zone: &TimeZone) -> Vec<DetailRow> {
    let told = |time: &Stamp| times::format(time, zone, TIME_PATTERN);
    let mut rows = Vec::new();
    rows.extend(event.time.as_ref().map(|time| ("happened".to_owned(), told(time))));
    if let Some(accepted) = &record.accept_time {
        let after = event.time.as_ref().and_then(|time| later(time, accepted));
        let after = after.map(|after| format!(" ({after})")).unwrap_or_default();
        rows.push(("accepted".to_owned(), format!("{}{after}", told(accepted))));
    }
    if let Some(raised) = &record.accept_time_raised {
        let seconds = raised.seconds as f64 + f64::from(raised.nanos) / 1e9;
        let text = format!("accepted {seconds:.3} s before that, by the gateway's clock");
        rows.push(("raised".to_owned(), text));
    }
    if let Some(skew) = &record.clock_skew {
        let seconds = skew.seconds as f64 + f64::from(skew.nanos) / 1e9;
        let text = match seconds < 0.0 {
            true => format!("the event's clock was {:.3} s behind the gateway's", -seconds),
            false => format!("the event's clock was {seconds:.3} s ahead of the gateway's"),
        };
        rows.push(("clock_skew".to_owned(), text));
    }
    rows
}

/// How long after `from` it was; `None` if that is less than a second.
fn later(from: &Stamp, to: &Stamp) -> Option<String> {
    let nanos = |time: &Stamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let between = nanos(to) - nanos(from);
    let seconds = i64::try_from(between.unsigned_abs() / 1_000_000_000).unwrap_or(i64::MAX);
    let word = if between < 0 { "earlier" } else { "later" };
    (seconds > 0).then(|| format!("{} {word}", crate::cli::units::length(seconds)))
}

fn amendment(change: &pb::Amendment) -> DetailRow {
    let mut text = change.action.clone();
    if change.values > 1 {
        let _ = write!(text, ", {} values", change.values);
    }
    if !change.key_id.is_empty() {
        let _ = write!(text, ", key {}", change.key_id);
    }
    if change.original_bytes > 0 {
        let _ = write!(text, ", {} bytes before", change.original_bytes);
    }
    if !change.original_sha256.is_empty() {
        let _ = write!(text, ", SHA-256 {}", hex(&change.original_sha256));
    }
    (change.path.clone(), text)
}

/// The facts that the gateway added to the record, and fields that are not shown above.
fn of_record(record: &pb::Record, event: &pb::Event) -> Vec<DetailRow> {
    let mut rows = vec![("sequence".to_owned(), record.sequence.to_string())];
    rows.extend(event.id.as_ref().map(|id| ("id".to_owned(), shown(id))));
    let reflected = reflect("Record", record);
    for (field, value) in reflected.fields() {
        if !OF_RECORD.contains(&field.name()) {
            rows.extend(flat(&field, value, field.name()));
        }
    }
    rows
}

#[cfg(test)]
mod tests;
