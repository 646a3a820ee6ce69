//! Segment files with events that are known by their number.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use uuid::Uuid;

use crate::event::Event;
use crate::filter::Filter;
use crate::log::disk::format::{FileHeader, FrameEntry, GroupHeader, align, checksum};
use crate::log::disk::sealed::{SealedSegments, SegmentFile};
use crate::log::disk::sidecar::FrameLocation;
use crate::log::disk::storage::{Storage, SystemStorage};
use crate::log::disk::walk::{CommitGroup, SegmentWalk};
use crate::log::{ScanQuery, Segment};
use crate::proto::pb;
use crate::proto::pb::event::Payload;
use crate::record::{Draft, Sequence};
use crate::time::Time;

pub const LOG: Uuid = Uuid::from_u128(0xa0d1);
/// Records of a segment, and of a group.
pub const SEGMENT: u64 = 150;
pub const GROUP: u64 = 7;

/// Times and accept times are ten nanoseconds apart.
pub fn time(number: u64) -> Time {
    Time(1_700_000_000_000_000_000 + 10 * number as i64)
}

pub fn event(number: u64) -> pb::Event {
    let text = |text: String| Some(text);
    let line = format!("run {number} {}", "x".repeat((number * 37 % 400) as usize));
    let payload = match number % 10 {
        0 => Payload::UserLogin(pb::UserLogin::default()),
        1 if number.is_multiple_of(7) => {
            let name = text(format!("odd.{}", number % 3));
            Payload::Custom(pb::Custom { name, ..Default::default() })
        }
        _ => Payload::Exec(pb::Exec {
            command: Some(pb::Command { line: Some(line), ..Default::default() }),
            ..Default::default()
        }),
    };
    pb::Event {
        id: text(format!("id-{number}")),
        time: Some(time(number).timestamp()),
        user: Some(pb::User { name: text(format!("user-{}", number % 29)), ..Default::default() }),
        session: Some(pb::Session { id: text(format!("s-{}", number / 9)), ..Default::default() }),
        outcome: number
            .is_multiple_of(5)
            .then(|| pb::Outcome { success: Some(number.is_multiple_of(2)), ..Default::default() }),
        payload: Some(payload),
        ..Default::default()
    }
}

/// The draft of an event, as this principal hands it in.
pub fn draft(number: u64, principal: &str) -> Draft {
    let emitter = pb::Emitter { principal: principal.into(), peer: String::new() }.into();
    let bytes = event(number).encode_to_vec();
    Draft::new(Event::check(bytes.into(), time(number), 1 << 20).unwrap(), &emitter)
}

/// Writes the file of a segment; returns it with the segment.
pub fn segment(folder: &Path, base: u64, end: u64) -> (SegmentFile, Arc<Segment>) {
    let mut writer = Segment::create(Sequence(base), 1 << 20, SEGMENT as usize);
    for number in base..end {
        writer.append(&draft(number, "svc"), Sequence(number), time(number));
    }
    writer.publish();
    let segment = Arc::clone(writer.segment());
    let view = segment.view(Sequence(end));
    let salt = 77 + base;
    let header = FileHeader { log_id: LOG, base: Sequence(base), capacity: 0, salt };
    let mut bytes = header.encode();
    for first in (base..end).step_by(GROUP as usize) {
        let positions = (first - base) as usize..((first + GROUP).min(end) - base) as usize;
        let entries = positions.clone().map(|at| FrameEntry::of(view.frame(at)).encode());
        let table: Vec<u8> = entries.flatten().collect();
        let data = segment.bytes(view.frames(positions.clone()));
        let group = GroupHeader {
            salt,
            first: Sequence(first),
            records: positions.len() as u32,
            data_len: data.len() as u32,
            table_checksum: checksum(&table),
            follows_synced: true,
        };
        bytes.extend_from_slice(&group.encode());
        bytes.extend_from_slice(&table);
        bytes.extend_from_slice(data);
        bytes.resize(align(bytes.len()), 0);
    }
    let path = folder.join(format!("{base:020}.log"));
    fs::write(&path, &bytes).unwrap();
    let (base, end) = (Sequence(base), Sequence(end));
    (SegmentFile { path, base, end, bytes: bytes.len() as u64, salt }, segment)
}

/// Where the frames of a file lie.
pub fn located(file: &SegmentFile) -> Vec<FrameLocation> {
    let bytes = fs::read(&file.path).unwrap();
    let header = FileHeader::decode(&bytes).unwrap();
    let groups = SegmentWalk::over(&bytes, &header, Some(file.end)).groups;
    let in_group = |group: &CommitGroup| {
        let at = group.at + group.header.data().start;
        let table = &bytes[group.at..][group.header.table()];
        let entries = FrameEntry::decode_all(table);
        entries
            .map(|(entry, range)| FrameLocation { offset: (at + range.start) as u32, entry })
            .collect::<Vec<_>>()
    };
    groups.iter().flat_map(in_group).collect()
}

/// So many segments.
pub fn files(folder: &Path, count: u64) -> Vec<(SegmentFile, Arc<Segment>)> {
    (0..count).map(|n| segment(folder, 1 + n * SEGMENT, 1 + (n + 1) * SEGMENT)).collect()
}

pub fn open(folder: &Path, files: &[(SegmentFile, Arc<Segment>)]) -> SealedSegments {
    open_on(folder, files, Arc::new(SystemStorage))
}

pub fn open_on(
    folder: &Path,
    files: &[(SegmentFile, Arc<Segment>)],
    storage: Arc<dyn Storage>,
) -> SealedSegments {
    let files = files.iter().map(|(file, _)| file.clone()).collect();
    SealedSegments::open(folder, LOG, files, storage).unwrap()
}

pub fn query(filter: pb::Filter) -> ScanQuery {
    ScanQuery::new(Arc::new(Filter::compile(&filter).unwrap()))
}
