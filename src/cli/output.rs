//! Writes records to standard output in the chosen format.

pub mod cells;
mod csv;
mod fields;
mod gaps;
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
pub use csv::quoted;
use fields::FieldMask;
use gaps::gap_reason;
pub use gaps::gap_sentence;
use pretty::{PrettyPrinter, Style};

/// Size of the output buffer, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// The output format of records.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
#[group(skip)]
pub struct Args {
    /// Output format [default: pretty on a terminal, ndjson otherwise]
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<RecordFormat>,
    /// Only these fields, by paths as in --filter, such as sequence,event.user.name: as columns,
    /// or of each JSON record [format: pretty on a terminal, csv otherwise]
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
    /// As pretty, with more columns, and nothing cut
    Wide,
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

impl RecordFormat {
    /// Whether a line is a whole event in the format of another program.
    fn has_whole_events(self) -> bool {
        matches!(self, Self::Teleport | Self::Ocsf | Self::Ecs | Self::Cef)
    }
}

/// Writes records to standard output, and messages to standard error.
pub struct RecordPrinter {
    out: BufWriter<Stdout>,
    form: OutputForm,
    /// Standard output is a terminal.
    terminal: bool,
    /// Whether records are missing from the output, which a message has reported.
    lacking: bool,
}

enum OutputForm {
    Pretty(Box<PrettyPrinter>),
    Json { begun: bool, fields: Option<FieldMask> },
    Ndjson { fields: Option<FieldMask> },
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
    /// [`Error::Usage`] if a path of `--fields` names no field, or if the format has no columns; if
    /// the gateway does not return the id of its log.
    pub async fn open(&self, client: &Client) -> Result<RecordPrinter, Error> {
        let terminal = std::io::stdout().is_terminal();
        let format = match self.output {
            Some(format) => format,
            None if terminal => RecordFormat::Pretty,
            None if !self.fields.is_empty() => RecordFormat::Csv,
            None => RecordFormat::Ndjson,
        };
        let paths = fields::paths(&self.fields).map_err(Error::Usage)?;
        if paths.is_some() && format.has_whole_events() {
            let name = format.to_possible_value();
            let name = name.as_ref().map_or("", |value| value.get_name());
            return Err(Error::Usage(format!(
                "--fields does not go with -o {name}, whose lines are whole events: use -o ndjson or -o csv"
            )));
        }
        let form = match format {
            RecordFormat::Pretty | RecordFormat::Wide => {
                let wide = format == RecordFormat::Wide;
                let style = match paths {
                    Some(paths) => Style::Fields { paths, wide },
                    None if wide => Style::Wide,
                    None => Style::Lines,
                };
                let color = self.color.resolve(terminal);
                let printer = PrettyPrinter::new(style, terminal::width(), self.zone(), color);
                OutputForm::Pretty(Box::new(printer))
            }
            RecordFormat::Json => {
                OutputForm::Json { begun: false, fields: paths.map(FieldMask::new) }
            }
            RecordFormat::Ndjson => OutputForm::Ndjson { fields: paths.map(FieldMask::new) },
            RecordFormat::Csv => OutputForm::Csv(CsvColumns::new(paths)),
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
            | OutputForm::Ndjson { .. }
            | OutputForm::Teleport
            | OutputForm::Mapped { .. } => {}
        }
        Ok(printer)
    }

    /// Whether records are shown as lines for people on a terminal.
    pub fn is_for_people(&self) -> bool {
        let pretty = matches!(self.output, None | Some(RecordFormat::Pretty | RecordFormat::Wide));
        pretty && std::io::stdout().is_terminal()
    }
}

/// The format of another schema, whose records contain the id of the log.
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
            OutputForm::Pretty(pretty) => {
                if pretty.add(record) {
                    self.lay_out()?;
                }
            }
            OutputForm::Json { begun, fields } => {
                let reflected = reflect("Record", record);
                let text = match fields {
                    Some(fields) => fields.indented(&reflected),
                    None => json::indented(&reflected),
                };
                element(&mut self.out, begun, &text)?;
            }
            OutputForm::Ndjson { fields } => {
                let reflected = reflect("Record", record);
                let text = match fields {
                    Some(fields) => fields.line(&reflected),
                    None => json::line(&reflected),
                };
                writeln!(self.out, "{}", escape::json(&text))?
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
        self.lay_out()?;
        let response = pb::SubscribeResponse { gap: Some(*gap), ..Default::default() };
        let in_place = || reflect("SubscribeResponse", &response);
        match &mut self.form {
            OutputForm::Json { begun, .. } => {
                element(&mut self.out, begun, &json::indented(&in_place()))?
            }
            OutputForm::Ndjson { .. } => writeln!(self.out, "{}", json::line(&in_place()))?,
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
                // Flushed first, so that it appears at its place if both go to a terminal.
                self.out.flush()?;
                say(&gap_sentence(gap));
            }
        }
        Ok(())
    }

    /// Writes each record at once from now on.
    pub fn live(&mut self) {
        if let OutputForm::Pretty(pretty) = &mut self.form {
            pretty.live();
        }
    }

    /// Highlights the line of the record with this sequence, if colours are on.
    pub fn mark(&mut self, sequence: u64) {
        if let OutputForm::Pretty(pretty) = &mut self.form {
            pretty.mark(sequence);
        }
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

    /// Writes the waiting lines, and flushes the output buffer.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.lay_out()?;
        Ok(self.out.flush()?)
    }

    /// Lays out the columns of the waiting lines for people, and writes them.
    fn lay_out(&mut self) -> Result<(), Error> {
        if let OutputForm::Pretty(pretty) = &mut self.form {
            for line in pretty.lines() {
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(())
    }

    /// Writes the end of the format.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let OutputForm::Json { begun, .. } = self.form {
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
