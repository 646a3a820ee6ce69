//! Draws counts as bars.

use std::fmt::Write as _;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use prost_types::Timestamp as Stamp;

use super::table::TimeBucket;
use crate::cli::numbers::grouped;
use crate::cli::terminal::{self, Color, TextStyle};
use crate::cli::{escape, times};

/// The width of a chart without a terminal, in columns.
const WIDTH_UNBOUNDED: usize = 100;
/// The longest bar, in columns.
const BAR_COLUMNS_MAX: usize = 60;
/// The longest name, in columns.
const NAME_COLUMNS_MAX: usize = 34;
/// The maximum number of consecutive empty buckets that are drawn.
const EMPTY_ROWS_MAX: i64 = 3;
/// The mark for omitted empty buckets.
const LEFT_OUT: &str = "⋮";

/// How to draw a chart.
pub struct Chart {
    /// In columns.
    pub width: Option<usize>,
    pub color: Color,
    pub zone: TimeZone,
    /// The length of a bucket; `None` for a single bucket.
    pub bucket: Option<SignedDuration>,
}

/// A bar with its label and its value.
struct ChartRow {
    name: String,
    count: Option<u64>,
    after: String,
}

impl Chart {
    /// The chart, with a line for the total.
    pub fn draw(&self, buckets: &[TimeBucket]) -> String {
        let total: u64 = buckets.iter().map(TimeBucket::total).sum();
        let mut rows = match self.bucket {
            Some(length) => self.over_time(buckets, length),
            None => buckets.iter().flat_map(by_key).collect(),
        };
        if rows.is_empty() {
            return String::new();
        }
        let longest = rows.iter().filter_map(|row| row.count).max().unwrap_or_default();
        rows.push(ChartRow { name: "total".to_owned(), count: Some(total), after: String::new() });
        let name_columns = rows.iter().map(|row| terminal::columns(&row.name)).max();
        let name_columns = name_columns.unwrap_or_default().min(NAME_COLUMNS_MAX);
        let count_columns = grouped(total).len();
        let width = self.width.unwrap_or(WIDTH_UNBOUNDED);
        let rest = width.saturating_sub(name_columns + count_columns + 4);
        // The text after the bars gets as much room as the bars.
        let has_after = rows.iter().any(|row| !row.after.is_empty());
        let bar_columns = if has_after { rest / 2 } else { rest }.min(BAR_COLUMNS_MAX);
        let after_columns = rest.saturating_sub(bar_columns + 2);

        let mut out = String::new();
        let last = rows.len() - 1;
        for (position, row) in rows.iter().enumerate() {
            let name = terminal::fitted_in_the_middle(&row.name, name_columns);
            let count = row.count.map(grouped).unwrap_or_default();
            let bar = match row.count {
                Some(count) if position < last => bar(count, longest, bar_columns),
                _ => String::new(),
            };
            let style = if position == last { TextStyle::Bold } else { TextStyle::Plain };
            let mut line = format!(
                "{}  {}",
                self.color.paint(style, &name),
                self.color.paint(style, &format!("{count:>count_columns$}"))
            );
            if !bar.is_empty() {
                let _ = write!(line, "  {}", self.color.paint(TextStyle::Good, &bar));
                let gap = bar_columns - terminal::columns(&bar) + 2;
                let after = terminal::cut(&row.after, after_columns);
                if !after.is_empty() {
                    let _ =
                        write!(line, "{:gap$}{}", "", self.color.paint(TextStyle::Faint, &after));
                }
            }
            line.truncate(line.trim_end().len());
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// A row a bucket, with its most frequent keys after the bar.
    fn over_time(&self, buckets: &[TimeBucket], length: SignedDuration) -> Vec<ChartRow> {
        let pattern = match length.as_secs() {
            86_400.. => "%F",
            60.. => "%F %H:%M",
            1.. => "%F %T",
            _ => "%F %T%.3f",
        };
        let row = |start: &Stamp, count, after| ChartRow {
            name: times::format(start, &self.zone, pattern),
            count: Some(count),
            after,
        };
        let mut rows: Vec<ChartRow> = Vec::new();
        let mut before: Option<Stamp> = None;
        for bucket in buckets {
            let Some(start) = bucket.start else { continue };
            if let Some(before) = before {
                let between = span(&before, &start);
                let nanos = length.as_nanos().max(1);
                let empty = i64::try_from(between / nanos - 1).unwrap_or(i64::MAX);
                if empty > EMPTY_ROWS_MAX {
                    let left_out = LEFT_OUT.to_owned();
                    rows.push(ChartRow { name: left_out, count: None, after: String::new() });
                } else {
                    for step in 1..=empty {
                        let start = later(&before, nanos * i128::from(step));
                        rows.push(row(&start, 0, String::new()));
                    }
                }
            }
            rows.push(row(&start, bucket.total(), most_frequent(bucket)));
            before = Some(start);
        }
        rows
    }
}

/// The name of the row for records without a value.
const ABSENT: &str = "(none)";
/// The name of the row for records whose values are not listed.
const OTHERS: &str = "(others)";

/// A row a key, the most frequent first.
fn by_key(bucket: &TimeBucket) -> Vec<ChartRow> {
    let row = |name: &str, count| ChartRow {
        name: escape::escaped(name).into_owned(),
        count: Some(count),
        after: String::new(),
    };
    let rest = [(OTHERS, bucket.others), (ABSENT, bucket.absent)];
    let rest = rest.into_iter().filter(|(_, count)| *count > 0);
    let counts = bucket.counts.iter().map(|(name, count)| (name.as_str(), *count));
    counts.chain(rest).map(|(name, count)| row(name, count)).collect()
}

/// `user.login 12, exec 3`.
fn most_frequent(bucket: &TimeBucket) -> String {
    let others = (bucket.others > 0).then_some((OTHERS, bucket.others));
    let counts = bucket.counts.iter().map(|(name, count)| (name.as_str(), *count)).chain(others);
    let told = counts.map(|(name, count)| format!("{name} {}", grouped(count)));
    escape::escaped(&told.collect::<Vec<_>>().join(", ")).into_owned()
}

/// A bar as long as `count` is in proportion, to an eighth of a column.
fn bar(count: u64, longest: u64, columns: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if count == 0 || longest == 0 {
        return String::new();
    }
    let eighths = u128::from(count) * columns as u128 * 8 / u128::from(longest);
    // The shortest visible bar.
    let eighths = usize::try_from(eighths.max(1)).unwrap_or(usize::MAX);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(EIGHTHS.get(eighths % 8).filter(|part| **part != ' '));
    bar
}

fn span(from: &Stamp, to: &Stamp) -> i128 {
    nanos(to) - nanos(from)
}

fn nanos(time: &Stamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

fn later(time: &Stamp, by: i128) -> Stamp {
    let sum = nanos(time) + by;
    Stamp {
        seconds: i64::try_from(sum.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
        nanos: i32::try_from(sum.rem_euclid(1_000_000_000)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(start: Option<i64>, counts: &[(&str, u64)]) -> TimeBucket {
        TimeBucket {
            start: start.map(|seconds| Stamp { seconds, nanos: 0 }),
            counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..Default::default()
        }
    }

    fn draw(width: usize, length: Option<i64>, buckets: &[TimeBucket]) -> String {
        let bucket = length.map(SignedDuration::from_secs);
        let chart = Chart { width: Some(width), color: Color(false), zone: TimeZone::UTC, bucket };
        chart.draw(buckets)
    }

    #[test]
    fn keys_are_drawn_with_the_most_frequent_first() {
        let mut all = bucket(None, &[("user.login", 1_000), ("session.start", 250), ("exec", 1)]);
        assert_eq!(
            draw(40, None, &[all.clone()]),
            "user.login     1,000  ██████████████████\n\
             session.start    250  ████▌\n\
             exec               1  ▏\n\
             total          1,251\n"
        );
        (all.absent, all.others) = (250, 0);
        all.counts.truncate(1);
        assert_eq!(
            draw(40, None, &[all]),
            "user.login  1,000  █████████████████████\n\
             (none)        250  █████▎\n\
             total       1,250\n"
        );
        assert_eq!(draw(40, None, &[bucket(None, &[])]), "");
    }

    #[test]
    fn buckets_are_drawn_in_the_order_of_time_with_those_that_are_empty() {
        let buckets = [
            bucket(Some(0), &[("user.login", 3), ("exec", 1)]),
            bucket(Some(2 * 3_600), &[("exec", 8)]),
            bucket(Some(100 * 3_600), &[("exec", 2)]),
        ];
        assert_eq!(
            draw(60, Some(3_600), &buckets),
            "1970-01-01 00:00   4  █████████▌           user.login 3, ex…\n\
             1970-01-01 01:00   0\n\
             1970-01-01 02:00   8  ███████████████████  exec 8\n\
             ⋮\n\
             1970-01-05 04:00   2  ████▊                exec 2\n\
             total             14\n"
        );
    }

    #[test]
    fn a_chart_stays_within_its_width() {
        let name = "custom.".to_owned() + &"x".repeat(200);
        for width in 50..200 {
            let text = draw(width, Some(60), &[bucket(Some(0), &[(&name, u64::MAX)])]);
            let widest = text.lines().map(terminal::columns).max();
            assert!(widest <= Some(width), "{widest:?} of {width}:\n{text}");
        }
    }
}
