//! The full segments of a log on disk: found by sequence, by time and by id,
//! though they are not in memory.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::log::disk::format::{Entry, FileHeader};
use crate::log::disk::walk::{Damage, Walk};
use crate::log::segment::Parts;
use crate::log::{Error, Found, Segment};
use crate::record::{Columns, Record, Sequence, key};
use crate::time::Time;

/// A segment file that is full: nothing is appended to it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Sequence of its first record.
    pub base: Sequence,
    /// Sequence behind its last record: the base of the next file.
    pub end: Sequence,
    /// What it takes on disk, in bytes.
    pub bytes: u64,
    /// Its salt.
    pub salt: u64,
}

/// A record that was found by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place.
    pub sequence: Sequence,
    /// When it was accepted.
    pub accept_time: Time,
    /// All of it, encoded.
    pub record: Vec<u8>,
}

/// The full segments, oldest first.
pub struct Sealed {
    files: Mutex<Vec<Arc<Full>>>,
    /// What was read last.
    recent: Mutex<Option<(Sequence, Runs)>>,
}

/// Runs of records, and damage between them, ascending.
type Runs = Arc<Vec<(Damage, Option<Arc<Segment>>)>>;

struct Full {
    file: SegmentFile,
    keys: HashSet<u32>,
    damage: Vec<Damage>,
}

impl Sealed {
    /// Opens these files, which lie in `folder` and belong to the log.
    ///
    /// # Errors
    /// If a file cannot be read. What is damaged is no error: see
    /// [`Sealed::damage`].
    pub fn open(_folder: &Path, _log_id: Uuid, files: Vec<SegmentFile>) -> io::Result<Self> {
        let full = files.into_iter().map(|file| {
            let runs = load(&file)?;
            let segments = runs.iter().filter_map(|(_, segment)| segment.as_ref());
            let keys = segments.flat_map(|segment| keys(segment)).collect();
            let damage =
                runs.iter().filter(|(_, run)| run.is_none()).map(|(damage, _)| *damage).collect();
            Ok(Arc::new(Full { file, keys, damage }))
        });
        let files = full.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { files: Mutex::new(files), recent: Mutex::new(None) })
    }

    /// Adds a segment that is full and synced.
    pub fn add(&self, file: SegmentFile, segment: Arc<Segment>) {
        let keys = keys(&segment).collect();
        self.files().push(Arc::new(Full { file, keys, damage: Vec::new() }));
    }

    /// Forgets the files before the one that begins at `base`, and what was made
    /// from them.
    pub fn remove_before(&self, base: Sequence) {
        self.files().retain(|full| full.file.base >= base);
    }

    /// The files.
    pub fn list(&self) -> Vec<SegmentFile> {
        self.files().iter().map(|full| full.file.clone()).collect()
    }

    /// Records of these files that cannot be read.
    pub fn damage(&self) -> Vec<Damage> {
        self.files().iter().flat_map(|full| full.damage.clone()).collect()
    }

    /// Whether a record before `before` may have an id with this key: mostly not,
    /// if none has.
    pub fn may_hold(&self, key: u32, before: Sequence) -> bool {
        self.files().iter().any(|full| full.file.base < before && full.keys.contains(&key))
    }

    /// The newest record before `before` with this id that this principal
    /// emitted.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn find_kept(
        &self,
        id: &str,
        principal: &str,
        before: Sequence,
    ) -> Result<Option<Kept>, Error> {
        self.find_record(id, before, |record| {
            let kept = || Kept {
                sequence: record.sequence,
                accept_time: record.accept_time,
                record: record.bytes.to_vec(),
            };
            (record.principal() == principal).then(kept)
        })
        .await
    }

    /// The newest record before `before` with this id, whoever emitted it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn find(&self, id: &str, before: Sequence) -> Result<Option<Sequence>, Error> {
        self.find_record(id, before, |record| Some(record.sequence)).await
    }

    async fn find_record<T>(
        &self,
        id: &str,
        before: Sequence,
        take: impl Fn(&Record<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let key = key(id);
        let holding: Vec<SegmentFile> = self
            .files()
            .iter()
            .rev()
            .filter(|full| full.file.base < before && full.keys.contains(&key))
            .map(|full| full.file.clone())
            .collect();
        for file in holding {
            let runs = self.runs(&file).await?;
            for segment in runs.iter().rev().filter_map(|(_, segment)| segment.as_ref()) {
                let view = segment.view(file.end.previous());
                for position in (0..view.len()).rev() {
                    let has_key = view.columns.get(position).is_some_and(|row| row.id == key);
                    if has_key
                        && view.record(position).envelope().id == Some(id)
                        && let Some(taken) = take(&view.record(position))
                    {
                        return Ok(Some(taken));
                    }
                }
            }
        }
        Ok(None)
    }

    /// A run that holds the record at `at`, or the damage there; `None` past the
    /// last file. The first file's, if `at` lies before it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn read(&self, at: Sequence) -> Result<Option<Found>, Error> {
        let file =
            self.files().iter().find(|full| at < full.file.end).map(|full| full.file.clone());
        let Some(file) = file else { return Ok(None) };
        let runs = self.runs(&file).await?;
        let found =
            runs.iter().find(|(range, _)| at <= range.last).map(|(range, segment)| match segment {
                Some(segment) => Found::Records(Arc::clone(segment)),
                None => Found::Damaged { first: range.first, last: range.last },
            });
        Ok(found)
    }

    /// The first readable record that was accepted at `time` or later; `None` if
    /// none was.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn accepted_since(&self, time: Time) -> Result<Option<Sequence>, Error> {
        for file in self.list() {
            for (range, segment) in self.runs(&file).await?.iter() {
                let Some(segment) = segment else { continue };
                let view = segment.view(range.last);
                let since = view.accepted_since(time);
                if since < view.len() {
                    return Ok(Some(view.sequence(since)));
                }
            }
        }
        Ok(None)
    }

    async fn runs(&self, file: &SegmentFile) -> Result<Runs, Error> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runs)) = recent().as_ref().filter(|(base, _)| *base == file.base) {
            return Ok(Arc::clone(runs));
        }
        let wanted = file.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&wanted)).await;
        let runs = loaded
            .map_err(io::Error::other)
            .and_then(|runs| runs)
            .map_err(|error| Error::Unreadable { from: file.base, why: error.to_string() })?;
        *recent() = Some((file.base, Arc::clone(&runs)));
        Ok(runs)
    }

    fn files(&self) -> MutexGuard<'_, Vec<Arc<Full>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(segment: &Segment) -> impl Iterator<Item = u32> {
    let view = segment.view(Sequence(u64::MAX - 1));
    view.columns.iter().map(|row| row.id)
}

/// Reads a file as a whole.
fn load(file: &SegmentFile) -> io::Result<Runs> {
    let bytes = std::fs::read(&file.path)?;
    let header = FileHeader { log_id: Uuid::nil(), base: file.base, capacity: 0, salt: file.salt };
    let walk = Walk::over(&bytes, &header, Some(file.end));
    let mut runs: Vec<(Damage, Option<Arc<Segment>>)> =
        walk.damage.iter().map(|damage| (*damage, None)).collect();
    let mut parts = Parts::default();
    let mut next = file.base;
    for group in &walk.groups {
        let bytes = bytes.get(group.at..).unwrap_or_default();
        let table = bytes.get(group.header.table()).unwrap_or_default();
        let data = bytes.get(group.header.data()).unwrap_or_default();
        for (position, (_, range)) in (0..).zip(Entry::decode_all(table)) {
            let at = Sequence(group.header.first.0 + u64::from(position));
            if group.damaged.binary_search(&position).is_ok() {
                continue;
            }
            if at != next {
                end_run(&mut runs, &mut parts, next);
            }
            let frame = data.get(range).unwrap_or_default();
            parts.offsets.push(parts.columns.len() as u32);
            parts.columns.push(Columns::of(&Record::read_frame(frame)));
            parts.data.extend_from_slice(frame);
            parts.ends.push(parts.data.len() as u32);
            next = at.next();
        }
    }
    end_run(&mut runs, &mut parts, next);
    runs.sort_unstable_by_key(|(range, _)| range.first);
    Ok(Arc::new(runs))
}

/// Ends the run whose last record is before `next`.
fn end_run(runs: &mut Vec<(Damage, Option<Arc<Segment>>)>, parts: &mut Parts, next: Sequence) {
    let parts = std::mem::take(parts);
    let covers = parts.columns.len() as u32;
    if covers > 0 {
        let first = Sequence(next.0 - u64::from(covers));
        let segment = Segment::of_parts(first, covers, parts);
        runs.push((Damage { first, last: next.previous() }, Some(Arc::new(segment))));
    }
}
