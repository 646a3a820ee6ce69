//! How far a long command is, drawn on standard error while that is a terminal.

use std::fmt::Write;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::say;

/// How far an import or export is.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Through this many bytes of input, if that is known.
    pub fn of_bytes(total: Option<u64>) -> Self {
        let known = "{bytes}/{total_bytes} {wide_bar} {msg}, {bytes_per_sec}, {eta} left";
        Self::new(total, known, "{bytes} {msg}, {bytes_per_sec}")
    }

    /// Through this many records.
    pub fn of_records(total: u64) -> Self {
        Self::new(Some(total), "{human_pos}/{human_len} records {wide_bar} {rate}, {eta} left", "")
    }

    /// Nothing to draw.
    pub fn none() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    fn new(total: Option<u64>, known: &str, unknown: &str) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = if total.is_some() { known } else { unknown };
        let style = ProgressStyle::with_template(template).expect("the template is one");
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // What cannot be written is not drawn.
            let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
        }));
        Self { bar }
    }

    /// So much more is done.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// So many events are stored.
    pub fn events(&self, events: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{events} events"));
        }
    }

    /// Writes a line to standard error, above what is drawn.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// Takes away what is drawn.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
