//! `auditgate export`: writes records in the format of another log.

use std::io::IsTerminal as _;

use tonic::Code;

use super::client::{GatewayArgs, error_text};
use super::output::RecordPrinter;
use super::progress::Progress;
use super::{Error, ExitKind, ExternalFormat, filter, interruptible, terminal};
use crate::client::{self, Client};
use crate::proto::pb;
use crate::proto::pb::get_record_request::Key;

/// Write records in the format of another system's log
///
/// Writes one line a record to standard output, from the oldest to the newest, and
/// ends with the record that was the newest at the start. An imported line comes
/// back with every key and value that it had.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate export --format teleport > events.log
  auditgate export --format teleport --type 'session.*' --since 1d
  auditgate export --format teleport --id 3f0f5d5e-1

Exit status: 0 if every record was written; 1 if some were not (reported on standard
error), or no record has the id; 2 if the arguments are wrong, or the gateway
cannot be reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Output format
    #[arg(long, value_enum)]
    format: ExternalFormat,
    /// Write only the event with this id
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    filter: filter::Args,
    #[command(flatten, next_help_heading = None)]
    server: GatewayArgs,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let ExternalFormat::Teleport = args.format;
    let (start_time, end_time) = args.filter.range(&terminal::zone(false))?;
    let client = args.server.client().await?;
    let mut printer = RecordPrinter::teleport();
    let request = pb::SearchRequest {
        filter: Some(args.filter.filter()),
        start_time,
        end_time,
        order: pb::Order::OldestFirst.into(),
        ..Default::default()
    };
    let done = interruptible(async {
        match args.id {
            Some(id) => one(&client, id, &mut printer).await?,
            None => {
                let progress = progress(&client, &request).await?;
                let written = all(&client, request, &mut printer, &progress).await;
                progress.clear();
                written?;
            }
        }
        Ok(ExitKind::All)
    })
    .await;
    printer.finish()?;
    match done? {
        ExitKind::All if printer.is_lacking() => Ok(ExitKind::Some),
        done => Ok(done),
    }
}

async fn one(client: &Client, id: String, printer: &mut RecordPrinter) -> Result<(), Error> {
    match client.get_record(Key::Id(id)).await {
        Ok(record) => printer.record(&record)?,
        Err(error) if is_absence(&error) => printer.lack(&error_text(&error)),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn is_absence(error: &client::Error) -> bool {
    error.refusal().is_some_and(|refusal| refusal.code == Code::NotFound)
}

async fn all(
    client: &Client,
    request: pb::SearchRequest,
    printer: &mut RecordPrinter,
    progress: &Progress,
) -> Result<(), Error> {
    let mut results = client.search(request);
    loop {
        let next = results.next().await?;
        for gap in results.take_gaps() {
            printer.gap(&gap)?;
        }
        let Some(record) = next else { return Ok(()) };
        printer.record(&record)?;
        progress.advance(1);
    }
}

/// Shows the progress of the export, if the records do not go to the same terminal.
async fn progress(client: &Client, request: &pb::SearchRequest) -> Result<Progress, Error> {
    if std::io::stdout().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Progress::none());
    }
    let counted = client
        .count_records(&pb::CountRecordsRequest {
            filter: request.filter.clone(),
            start_time: request.start_time,
            end_time: request.end_time,
            ..Default::default()
        })
        .await?;
    let total: i64 = counted.buckets.iter().flat_map(|bucket| bucket.counts.values()).sum();
    Ok(Progress::of_records(total.unsigned_abs()))
}
