//! The command line.

mod caret;
#[cfg(feature = "server")]
mod certificate;
#[cfg(feature = "server")]
mod certs;
mod checkpoint;
mod client;
#[cfg(feature = "server")]
mod cluster;
mod columns;
mod completions;
#[cfg(feature = "server")]
mod config;
mod count;
mod delivery;
mod doctor;
mod emit;
mod environment;
mod escape;
mod example;
mod export;
mod field_path;
mod filter;
mod flags;
mod follow;
mod forecast;
mod get;
mod healthcheck;
mod import;
#[cfg(feature = "server")]
mod init;
mod keygen;
#[cfg(feature = "server")]
mod log_output;
mod man;
#[cfg(feature = "server")]
mod memory_limit;
mod new_file;
#[cfg(feature = "server")]
mod new_folder;
mod numbers;
mod output;
mod progress;
mod proto;
mod receipt;
mod retry_notice;
mod search;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod settings;
mod status;
mod tail;
mod terminal;
mod times;
#[cfg(feature = "server")]
mod token;
mod trusted_keys;
mod types;
mod units;
mod verify;
mod whoami;
mod witness;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

/// Exit status of a command that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// A gRPC audit event gateway.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "server")]
    Serve(serve::Args),
    #[cfg(feature = "server")]
    Config(config::Args),
    #[cfg(feature = "server")]
    Init(init::Args),
    #[cfg(feature = "server")]
    Cluster(cluster::Args),
    #[cfg(feature = "server")]
    Certs(certs::Args),
    #[cfg(feature = "server")]
    Token(token::Args),
    Tail(Box<tail::Args>),
    Search(Box<search::Args>),
    Get(get::Args),
    Count(Box<count::Args>),
    Emit(Box<emit::Args>),
    Import(import::Args),
    Export(Box<export::Args>),
    Example(example::Args),
    Types(types::Args),
    Proto(proto::Args),
    Status(status::Args),
    Delivery(delivery::Args),
    Doctor(doctor::Args),
    Whoami(whoami::Args),
    Keygen(keygen::Args),
    Checkpoint(checkpoint::Args),
    Receipt(receipt::Args),
    Verify(verify::Args),
    Witness(witness::Args),
    Healthcheck(healthcheck::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// A format of events outside the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExternalFormat {
    /// Teleport's audit log: flat JSON, one event a line.
    Teleport,
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExitKind {
    /// It did all of its work.
    All,
    /// It skipped a part, and reported that part.
    Some,
    /// It did all of its work, and what it checked is wrong.
    Wrong,
    /// The user interrupted it.
    Interrupted,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The gateway cannot be reached, or refuses.
    #[error("{}", client::error_text(_0))]
    Client(#[from] crate::client::Error),
    /// The arguments contradict each other.
    #[error("{0}")]
    Usage(String),
    /// A key, checkpoint or proof cannot be used.
    #[cfg(feature = "server")]
    #[error("{0}")]
    Unverifiable(String),
    /// A file cannot be written.
    #[error("cannot write {file}: {error}")]
    WriteFile {
        /// Name of the file.
        file: String,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The configuration is not valid.
    #[cfg(feature = "server")]
    #[error("{0}")]
    Config(#[from] crate::config::Error),
    /// The gateway cannot start.
    #[cfg(feature = "server")]
    #[error("{0}")]
    Serve(std::io::Error),
    /// An event was not stored, and the command stopped there.
    #[error("stopped at {place}, which was not stored: {reason}")]
    Stopped {
        /// The first line that was not stored.
        place: String,
        /// The error of the gateway.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {file}: {error}")]
    Read {
        /// Name of the file.
        file: String,
        /// The error of the system.
        error: std::io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Write(#[from] std::io::Error),
    /// The event type is unknown.
    #[error(
        "there is no event type {name:?}{}: `auditgate types` lists them",
        nearest.map_or_else(String::new, |nearest| format!(", but there is {nearest:?}"))
    )]
    TypeUnknown {
        /// The name that the user gave.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
    },
    /// No event type was given.
    #[error("no event type given: `auditgate types` lists them")]
    TypeMissing,
}

impl Error {
    /// The line of the filter's expression with carets below the fault, if the gateway named its
    /// position.
    fn pointed(&self, expression: Option<&str>) -> Option<String> {
        let Error::Client(error) = self else { return None };
        let place = error.refusal()?.place?;
        caret::pointed(expression?, place, terminal::width_of_errors())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    /// Exit status of a command that skipped something.
    const SOME: u8 = 1;
    /// Exit status of a command that failed; clap uses the same.
    const FAILED: u8 = 2;
    /// Exit status of a command that found something wrong.
    const WRONG: u8 = 3;
    let matches = environment::without_empty(Cli::command()).get_matches();
    let expression = matches.subcommand().and_then(|(_, own)| filter::expression(own));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match cli.command {
        #[cfg(feature = "server")]
        Command::Serve(args) => block_on(serve::run(args)),
        #[cfg(feature = "server")]
        Command::Config(args) => config::run(&args),
        #[cfg(feature = "server")]
        Command::Init(args) => block_on(init::run(args)),
        #[cfg(feature = "server")]
        Command::Cluster(args) => block_on(cluster::run(args)),
        #[cfg(feature = "server")]
        Command::Certs(args) => certs::run(&args),
        #[cfg(feature = "server")]
        Command::Token(args) => token::run(&args),
        Command::Tail(args) => block_on(tail::run(*args)),
        Command::Search(args) => block_on(search::run(*args)),
        Command::Get(args) => block_on(get::run(args)),
        Command::Count(args) => block_on(count::run(*args)),
        Command::Emit(args) => block_on(emit::run(*args)),
        Command::Import(args) => block_on(import::run(args)),
        Command::Export(args) => block_on(export::run(*args)),
        Command::Example(args) => example::run(&args),
        Command::Types(args) => types::run(&args),
        Command::Proto(args) => proto::run(&args),
        Command::Status(args) => block_on(status::run(args)),
        Command::Delivery(args) => block_on(delivery::run(args)),
        Command::Doctor(args) => block_on(doctor::run(args)),
        Command::Whoami(args) => block_on(whoami::run(args)),
        Command::Keygen(args) => keygen::run(&args),
        Command::Checkpoint(args) => block_on(checkpoint::run(args)),
        Command::Receipt(args) => block_on(receipt::run(args)),
        Command::Verify(args) => block_on(verify::run(args)),
        Command::Witness(args) => block_on(witness::run(args)),
        Command::Healthcheck(args) => block_on(healthcheck::run(args)),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match done {
        Ok(ExitKind::All) => ExitCode::SUCCESS,
        Ok(ExitKind::Some) => ExitCode::from(SOME),
        Ok(ExitKind::Wrong) => ExitCode::from(WRONG),
        Ok(ExitKind::Interrupted) => ExitCode::from(INTERRUPTED),
        // The reader of standard output has closed it.
        Err(Error::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("error: {error}"));
            if let Some(pointed) = error.pointed(expression.as_deref()) {
                let _ = writeln!(std::io::stderr(), "{pointed}");
            }
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
    // A pending read of standard input must not keep the process alive.
    runtime.shutdown_background();
    output
}

/// Runs `work` until it ends or the user presses Ctrl-C.
async fn interruptible(
    work: impl Future<Output = Result<ExitKind, Error>>,
) -> Result<ExitKind, Error> {
    /// The time limit for writing buffered output.
    const WRITE_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(500);
    // A write to a reader that does not read blocks `work` and everything after it.
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            tokio::time::sleep(WRITE_TIME_MAX).await;
            std::process::exit(INTERRUPTED.into());
        }
    });
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Ok(ExitKind::Interrupted),
    }
}

/// Writes a line to standard error, and ignores an error: standard error may be closed.
fn say(text: &str) {
    let escaped = escape::escaped_lines(text);
    let width = terminal::width_of_errors().unwrap_or(usize::MAX);
    let lines = escaped.split('\n').flat_map(|line| terminal::wrapped(line, width));
    let _ = writeln!(std::io::stderr(), "{}", lines.collect::<Vec<_>>().join("\n"));
}

/// Writes to standard output.
fn print(text: &str) -> Result<ExitKind, Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitKind::All)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }

    /// Below the options, where people look; an example can be copied.
    #[test]
    fn every_help_ends_with_examples_and_exit_statuses() {
        // Hidden, or by clap.
        fn is_made(command: &clap::Command) -> bool {
            command.is_hide_set() || command.get_name() == "help"
        }
        fn check(command: &mut clap::Command) {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            for inner in command.get_subcommands_mut().filter(|inner| !is_made(inner)) {
                check(inner);
            }
            if command.has_subcommands() {
                return;
            }
            let ending = help.split_once("\n  -h, --help\n").map_or("", |(_, ending)| ending);
            let ending = ending.split_once("\n\nExamples:\n").map_or("", |(_, ending)| ending);
            let (examples, statuses) = ending.split_once("\n\n").unwrap_or_default();
            assert!(statuses.starts_with("Exit status: 0"), "{name}: {help}");
            assert_eq!(help.matches("Exit status").count(), 1, "{name}: {help}");
            for line in examples.lines() {
                // One that is too long for the help would be broken.
                assert!(line.starts_with("  ") && line.len() < 100, "{name}: {line}");
            }
        }
        super::Cli::command().get_subcommands_mut().for_each(check);
    }
}
