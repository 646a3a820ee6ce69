//! Writes counts as JSON and CSV.

use std::collections::HashMap;

use jiff::Timestamp;
use prost_types::Timestamp as Stamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::cli::escape;
use crate::cli::numbers::counted;
use crate::cli::output::quoted;

/// The counts of a key.
#[derive(Debug, Default)]
pub struct CountReport {
    /// The key of the counts.
    pub key: String,
    /// In the order of time.
    pub buckets: Vec<TimeBucket>,
}

/// The counts of one time bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TimeBucket {
    /// When it begins; `None` for a single bucket over all time.
    pub start: Option<Stamp>,
    /// By value, the most frequent first.
    pub counts: Vec<(String, u64)>,
    /// Records without a value.
    pub absent: u64,
    /// Records with a value that is not listed.
    pub others: u64,
}

impl TimeBucket {
    /// Counts in no order.
    pub fn of(counts: impl IntoIterator<Item = (String, i64)>) -> Self {
        let count = |(name, count)| (name, u64::try_from(count).unwrap_or_default());
        let mut counts: Vec<(String, u64)> = counts.into_iter().map(count).collect();
        sort(&mut counts);
        Self { counts, ..Self::default() }
    }

    /// All records.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum::<u64>() + self.absent + self.others
    }
}

/// The most frequent first, and of equally frequent ones in the order of their names.
fn sort(counts: &mut [(String, u64)]) {
    counts.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
}

impl CountReport {
    /// All records.
    pub fn total(&self) -> u64 {
        self.buckets.iter().map(TimeBucket::total).sum()
    }

    /// Keeps the values that are most frequent over all time.
    pub fn keep(&mut self, top: usize) {
        let mut sums: HashMap<&str, u64> = HashMap::new();
        for (name, count) in self.buckets.iter().flat_map(|bucket| &bucket.counts) {
            *sums.entry(name).or_default() += count;
        }
        let mut sums: Vec<(String, u64)> =
            sums.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        sort(&mut sums);
        sums.truncate(top);
        for bucket in &mut self.buckets {
            let others = &mut bucket.others;
            bucket.counts.retain(|(name, count)| {
                let is_kept = sums.iter().any(|(kept, _)| kept == name);
                *others += if is_kept { 0 } else { *count };
                is_kept
            });
        }
    }

    /// Sentences about records that no row counts.
    pub fn unlisted(&self) -> Vec<String> {
        let sum = |of: fn(&TimeBucket) -> u64| self.buckets.iter().map(of).sum::<u64>();
        let told = |count, what: &str| match count {
            0 => None,
            count => Some(format!("not listed: {} {what}", counted(count, "record"))),
        };
        let others = told(sum(|bucket| bucket.others), "of other values: see --top");
        others.into_iter().chain(told(sum(|bucket| bucket.absent), "without a value")).collect()
    }

    /// The counts as comma-separated values, escaped on a terminal.
    pub fn csv(&self, terminal: bool) -> String {
        let timed = self.buckets.iter().any(|bucket| bucket.start.is_some());
        let key = &self.key;
        let mut out = if timed { format!("time,{key},count\n") } else { format!("{key},count\n") };
        for bucket in &self.buckets {
            let time =
                bucket.start.map(|start| format!("{},", rfc3339(&start))).unwrap_or_default();
            for (name, count) in &bucket.counts {
                let name = if terminal { escape::escaped(name) } else { name.into() };
                out.push_str(&format!("{time}{},{count}\n", quoted(name)));
            }
        }
        out
    }

    /// The counts as an array of buckets.
    pub fn json(&self) -> String {
        let buckets: Vec<JsonBucket<'_>> = self.buckets.iter().map(JsonBucket::of).collect();
        let text = serde_json::to_string_pretty(&buckets).expect("counts have a JSON form");
        format!("{}\n", escape::json(&text))
    }
}

#[derive(Serialize)]
struct JsonBucket<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    counts: JsonCounts<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    absent: u64,
    #[serde(skip_serializing_if = "is_zero")]
    others: u64,
}

impl<'a> JsonBucket<'a> {
    fn of(bucket: &'a TimeBucket) -> Self {
        Self {
            start_time: bucket.start.as_ref().map(rfc3339),
            counts: JsonCounts(&bucket.counts),
            absent: bucket.absent,
            others: bucket.others,
        }
    }
}

/// An object in the order of the counts.
struct JsonCounts<'a>(&'a [(String, u64)]);

impl Serialize for JsonCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in self.0 {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// RFC 3339, in UTC.
fn rfc3339(time: &Stamp) -> String {
    match Timestamp::new(time.seconds, time.nanos) {
        Ok(time) => time.to_string(),
        Err(_) => time.seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> CountReport {
        let bucket = |seconds, counts: &[(&str, i64)]| TimeBucket {
            start: Some(Stamp { seconds, nanos: 0 }),
            ..TimeBucket::of(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)))
        };
        let buckets = vec![
            bucket(0, &[("b,c", 2), ("a", 1), ("d", 4)]),
            bucket(3_600, &[("a", 3), ("e", 3)]),
        ];
        CountReport { key: "user".to_owned(), buckets }
    }

    #[test]
    fn the_most_frequent_come_first_in_every_form() {
        assert_eq!(
            table().csv(false),
            "time,user,count\n\
             1970-01-01T00:00:00Z,d,4\n\
             1970-01-01T00:00:00Z,\"b,c\",2\n\
             1970-01-01T00:00:00Z,a,1\n\
             1970-01-01T01:00:00Z,a,3\n\
             1970-01-01T01:00:00Z,e,3\n"
        );
        let text = table().json();
        let places = ["\"d\": 4", "\"b,c\": 2", "\"a\": 1"].map(|count| text.find(count));
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{text}");
    }

    #[test]
    fn what_is_not_listed_is_told() {
        let mut table = table();
        table.keep(2);
        assert_eq!(
            table.csv(false),
            "time,user,count\n\
             1970-01-01T00:00:00Z,d,4\n\
             1970-01-01T00:00:00Z,a,1\n\
             1970-01-01T01:00:00Z,a,3\n"
        );
        assert_eq!(table.total(), 13);
        assert_eq!(table.unlisted(), ["not listed: 5 records of other values: see --top"]);
        assert!(table.json().contains("\"others\": 2"), "{}", table.json());
    }
}
