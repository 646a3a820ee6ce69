//! `auditgate count`: counts records.

mod chart;
mod key;
mod table;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use prost_types::Duration;

use super::client::GatewayArgs;
use super::numbers::counted;
use super::output::gap_sentence;
use super::{Error, ExitKind, filter, interruptible, print, say, terminal, times};
use crate::client::Client;
use crate::proto::pb;
use chart::Chart;
use key::CountKey;
use table::{CountReport, TimeBucket};

pub use key::NAMES;

/// Default number of values that are listed, such as users. Types and severities are always listed
/// in full.
const VALUES: u64 = 20;

/// Count records by type, user, address or another field, over all time or in buckets
///
/// --since and --until compare the time of the event, not of its acceptance.
/// Only counts go to standard output, the most frequent first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate count
  auditgate count --by user --failed --since 1d --top 10
  auditgate count --since 1d --bucket 1h --by category
  auditgate count --by db_session_query.database.name
  auditgate count --since 30d --bucket 1d -o csv > month.csv

Exit status: 0 if records were counted; 1 if none matches, or some could not be
counted (reported on standard error); 2 if the arguments are wrong, or the gateway cannot be
reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Group by type, category, severity, result, user, session, server, cluster, source,
    /// address or code, or by the path of a field, such as server.id
    #[arg(long, value_name = "KEY", value_parser = key::parse, default_value = "type")]
    by: CountKey,
    /// List only the COUNT most frequent [default: 20 of users, addresses and other values; all
    /// types, categories, severities and results]
    #[arg(long, value_name = "COUNT", value_parser = key::top)]
    top: Option<u64>,
    /// Count in time buckets of this length, such as 5m, 1h or 1d
    #[arg(long, value_name = "LENGTH", value_parser = times::parse_duration)]
    bucket: Option<SignedDuration>,
    #[command(flatten)]
    filter: filter::Args,
    /// Output format [default: chart on a terminal, csv otherwise]
    #[arg(short, long, value_enum, value_name = "FORM", help_heading = "Output")]
    output: Option<CountFormat>,
    #[command(flatten, next_help_heading = "Output")]
    color: terminal::Args,
    /// Show and read times in UTC instead of the local time zone
    #[arg(long, help_heading = "Output")]
    utc: bool,
    #[command(flatten, next_help_heading = None)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CountFormat {
    /// Bar chart
    Pretty,
    /// JSON array of buckets
    Json,
    /// Comma-separated values with a header line
    Csv,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    if args.bucket.is_some() && matches!(args.by, CountKey::Values { .. }) {
        return Err(Error::Usage(format!(
            "--bucket does not go with --by {}: it goes with type, category, severity and result",
            args.by.name()
        )));
    }
    let zone = terminal::zone(args.utc);
    let client = args.server.client().await?;
    interruptible(async {
        let (table, is_whole) = match &args.by {
            CountKey::Group { group, .. } => groups(&args, &client, *group, &zone).await?,
            CountKey::Values { path, .. } => values(&args, &client, path, &zone).await?,
        };
        print(&render(&args, &table, zone))?;
        Ok(if table.total() == 0 || !is_whole { ExitKind::Some } else { ExitKind::All })
    })
    .await
}

/// Counts by a column of the record. Also returns whether all matches are counted.
async fn groups(
    args: &Args,
    client: &Client,
    group: pb::GroupBy,
    zone: &TimeZone,
) -> Result<(CountReport, bool), Error> {
    let (start_time, end_time) = args.filter.range(zone)?;
    let request = pb::CountRecordsRequest {
        filter: Some(args.filter.filter()),
        start_time,
        end_time,
        bucket: args
            .bucket
            .map(|length| Duration { seconds: length.as_secs(), nanos: length.subsec_nanos() }),
        group_by: group.into(),
    };
    let response = client.count_records(&request).await?;
    let is_whole = report(response.expression_errors, &response.gaps);
    let buckets = response.buckets.into_iter().map(|bucket| TimeBucket {
        start: bucket.start_time.filter(|_| args.bucket.is_some()),
        ..TimeBucket::of(bucket.counts)
    });
    let mut table = CountReport { key: args.by.name().to_owned(), buckets: buckets.collect() };
    if let Some(top) = args.top {
        table.keep(top as usize);
    }
    Ok((table, is_whole))
}

/// Counts by the values of a field.
async fn values(
    args: &Args,
    client: &Client,
    path: &str,
    zone: &TimeZone,
) -> Result<(CountReport, bool), Error> {
    let (start_time, end_time) = args.filter.range(zone)?;
    let request = pb::TopValuesRequest {
        filter: Some(args.filter.filter()),
        start_time,
        end_time,
        fields: vec![path.to_owned()],
        limit: i32::try_from(args.top.unwrap_or(VALUES)).unwrap_or(i32::MAX),
        prefix: String::new(),
    };
    let response = client.top_values(&request).await?;
    let mut is_whole = report(response.expression_errors, &response.gaps);
    if response.partial {
        is_whole = false;
        say(&format!(
            "counted: the newest {}; the gateway met a limit before it had counted all: narrow the \
             count, such as by --since",
            counted(response.examined, "record")
        ));
    }
    let found = response.fields.into_iter().next().unwrap_or_default();
    let name = |value: pb::ValueCount| {
        let mark = if value.cut { "…" } else { "" };
        (format!("{}{mark}", value.value), value.count)
    };
    let bucket = TimeBucket {
        start: None,
        counts: found.values.into_iter().map(name).collect(),
        absent: found.absent,
        others: found.others,
    };
    let buckets = if bucket.total() == 0 { Vec::new() } else { vec![bucket] };
    Ok((CountReport { key: args.by.name().to_owned(), buckets }, is_whole))
}

/// Reports records that are not counted. Returns whether there are none.
fn report(expression_errors: u64, gaps: &[pb::Gap]) -> bool {
    if expression_errors > 0 {
        let records = counted(expression_errors, "record");
        say(&format!("not counted: {records} on which the expression failed"));
    }
    gaps.iter().for_each(|gap| say(&gap_sentence(gap)));
    gaps.is_empty()
}

fn render(args: &Args, table: &CountReport, zone: TimeZone) -> String {
    let terminal = std::io::stdout().is_terminal();
    let format =
        args.output.unwrap_or(if terminal { CountFormat::Pretty } else { CountFormat::Csv });
    match format {
        CountFormat::Pretty => {
            let chart = Chart {
                width: terminal::width(),
                color: args.color.resolve(terminal),
                zone,
                bucket: args.bucket,
            };
            chart.draw(&table.buckets)
        }
        CountFormat::Csv => {
            table.unlisted().iter().for_each(|sentence| say(sentence));
            table.csv(terminal)
        }
        CountFormat::Json => table.json(),
    }
}
