mod clock;

use std::fs;
use std::path::PathBuf;

use prost::Message as _;
use uuid::Uuid;

use super::*;
use crate::log::disk::format::{FileHeader, FrameEntry, GroupHeader, align, checksum};
use crate::log::disk::sidecar::{self, SegmentRef};
use crate::proof::key::SignatureKind;
use crate::proof::tile_store::{DiskTileStore, TileStore as _};
use crate::proof::{SigningKey, entry, leaf};
use crate::proto::pb;
use crate::record::Sequence;
use crate::time::Time;

/// Records of the log that is tampered with, and how many bytes of each file are
/// left out between two that are flipped.
const RECORDS: u64 = 300;
const STRIDE: usize = 23;
/// Where this is set, the log is larger and every byte is flipped.
const LONG: &str = "AUDITGATE_LONG";
const RECORDS_LONG: u64 = 2_000;

/// Records of a group, and of a file.
const GROUP: u64 = 7;
const FILE: u64 = 119;

/// A data directory, written by the documented form alone.
struct Directory {
    folder: tempfile::TempDir,
    key: SigningKey,
    log_id: Uuid,
    records: Vec<Vec<u8>>,
}

fn record(sequence: u64) -> Vec<u8> {
    let event = pb::Event { id: Some(format!("e-{sequence}")), ..Default::default() };
    pb::Record {
        sequence,
        accept_time: Some(Time(1_700_000_000_000_000_000 + sequence as i64).timestamp()),
        r#type: "user.login".into(),
        event: Some(event),
        ..Default::default()
    }
    .encode_to_vec()
}

fn framed(record: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x0a];
    crate::wire::put_varint(&mut frame, record.len() as u64);
    [frame, record.to_vec()].concat()
}

impl Directory {
    fn new(records: u64) -> Self {
        let directory = Self {
            folder: tempfile::tempdir().unwrap(),
            key: SigningKey::generate("test.example/log", SignatureKind::Log).unwrap(),
            log_id: Uuid::from_u128(7),
            records: (1..=records).map(record).collect(),
        };
        fs::create_dir(directory.path("segments")).unwrap();
        directory.write_log(1);
        directory.write_segments();
        directory.write_tree(records);
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_log(&self, first: u64) {
        let identity = IdentityFile::new(self.log_id, Time(1));
        let identity = IdentityFile { first: Sequence(first), ..identity };
        fs::write(self.path("log"), identity.encode()).unwrap();
    }

    fn write_segments(&self) {
        for (number, records) in self.records.chunks(FILE as usize).enumerate() {
            let base = 1 + number as u64 * FILE;
            let name = self.path(&format!("segments/{base:020}.log"));
            fs::write(name, self.segment(base, records)).unwrap();
            if records.len() == FILE as usize {
                self.write_sidecar(base, records);
            }
        }
    }

    fn write_sidecar(&self, base: u64, records: &[Vec<u8>]) {
        let path = self.path(&format!("segments/{base:020}.log"));
        let end = base + records.len() as u64;
        let of = SegmentRef::new(self.log_id, (Sequence(base), Sequence(end)), base * 99);
        let made = sidecar::make(&path, &of, None).unwrap();
        fs::write(path.with_extension("idx"), &*made).unwrap();
    }

    /// A segment file of records, whatever sequence they say they have.
    fn segment(&self, base: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let (log_id, salt) = (self.log_id, base * 99);
        let mut bytes = FileHeader { log_id, base: Sequence(base), capacity: 0, salt }.encode();
        let mut next = base;
        for group in records.chunks(GROUP as usize).chain([&[][..]]) {
            let frames: Vec<Vec<u8>> = group.iter().map(|record| framed(record)).collect();
            let table: Vec<u8> =
                frames.iter().flat_map(|frame| FrameEntry::of(frame).encode()).collect();
            let data = frames.concat();
            let header = GroupHeader {
                salt,
                first: Sequence(next),
                records: frames.len() as u32,
                data_len: data.len() as u32,
                table_checksum: checksum(&table),
                follows_synced: true,
            };
            bytes.extend_from_slice(&[header.encode().to_vec(), table, data].concat());
            bytes.resize(align(bytes.len()), 0);
            next += frames.len() as u64;
        }
        bytes
    }

    /// Tiles and a checkpoint of the first records.
    fn write_tree(&self, size: u64) -> SignedCheckpoint {
        let (store, _) = DiskTileStore::open(self.folder.path(), &self.key).unwrap();
        let mut tree = Tree::default();
        for record in &self.records[..size as usize] {
            tree.push(leaf(&entry(record)), |place, tile| store.write(place, &tile).unwrap());
        }
        let signed = SignedCheckpoint::sign(tree.head(), &self.key).unwrap();
        store.commit(&tree, &signed).unwrap();
        signed
    }

    fn audit(&self) -> CheckReport {
        self.audit_since(&[])
    }

    fn audit_since(&self, kept: &[(SignedCheckpoint, String)]) -> CheckReport {
        check_directory(self.folder.path(), &self.key.verifier(), kept).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

/// Fails unless the report says that the record is bad, and that it is the first.
fn blames(report: &CheckReport, sequence: u64) {
    assert_eq!(report.first_bad(), Some(sequence), "{:#?}", report.findings);
}

#[test]
fn a_good_directory_is_found_good() {
    let directory = Directory::new(RECORDS);
    let report = directory.audit();
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!((report.first, report.last, report.records), (1, RECORDS, RECORDS));
    assert_eq!(report.tiles, 3, "a full one, and two at the edge");
    assert_eq!(report.sidecars, 2, "of the two files that are full");
    assert_eq!(report.checkpoint.map(|signed| signed.size()), Some(RECORDS));
    assert!(Directory::new(0).audit().is_good());
    let empty = tempfile::tempdir().unwrap();
    let none = check_directory(empty.path(), &directory.key.verifier(), &[]);
    assert!(matches!(none, Err(Error::NoLog { .. })));
}

#[test]
fn every_flipped_byte_is_found() {
    let is_long = std::env::var_os(LONG).is_some();
    let workers = if is_long { std::thread::available_parallelism().unwrap().get() } else { 1 };
    let flipped: u64 = std::thread::scope(|scope| {
        let flip = |own| scope.spawn(move || flip_bytes(is_long, own, workers));
        let all: Vec<_> = (0..workers).map(flip).collect();
        all.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    println!("{flipped} flipped bytes: all found");
}

/// Flips the bytes that are this worker's, in a directory of its own; returns how
/// many they are.
fn flip_bytes(is_long: bool, own: usize, workers: usize) -> u64 {
    let directory = Directory::new(if is_long { RECORDS_LONG } else { RECORDS });
    let files = directory.files();
    assert!(files.len() > 6, "{files:?}");
    // A prime stride meets every field of every structure somewhere.
    let (start, stride) = if is_long { (own, workers) } else { (0, STRIDE) };
    let mut flipped = 0;
    for path in &files {
        let bytes = fs::read(path).unwrap();
        for position in (start..bytes.len()).step_by(stride) {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << (position % 8);
            fs::write(path, &changed).unwrap();
            let report = directory.audit();
            // Behind the last record a file may be torn, which is told.
            let is_found = !report.is_good() || report.torn.is_some();
            assert!(is_found, "byte {position} of {}", path.display());
            flipped += 1;
        }
        fs::write(path, &bytes).unwrap();
    }
    assert!(directory.audit().is_good(), "each was put right again");
    flipped
}

#[test]
fn a_sidecar_that_is_not_of_its_records_is_named() {
    let directory = Directory::new(RECORDS);
    let path = directory.path("segments/00000000000000000120.idx");
    let said = |directory: &Directory| {
        let report = directory.audit();
        assert_eq!(report.first_bad(), None, "no record is bad");
        report.findings.first().map(|finding| finding.what.clone()).unwrap_or_default()
    };
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let wanted = "segments/00000000000000000120.idx is damaged: the block at byte 8192 fails";
    assert!(said(&directory).starts_with(wanted), "{}", said(&directory));
    fs::remove_file(&path).unwrap();
    assert!(directory.audit().is_good(), "it is made again");
    // With all checksums, of records that have another id: a search would miss them.
    let mut records = directory.records.clone();
    records[130] = record(9_999);
    let forged = Directory { records, folder: tempfile::tempdir().unwrap(), ..directory };
    fs::create_dir(forged.path("segments")).unwrap();
    forged.write_segments();
    let lie = fs::read(forged.path("segments/00000000000000000120.idx")).unwrap();
    let directory = Directory::new(RECORDS);
    fs::write(directory.path("segments/00000000000000000120.idx"), lie).unwrap();
    let said = said(&directory);
    assert!(said.contains("0120.idx does not match the records, from byte "), "{said}");
}

#[test]
fn a_changed_record_is_found_though_all_checksums_fit() {
    let directory = Directory::new(RECORDS);
    let mut changed = directory.records.clone();
    let last = changed[41].len() - 1;
    changed[41][last] ^= 1;
    fs::write(
        directory.path("segments/00000000000000000001.log"),
        directory.segment(1, &changed[..119]),
    )
    .unwrap();
    let report = directory.audit();
    blames(&report, 42);
    let said = "records 1 to 300 are not those of the file checkpoint";
    let is_said = report.findings.iter().any(|finding| finding.what.contains(said));
    assert!(is_said, "{:#?}", report.findings);
    // Whoever changes the tile as well is betrayed by the root.
    let other = Directory { records: changed, folder: tempfile::tempdir().unwrap(), ..directory };
    fs::create_dir(other.path("segments")).unwrap();
    other.write_log(1);
    other.write_segments();
    other.write_tree(RECORDS);
    assert!(other.audit().is_good(), "with the key, a whole other log can be made");
}

#[test]
fn what_was_signed_cannot_be_made_again_without_the_key() {
    let directory = Directory::new(RECORDS);
    let checkpoint = fs::read(directory.path("checkpoint")).unwrap();
    let mut forged = Directory::new(RECORDS);
    let last = forged.records[99].len() - 1;
    forged.records[99][last] ^= 1;
    forged.write_segments();
    forged.write_tree(RECORDS);
    fs::write(forged.path("checkpoint"), &checkpoint).unwrap();
    let report = check_directory(forged.folder.path(), &directory.key.verifier(), &[]).unwrap();
    assert!(report.findings.iter().any(|finding| finding.what.contains("not those of")));
}

#[test]
fn deleted_and_swapped_records_are_found() {
    let directory = Directory::new(RECORDS);
    let first = directory.path("segments/00000000000000000001.log");
    let rewrite = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut records = directory.records[..119].to_vec();
        change(&mut records);
        fs::write(&first, directory.segment(1, &records)).unwrap();
        directory.audit()
    };
    blames(&rewrite(&|records| drop(records.remove(50))), 51);
    blames(&rewrite(&|records| records.swap(9, 10)), 10);
    blames(&rewrite(&|records| records.insert(20, record(21))), 22);
    blames(&rewrite(&|records| records.truncate(100)), 101);
    assert!(rewrite(&|_| {}).is_good());

    let second = directory.path("segments/00000000000000000120.log");
    let whole = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    blames(&directory.audit(), 120);
    fs::write(&second, &whole).unwrap();
    let third = directory.path("segments/00000000000000000239.log");
    let last = fs::read(&third).unwrap();
    fs::write(&third, &whole).unwrap();
    blames(&directory.audit(), 239);
    fs::write(&third, &last).unwrap();
    fs::remove_file(&first).unwrap();
    blames(&directory.audit(), 1);
}

#[test]
fn a_log_that_was_cut_off_is_found_at_any_group() {
    let directory = Directory::new(RECORDS);
    let path = directory.path("segments/00000000000000000239.log");
    let whole = fs::read(&path).unwrap();
    for end in (4_096..whole.len()).step_by(512) {
        fs::write(&path, &whole[..end]).unwrap();
        let report = directory.audit();
        // Without its last, empty group the file still has all records.
        assert_eq!(report.is_good(), report.last == RECORDS, "cut at {end}: {report:?}");
        if let Some(bad) = report.first_bad() {
            assert_eq!(bad, report.last + 1);
        }
    }
    fs::remove_file(&path).unwrap();
    blames(&directory.audit(), 239);
}

#[test]
fn an_older_copy_is_found_by_a_checkpoint_that_was_kept() {
    let older = Directory::new(200);
    let newer = Directory { records: (1..=RECORDS).map(record).collect(), ..older };
    newer.write_segments();
    let kept = newer.write_tree(RECORDS);
    assert!(newer.audit_since(&[(kept.clone(), "kept".into())]).is_good());
    // The whole directory is put back to what it was.
    let older = Directory {
        folder: tempfile::tempdir().unwrap(),
        records: (1..=200).map(record).collect(),
        ..newer
    };
    fs::create_dir(older.path("segments")).unwrap();
    older.write_log(1);
    older.write_segments();
    older.write_tree(200);
    assert!(older.audit().is_good(), "by itself it is what it was");
    let report = older.audit_since(&[(kept, "kept".into())]);
    blames(&report, 201);
    assert!(report.findings[0].what.contains("kept says that there were 300"), "{report:?}");
}

#[test]
fn tiles_and_the_checkpoint_must_be_there() {
    let directory = Directory::new(RECORDS);
    for path in directory.files() {
        if path.extension().is_some_and(|ending| ending == "idx") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let is_found =
            match check_directory(directory.folder.path(), &directory.key.verifier(), &[]) {
                Ok(report) => !report.is_good(),
                Err(_) => path.ends_with("log"),
            };
        assert!(is_found, "{}", path.display());
        fs::write(&path, bytes).unwrap();
    }
    fs::create_dir_all(directory.path("tile/0")).unwrap();
    fs::write(directory.path("tile/0/007"), [0; 8_192]).unwrap();
    assert!(!directory.audit().is_good(), "a tile of records that are not there");
}

#[test]
fn what_retention_removed_may_be_gone_and_nothing_else() {
    let directory = Directory::new(RECORDS);
    let (store, _) = DiskTileStore::open(directory.folder.path(), &directory.key).unwrap();
    fs::remove_file(directory.path("segments/00000000000000000001.log")).unwrap();
    directory.write_log(120);
    blames(&directory.audit(), 1);
    store.release(120, Some(&Tree::default().head())).unwrap();
    let report = directory.audit();
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!((report.first, report.records), (120, RECORDS - 119));
    // One more than was released.
    fs::remove_file(directory.path("segments/00000000000000000120.log")).unwrap();
    blames(&directory.audit(), 120);
    directory.write_log(239);
    blames(&directory.audit(), 120);
}
