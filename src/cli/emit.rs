//! `auditgate emit`: sends events to the gateway.

mod event_args;
mod expected;
mod json_events;

use std::io::Write as _;

use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc;
use tonic::Code;

use super::client::{GatewayArgs, error_text};
use super::import::lines::LineReader;
use super::{Error, ExitKind, escape, interruptible, retry_notice, say};
use crate::client::{Emitter, Options, Pending};
use crate::json::{self, reflect};
use crate::proto::pb;
use json_events::{JsonEvents, ParsedEvent};

/// The most events without a receipt.
const RECEIPTS_AWAITED: usize = 10_000;
/// The file name that stands for standard input.
const STDIN: &str = "-";

/// Emit events from protobuf JSON, or one event from flags
///
/// Without TYPE, emit reads events as protobuf JSON of auditgate.v1.Event, one a
/// line. It also accepts the output of `auditgate example` and the records that
/// `auditgate search` writes. An event without an id gets one. An invalid event is
/// reported, and emit continues with the next.
///
/// Receipts go to standard output as JSON, one a line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate emit user.login --user alice --success false --set user_login.method=local
  auditgate emit custom.deploy --set 'custom.data={\"version\": \"2.4.1\"}' --label env=prod
  auditgate example user.login | auditgate emit
  auditgate emit --file events.ndjson --validate-only

Exit status: 0 if every event was accepted, now or before; 1 if some were not (each is
reported with its reason); 2 if the arguments are wrong, the file cannot
be read, the gateway cannot be reached, or it does not accept the token or
certificate; 130 after Ctrl-C.")]
pub struct Args {
    /// Read events from FILE; - is standard input [default: -]
    #[arg(long, value_name = "FILE", conflicts_with = "event_type")]
    file: Option<String>,
    /// Validate the events without storing them
    #[arg(long)]
    validate_only: bool,
    #[command(flatten)]
    server: GatewayArgs,
    #[command(flatten)]
    event: event_args::Args,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let built = args.event.build()?;
    let client = args.server.client().await?;
    let options = Options { validate_only: args.validate_only, ..Options::default() };
    let emitter = client.emitter(options);
    let (handed, awaited) = mpsc::channel(RECEIPTS_AWAITED);
    let telling = retry_notice::report_retries(emitter.outage(), say);
    let is_single = built.is_some();
    let send = async {
        match built {
            Some(event) => hand_over(&emitter, &handed, "the event".to_owned(), event).await?,
            None => read(&args, &emitter, &handed).await?,
        }
        drop(handed);
        emitter.close().await;
        Ok(ExitKind::All)
    };
    let mut sums = EmitSummary::default();
    let done = interruptible(async {
        let (_, done, ()) = tokio::try_join!(send, receipts(awaited, &mut sums), async {
            telling.await;
            Ok(())
        })?;
        Ok(done)
    })
    .await;
    let is_partial =
        matches!(done, Ok(ExitKind::Some | ExitKind::Interrupted) | Err(Error::Stopped { .. }));
    if !is_single && (is_partial || done.is_err() && sums.accepted > 0) {
        say(&sums.text());
    }
    done
}

/// Whether the gateway refuses the caller, whatever event it sends.
fn is_about_the_caller(error: &crate::client::Error) -> bool {
    /// A name of `auditgate.v1.ErrorReason`.
    const CALL_FORBIDDEN: &str = "CALL_FORBIDDEN";
    error.refusal().is_some_and(|refusal| {
        refusal.code == Code::Unauthenticated || refusal.reason.as_deref() == Some(CALL_FORBIDDEN)
    })
}

/// The numbers of accepted and refused events.
#[derive(Debug, Default)]
struct EmitSummary {
    accepted: u64,
    refused: u64,
}

impl EmitSummary {
    fn text(&self) -> String {
        match self.refused {
            0 => format!("{} accepted", self.accepted),
            refused => format!("{} accepted, {refused} refused", self.accepted),
        }
    }
}

/// A sent event and its name in reports.
type SentEvent = (String, Result<Pending, String>);

async fn hand_over(
    emitter: &Emitter,
    handed: &mpsc::Sender<SentEvent>,
    name: String,
    event: pb::Event,
) -> Result<(), Error> {
    let pending = emitter.send(event).await?;
    // The receiver is gone if standard output is closed; that error ends the command.
    let _ = handed.send((name, Ok(pending))).await;
    Ok(())
}

async fn read(
    args: &Args,
    emitter: &Emitter,
    handed: &mpsc::Sender<SentEvent>,
) -> Result<(), Error> {
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
    handed: &mpsc::Sender<SentEvent>,
) -> Result<(), Error> {
    let mut lines = LineReader::new(BufReader::new(source));
    let mut input = JsonEvents::default();
    loop {
        let next = lines.next().await;
        let next = next.map_err(|error| Error::Read { file: name.to_owned(), error })?;
        let ended = next.is_none();
        let parsed = match next {
            Some((number, line)) => input.take(number, line),
            None => input.end(),
        };
        for ParsedEvent { line, event } in parsed {
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

/// Writes receipts, in order, and reports events without one.
///
/// # Errors
/// [`Error::Stopped`] at the first event that was not stored because the gateway was
/// unavailable for too long; or if standard output cannot be written.
async fn receipts(
    mut awaited: mpsc::Receiver<SentEvent>,
    sums: &mut EmitSummary,
) -> Result<ExitKind, Error> {
    let mut done = ExitKind::All;
    while let Some((name, pending)) = awaited.recv().await {
        let receipt = match pending {
            Ok(pending) => pending.await,
            Err(reason) => {
                sums.refused += 1;
                say(&format!("{name}: {reason}"));
                done = ExitKind::Some;
                continue;
            }
        };
        match receipt {
            Ok(receipt) => {
                let line = json::line(&reflect("Receipt", &receipt));
                writeln!(std::io::stdout(), "{}", escape::json(&line))?;
                sums.accepted += 1;
            }
            Err(error @ crate::client::Error::GaveUp { .. }) => {
                return Err(Error::Stopped { place: name, reason: error_text(&error) });
            }
            // Every other event would be refused, too.
            Err(error) if is_about_the_caller(&error) => return Err(error.into()),
            Err(error) => {
                sums.refused += 1;
                say(&format!("{name}: {}", error_text(&error)));
                done = ExitKind::Some;
            }
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[tokio::test(start_paused = true)]
    async fn it_stops_at_what_a_gateway_that_is_away_did_not_store() {
        // Nobody can listen there.
        let client = Client::connect_lazy("http://127.0.0.1:0").expect("a URL");
        let emitter = client.emitter(Options::default());
        let (handed, awaited) = mpsc::channel(RECEIPTS_AWAITED);
        let event = pb::Event::default();
        hand_over(&emitter, &handed, "stdin:7".to_owned(), event).await.expect("it is open");
        let mut sums = EmitSummary::default();
        let stopped = receipts(awaited, &mut sums).await.expect_err("there is no gateway");
        let said = stopped.to_string();
        assert!(said.starts_with("stopped at stdin:7, which was not stored: gave up"), "{said}");
        assert_eq!(sums.text(), "0 accepted");
    }
}
