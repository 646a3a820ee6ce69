//! `auditgate search`: finds stored records.

mod query;

use std::cmp::Reverse;

use clap::ValueEnum;

use super::client::GatewayArgs;
use super::follow::{StopCondition, follow};
use super::numbers::{counted, grouped, natural, positive};
use super::output::{self, RecordPrinter};
use super::{Error, ExitKind, filter, interruptible, say, terminal};
use crate::client::{Client, Results, Start};
use crate::proto::pb;
use query::sequences;

pub use query::any_id;

/// The largest page, in records.
const PAGE_RECORDS_MAX: u64 = 1_000;
/// The most records that are sorted here.
const SORTED_RECORDS_MAX: u64 = 10_000;
/// The number of records of `--around` without a terminal.
const AROUND_RECORDS: u64 = 20;
/// Lines of a terminal that are reserved for the command, the headings, messages and the next
/// prompt.
const LINES_KEPT: usize = 5;
/// The fewest records of a page on a terminal.
const PAGE_RECORDS_MIN: u64 = 5;

/// Find records in the history, newest first
///
/// --since and --until compare the time of the event, not of its acceptance.
/// Records go to standard output. With json, ndjson, ocsf, ecs and cef, gaps (records that
/// could not be read) appear there in their place.
///
/// On a terminal, search shows as many records as fit, and prints how to continue. Otherwise it
/// writes all matches. `auditgate get` shows one record in full.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate search --user alice --since 1d
  auditgate search --type db.session.query --text 'drop table' -n 20
  auditgate search --failed --since 2026-03-01 --until 2026-03-02 -o ndjson
  auditgate search --filter \"event.user.login == 'root' && type.startsWith('session.')\"
  auditgate search --type user.login --fields time,user.name,user_login.method
  auditgate search --around 4711

Exit status: 0 if records were found; 1 if none matches, or some could not be read
(evicted meanwhile, or damaged); 2 if the arguments are wrong, or the gateway cannot be
reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Maximum number of records [default: as many as fit on a terminal, otherwise all matches]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = positive, allow_negative_numbers = true)]
    limit: Option<u64>,
    /// Show the oldest record first
    #[arg(long)]
    reverse: bool,
    /// Sort the shown records by sequence, or by the time of the event
    #[arg(long, value_enum, value_name = "KEY", default_value_t = SortKey::Sequence)]
    sort: SortKey,
    /// Then follow new records, without missing one
    #[arg(short, long, conflicts_with_all = ["until", "before", "around", "sort"])]
    follow: bool,
    /// Only records before this sequence
    #[arg(long, value_name = "SEQUENCE", value_parser = positive)]
    before: Option<u64>,
    /// Only records after this sequence
    #[arg(long, value_name = "SEQUENCE", value_parser = natural)]
    after: Option<u64>,
    /// Show the record at this sequence with the records before and after it, in the order of the
    /// log
    #[arg(
        long,
        value_name = "SEQUENCE",
        value_parser = positive,
        conflicts_with_all = ["before", "after", "reverse", "sort"]
    )]
    around: Option<u64>,
    /// Only events with this id; may be repeated
    #[arg(long = "id", value_name = "ID", conflicts_with = "expression")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: filter::Args,
    #[command(flatten)]
    output: output::Args,
    #[command(flatten, next_help_heading = None)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortKey {
    /// The order of the log
    Sequence,
    /// The time of the event; the records themselves are chosen by sequence
    Time,
}

/// The result of showing a page.
#[derive(Debug, Default)]
struct Shown {
    records: u64,
    /// The sequence of the last one in the order of the search.
    last: u64,
    /// Whether there are more matches.
    more: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let (start_time, end_time) = args.filter.range(&args.output.zone())?;
    let order = if args.reverse { pb::Order::OldestFirst } else { pb::Order::NewestFirst };
    let (first_sequence, last_sequence) = sequences(args.after, args.before)?;
    let mut filter = args.filter.filter();
    if !args.ids.is_empty() {
        filter.expression = any_id(&args.ids)?;
    }
    let request = pb::SearchRequest {
        filter: Some(filter),
        start_time,
        end_time,
        order: order.into(),
        first_sequence,
        last_sequence,
        ..Default::default()
    };
    if args.sort == SortKey::Time && args.limit.is_some_and(|limit| limit > SORTED_RECORDS_MAX) {
        return Err(too_many_to_sort());
    }
    let client = args.server.client().await?;
    let mut printer = args.output.open(&client).await?;
    let done = interruptible(async {
        match args.around {
            Some(sequence) => around(&args, &client, request, sequence, &mut printer).await,
            None => search(&args, &client, request, &mut printer).await,
        }
    });
    let done = done.await;
    printer.finish()?;
    match done? {
        ExitKind::All if printer.is_lacking() => Ok(ExitKind::Some),
        done => Ok(done),
    }
}

/// The number of records that fit on the terminal, if they go there.
fn page(args: &Args) -> Option<u64> {
    let height = terminal::height().filter(|_| args.output.is_for_people())?;
    Some((height.saturating_sub(LINES_KEPT) as u64).max(PAGE_RECORDS_MIN))
}

async fn search(
    args: &Args,
    client: &Client,
    mut request: pb::SearchRequest,
    printer: &mut RecordPrinter,
) -> Result<ExitKind, Error> {
    let page = if args.follow { None } else { page(args) };
    let limit = args.limit.or(page);
    // One more, to learn whether there are more.
    let wanted = limit.map_or(PAGE_RECORDS_MAX, |limit| limit.saturating_add(1));
    request.page_size = i32::try_from(wanted.min(PAGE_RECORDS_MAX)).unwrap_or(i32::MAX);
    let filter = request.filter.clone().unwrap_or_default();
    let mut results = client.search(request);
    let shown = match args.sort {
        SortKey::Sequence => show(&mut results, limit, printer).await?,
        SortKey::Time => show_sorted(args, &mut results, limit, printer).await?,
    };
    if results.expression_errors() > 0 {
        let records = counted(results.expression_errors(), "record");
        say(&format!("not matched: {records} on which the expression failed"));
    }
    printer.flush()?;
    if args.follow {
        let cursor = results.cursor().unwrap_or_default().to_owned();
        let subscriber = client.subscribe(filter, Start::Cursor(cursor));
        return follow(subscriber, printer, |_| Ok(()), StopCondition::Never).await;
    }
    if shown.more && args.limit.is_none() {
        let flag = if args.reverse { "--after" } else { "--before" };
        let (records, last) = (grouped(shown.records), shown.last);
        say(&format!(
            "{records} records are shown, and more match: go on with {flag} {last}, or say how many \
             with -n"
        ));
    }
    if shown.records > 0 {
        return Ok(ExitKind::All);
    }
    // In a pipe, the exit status is enough.
    if printer.is_terminal() {
        say("no record matches");
    }
    Ok(ExitKind::Some)
}

/// Writes at most `limit` results in the order of the search.
async fn show(
    results: &mut Results,
    limit: Option<u64>,
    printer: &mut RecordPrinter,
) -> Result<Shown, Error> {
    let mut shown = Shown::default();
    loop {
        let next = results.next().await?;
        for gap in results.take_gaps() {
            printer.gap(&gap)?;
        }
        let Some(record) = next else { return Ok(shown) };
        if limit.is_some_and(|limit| shown.records >= limit) {
            shown.more = true;
            return Ok(shown);
        }
        printer.record(&record)?;
        shown.records += 1;
        shown.last = record.sequence;
    }
}

/// Writes at most `limit` results by the times of their events.
async fn show_sorted(
    args: &Args,
    results: &mut Results,
    limit: Option<u64>,
    printer: &mut RecordPrinter,
) -> Result<Shown, Error> {
    let mut shown = Shown::default();
    let mut records = Vec::new();
    while let Some(record) = results.next().await? {
        let count = records.len() as u64;
        if limit.is_some_and(|limit| count >= limit) {
            shown.more = true;
            break;
        }
        if count >= SORTED_RECORDS_MAX {
            return Err(too_many_to_sort());
        }
        shown.last = record.sequence;
        records.push(record);
    }
    for gap in results.take_gaps() {
        printer.gap(&gap)?;
    }
    let time = |record: &pb::Record| {
        let time = record.event.as_ref().and_then(|event| event.time).or(record.accept_time);
        let time = time.unwrap_or_default();
        (time.seconds, time.nanos, record.sequence)
    };
    match args.reverse {
        true => records.sort_by_key(time),
        false => records.sort_by_key(|record| Reverse(time(record))),
    }
    for record in &records {
        printer.record(record)?;
    }
    Ok(Shown { records: records.len() as u64, ..shown })
}

fn too_many_to_sort() -> Error {
    Error::Usage(format!(
        "--sort time sorts at most {} records: narrow the search, such as by --since, or say how \
         many with -n",
        grouped(SORTED_RECORDS_MAX)
    ))
}

/// Writes the record at this sequence with the records around it.
async fn around(
    args: &Args,
    client: &Client,
    request: pb::SearchRequest,
    sequence: u64,
    printer: &mut RecordPrinter,
) -> Result<ExitKind, Error> {
    let limit = args.limit.or(page(args)).unwrap_or(AROUND_RECORDS);
    let after = limit.saturating_sub(1) / 2;
    let part = |order: pb::Order, first_sequence, last_sequence, count: u64| pb::SearchRequest {
        order: order.into(),
        first_sequence,
        last_sequence,
        page_size: i32::try_from(count.clamp(1, PAGE_RECORDS_MAX)).unwrap_or(i32::MAX),
        ..request.clone()
    };
    let mut records = Vec::new();
    let before = limit - after;
    let mut older = client.search(part(pb::Order::NewestFirst, 0, sequence, before));
    while (records.len() as u64) < before
        && let Some(record) = older.next().await?
    {
        records.push(record);
    }
    let mut gaps = older.take_gaps();
    records.reverse();
    if let Some(next) = sequence.checked_add(1).filter(|_| after > 0) {
        let missing = limit - records.len() as u64;
        let mut newer = client.search(part(pb::Order::OldestFirst, next, 0, missing));
        while (records.len() as u64) < limit
            && let Some(record) = newer.next().await?
        {
            records.push(record);
        }
        gaps.extend(newer.take_gaps());
    }
    printer.mark(sequence);
    for gap in gaps {
        printer.gap(&gap)?;
    }
    for record in &records {
        printer.record(record)?;
    }
    printer.flush()?;
    if records.is_empty() {
        if printer.is_terminal() {
            say("no record matches");
        }
        return Ok(ExitKind::Some);
    }
    if !records.iter().any(|record| record.sequence == sequence) {
        say(&format!(
            "record {sequence} is not among them: it is not in the log, or does not match"
        ));
    }
    Ok(ExitKind::All)
}
