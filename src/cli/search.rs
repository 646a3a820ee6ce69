//! `auditgate search`: finds stored records.

use super::client::GatewayArgs;
use super::count::counted;
use super::follow::{StopCondition, follow};
use super::output::{self, RecordPrinter};
use super::{Error, ExitKind, filter, interruptible, say};
use crate::client::{Client, Results, Start};
use crate::proto::pb;

/// The largest page, in records.
const PAGE_RECORDS_MAX: u64 = 1_000;

/// Find records in the history, newest first
///
/// --since and --until compare the time of the event, not of its acceptance.
/// Records go to standard output. With json, ndjson, ocsf, ecs and cef, gaps (records that
/// could not be read) appear there in their place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate search --user alice --since 1d
  auditgate search --type db.session.query --text 'drop table' --limit 20
  auditgate search --failed --since 2026-03-01 --until 2026-03-02 -o ndjson
  auditgate search --filter \"event.user.login == 'root' && type.startsWith('session.')\"
  auditgate search --type user.login -o csv --fields time,user.name,user_login.method

Exit status: 0 if records were found; 1 if none matches, or some could not be read:
evicted meanwhile, or damaged; 2 if the arguments are wrong, or the gateway cannot be
reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Maximum number of records [default: all matches]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Show the oldest record first
    #[arg(long)]
    reverse: bool,
    /// Continue with new records, without missing one
    #[arg(long, conflicts_with = "until")]
    follow: bool,
    #[command(flatten)]
    filter: filter::Args,
    #[command(flatten)]
    output: output::Args,
    #[command(flatten, next_help_heading = None)]
    server: GatewayArgs,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let (start_time, end_time) = args.filter.range(&args.output.zone())?;
    let order = if args.reverse { pb::Order::OldestFirst } else { pb::Order::NewestFirst };
    let page_size = args.limit.unwrap_or(PAGE_RECORDS_MAX).clamp(1, PAGE_RECORDS_MAX);
    let request = pb::SearchRequest {
        filter: Some(args.filter.filter()),
        start_time,
        end_time,
        order: order.into(),
        page_size: i32::try_from(page_size).expect("a page has at most a thousand records"),
        ..Default::default()
    };
    let client = args.server.client().await?;
    let mut printer = args.output.open(&client).await?;
    let done = interruptible(search(&args, &client, request, &mut printer)).await;
    printer.finish()?;
    match done? {
        ExitKind::All if printer.is_lacking() => Ok(ExitKind::Some),
        done => Ok(done),
    }
}

async fn search(
    args: &Args,
    client: &Client,
    request: pb::SearchRequest,
    printer: &mut RecordPrinter,
) -> Result<ExitKind, Error> {
    let mut results = client.search(request);
    let found = show(&mut results, args.limit.unwrap_or(u64::MAX), printer).await?;
    if results.expression_errors() > 0 {
        let records = counted(results.expression_errors(), "record");
        say(&format!("not matched: {records} on which the expression failed"));
    }
    if args.follow {
        printer.flush()?;
        let cursor = results.cursor().unwrap_or_default().to_owned();
        let subscriber = client.subscribe(args.filter.filter(), Start::Cursor(cursor));
        return follow(subscriber, printer, |_| Ok(()), StopCondition::Never).await;
    }
    if found > 0 {
        return Ok(ExitKind::All);
    }
    // In a pipe, the exit status says so.
    if printer.is_terminal() {
        say("no record matches");
    }
    Ok(ExitKind::Some)
}

/// Writes at most `limit` results; returns how many there were.
async fn show(
    results: &mut Results,
    limit: u64,
    printer: &mut RecordPrinter,
) -> Result<u64, Error> {
    let mut found = 0;
    while found < limit {
        let next = results.next().await?;
        for gap in results.take_gaps() {
            printer.gap(&gap)?;
        }
        let Some(record) = next else { break };
        printer.record(&record)?;
        found += 1;
    }
    Ok(found)
}
