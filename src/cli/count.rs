//! `auditgate count`: how many records, by type and over time.

mod chart;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prost_types::{Duration, Timestamp as Stamp};

use super::client::GatewayArgs;
use super::{Error, ExitKind, escape, filter, interruptible, say, terminal, times};
use crate::catalog;
use crate::proto::pb;
use chart::Chart;

pub use chart::{counted, grouped};

/// Count records by type or category, over all time or in buckets
///
/// --since and --until compare the time of the event, not of its acceptance.
/// Only counts go to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate count
  auditgate count --since 1d --bucket 1h
  auditgate count --by category --failed
  auditgate count --since 30d --bucket 1d -o csv > month.csv

Exit status: 0 if records were counted; 1 if none matches; 2 if the arguments are
wrong, or the gateway cannot be reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Group the counts by
    #[arg(long, value_enum, value_name = "KEY", default_value_t = GroupBy::Type)]
    by: GroupBy,
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
enum GroupBy {
    Type,
    Category,
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

/// The counts of one time bucket.
#[derive(Debug, Clone, PartialEq)]
struct TimeBucket {
    /// When it begins; absent where there is one bucket for all.
    start: Option<Stamp>,
    counts: BTreeMap<String, u64>,
}

impl TimeBucket {
    fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let zone = terminal::zone(args.utc);
    let (start_time, end_time) = args.filter.range(&zone)?;
    let request = pb::CountRecordsRequest {
        filter: Some(args.filter.filter()),
        start_time,
        end_time,
        bucket: args
            .bucket
            .map(|length| Duration { seconds: length.as_secs(), nanos: length.subsec_nanos() }),
        ..Default::default()
    };
    let client = args.server.client().await?;
    interruptible(async {
        let response = client.count_records(&request).await?;
        if response.expression_errors > 0 {
            let records = counted(response.expression_errors, "record");
            say(&format!("not counted: {records} on which the expression failed"));
        }
        let buckets: Vec<TimeBucket> = response
            .buckets
            .into_iter()
            .map(|bucket| bucket_by(args.by, bucket, args.bucket.is_some()))
            .collect();
        let mut out = std::io::stdout().lock();
        out.write_all(written(&args, &buckets, zone).as_bytes())?;
        out.flush()?;
        let total: u64 = buckets.iter().map(TimeBucket::total).sum();
        Ok(if total == 0 { ExitKind::Some } else { ExitKind::All })
    })
    .await
}

fn bucket_by(by: GroupBy, bucket: pb::CountBucket, has_length: bool) -> TimeBucket {
    let mut counts = BTreeMap::new();
    for (type_name, count) in bucket.counts {
        let key = match by {
            GroupBy::Type => type_name,
            GroupBy::Category => category_of(&type_name),
        };
        *counts.entry(key).or_default() += u64::try_from(count).unwrap_or_default();
    }
    TimeBucket { start: bucket.start_time.filter(|_| has_length), counts }
}

fn category_of(type_name: &str) -> String {
    let name = match type_name {
        name if name.starts_with(catalog::CUSTOM_PREFIX) => catalog::CUSTOM,
        name => name,
    };
    let number = catalog::by_name(name).map(|found| found.get().category);
    let category = number.and_then(|number| pb::Category::try_from(number).ok());
    let name = category.unwrap_or(pb::Category::Unspecified).as_str_name();
    name.strip_prefix("CATEGORY_").unwrap_or(name).to_ascii_lowercase()
}

fn written(args: &Args, buckets: &[TimeBucket], zone: TimeZone) -> String {
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
            chart.draw(buckets)
        }
        CountFormat::Csv => csv(args.by, buckets),
        CountFormat::Json => json(buckets),
    }
}

fn csv(by: GroupBy, buckets: &[TimeBucket]) -> String {
    let key = match by {
        GroupBy::Type => "type",
        GroupBy::Category => "category",
    };
    let timed = buckets.iter().any(|bucket| bucket.start.is_some());
    let mut out = if timed { format!("time,{key},count\n") } else { format!("{key},count\n") };
    for bucket in buckets {
        let time = bucket.start.map(|start| format!("{},", told(&start))).unwrap_or_default();
        for (name, count) in &bucket.counts {
            // Names of types need no quotes.
            out.push_str(&format!("{time}{name},{count}\n"));
        }
    }
    out
}

fn json(buckets: &[TimeBucket]) -> String {
    let buckets: Vec<serde_json::Value> = buckets
        .iter()
        .map(|bucket| match &bucket.start {
            Some(start) => {
                serde_json::json!({ "start_time": told(start), "counts": bucket.counts })
            }
            None => serde_json::json!({ "counts": bucket.counts }),
        })
        .collect();
    format!("{}\n", escape::json(&format!("{:#}", serde_json::Value::from(buckets))))
}

/// RFC 3339, in UTC.
fn told(time: &Stamp) -> String {
    match Timestamp::new(time.seconds, time.nanos) {
        Ok(time) => time.to_string(),
        Err(_) => time.seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets() -> Vec<TimeBucket> {
        let bucket = |seconds, counts: &[(&str, i64)]| pb::CountBucket {
            start_time: Some(Stamp { seconds, nanos: 0 }),
            counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        };
        let counted = [
            bucket(0, &[("user.login", 2), ("user.create", 1), ("custom.x", 4)]),
            bucket(3_600, &[("exec", 3)]),
        ];
        counted.map(|bucket| bucket_by(GroupBy::Category, bucket, true)).to_vec()
    }

    #[test]
    fn counts_are_summed_by_category() {
        assert_eq!(
            csv(GroupBy::Category, &buckets()),
            "time,category,count\n\
             1970-01-01T00:00:00Z,custom,4\n\
             1970-01-01T00:00:00Z,user,3\n\
             1970-01-01T01:00:00Z,exec,3\n"
        );
        assert_eq!(category_of("type.of.tomorrow"), "unspecified");
    }

    #[test]
    fn json_holds_the_buckets() {
        let text = json(&buckets());
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            read,
            serde_json::json!([
                { "start_time": "1970-01-01T00:00:00Z", "counts": { "custom": 4, "user": 3 } },
                { "start_time": "1970-01-01T01:00:00Z", "counts": { "exec": 3 } },
            ])
        );
    }
}
