//! The command line.

mod client;
mod example;
mod export;
mod import;
mod serve;
mod types;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// A gRPC audit event gateway.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Import(import::Args),
    Export(export::Args),
    Example(example::Args),
    Types(types::Args),
}

/// A form of events outside the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Teleport's audit log: flat JSON, one event a line.
    Teleport,
}

/// How a command ended that did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// All of it.
    All,
    /// Not all of it; what was left out has been reported.
    Some,
}

/// Why a command did not go on.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The server is not there, or does not speak the protocol.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// The URL.
        server: String,
        /// What went wrong, down to its cause.
        reason: String,
    },
    /// The gateway cannot start.
    #[error("{0}")]
    Serve(std::io::Error),
    /// The server refused a call.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The import ended early.
    #[error("stopped at {place}, which was not stored: {reason}")]
    Stopped {
        /// The first line that was not stored.
        place: String,
        /// What the server said.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {file}: {error}")]
    Read {
        /// Its name.
        file: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Write(#[from] std::io::Error),
    /// There is no such event type.
    #[error(
        "there is no event type {name:?}{}: `auditgate types` lists them",
        nearest.map_or_else(String::new, |nearest| format!(", but there is {nearest:?}"))
    )]
    TypeUnknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
    },
    /// No event type was given.
    #[error("which event type? `auditgate types` lists them")]
    TypeMissing,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    /// Exit status of a command that left something out.
    const SOME: u8 = 1;
    /// Exit status of a command that could not be carried out; clap's, too.
    const FAILED: u8 = 2;
    let done = match Cli::parse().command {
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Import(args) => block_on(import::run(args)),
        Command::Export(args) => block_on(export::run(args)),
        Command::Example(args) => example::run(&args),
        Command::Types(args) => types::run(&args),
    };
    match done {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::Some) => ExitCode::from(SOME),
        // Whoever reads has seen enough.
        Err(Error::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a process can start its threads");
    let output = runtime.block_on(future);
    // A read of standard input that never ends must not keep the process.
    runtime.shutdown_background();
    output
}

/// Writes a line to standard error. Where that is closed, nobody reads it.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes to standard output.
fn print(text: &str) -> Result<Done, Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Done::All)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
