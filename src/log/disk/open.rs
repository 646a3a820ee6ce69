//! Opens a log: repairs what a crash left, and sets damaged records aside.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::log::DamagedRange;
use crate::log::disk::copy_origin::{CopyOrigin, check_origin};
use crate::log::disk::directory::Directory;
use crate::log::disk::error::{Error, IoContext as _, damage_sentence};
use crate::log::disk::format::{self, FileHeader, GroupHeader, HEADER_BYTES};
use crate::log::disk::identity::{EpochEntry, IdentityFile};
use crate::log::disk::notice::Notice;
use crate::log::disk::sealed::{SealedSegments, SegmentFile};
use crate::log::disk::storage::{self, Storage};
use crate::log::disk::walk::SegmentWalk;
use crate::log::disk::{Config, SyncPolicy};
use crate::log::ring::RingStart;
use crate::record::{Record, Sequence};
use crate::time::Time;

/// A log in order, before anything is appended.
pub struct OpenedLog {
    /// Its directory.
    pub directory: Directory,
    /// Its identity, as it is on disk.
    pub identity: IdentityFile,
    /// What is on disk.
    pub sealed: SealedSegments,
    /// Where appending goes on.
    pub start: RingStart,
    /// What the operator should know.
    pub notices: Vec<Notice>,
}

/// Opens the log in the directory at `path`, or makes one.
pub fn open(
    path: &Path,
    config: &Config,
    storage: Arc<dyn Storage>,
    origin: Option<CopyOrigin>,
) -> Result<OpenedLog, Error> {
    let directory = Directory::open(path, Arc::clone(&storage))?;
    directory.settle_seed();
    let (mut bases, foreign) = directory.list()?;
    let foreign = foreign.iter().map(|name| {
        let path = directory.segments().join(name);
        Notice::note(format!("{} is not a file of the log", path.display()))
    });
    let mut notices: Vec<Notice> = foreign.chain(directory.exposure()?).collect();
    let mut identity = match directory.read_identity()? {
        Some(identity) => identity,
        None if bases.is_empty() => {
            let log_id = origin.map_or_else(Uuid::now_v7, |origin| origin.log_id);
            let mut identity = IdentityFile::new(log_id, Time::now());
            if let Some(origin) = origin {
                (identity.is_copy, identity.first) = (true, origin.first);
                // What earlier epochs gave out from here on is not what the copy will have.
                identity.begin_epoch(EpochEntry { number: origin.epoch, first: origin.first });
            }
            let path = directory.identity_path();
            directory.write_identity(&identity).failed("write", &path)?;
            identity
        }
        None => return Err(Error::IdentityMissing(directory.identity_path())),
    };
    check_origin(&directory, &identity, origin)?;
    remove_retired(&directory, &identity, &mut bases)?;
    let mut files = Vec::new();
    let mut start = RingStart { last: identity.first.previous(), accepted: Time::MIN };
    let mut found = Vec::new();
    while let Some(base) = bases.pop() {
        let next_base = files.last().map(|file: &SegmentFile| file.base);
        let file = segment_file(&directory, &identity, base, next_base)?;
        if next_base.is_some() {
            files.push(file);
            continue;
        }
        let Some(mended) = mend_last(&directory, file, &mut notices)? else { continue };
        start = RingStart { last: mended.file.end.previous(), accepted: mended.accepted };
        files.push(mended.file);
        found = mended.damage;
    }
    files.reverse();
    let lacking = files.first().map_or(start.last.next(), |file| file.base);
    let sealed = SealedSegments::open(&directory.segments(), identity.log_id, files, storage)
        .failed("read", &directory.segments())?;
    // Its sidecar may be older than the damage.
    sealed.note_damage(&found);
    match sealed.rebuilt() {
        0 => {}
        1 => notices.push(Notice::warning(format!("rebuilt a sidecar: {RENEWED}"))),
        some => notices.push(Notice::warning(format!("rebuilt {some} sidecars: {RENEWED}"))),
    }
    let mut damage = sealed.damage();
    if identity.first < lacking {
        damage.insert(0, DamagedRange { first: identity.first, last: lacking.previous() });
    }
    if !damage.is_empty() {
        if config.strict {
            return Err(Error::Damaged(damage));
        }
        notices.push(Notice::error(damage_sentence(&damage)));
    }
    // What a copy lacks, the stream has.
    if origin.is_none() {
        renew_identity(&directory, &mut identity, config, start.last, &mut notices)?;
    }
    Ok(OpenedLog { directory, identity, sealed, start, notices })
}

/// Removes what retention had given up when the process ended.
fn remove_retired(
    directory: &Directory,
    identity: &IdentityFile,
    bases: &mut Vec<Sequence>,
) -> Result<(), Error> {
    let kept = bases.partition_point(|base| *base <= identity.first).saturating_sub(1);
    for base in bases.drain(..kept) {
        let path = directory.segment(base);
        directory.storage().remove(&path).failed("remove", &path)?;
    }
    Ok(())
}

/// A file as its name and header have it. Its end is known where another
/// follows.
fn segment_file(
    directory: &Directory,
    identity: &IdentityFile,
    base: Sequence,
    next_base: Option<Sequence>,
) -> Result<SegmentFile, Error> {
    let path = directory.segment(base);
    let start =
        storage::read_start(&path, HEADER_BYTES + format::ALIGNMENT).failed("read", &path)?;
    let header = match FileHeader::decode(&start) {
        Ok(header) => header,
        Err(fault @ format::HeaderFault::Newer(_)) => return Err(Error::Segment { path, fault }),
        Err(fault) => match without_header(&start, identity.log_id, base) {
            Some(header) => header,
            // Where it does not end the log, it is known what is lost.
            None if next_base.is_some() => {
                FileHeader { log_id: identity.log_id, base, capacity: 0, salt: 0 }
            }
            None => return Err(Error::Segment { path, fault }),
        },
    };
    if header.log_id != identity.log_id {
        return Err(Error::OtherLog { path, found: header.log_id, wanted: identity.log_id });
    }
    if header.base != base {
        return Err(Error::Renamed { path, found: header.base });
    }
    let bytes = fs::metadata(&path).failed("read", &path)?.len();
    Ok(SegmentFile { path, base, end: next_base.unwrap_or(base), bytes, salt: header.salt })
}

/// The header of a file whose own is damaged, by its first group.
fn without_header(start: &[u8], log_id: Uuid, base: Sequence) -> Option<FileHeader> {
    let group = GroupHeader::decode(start.get(HEADER_BYTES..)?)?;
    (group.first == base).then_some(FileHeader { log_id, base, capacity: 0, salt: group.salt })
}

/// Why sidecars were made again.
const RENEWED: &str = "corrupt, of another version, or older than the segment file beside it";

/// The last file, in order.
struct RepairedHead {
    file: SegmentFile,
    /// When its last record was accepted.
    accepted: Time,
    /// What of it is damaged.
    damage: Vec<DamagedRange>,
}

/// Cuts off the torn end of the last file, and makes sure that the rest is on
/// stable storage; removes it if it holds no record.
fn mend_last(
    directory: &Directory,
    file: SegmentFile,
    notices: &mut Vec<Notice>,
) -> Result<Option<RepairedHead>, Error> {
    let path = &file.path;
    let bytes = storage::read(path).failed("read", path)?;
    let header = FileHeader { log_id: Uuid::nil(), base: file.base, capacity: 0, salt: file.salt };
    let walk = SegmentWalk::over(&bytes, &header, None);
    if let Some(torn) = walk.torn {
        notices.push(Notice::warning(format!(
            "cut off {} bytes of {}, where record {} would have begun: an unfinished commit, of which nothing was acknowledged",
            torn.bytes,
            path.display(),
            torn.first
        )));
    }
    if walk.next == file.base {
        directory.storage().remove(path).failed("remove", path)?;
        directory.storage().sync_directory(&directory.segments()).failed("sync", path)?;
        return Ok(None);
    }
    let mut end = walk.end;
    if !walk.is_proven() || walk.torn.is_some() {
        let open = directory.storage().open(path).failed("open", path)?;
        let at = walk.unproven();
        let unproven = bytes.get(at..walk.end.min(bytes.len())).unwrap_or_default();
        let mark = mark(file.salt, walk.next);
        let prove = || {
            open.set_len(walk.end as u64)?;
            // What was read may be in memory only, even if a sync failed that was
            // to bring it to disk: so it is written again.
            open.write(&[unproven], at as u64)?;
            open.sync()?;
            open.write(&[&mark], walk.end as u64)?;
            open.set_len((walk.end + format::ALIGNMENT) as u64)?;
            open.sync()
        };
        prove().failed("write", path)?;
        end += format::ALIGNMENT;
    }
    let accepted = last_accepted(&bytes, &walk);
    let file = SegmentFile { end: walk.next, bytes: end as u64, ..file };
    Ok(Some(RepairedHead { file, accepted, damage: walk.damage }))
}

/// A group without records: it says that all before it is synced.
pub fn mark(salt: u64, next: Sequence) -> [u8; format::GROUP_HEADER_BYTES] {
    let table_checksum = format::checksum(&[]);
    let header = GroupHeader {
        salt,
        first: next,
        records: 0,
        data_len: 0,
        table_checksum,
        follows_synced: true,
    };
    header.encode()
}

/// When the last readable record of a file was accepted.
pub fn last_accepted(bytes: &[u8], walk: &SegmentWalk) -> Time {
    let accepted = walk.groups.iter().rev().find_map(|group| {
        let mut positions = (0..group.header.records).rev();
        let whole = positions.find(|position| group.damaged.binary_search(position).is_err())?;
        let group_bytes = bytes.get(group.at..)?;
        let table = group_bytes.get(group.header.table())?;
        let (_, range) = format::FrameEntry::decode_all(table).nth(whole as usize)?;
        let frame = group_bytes.get(group.header.data())?.get(range)?;
        Some(Record::read_frame(frame).accept_time)
    });
    accepted.unwrap_or(Time::MIN)
}

/// Raises the epoch if records may be lost that somebody had seen, and notes
/// whether they may be from now on.
fn renew_identity(
    directory: &Directory,
    identity: &mut IdentityFile,
    config: &Config,
    last: Sequence,
    notices: &mut Vec<Notice>,
) -> Result<(), Error> {
    let before = identity.clone();
    // Who kept a cursor behind the last record must learn that others took its place.
    if let Some(signed) = directory.signed_size().filter(|signed| *signed > last.0) {
        identity.raise_epoch(last.next());
        notices.push(Notice::error(format!(
            "a checkpoint of {signed} records was signed, but the last one is {last}: the records after it are lost; the epoch is now {}",
            identity.epoch()
        )));
    } else if identity.unsynced {
        identity.raise_epoch(last.next());
        notices.push(Notice::warning(format!(
            "the log was not closed and was not synced at each commit: records accepted after record {last}, if any, are lost; the epoch is now {}",
            identity.epoch()
        )));
    }
    identity.unsynced = config.sync != SyncPolicy::Always;
    if *identity != before {
        let path = directory.identity_path();
        directory.write_identity(identity).failed("write", &path)?;
    }
    Ok(())
}
