//! A log on disk to whose files something has happened. What checksums refuse at once is
//! of little interest, so the input is a list of changes to files that are whole: which
//! file, where, and the new value. Each input goes through the walk over a segment;
//! one in 16 is opened as a log and read to its end, which takes milliseconds.
#![no_main]
#![allow(clippy::indexing_slicing, reason = "a target may panic")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::log::disk::format::{ALIGNMENT, FileHeader, HEADER_BYTES};
use auditgate::log::disk::identity::IdentityFile;
use auditgate::log::disk::walk::SegmentWalk;
use auditgate::log::disk::{Config, DiskLog, SyncPolicy};
use auditgate::log::{Append, Bounds, ReadHint, ReadResult, ScanOrder, Sequencer as _, Store as _};
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use auditgate::record::{Draft, EmitterIdentity};
use auditgate::time::Time;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const RECORDS: u64 = 96;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
});

/// The files of a log of a few segments, the largest first.
static FILES: LazyLock<Vec<(PathBuf, Vec<u8>)>> =
    LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path()).expect("a new log");
        let emitter = EmitterIdentity::from(pb::Emitter::default());
        for number in (0..RECORDS).step_by(4) {
            let drafts = (number..number + 4).map(|number| {
                let event = pb::Event {
                    id: Some(format!("id-{number}")),
                    payload: Some(Payload::UserLogin(pb::UserLogin::default())),
                    ..Default::default()
                };
                let bytes = event.encode_to_vec().into();
                let event = Event::check(bytes, Time::now(), EVENT_BYTES_MAX).expect("valid");
                Draft::new(event, &emitter)
            });
            RUNTIME
                .block_on(log.append(
                    &drafts.collect::<Vec<_>>(),
                    Append::AllOrNothing { validate_only: false },
                ))
                .expect("appended");
        }
        drop(log);
        let mut files = Vec::new();
        gather(folder.path(), Path::new(""), &mut files);
        files.sort_by_key(|(path, bytes)| (std::cmp::Reverse(bytes.len()), path.clone()));
        files
    });

fn open(folder: &Path) -> Option<DiskLog> {
    let ring = Bounds { bytes: 1024 * 1024, records: 160 };
    let config = Config { ring, sync: SyncPolicy::None, ..Config::default() };
    DiskLog::open(folder, config).ok().map(|(log, _)| log)
}

fn gather(root: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(root.join(below)).expect("a folder").flatten() {
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            gather(root, &path, files);
        } else if path.extension().is_none_or(|extension| extension != "tmp") {
            // The file of zeros that is prepared has no meaning.
            files.push((path, std::fs::read(entry.path()).expect("a file")));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let _ = IdentityFile::decode(data);
    let mut files = FILES.clone();
    // Four bytes a change; what is left over says where the largest file is cut off.
    let (changes, rest) = data.split_at(data.len() / 4 * 4);
    for change in changes.chunks_exact(4) {
        let file = usize::from(change[0]) % files.len();
        let at = usize::from(u16::from_le_bytes([change[1], change[2]]));
        if let Some(byte) = files[file].1.get_mut(at) {
            *byte = change[3];
        }
    }
    if let [low, high] = rest {
        files[0].1.truncate(usize::from(u16::from_le_bytes([*low, *high])));
    }
    walk(&files[0].1);
    if data.first().is_some_and(|first| first % 16 == 0) {
        read_all(&files);
    }
});

fn walk(file: &[u8]) {
    let Some(block) = file.get(..HEADER_BYTES) else { return };
    let Ok(header) = FileHeader::decode(block) else { return };
    let walk = SegmentWalk::over(file, &header, None);
    assert!(walk.end <= file.len().next_multiple_of(ALIGNMENT), "the log ends within its file");
    let whole = walk.groups.windows(2).all(|pair| pair[0].header.end() <= pair[1].header.first);
    assert!(whole, "groups are in order");
}

/// Opens the log, reads what it has, and appends to it.
fn read_all(files: &[(PathBuf, Vec<u8>)]) {
    let folder = folder();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(path, bytes).expect("written");
    }
    let Some(log) = open(folder.path()) else { return };
    RUNTIME.block_on(async {
        let extent = log.extent();
        let mut next = extent.first;
        while next <= extent.last {
            let found = log.read(next, ReadHint::all(ScanOrder::Ascending)).await;
            let end = match found.expect("readable").expect("it is not the end") {
                ReadResult::Records(segment) => segment.view(extent.last).end(),
                ReadResult::Damaged { last, .. } => last.next(),
            };
            assert!(end > next, "a reader gets on");
            next = end;
        }
    });
}

/// In memory, where the system has a folder that is.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
