//! Draws the progress of a long command on standard error, if that is a terminal.

use std::fmt::Write;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::say;

/// The progress of an import or export.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Progress through input of this many bytes, if that is known.
    pub fn of_bytes(total: Option<u64>) -> Self {
        let known = "{bytes}/{total_bytes} {wide_bar} {msg}, {bytes_per_sec}, {eta} left";
        Self::new(total, known, "{bytes} {msg}, {bytes_per_sec}")
    }

    /// Progress through this many records.
    pub fn of_records(total: u64) -> Self {
        Self::new(Some(total), "{human_pos}/{human_len} records {wide_bar} {rate}, {eta} left", "")
    }

    /// Draws nothing.
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
            // Errors of standard error are ignored.
            let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
        }));
        Self { bar }
    }

    /// Advances the progress.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// Sets the number of stored events.
    pub fn events(&self, events: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{events} events"));
        }
    }

    /// Writes a line to standard error, above the progress.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// Removes the progress from the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
