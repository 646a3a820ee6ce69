//! The copies of the gateways, read from their directories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use auditgate::log::disk::storage::SystemStorage;
use auditgate::log::disk::{Config, CopyOrigin, DiskLog};
use auditgate::log::{ReadHint, ReadResult, ScanOrder, Sequencer as _, Store as _};
use auditgate::record::{Record, Sequence};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::load::Receipts;
use crate::scene::Scene;

/// The frames of a copy, from its first record on.
pub struct Copy {
    pub first: u64,
    pub frames: Vec<Vec<u8>>,
}

impl Copy {
    /// Reads the copy of a gateway that has ended.
    pub async fn read(data: &Path, log_id: &str) -> Self {
        let log_id: Uuid = log_id.parse().unwrap();
        let origin = CopyOrigin { log_id, first: Sequence(1), epoch: 1 };
        let storage = Arc::new(SystemStorage);
        let (log, _) = DiskLog::open_copy(data, Config::default(), origin, storage).unwrap();
        let extent = log.extent();
        let (mut next, mut frames) = (extent.first, Vec::new());
        while next <= extent.last {
            let found = log.read(next, ReadHint::all(ScanOrder::Ascending)).await.unwrap();
            let Some(ReadResult::Records(segment)) = found else { panic!("{next} cannot be read") };
            let view = segment.view(extent.last);
            let positions = view.position(next)..view.len();
            frames.extend(positions.map(|position| view.frame(position).to_vec()));
            next = view.end();
        }
        log.close().await;
        Self { first: extent.first.0, frames }
    }

    /// The ids, in the order of their sequences.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = Vec::with_capacity(self.frames.len());
        for (frame, sequence) in self.frames.iter().zip(self.first..) {
            let record = Record::read_frame(frame);
            assert_eq!(record.sequence.0, sequence);
            ids.push(record.envelope().id.unwrap().to_owned());
        }
        ids
    }

    /// Asserts that both have the same bytes where both have records.
    pub fn agrees_with(&self, other: &Self) {
        let first = self.first.max(other.first);
        let from = |copy: &Self| (first - copy.first) as usize;
        let (own, others) = (&self.frames[from(self)..], &other.frames[from(other)..]);
        assert_eq!(own.len(), others.len(), "both end with the same record");
        for ((one, another), sequence) in own.iter().zip(others).zip(first..) {
            assert!(one == another, "record {sequence} differs");
        }
    }
}

/// Ends the gateways, and reads their copies.
pub async fn copies(scene: &mut Scene) -> Vec<Copy> {
    let log_id = scene.status(0).await.unwrap().log_id;
    let mut copies = Vec::new();
    for gateway in &mut scene.gateways {
        block_in_place(|| gateway.terminate());
        copies.push(Copy::read(&gateway.data(), &log_id).await);
    }
    copies
}

/// Ends the gateways, and compares their copies with the receipts and each other. The ids.
pub async fn agreed(scene: &mut Scene, receipts: &Receipts) -> Vec<String> {
    let copies = copies(scene).await;
    let ids = copies[0].ids();
    check(&ids, receipts);
    for copy in &copies[1..] {
        copies[0].agrees_with(copy);
    }
    ids
}

/// Compares a whole log with what emitters were told: nothing lost, doubled or invented.
fn check(ids: &[String], receipts: &Receipts) {
    let places: BTreeMap<&str, u64> = ids.iter().map(String::as_str).zip(1..).collect();
    assert_eq!(places.len(), ids.len(), "none is doubled");
    for (id, sequence) in receipts {
        assert_eq!(places.get(id.as_str()), Some(sequence), "{id} was acknowledged");
    }
    let acknowledged: BTreeSet<&str> = receipts.keys().map(String::as_str).collect();
    let invented: Vec<_> = places.keys().filter(|id| !acknowledged.contains(*id)).collect();
    assert_eq!(invented, Vec::<&&str>::new(), "none is invented");
}
