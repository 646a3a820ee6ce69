//! Opens the copy of a shared log, and finds out where it goes on. Records that the log has
//! lost are set aside, if an operator has accepted that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, read_mark, write_mark};
use crate::log::disk::identity::EpochEntry;
use crate::log::disk::storage::{self, Storage};
use crate::log::disk::{self, CopyOrigin, DiskLog, Notice, set_aside};
use crate::log::shared::machine::{Machine, mix, unmix};
use crate::log::shared::mark::{FOLLOWER, FollowerMark};
use crate::log::shared::message::{Basis, EpochChange};
use crate::log::shared::resume::{self, BegunEpoch, Error, ResumePoint, Resumption};
use crate::log::shared::stream::Stream;
use crate::log::shared::window_file::{self, WINDOW};
use crate::log::{
    PublishedCheckpoint, ReadHint, ReadResult, ScanOrder, Sequencer as _, Store as _,
};
use crate::record::Sequence;

/// The folder of the data directory with the records that were lost, by epoch.
const LOST: &str = "lost";

/// A copy that is open.
pub struct OpenedCopy {
    pub disk: DiskLog,
    pub notices: Vec<Notice>,
    pub machine: Machine,
    pub mark: FollowerMark,
    /// The stream's newest message.
    pub end: u64,
    /// The newest checkpoint that the operator knew of who accepted a loss.
    pub checkpoint: Option<PublishedCheckpoint>,
}

/// Opens the copy at `path`, or makes one there.
pub async fn open_copy(
    path: &Path,
    config: &Config,
    stream: &dyn Stream,
    storage: &Arc<dyn Storage>,
) -> Result<OpenedCopy, Error> {
    let mark = read_mark(&path.join(FOLLOWER))?;
    // Without it, the keys are taken from the stream, as far as it has them.
    let window = mark.zip(storage::read(&path.join(WINDOW)).ok());
    let window = window.and_then(|(mark, bytes)| window_file::decode(&bytes, &mark));
    let key = config.epoch_key.as_deref();
    match resume::resume(stream, &config.keys, key, mark, window).await? {
        Resumption::At(point) => {
            let ResumePoint { machine, mark, end } = *point;
            let (disk, notices) = open_disk(path, config.disk, &mark, storage).await?;
            let (last, wanted) = (disk.extent().last.0, mark.state.count);
            if last < wanted {
                return Err(Error::CopyLost { last, wanted });
            }
            write_mark(&path.join(FOLLOWER), &mark)?;
            Ok(OpenedCopy { disk, notices, machine, mark, end, checkpoint: None })
        }
        Resumption::Epochs { mark, epochs, end } => {
            go_on((path, storage), config.disk, stream, mark, epochs, end).await
        }
    }
}

/// Goes on with the first of the epochs of whose records the copy has all.
async fn go_on(
    (path, storage): (&Path, &Arc<dyn Storage>),
    config: disk::Config,
    stream: &dyn Stream,
    mark: FollowerMark,
    epochs: Vec<BegunEpoch>,
    end: u64,
) -> Result<OpenedCopy, Error> {
    let (mut disk, mut notices) = open_disk(path, config, &mark, storage).await?;
    let last = disk.extent().last;
    let BegunEpoch { change, entry } = choose(path, &disk, &mark, epochs).await?;
    let EpochChange { number, count, .. } = change;
    let epoch = EpochEntry { number: number.into(), first: Sequence(count + 1) };
    let folder = lost_folder(path, &change);
    if last.0 > count || folder.exists() {
        disk.close().await;
        drop(disk);
        let (directory, aside) = (path.to_owned(), folder.clone());
        let stay = tokio::task::spawn_blocking(move || set_aside(&directory, epoch, &aside)).await;
        let stay = stay.expect("moving files does not panic")?;
        let (reopened, _) = open_disk(path, config, &mark, storage).await?;
        let pushed = reopened.push(&stay).await;
        pushed.map_err(|error| mark_error(path, &error.to_string()))?;
        // What was pushed is on stable storage before the mark says so.
        reopened.close().await;
        drop(reopened);
        disk = open_disk(path, config, &mark, storage).await?.0;
        notices.push(Notice::error(format!(
            "an operator accepted a loss: epoch {number} begins after record {count}; records \
             {} to {last} of this copy are not in the log any more, and lie in {}",
            epoch.first,
            folder.display()
        )));
    } else {
        notices.push(Notice::warning(format!(
            "an operator accepted a loss: epoch {number} begins after record {count}; this copy \
             has all records that the log goes on with"
        )));
    }
    let began = disk.begin_epoch(epoch);
    began.map_err(|error| mark_error(path, &error.to_string()))?;
    let machine = Machine::of_epoch(stream.settings().window, &change);
    let mark = mark.of_epoch(machine.state(), entry.timestamp, &entry.bytes);
    write_mark(&path.join(FOLLOWER), &mark)?;
    let checkpoint = (!change.checkpoint.is_empty())
        .then_some(PublishedCheckpoint { text: change.checkpoint, records: count });
    Ok(OpenedCopy { disk, notices, machine, mark, end, checkpoint })
}

/// The first of these epochs with whose records the copy begins.
async fn choose(
    path: &Path,
    disk: &DiskLog,
    mark: &FollowerMark,
    epochs: Vec<BegunEpoch>,
) -> Result<BegunEpoch, Error> {
    let mut newest = (0, 0);
    for epoch in epochs {
        // What is being set aside was compared before.
        let is_begun = lost_folder(path, &epoch.change).exists();
        let count = epoch.change.count;
        if is_begun || digest_at(disk, mark.state, count).await == Some(epoch.change.digest) {
            return Ok(epoch);
        }
        newest = (epoch.change.number, count);
    }
    let (epoch, count) = newest;
    Err(Error::OtherHistory { epoch, count, last: disk.extent().last.0 })
}

/// The rolling hash of the first `count` records of a copy that was in this state; `None`
/// if it does not have them, or not the records between.
pub async fn digest_at(disk: &DiskLog, state: Basis, count: u64) -> Option<u64> {
    let extent = disk.extent();
    let (from, to) = (state.count.min(count), state.count.max(count));
    if count > extent.last.0 || (from < to && (extent.first.0 > from + 1 || extent.last.0 < to)) {
        return None;
    }
    let mut frames = Vec::new();
    let mut next = Sequence(from + 1);
    while next.0 <= to {
        let read = disk.read(next, ReadHint::all(ScanOrder::Ascending)).await;
        let Ok(Some(ReadResult::Records(segment))) = read else { return None };
        let view = segment.view(Sequence(to));
        if !view.holds(next) {
            return None;
        }
        let positions = view.position(next)..view.len();
        frames.extend(positions.map(|position| crc32c::crc32c(view.frame(position))));
        next = view.end();
    }
    let digest = if state.count <= count {
        frames.into_iter().fold(state.digest, mix)
    } else {
        frames.into_iter().rev().fold(state.digest, unmix)
    };
    Some(digest)
}

/// Where the records go that are lost with an epoch.
fn lost_folder(path: &Path, change: &EpochChange) -> PathBuf {
    let EpochChange { number, count, digest, .. } = change;
    path.join(LOST).join(format!("epoch-{number}-after-{count}-{digest:016x}"))
}

pub fn system_storage() -> Arc<dyn Storage> {
    Arc::new(storage::SystemStorage)
}

pub async fn open_disk(
    path: &Path,
    config: disk::Config,
    mark: &FollowerMark,
    storage: &Arc<dyn Storage>,
) -> Result<(DiskLog, Vec<Notice>), Error> {
    let FollowerMark { log_id, state, .. } = *mark;
    let origin = CopyOrigin { log_id, first: Sequence(state.count + 1), epoch: state.epoch.into() };
    let (directory, storage) = (path.to_owned(), Arc::clone(storage));
    let opened = tokio::task::spawn_blocking(move || {
        DiskLog::open_copy(&directory, config, origin, storage)
    });
    Ok(opened.await.expect("opening does not panic")?)
}

fn mark_error(path: &Path, why: &str) -> Error {
    Error::Mark { path: path.to_owned(), error: std::io::Error::other(why.to_owned()) }
}
