//! `auditgate emit`: events into the gateway.

mod build;
mod input;

use std::io::Write as _;

use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc;

use super::client::{Server, told};
use super::import::lines::Lines;
use super::paths::reflect;
use super::{Done, Error, interruptible, json, safe, say};
use crate::client::{Emitter, Options, Pending};
use crate::proto::pb;
use input::{Input, Parsed};

/// How many receipts may be awaited at once.
const RECEIPTS_AWAITED: usize = 10_000;
/// The file name that stands for standard input.
const STDIN: &str = "-";

/// Emit events: from protobuf JSON, or one made of flags
///
/// Without TYPE, events are read one a line, as protobuf JSON of
/// auditgate.v1.Event. What `auditgate example` prints, and the records that
/// `auditgate search` writes, are taken as well. An event without an id gets one. A
/// bad event is reported, and the rest goes on.
///
/// Writes a receipt a line to standard output, as JSON.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate emit user.login --user alice --success false --set user_login.method=local
  auditgate emit custom.deploy --set 'custom.data={\"version\": \"2.4.1\"}' --label env=prod
  auditgate example user.login | auditgate emit
  auditgate emit --file events.ndjson --validate-only

Exit status: 0 if every event was accepted, now or before; 1 if some were not, each
of which is reported with its reason; 2 if the arguments are wrong, the file cannot
be read, or the gateway cannot be reached; 130 after Ctrl-C.")]
pub struct Args {
    /// Read events from this file; - is standard input [default: -]
    #[arg(long, value_name = "FILE", conflicts_with = "event_type")]
    file: Option<String>,
    /// Let the gateway check the events, but not keep them
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    event: build::Args,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<Done, Error> {
    let built = args.event.build()?;
    let client = args.server.client().await?;
    let options = Options { validate_only: args.validate_only, ..Options::default() };
    let emitter = client.emitter(options);
    let (handed, awaited) = mpsc::channel(RECEIPTS_AWAITED);
    let send = async {
        match built {
            Some(event) => hand_over(&emitter, &handed, "the event".to_owned(), event).await?,
            None => read(&args, &emitter, &handed).await?,
        }
        drop(handed);
        emitter.close().await;
        Ok(Done::All)
    };
    interruptible(async {
        let (_, done) = tokio::try_join!(send, receipts(awaited))?;
        Ok(done)
    })
    .await
}

/// An event on its way, and what it is called in a report.
type Sent = (String, Result<Pending, String>);

async fn hand_over(
    emitter: &Emitter,
    handed: &mpsc::Sender<Sent>,
    name: String,
    event: pb::Event,
) -> Result<(), Error> {
    let pending = emitter.send(event).await?;
    // Nobody takes it where standard output is closed; that error ends all.
    let _ = handed.send((name, Ok(pending))).await;
    Ok(())
}

async fn read(args: &Args, emitter: &Emitter, handed: &mpsc::Sender<Sent>) -> Result<(), Error> {
    let file = args.file.as_deref().unwrap_or(STDIN);
    if file == STDIN {
        return read_from(tokio::io::stdin(), "stdin", emitter, handed).await;
    }
    let opened = tokio::fs::File::open(file).await;
    let opened = opened.map_err(|error| Error::Read { file: file.to_owned(), error })?;
    read_from(opened, file, emitter, handed).await
}

async fn read_from(
    source: impl AsyncRead + Unpin,
    name: &str,
    emitter: &Emitter,
    handed: &mpsc::Sender<Sent>,
) -> Result<(), Error> {
    let mut lines = Lines::new(BufReader::new(source));
    let mut input = Input::default();
    loop {
        let next = lines.next().await;
        let next = next.map_err(|error| Error::Read { file: name.to_owned(), error })?;
        let ended = next.is_none();
        let parsed = match next {
            Some((number, line)) => input.take(number, line),
            None => input.end(),
        };
        for Parsed { line, event } in parsed {
            let place = format!("{name}:{line}");
            match event {
                Ok(event) => hand_over(emitter, handed, place, *event).await?,
                Err(reason) => {
                    let _ = handed.send((place, Err(reason))).await;
                }
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// Writes receipts, in order, and reports what has none.
async fn receipts(mut awaited: mpsc::Receiver<Sent>) -> Result<Done, Error> {
    let mut done = Done::All;
    while let Some((name, pending)) = awaited.recv().await {
        let receipt = match pending {
            Ok(pending) => pending.await,
            Err(reason) => {
                say(&format!("{name}: {reason}"));
                done = Done::Some;
                continue;
            }
        };
        match receipt {
            Ok(receipt) => {
                let line = json::line(&reflect("Receipt", &receipt));
                writeln!(std::io::stdout(), "{}", safe::json(&line))?;
            }
            Err(error @ crate::client::Error::GaveUp { .. }) => return Err(error.into()),
            Err(error) => {
                say(&format!("{name}: {}", told(&error)));
                done = Done::Some;
            }
        }
    }
    Ok(done)
}
