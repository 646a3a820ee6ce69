//! Writes records as a table for people, fitted to the terminal: time, severity, type, who, where,
//! result, and details of that type. Columns are as wide as the records of a page need.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prost_types::Timestamp as Stamp;

use super::cells::{place, result, severity, who, without_port};
use super::summary::summary;
use crate::cli::columns::{Cell, Column, Grid};
use crate::cli::field_path::FieldPath;
use crate::cli::terminal::{Color, TextStyle};
use crate::cli::{escape, times};
use crate::json::reflect;
use crate::proto::pb;

/// The least width with words instead of letters, in columns.
const WIDTH_WORDS: usize = 100;
/// The least width with years and milliseconds, in columns.
const WIDTH_WHOLE_TIME: usize = 120;
/// The longest name of the catalog, in columns. A longer type is cut if other columns need the
/// room.
const TYPE_COLUMNS: usize = 32;
/// The most records that wait until the columns are laid out.
const PAGE_ROWS_MAX: usize = 200;
/// The fewest records from which the widths of the following rows are derived.
const PAGE_ROWS_TELLING: usize = 5;
/// The most characters of a cell that are kept if the terminal has a width.
const CELL_CHARS_MAX: usize = 1_000;

/// Which columns the table has.
#[derive(Debug)]
pub enum Style {
    /// The usual columns, fitted to the terminal.
    Lines,
    /// More columns, and nothing is cut.
    Wide,
    /// Columns of these paths, with their headings; nothing is cut if `wide`.
    Fields { paths: Vec<(String, FieldPath)>, wide: bool },
}

/// Writes lines for people.
pub struct PrettyPrinter {
    style: Style,
    zone: TimeZone,
    color: Color,
    /// Whether the width is bounded.
    bounded: bool,
    /// Whether words are shown instead of letters.
    words: bool,
    /// Whether times have milliseconds.
    whole_time: bool,
    this_year: i16,
    /// Whether times have a year, because one was not of this year.
    with_year: bool,
    grid: Grid,
    rows: Vec<PendingRow>,
    /// The number of rows that were laid out.
    laid_out: usize,
    /// Whether more records arrive one by one.
    live: bool,
    /// The sequence of the record whose line is marked.
    marked: Option<u64>,
}

/// A row whose time is formatted when the page is complete.
struct PendingRow {
    time: Stamp,
    cells: Vec<Cell>,
}

impl PrettyPrinter {
    /// Lines of at most `width` columns, or of any length.
    pub fn new(style: Style, width: Option<usize>, zone: TimeZone, color: Color) -> Self {
        let wide = matches!(style, Style::Wide | Style::Fields { wide: true, .. });
        let width = width.filter(|_| !wide);
        let words = width.is_none_or(|width| width >= WIDTH_WORDS);
        let whole_time = width.is_none_or(|width| width >= WIDTH_WHOLE_TIME);
        Self {
            grid: Grid::new(style.columns(words), width),
            this_year: Timestamp::now().to_zoned(zone.clone()).year(),
            style,
            zone,
            color,
            bounded: width.is_some(),
            words,
            whole_time,
            with_year: false,
            rows: Vec::new(),
            laid_out: 0,
            live: false,
            marked: None,
        }
    }

    /// Prepares for records that arrive one by one, whose widths are unknown.
    pub fn live(&mut self) {
        self.live = true;
    }

    /// Marks the line of the record with this sequence.
    pub fn mark(&mut self, sequence: u64) {
        self.marked = Some(sequence);
    }

    /// Adds a record. Returns whether the page is full: see [`PrettyPrinter::lines`].
    pub fn add(&mut self, record: &pb::Record) -> bool {
        let nothing = pb::Event::default();
        let event = record.event.as_ref().unwrap_or(&nothing);
        let time = event.time.or(record.accept_time).unwrap_or_default();
        let mut cells = match &self.style {
            Style::Lines => self.usual(record, event),
            Style::Wide => self.wide(record, event),
            Style::Fields { paths, .. } => {
                let reflected = reflect("Record", record);
                let text = |(_, path): &(String, FieldPath)| path.words(&reflected, " ");
                paths.iter().map(|path| plain(&text(path).unwrap_or_default())).collect()
            }
        };
        if self.bounded {
            for cell in &mut cells {
                let end = cell.text.char_indices().nth(CELL_CHARS_MAX).map(|(end, _)| end);
                cell.text.truncate(end.unwrap_or(usize::MAX));
            }
        }
        self.with_year |= self.year(&time) != Some(self.this_year);
        self.rows.push(PendingRow { time, cells });
        self.rows.len() >= PAGE_ROWS_MAX
    }

    /// The lines of the records that were added, with the headings before the first of all.
    pub fn lines(&mut self) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let is_first = self.laid_out == 0;
        self.laid_out += self.rows.len();
        let rows = std::mem::take(&mut self.rows).into_iter();
        let whole = |PendingRow { time, mut cells }: PendingRow| {
            if let Some(place) = self.style.time_column() {
                cells.insert(place, self.time(&time));
            }
            cells
        };
        let rows: Vec<Vec<Cell>> = rows.map(whole).collect();
        if self.live && self.laid_out < PAGE_ROWS_TELLING {
            self.grid.reserve(self.style.reserved());
        }
        self.grid.fit(rows.iter().map(Vec::as_slice));
        let headings = is_first.then(|| self.grid.headings(self.color));
        let lines = rows.iter().map(|row| self.grid.line(row, self.color));
        headings.into_iter().chain(lines).collect()
    }

    fn time(&self, time: &Stamp) -> Cell {
        let pattern = match (self.whole_time, self.with_year) {
            (true, _) => "%F %T%.3f",
            (false, true) => "%F %T",
            (false, false) => "%m-%d %T",
        };
        Cell::styled(times::format(time, &self.zone, pattern), TextStyle::Faint)
    }

    fn year(&self, time: &Stamp) -> Option<i16> {
        let time = Timestamp::new(time.seconds, time.nanos).ok()?;
        Some(time.to_zoned(self.zone.clone()).year())
    }

    /// All cells but the time.
    fn usual(&self, record: &pb::Record, event: &pb::Event) -> Vec<Cell> {
        let is_marked = self.marked == Some(record.sequence);
        let sequence_style = if is_marked { TextStyle::Marked } else { TextStyle::Plain };
        let (severity, severity_style) = severity(record.severity(), self.words);
        let (result, result_style) = result(record.result(), self.words);
        vec![
            Cell::styled(record.sequence.to_string(), sequence_style),
            Cell::styled(severity, severity_style),
            Cell::styled(escape::escaped(&record.r#type), TextStyle::Bold),
            plain(&who(event)),
            plain(place(&record.r#type, event)),
            Cell::styled(result, result_style),
            plain(&summary(record, event)),
        ]
    }

    fn wide(&self, record: &pb::Record, event: &pb::Event) -> Vec<Cell> {
        let or_none = |text: &str| plain(if text.is_empty() { "-" } else { text });
        let server = event.server.as_ref();
        let host = server.map(pb::Server::hostname).filter(|name| !name.is_empty());
        let host = host.or(server.map(pb::Server::id)).unwrap_or_default();
        let address = event.connection.as_ref().map(pb::Connection::remote_address);
        let session = event.session.as_ref().map(pb::Session::id);
        let mut cells = self.usual(record, event);
        let place = or_none(without_port(address.unwrap_or_default()));
        let more =
            [or_none(host), or_none(session.unwrap_or_default()), or_none(event.cluster_name())];
        // TYPE, CODE, WHO, ADDRESS, SERVER, SESSION, CLUSTER.
        cells.insert(3, or_none(event.code()));
        cells.splice(5..6, std::iter::once(place).chain(more));
        cells
    }
}

impl Style {
    fn columns(&self, words: bool) -> Vec<Column> {
        let severity = Column::whole(if words { "SEVERITY" } else { "S" });
        let result = Column::whole(if words { "RESULT" } else { "RES" });
        let kind = Column::new("TYPE", TYPE_COLUMNS, TYPE_COLUMNS).cut_in_the_middle();
        let sequence = Column::whole("SEQ").of_numbers();
        let wide = |heading| Column::new(heading, 8, 16);
        match self {
            Style::Lines => vec![
                sequence,
                Column::whole("TIME"),
                severity,
                kind,
                Column::new("WHO", 10, 14),
                Column::new("WHERE", 15, 15),
                result,
                Column::new("DETAIL", 4, 24),
            ],
            Style::Wide => vec![
                sequence,
                Column::whole("TIME"),
                severity,
                kind,
                wide("CODE"),
                wide("WHO"),
                wide("ADDRESS"),
                wide("SERVER"),
                wide("SESSION"),
                wide("CLUSTER"),
                result,
                wide("DETAIL"),
            ],
            Style::Fields { paths, .. } => {
                let heading = |(name, _): &(String, FieldPath)| name.to_uppercase();
                paths.iter().map(|path| Column::new(&heading(path), 8, 24)).collect()
            }
        }
    }

    /// The position of the time column.
    fn time_column(&self) -> Option<usize> {
        matches!(self, Style::Lines | Style::Wide).then_some(1)
    }

    /// The usual widths of the columns.
    fn reserved(&self) -> &'static [usize] {
        match self {
            Style::Lines => &[4, 0, 0, 16, 8, 15],
            Style::Wide | Style::Fields { .. } => &[],
        }
    }
}

fn plain(text: &str) -> Cell {
    Cell::plain(escape::escaped(text))
}

#[cfg(test)]
mod tests;
