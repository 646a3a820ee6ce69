//! Histories that are mostly on disk: searches against SQLite on a file, and how
//! a log is opened.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use auditgate::log::disk::{Config, DiskLog, SyncPolicy};
use auditgate::log::{Bounds, ScanOrder, Store as _};
use rusqlite::{Connection, Params, params};

use crate::history::{History, Wanted};
use crate::rounds::{Better, Duel, Row, Sample, Stopwatch, median};
use crate::{Result, Scale, ensure, events, fanout, memory};

/// The measures of this file.
pub const NAMES: &[&str] = &["search_disk_rare_type", "search_disk_user", "open_1m", "open_10m"];

/// One record in so many is in memory, too.
const IN_MEMORY_ONE_IN: u64 = 10;
/// More than any history here takes.
const RING_BYTES: usize = 8 * 1024 * 1024 * 1024;
const SQLITE: &str = "SQLite on a file, an index for each search";

/// Runs the measures of these names.
///
/// # Errors
/// If one fails.
pub fn run(wanted: &[&'static str], scale: Scale) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let searches = |name: &&&'static str| name.starts_with("search");
    if wanted.iter().any(|name| searches(&name)) {
        let library = Library::new(scale.pick(4_000_000, 30_000))?;
        for name in wanted.iter().filter(searches) {
            rows.push(library.search(name, scale)?);
        }
    }
    for name in wanted.iter().filter(|name| !searches(name)) {
        let count = match *name {
            "open_1m" => scale.pick(1_000_000, 20_000),
            _ => scale.pick(10_000_000, 40_000),
        };
        rows.extend(open(name, count)?);
    }
    Ok(rows)
}

/// The same records here and there.
struct Library {
    history: History,
    database: Connection,
    _folder: tempfile::TempDir,
}

impl Library {
    fn new(count: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let history = history(&folder.path().join("log"), count)?;
        let database = Connection::open(folder.path().join("records.sqlite"))?;
        // As much memory for what it has read as the log has.
        database.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
             CREATE TABLE records (
                 sequence INTEGER PRIMARY KEY, type TEXT NOT NULL, user TEXT NOT NULL,
                 frame BLOB NOT NULL
             )",
        )?;
        let transaction = database.unchecked_transaction()?;
        let mut insert = database.prepare("INSERT INTO records VALUES (?1, ?2, ?3, ?4)")?;
        history.for_each(|record, frame| {
            let user = record.envelope().user.unwrap_or_default();
            insert.execute(params![record.sequence.0 as i64, record.type_name, user, frame])?;
            Ok(())
        })?;
        drop(insert);
        transaction.commit()?;
        database.execute_batch(
            "CREATE INDEX by_type ON records (type); CREATE INDEX by_user ON records (user);
             ANALYZE",
        )?;
        Ok(Self { history, database, _folder: folder })
    }

    /// Searches the oldest first: the newest records are in memory.
    fn search(&self, name: &'static str, scale: Scale) -> Result<Row> {
        let by_type = name == "search_disk_rare_type";
        let searches = scale.pick(400, 5);
        let wanted = |number| {
            let wanted = if by_type { Wanted::rare_type() } else { Wanted::user(number) };
            Wanted { order: ScanOrder::Ascending, ..wanted }
        };
        let peer = |number: u64| {
            if by_type {
                let query = "SELECT frame FROM records WHERE type = ?1 ORDER BY sequence LIMIT 50";
                self.page(query, [events::RARE_TYPE])
            } else {
                let query = "SELECT frame FROM records WHERE user = ?1 ORDER BY sequence LIMIT 50";
                self.page(query, [events::user(number % events::USERS)])
            }
        };
        let mut found = 0;
        for number in 0..searches.min(20) {
            let ours = self.history.runtime.block_on(self.history.page(&wanted(number)))?;
            found += fanout::records(&ours).count();
            ensure(ours == peer(number)?, || format!("{name}: the peer finds another page"))?;
        }
        ensure(found > 0, || format!("{name} finds nothing"))?;
        let all: Vec<Wanted> = (0..searches).map(wanted).collect();
        let duel = Duel { name, unit: "us p50", better: Better::Less, peer: SQLITE };
        duel.run(
            scale.rounds(),
            || self.history.search_all(&all),
            || {
                let watch = Stopwatch::start();
                let mut times = Vec::new();
                for number in 0..searches {
                    let started = Instant::now();
                    std::hint::black_box(peer(number)?);
                    times.push(started.elapsed().as_secs_f64() * 1e6);
                }
                Ok::<Sample, _>(watch.stop().calls(median(&times)))
            },
        )
    }

    fn page(&self, query: &str, parameters: impl Params) -> Result<Vec<u8>> {
        let mut statement = self.database.prepare_cached(query)?;
        let mut rows = statement.query(parameters)?;
        let mut frames = Vec::new();
        while let Some(row) = rows.next()? {
            frames.extend_from_slice(row.get_ref(0)?.as_blob()?);
        }
        Ok(frames)
    }
}

fn history(path: &Path, count: u64) -> Result<History> {
    let records = (count / IN_MEMORY_ONE_IN) as usize;
    let ring = Bounds { bytes: RING_BYTES, records };
    let (log, _) =
        DiskLog::open(path, Config { ring, sync: SyncPolicy::None, ..Config::default() })?;
    History::on(std::sync::Arc::new(log), count)
}

/// How long opening takes another process, and its memory afterwards.
fn open(name: &'static str, count: u64) -> Result<[Row; 2]> {
    let folder = tempfile::tempdir()?;
    drop(history(folder.path(), count)?);
    let mut seconds = Vec::new();
    let mut mebibytes = Vec::new();
    for _ in 0..5 {
        let child =
            Command::new(std::env::current_exe()?).arg("--opens").arg(folder.path()).output()?;
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        ensure(child.status.success(), || String::from_utf8_lossy(&child.stderr).into_owned())?;
        let (took, resident) = said.trim().split_once(' ').ok_or("a child reports two numbers")?;
        seconds.push(took.parse()?);
        mebibytes.push(resident.parse()?);
    }
    let memory = if name == "open_1m" { "open_1m_memory" } else { "open_10m_memory" };
    Ok([
        Row { name, unit: "s", ours: median(&seconds), peer: None },
        Row { name: memory, unit: "MiB", ours: median(&mebibytes), peer: None },
    ])
}

/// Is the process that opens a log: tells the seconds and its memory in MiB.
///
/// # Errors
/// If the log cannot be opened.
pub fn opens(path: &Path) -> Result<()> {
    let started = Instant::now();
    let (log, _) = DiskLog::open(path, Config::default())?;
    let took = started.elapsed().as_secs_f64();
    ensure(log.extent().last.0 > 0, || "the log is empty".to_owned())?;
    println!("{took} {}", memory::resident_bytes()? as f64 / (1024.0 * 1024.0));
    Ok(())
}
