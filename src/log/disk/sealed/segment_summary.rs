//! The summary of a full segment, read from the beginning of its sidecar.

use std::fs::File;
use std::io;

use super::sealed_segment::sidecar_path;
use super::{SealedInner, SegmentFile};
use crate::log::Segment;
use crate::log::disk::block_file::{BlockFault, BlockSource};
use crate::log::disk::bloom::SegmentBloom;
use crate::log::disk::format::FileHeader;
use crate::log::disk::sidecar::{self, FrameLocation, SegmentRef, Sidecar, SidecarSummary};
use crate::log::disk::storage;
use crate::log::disk::walk::SegmentWalk;
use crate::record::Sequence;

/// What is read of a segment to add it to the others.
pub struct SegmentSummary {
    pub file: SegmentFile,
    pub of: SegmentRef,
    pub summary: SidecarSummary,
    pub keys: SegmentBloom,
    pub ids: SegmentBloom,
    /// Whether the sidecar could not be written.
    pub unsaved: bool,
    /// Whether there was a sidecar that did not match.
    pub renewed: bool,
}

impl SegmentSummary {
    /// Reads the beginning of a segment's sidecar; makes the sidecar if it is
    /// missing or damaged, from what may be in memory of the segment.
    pub fn new(
        inner: &SealedInner,
        file: SegmentFile,
        in_memory: Option<(&Segment, &[FrameLocation])>,
    ) -> io::Result<Self> {
        let of = file.of(inner.log_id);
        let path = sidecar_path(&file.path);
        let saved = File::open(&path)
            .map_err(BlockFault::from)
            .and_then(|source| Self::through(BlockSource::File(source), &of))
            .and_then(|opened| {
                if is_mended(&file, &of, &opened.0)? {
                    Err(BlockFault::Damaged)
                } else {
                    Ok(opened)
                }
            });
        let renewed = matches!(saved, Err(BlockFault::Damaged));
        let (opened, unsaved) = match saved {
            Ok(opened) => (opened, false),
            Err(_) => {
                let encoded = sidecar::make(&file.path, &of, in_memory)?;
                let unsaved = sidecar::save(&*inner.storage, &path, &encoded).is_err();
                let made = Self::through(BlockSource::Memory(encoded), &of);
                (made.map_err(|fault| io::Error::other(fault.to_string()))?, unsaved)
            }
        };
        let (summary, (keys, ids)) = opened;
        Ok(Self { file, of, summary, keys, ids, unsaved, renewed })
    }

    fn through(
        source: BlockSource,
        of: &SegmentRef,
    ) -> Result<(SidecarSummary, (SegmentBloom, SegmentBloom)), BlockFault> {
        let opened = Sidecar::open(source, of)?;
        Ok((opened.summary, opened.sidecar.filters()?))
    }
}

/// Whether a file that had damage is whole now: somebody put it back.
fn is_mended(file: &SegmentFile, of: &SegmentRef, summary: &SidecarSummary) -> io::Result<bool> {
    if summary.damage.is_empty() {
        return Ok(false);
    }
    let header = FileHeader { log_id: of.log_id, base: of.base, capacity: 0, salt: of.salt };
    let end = Sequence(of.base.0 + u64::from(of.covers));
    Ok(SegmentWalk::over(&storage::read(&file.path)?, &header, Some(end)).damage.is_empty())
}
