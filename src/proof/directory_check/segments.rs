//! Checks segment files: frames, checksums, and the order of the records.

use super::{DirectoryCheck, Error};
use crate::log::disk::format::{FileHeader, FrameEntry, HEADER_BYTES, align};
use crate::log::disk::identity::IdentityFile;
use crate::log::disk::sidecar::SegmentRef;
use crate::log::disk::walk::{CommitGroup, SegmentWalk};
use crate::proof::{entry, leaf};
use crate::record::{Record, Sequence, unframed};
use crate::time::Time;
use crate::wire;

/// The folder of segment files.
const SEGMENTS: &str = "segments";
/// The ending of their names.
const ENDING: &str = ".log";
/// Digits of their names: those of the sequence of the first record.
const DIGITS: usize = 20;

impl DirectoryCheck<'_> {
    /// Checks all records.
    pub(super) fn records(&mut self, identity: Option<&IdentityFile>) -> Result<(), Error> {
        let bases = self.bases()?;
        self.report.last = self.report.first - 1;
        let mut accepted = (0, Time::MIN);
        for (position, base) in bases.iter().enumerate() {
            let next_base = bases.get(position + 1).copied();
            if next_base.is_some_and(|next| next.0 <= self.report.first) {
                // The records are removed, and only the file is left.
                continue;
            }
            self.file(*base, next_base, identity, &mut accepted)?;
        }
        Ok(())
    }

    /// The bases of the segment files, ascending.
    fn bases(&mut self) -> Result<Vec<Sequence>, Error> {
        let path = self.folder.join(SEGMENTS);
        let failed = |error| Error::Read { path: path.clone(), error };
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut bases = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let Some(digits) = name.strip_suffix(ENDING) else { continue };
            match digits.parse::<u64>() {
                Ok(base) if digits.len() == DIGITS && base > 0 => bases.push(Sequence(base)),
                _ => self
                    .report
                    .find(None, format!("{SEGMENTS}/{name} is not the name of a segment file")),
            }
        }
        bases.sort();
        Ok(bases)
    }

    fn file(
        &mut self,
        base: Sequence,
        next_base: Option<Sequence>,
        identity: Option<&IdentityFile>,
        accepted: &mut (u64, Time),
    ) -> Result<(), Error> {
        let name = format!("{SEGMENTS}/{:020}{ENDING}", base.0);
        let bytes = self.read(&name)?.unwrap_or_default();
        let expected = self.report.last + 1;
        if base.0 > expected {
            self.lost(
                expected,
                base.0 - 1,
                &format!("the file {name} follows, and none is there that has them"),
            )?;
        } else if base.0 < expected && expected != self.report.first {
            self.report.find(
                Some(base.0),
                format!("{name} begins with records that are in the file before it, too"),
            );
        }
        let Some(header) = self.header(&name, &bytes, base, identity) else {
            if let Some(next) = next_base {
                self.lost(base.0, next.0 - 1, &format!("{name} cannot be read"))?;
            }
            return Ok(());
        };
        let found_before = self.report.found;
        let walk = SegmentWalk::over(&bytes, &header, next_base);
        self.padding(&name, &bytes, &walk);
        for group in &walk.groups {
            self.group(&name, &bytes, group, accepted)?;
        }
        if walk.next.0 > self.report.last + 1 {
            let (first, last) = (self.report.last + 1, walk.next.0 - 1);
            self.lost(first, last, &format!("{name} lacks them or they are damaged"))?;
        }
        if let Some(torn) = walk.torn {
            self.report.torn = Some(torn.bytes);
        }
        let of = SegmentRef::new(header.log_id, (base, walk.next), header.salt);
        let is_whole = self.report.found == found_before;
        self.sidecar(&name, &of, is_whole.then_some(bytes.as_slice()))?;
        Ok(())
    }

    /// Checks the header, both copies of which must be valid.
    fn header(
        &mut self,
        name: &str,
        bytes: &[u8],
        base: Sequence,
        identity: Option<&IdentityFile>,
    ) -> Option<FileHeader> {
        let header = match FileHeader::decode(bytes) {
            Ok(header) => header,
            Err(fault) => {
                self.report.find(Some(base.0), format!("{name} {fault}"));
                return None;
            }
        };
        if bytes.get(..HEADER_BYTES) != Some(header.encode().as_slice()) {
            self.report.find(None, format!("{name}: a copy of its header is damaged"));
        }
        if header.base != base {
            self.report.find(
                Some(base.0),
                format!("{name} says that it begins with record {}", header.base),
            );
            return None;
        }
        if identity.is_some_and(|identity| identity.log_id != header.log_id) {
            self.report.find(Some(base.0), format!("{name} is of another log"));
            return None;
        }
        Some(header)
    }

    /// Checks that there are only zeros between groups.
    fn padding(&mut self, name: &str, bytes: &[u8], walk: &SegmentWalk) {
        let mut end = HEADER_BYTES;
        let ends = walk.groups.iter().map(|group| (group.at, group.at + group.header.len()));
        for (start, next) in ends {
            let between = bytes.get(end..start).unwrap_or_default();
            // After a lost group, the bytes between are that group.
            if start == align(end) && between.iter().any(|byte| *byte != 0) {
                self.report
                    .find(None, format!("{name} has bytes at {end} that belong to no group"));
            }
            end = next;
        }
        if walk.torn.is_none() && bytes.get(end..).unwrap_or_default().iter().any(|byte| *byte != 0)
        {
            self.report.find(None, format!("{name} has bytes after its last group"));
        }
    }

    fn group(
        &mut self,
        name: &str,
        bytes: &[u8],
        group: &CommitGroup,
        accepted: &mut (u64, Time),
    ) -> Result<(), Error> {
        let whole = bytes.get(group.at..).unwrap_or_default();
        let header = &group.header;
        let data = whole.get(header.data()).unwrap_or_default();
        let table = whole.get(header.table()).unwrap_or_default();
        if header.first.0 > self.report.last + 1 {
            let (first, last) = (self.report.last + 1, header.first.0 - 1);
            self.lost(first, last, &format!("{name} lacks them or they are damaged"))?;
        }
        for (position, (_, range)) in (0_u32..).zip(FrameEntry::decode_all(table)) {
            let sequence = header.first.0 + u64::from(position);
            if sequence <= self.report.last {
                continue;
            }
            let frame = data.get(range).unwrap_or_default();
            if group.damaged.contains(&position) {
                self.lost(
                    sequence,
                    sequence,
                    &format!("{name}: the checksum of its frame or of its group's table is wrong"),
                )?;
                continue;
            }
            self.record(sequence, frame, accepted)?;
        }
        Ok(())
    }

    /// Checks a record. `before` is the sequence and the accept time of the last one that
    /// could be read.
    fn record(
        &mut self,
        sequence: u64,
        frame: &[u8],
        before: &mut (u64, Time),
    ) -> Result<(), Error> {
        let bytes = unframed(frame);
        let record = Record::read(bytes);
        if record.sequence.0 != sequence {
            let says = record.sequence;
            self.report.find(
                Some(sequence),
                format!("record {sequence} says that its sequence is {says}"),
            );
        }
        if record.accept_time < before.1 {
            self.report.find(
                Some(sequence),
                format!("record {sequence} was accepted before the one before it"),
            );
        }
        // An accept time is raised only to that of the record before.
        let is_raised = record.accept_time_raised().is_some();
        if is_raised && before.0 + 1 == sequence && record.accept_time != before.1 {
            self.report.find(
                Some(sequence),
                format!("record {sequence} says that its accept time was raised, but it is not that of the record before it"),
            );
        }
        *before = (sequence, record.accept_time.max(before.1));
        self.report.records += 1;
        self.report.last = sequence;
        if !is_frame_of(frame, bytes) {
            let what = format!("the frame of record {sequence} is not its key, length and record");
            self.report.find(Some(sequence), what);
        }
        self.push(leaf(&entry(bytes)))
    }

    /// Reports lost records. Their hashes are taken from tiles, so that later records can be
    /// compared.
    fn lost(&mut self, first: u64, last: u64, why: &str) -> Result<(), Error> {
        let which = if first == last {
            format!("record {first} is lost")
        } else {
            format!("records {first} to {last} are lost")
        };
        self.report.find(Some(first), format!("{which}: {why}"));
        for sequence in first..=last {
            match self.leaf_of_tile(sequence - 1)? {
                Some(leaf) => self.push(leaf)?,
                None => {
                    self.end_comparing();
                    break;
                }
            }
        }
        self.report.last = last;
        Ok(())
    }
}

/// Whether a frame consists of the key of `records`, the record's length and the record. The tree's
/// hashes cover only the record.
fn is_frame_of(frame: &[u8], record: &[u8]) -> bool {
    /// Field 1, length-delimited.
    const KEY: u8 = 0x0a;
    let mut head = vec![KEY];
    wire::put_varint(&mut head, record.len() as u64);
    frame.strip_prefix(head.as_slice()) == Some(record)
}
