//! Writes records to standard output in the chosen format.

mod csv;
mod pretty;
mod summary;
mod summary_fields;

use std::io::{BufWriter, IsTerminal as _, Stdout, Write as _};

use clap::ValueEnum;
use jiff::tz::TimeZone;
use prost::Message as _;

use super::terminal;
use super::{Error, escape, say};
use crate::client::Client;
use crate::json::{self, reflect};
use crate::mapping::{MappingInput, MissingRecords, TargetSchema};
use crate::proto::pb;
use crate::teleport;
use csv::CsvColumns;
use pretty::PrettyPrinter;

/// Size of the output buffer, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// How records are written.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
#[group(skip)]
pub struct Args {
    /// Output format [default: pretty on a terminal, ndjson otherwise]
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<RecordFormat>,
    /// Columns of csv: field paths as in --filter, such as sequence,event.user.name
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    fields: Vec<String>,
    #[command(flatten)]
    color: terminal::Args,
    /// Show and read times in UTC instead of the local time zone
    #[arg(long)]
    utc: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecordFormat {
    /// One line a record for people, fitted to the terminal
    Pretty,
    /// An array of records, indented
    Json,
    /// One JSON record a line
    Ndjson,
    /// Comma-separated values with a header line; cells are not escaped against formulas
    Csv,
    /// Teleport's audit log: flat JSON, one event a line
    Teleport,
    /// Open Cybersecurity Schema Framework: one JSON event a line
    Ocsf,
    /// Elastic Common Schema: one JSON document a line
    Ecs,
    /// Common Event Format: one line of text an event
    Cef,
}

/// Writes records to standard output, and messages to standard error.
pub struct RecordPrinter {
    out: BufWriter<Stdout>,
    form: OutputForm,
    /// Standard output is a terminal.
    terminal: bool,
    /// Records are missing from the output; a message said so.
    lacking: bool,
}

enum OutputForm {
    Pretty(PrettyPrinter),
    Json { begun: bool },
    Ndjson,
    Csv(CsvColumns),
    Teleport,
    Mapped { schema: TargetSchema, log_id: String },
}

impl Args {
    /// The zone in which times are read and shown.
    pub fn zone(&self) -> TimeZone {
        terminal::zone(self.utc)
    }

    /// Opens standard output. Formats that carry the id of the log ask the gateway for it.
    ///
    /// # Errors
    /// [`Error::Usage`] if a path of `--fields` leads nowhere, or if the form has
    /// no columns; if the gateway does not tell the id of its log.
    pub async fn open(&self, client: &Client) -> Result<RecordPrinter, Error> {
        let terminal = std::io::stdout().is_terminal();
        let format = match self.output {
            Some(format) => format,
            None if !self.fields.is_empty() => RecordFormat::Csv,
            None if terminal => RecordFormat::Pretty,
            None => RecordFormat::Ndjson,
        };
        if format != RecordFormat::Csv && !self.fields.is_empty() {
            return Err(Error::Usage("--fields goes with -o csv only".to_owned()));
        }
        let form = match format {
            RecordFormat::Pretty => {
                let color = self.color.resolve(terminal);
                OutputForm::Pretty(PrettyPrinter::new(terminal::width(), self.zone(), color))
            }
            RecordFormat::Json => OutputForm::Json { begun: false },
            RecordFormat::Ndjson => OutputForm::Ndjson,
            RecordFormat::Csv => {
                OutputForm::Csv(CsvColumns::new(&self.fields).map_err(Error::Usage)?)
            }
            RecordFormat::Teleport => OutputForm::Teleport,
            RecordFormat::Ocsf => mapped(TargetSchema::Ocsf, client).await?,
            RecordFormat::Ecs => mapped(TargetSchema::Ecs, client).await?,
            RecordFormat::Cef => mapped(TargetSchema::Cef, client).await?,
        };
        let mut printer = RecordPrinter::new(form, terminal);
        match &printer.form {
            OutputForm::Csv(columns) => writeln!(printer.out, "{}", columns.headings())?,
            OutputForm::Json { .. } => write!(printer.out, "[")?,
            OutputForm::Pretty(_)
            | OutputForm::Ndjson
            | OutputForm::Teleport
            | OutputForm::Mapped { .. } => {}
        }
        Ok(printer)
    }
}

/// The form of another schema, whose records bear the id of the log.
async fn mapped(schema: TargetSchema, client: &Client) -> Result<OutputForm, Error> {
    let log_id = client.get_status().await?.log_id;
    Ok(OutputForm::Mapped { schema, log_id })
}

impl RecordPrinter {
    fn new(form: OutputForm, terminal: bool) -> Self {
        let out = BufWriter::with_capacity(WRITE_BYTES, std::io::stdout());
        Self { out, form, terminal, lacking: false }
    }

    /// Writes the lines of Teleport's audit log.
    pub fn teleport() -> Self {
        Self::new(OutputForm::Teleport, std::io::stdout().is_terminal())
    }

    /// Writes a record.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn record(&mut self, record: &pb::Record) -> Result<(), Error> {
        match &mut self.form {
            OutputForm::Pretty(pretty) => writeln!(self.out, "{}", pretty.line(record))?,
            OutputForm::Json { begun } => {
                element(&mut self.out, begun, &json::indented(&reflect("Record", record)))?;
            }
            OutputForm::Ndjson => {
                writeln!(self.out, "{}", escape::json(&json::line(&reflect("Record", record))))?
            }
            OutputForm::Csv(columns) => {
                let line = columns.line(&reflect("Record", record), self.terminal);
                writeln!(self.out, "{line}")?;
            }
            OutputForm::Teleport => match record.event.as_ref().map(teleport::export) {
                Some(Ok(line)) => writeln!(self.out, "{}", escape::json(&line.to_string()))?,
                Some(Err(error)) => self.lack(&format!(
                    "record {} of type {} cannot be written: {error}",
                    record.sequence, record.r#type
                )),
                None => self.lack(&format!("record {} has no event", record.sequence)),
            },
            OutputForm::Mapped { schema, log_id } => {
                let encoded = record.encode_to_vec();
                let mut line = Vec::new();
                schema.write(&MappingInput::new(&encoded, log_id), &mut line);
                mapped_line(&mut self.out, *schema, self.terminal, &line)?;
            }
        }
        Ok(())
    }

    /// Reports missing records: as JSON in their place, otherwise on standard
    /// error.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn gap(&mut self, gap: &pb::Gap) -> Result<(), Error> {
        self.lacking = true;
        let response = pb::SubscribeResponse { gap: Some(*gap), ..Default::default() };
        let in_place = || reflect("SubscribeResponse", &response);
        match &mut self.form {
            OutputForm::Json { begun } => {
                element(&mut self.out, begun, &json::indented(&in_place()))?
            }
            OutputForm::Ndjson => writeln!(self.out, "{}", json::line(&in_place()))?,
            OutputForm::Mapped { schema, log_id } => {
                let mut line = Vec::new();
                let missing = MissingRecords {
                    delivery: "",
                    log_id,
                    first: gap.first_sequence,
                    last: gap.last_sequence,
                    reason: &gap_reason(gap),
                    sentence: &gap_sentence(gap),
                    time: std::time::SystemTime::now().into(),
                };
                schema.write_gap(&missing, &mut line);
                mapped_line(&mut self.out, *schema, self.terminal, &line)?;
            }
            OutputForm::Pretty(_) | OutputForm::Csv(_) | OutputForm::Teleport => {
                // In its place among the lines, where both go to a terminal.
                self.out.flush()?;
                say(&gap_sentence(gap));
            }
        }
        Ok(())
    }

    /// Reports on standard error that something is missing from the output.
    pub fn lack(&mut self, what: &str) {
        self.lacking = true;
        say(what);
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether something is missing from the output.
    pub fn is_lacking(&self) -> bool {
        self.lacking
    }

    /// Flushes the output buffer.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        Ok(self.out.flush()?)
    }

    /// Writes the end of the format.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let OutputForm::Json { begun } = self.form {
            writeln!(self.out, "{}]", if begun { "\n" } else { "" })?;
        }
        self.flush()
    }
}

/// Writes an element of an array.
fn element(out: &mut impl std::io::Write, begun: &mut bool, text: &str) -> Result<(), Error> {
    out.write_all(if std::mem::replace(begun, true) { b",\n" } else { b"\n" })?;
    out.write_all(escape::json(text).as_bytes())?;
    Ok(())
}

/// Writes a line of another schema.
fn mapped_line(
    out: &mut impl std::io::Write,
    schema: TargetSchema,
    terminal: bool,
    line: &[u8],
) -> Result<(), Error> {
    let line = String::from_utf8_lossy(line);
    let line = match schema {
        TargetSchema::Cef if terminal => escape::escaped(&line),
        TargetSchema::Cef => std::borrow::Cow::Borrowed(&*line),
        _ => escape::json(&line),
    };
    Ok(writeln!(out, "{line}")?)
}

/// The reason of a gap, as metrics and deliveries name it.
fn gap_reason(gap: &pb::Gap) -> String {
    let name = gap.reason().as_str_name();
    name.strip_prefix("GAP_REASON_").unwrap_or(name).to_lowercase()
}

/// The sentence that describes a gap.
fn gap_sentence(gap: &pb::Gap) -> String {
    let which = match (gap.first_sequence, gap.last_sequence) {
        (0, 0) => "records".to_owned(),
        (0, last) => format!("records up to {last}"),
        (first, last) if first == last => format!("record {first}"),
        (first, last) => format!("records {first} to {last}"),
    };
    let verb = if which.starts_with("records") { "are" } else { "is" };
    match gap.reason() {
        pb::GapReason::Evicted => {
            format!("gap: {which} {verb} missing: evicted before they could be read")
        }
        pb::GapReason::OtherLog => {
            "gap: the cursor belongs to another log; reading from the oldest record".to_owned()
        }
        pb::GapReason::RolledBack => {
            format!("gap: {which} {verb} missing: lost when the log was reopened")
        }
        pb::GapReason::Damaged => format!("gap: {which} {verb} missing: damaged on disk"),
        pb::GapReason::Unspecified => format!("gap: {which} {verb} missing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_in_a_sentence() {
        let told = |first_sequence, last_sequence, reason: pb::GapReason| {
            gap_sentence(&pb::Gap { first_sequence, last_sequence, reason: reason.into() })
        };
        assert_eq!(
            told(3, 9, pb::GapReason::Evicted),
            "gap: records 3 to 9 are missing: evicted before they could be read"
        );
        assert_eq!(told(4, 4, pb::GapReason::Damaged), "gap: record 4 is missing: damaged on disk");
        assert_eq!(
            told(0, 5, pb::GapReason::Evicted),
            "gap: records up to 5 are missing: evicted before they could be read"
        );
        assert!(told(0, 0, pb::GapReason::OtherLog).contains("another log"));
    }
}
