//! Searches and counts over a history, through the log's own interface, against
//! SQLite and the cel crate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use auditgate::filter::Filter;
use auditgate::hub::path::Path;
use auditgate::hub::{CountRequest, Group, TopValues};
use auditgate::log::{ScanQuery, Segment};
use auditgate::proto::pb;
use auditgate::time::Time;
use rusqlite::params;

use crate::evaluate::Evaluator;
use crate::history::{History, Wanted};
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, median};
use crate::sqlite::Database;
use crate::{Result, Scale, ensure, events, fanout};

/// The measures of this file.
pub const NAMES: &[&str] = &[
    "search_rare_type",
    "search_user",
    "search_user_type_time",
    "search_session",
    "search_newest",
    "search_text",
    "search_cel",
    "count_histogram",
    "top_values",
];

/// The type in the search by user, type and time.
const COMMON_TYPE: &str = "session.command";
/// How many pages of a search are compared with the peer's.
const COMPARED_MAX: u64 = 20;
/// Rounds of a search whose peer takes seconds.
const SLOW_ROUNDS_MAX: usize = 3;
/// In nanoseconds.
const HOUR: i64 = 3_600 * 1_000_000_000;
const SQLITE: &str = "SQLite in memory, an index for each search";

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let count = scale.pick(1_000_000, 30_000);
    let history = History::new(count)?;
    let segments = history.segments()?;
    let database = Database::new(&segments)?;
    let library = Library { count, history, segments, database };
    wanted.iter().map(|name| library.measure(name, scale)).collect()
}

/// The same records here and there.
struct Library {
    count: u64,
    history: History,
    segments: Vec<Arc<Segment>>,
    database: Database,
}

/// How the peer finds the page of the search with a number.
type PeerPage<'a> = &'a dyn Fn(u64) -> Result<Vec<u8>>;

impl Library {
    fn measure(&self, name: &'static str, scale: Scale) -> Result<Row> {
        let database = &self.database;
        let many = scale.pick(400, 5);
        match name {
            "search_rare_type" => {
                let query =
                    "SELECT frame FROM records WHERE type = ?1 ORDER BY sequence DESC LIMIT 50";
                let peer = |_| database.page(query, [events::RARE_TYPE]);
                self.search(name, scale, many, |_| Wanted::rare_type(), &peer)
            }
            "search_user" => {
                let query =
                    "SELECT frame FROM records WHERE user = ?1 ORDER BY sequence DESC LIMIT 50";
                let peer = |number| database.page(query, [events::user(number % events::USERS)]);
                self.search(name, scale, many, Wanted::user, &peer)
            }
            "search_user_type_time" => {
                let query = "SELECT frame FROM records WHERE user = ?1 AND type = ?2 \
                             AND time >= ?3 AND time < ?4 ORDER BY sequence DESC LIMIT 50";
                let peer = |number| {
                    let (start, end) = self.seventh(number);
                    let user = events::user(number % events::USERS);
                    database.page(query, params![user, COMMON_TYPE, start.0, end.0])
                };
                let ours = |number| {
                    let (start, end) = self.seventh(number);
                    let mut wanted = Wanted::user(number);
                    wanted.filter.types.push(COMMON_TYPE.into());
                    Wanted { start, end, ..wanted }
                };
                self.search(name, scale, many, ours, &peer)
            }
            "search_session" => {
                let query =
                    "SELECT frame FROM records WHERE session = ?1 ORDER BY sequence DESC LIMIT 50";
                let session = |number| {
                    let sessions = self.count / events::SESSION_EVENTS;
                    events::session_id(events::mix(number) % sessions)
                };
                let peer = |number| database.page(query, [session(number)]);
                let ours = |number| {
                    let session_ids = vec![session(number)];
                    Wanted::ever(pb::Filter { session_ids, ..Default::default() })
                };
                self.search(name, scale, many, ours, &peer)
            }
            "search_newest" => {
                let query = "SELECT frame FROM records ORDER BY sequence DESC LIMIT 50";
                let peer = |_| database.page(query, []);
                self.search(name, scale, many, |_| Wanted::ever(pb::Filter::default()), &peer)
            }
            "search_text" => {
                let query =
                    "SELECT frame FROM records WHERE text LIKE ?1 ORDER BY sequence DESC LIMIT 50";
                let peer = |_| database.page(query, [format!("%{}%", events::RARE_TEXT)]);
                let text = events::RARE_TEXT.to_owned();
                let filter = pb::Filter { text, ..Default::default() };
                self.search(name, scale, 3, |_| Wanted::ever(filter.clone()), &peer)
            }
            "search_cel" => {
                let expression = format!(
                    "type == 'exec' && event.exec.command.line.contains('{}')",
                    events::RARE_TEXT
                );
                let evaluator = Evaluator::new(&expression)?;
                let peer = |_| evaluator.page(&self.segments);
                let filter = pb::Filter { expression, ..Default::default() };
                self.search(name, scale, 1, |_| Wanted::ever(filter.clone()), &peer)
            }
            "top_values" => self.top_values(scale),
            _ => self.histogram(scale),
        }
    }

    /// One search by its peer, `searches` times a round. Both must find the same
    /// page.
    fn search(
        &self,
        name: &'static str,
        scale: Scale,
        searches: u64,
        wanted: impl Fn(u64) -> Wanted,
        peer_page: PeerPage<'_>,
    ) -> Result<Row> {
        let mut found = 0;
        for number in 0..searches.min(COMPARED_MAX) {
            let ours = self.history.runtime.block_on(self.history.page(&wanted(number)))?;
            found += fanout::records(&ours).count();
            ensure(ours == peer_page(number)?, || format!("{name}: the peer finds another page"))?;
        }
        ensure(found > 0, || format!("{name} finds nothing"))?;
        let peer = if name == "search_cel" { "the cel crate on decoded records" } else { SQLITE };
        let duel = Duel { name, unit: "us p50", better: Better::Less, peer };
        let all: Vec<Wanted> = (0..searches).map(&wanted).collect();
        let rounds = if searches == 1 { SLOW_ROUNDS_MAX } else { scale.rounds() };
        duel.run(
            rounds.min(scale.rounds()),
            || self.history.search_all(&all),
            || {
                timed(searches, |number| {
                    std::hint::black_box(peer_page(number)?);
                    Ok(())
                })
            },
        )
    }

    fn histogram(&self, scale: Scale) -> Result<Row> {
        /// Counts of a round.
        const CALLS: u64 = 2;
        let filter = Arc::new(Filter::compile(&pb::Filter::default())?);
        let count =
            CountRequest { query: ScanQuery::new(filter), bucket: Some(HOUR), group: Group::Type };
        let ours = || self.counted(&count);
        let peer = || self.database.histogram(HOUR);
        ensure(ours()? == peer()?, || "count_histogram: the peer counts otherwise".to_owned())?;
        let duel = Duel {
            name: "count_histogram",
            unit: "us p50",
            better: Better::Less,
            peer: "SQLite GROUP BY",
        };
        duel.run(
            scale.rounds(),
            || timed(CALLS, |_| ours().map(drop)),
            || timed(CALLS, |_| peer().map(drop)),
        )
    }

    fn counted(&self, count: &CountRequest) -> Result<BTreeMap<Time, BTreeMap<String, i64>>> {
        let counted = self.history.runtime.block_on(self.history.hub.count(count, &()))?;
        Ok(counted.buckets)
    }

    /// The most frequent of 1,000 users among all records, by the histogram of all types:
    /// it may take three times as long.
    fn top_values(&self, scale: Scale) -> Result<Row> {
        /// Calls of a round.
        const CALLS: u64 = 5;
        let filter = Arc::new(Filter::compile(&pb::Filter::default())?);
        let query = ScanQuery::new(filter);
        let top = TopValues {
            query: query.clone(),
            fields: vec![Path::parse("user.name")?],
            limit: 1_000,
            prefix: String::new(),
        };
        let ours = || self.history.runtime.block_on(self.history.hub.top_values(&top, &()));
        let found = ours()?;
        let listed: u64 =
            found.fields.iter().flat_map(|own| &own.values).map(|own| own.count).sum();
        ensure(!found.partial && listed > 0 && found.examined == self.count, || {
            "top_values: not all records were counted".to_owned()
        })?;
        let count = CountRequest { query, bucket: Some(HOUR), group: Group::Type };
        let duel = Duel {
            name: "top_values",
            unit: "us p50",
            better: Better::Less,
            peer: "count_histogram",
        };
        duel.run(
            scale.rounds(),
            || {
                timed(CALLS, |_| {
                    let _: () = drop(ours()?);
                    Ok(())
                })
            },
            || timed(CALLS, |_| self.counted(&count).map(drop)),
        )
    }

    /// One of seven equal parts of the time of all events: a day, of a million.
    fn seventh(&self, number: u64) -> (Time, Time) {
        let part = self.count / 7;
        let first = number % 7 * part;
        (events::time(first), events::time(first + part))
    }
}

/// Calls so often; gives the median time in microseconds.
fn timed(calls: u64, mut call: impl FnMut(u64) -> Result<()>) -> Result<Sample> {
    let watch = Stopwatch::start();
    let mut times = Vec::new();
    for number in 0..calls {
        let started = Instant::now();
        call(number)?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(watch.stop().calls(median(&times)))
}
