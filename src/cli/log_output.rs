//! The log output on standard error: lines for people, or JSON.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::say;
use crate::config::{LogFormat, LogLevel, Logging};
use crate::log::disk::{Notice, NoticeLevel};

/// The maximum number of lines that wait to be written. More lines are lost, so that the
/// gateway never waits for the reader.
const LINES_MAX: usize = 4_096;
/// The time limit for writing the last lines.
const FLUSH_TIME_MAX: Duration = Duration::from_millis(500);

/// Log output until it is dropped; the drop writes the waiting lines, if they are read.
pub struct LogOutput {
    lines: SyncSender<LogLine>,
    text: bool,
}

enum LogLine {
    Said(Vec<u8>),
    /// Replies when all lines before it are written.
    Flush(SyncSender<()>),
}

impl LogOutput {
    /// Starts to write log lines to standard error.
    pub fn start(log: &Logging) -> Self {
        let text = match log.format {
            LogFormat::Text => true,
            LogFormat::Json => false,
            LogFormat::Auto => io::stderr().is_terminal(),
        };
        let (lines, said) = sync_channel(LINES_MAX);
        std::thread::spawn(move || write(&said));
        let own = match log.level {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        // Log lines of libraries are not shown.
        let levels = Targets::new().with_target("auditgate", own);
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(LogWriter(lines.clone()))
            .log_internal_errors(false)
            .with_target(false);
        let started = if text {
            let layer = layer.with_ansi(io::stderr().is_terminal() && !no_color());
            tracing_subscriber::registry().with(levels).with(layer).try_init()
        } else {
            let layer = layer.json().flatten_event(true).with_current_span(false);
            tracing_subscriber::registry().with(levels).with(layer.with_span_list(false)).try_init()
        };
        // A program that uses this library may have installed its own subscriber.
        let _ = started;
        Self { lines, text }
    }

    /// Prints a line that the operator waits for; as text at any log level.
    pub fn announce(&self, text: &str) {
        if self.text {
            say(text);
        } else {
            tracing::info!("{text}");
        }
    }

    /// Writes why a request of the operator was refused; as text at any log level.
    pub fn refuse(&self, why: &str) {
        if self.text {
            say(&format!("error: {why}"));
        } else {
            tracing::error!("{why}");
        }
    }

    /// Writes a notice about the opened log; as text at any log level.
    pub fn notice(&self, Notice { level, text }: &Notice) {
        match level {
            _ if self.text => say(text),
            NoticeLevel::Note => tracing::info!("{text}"),
            NoticeLevel::Warning => tracing::warn!("{text}"),
            NoticeLevel::Error => tracing::error!("{text}"),
        }
    }

    /// Whether lines are text for people, not JSON.
    pub fn is_text(&self) -> bool {
        self.text
    }
}

impl Drop for LogOutput {
    fn drop(&mut self) {
        let (done, flushed) = sync_channel(1);
        if self.lines.try_send(LogLine::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(FLUSH_TIME_MAX);
        }
    }
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn write(said: &Receiver<LogLine>) {
    while let Ok(line) = said.recv() {
        match line {
            // An error means that standard error is closed, so nobody reads it.
            LogLine::Said(line) => drop(io::stderr().write_all(&line)),
            LogLine::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Sends lines to the writing thread.
#[derive(Clone)]
struct LogWriter(SyncSender<LogLine>);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.try_send(LogLine::Said(line.to_vec())) {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(line.len()),
            Err(TrySendError::Disconnected(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
