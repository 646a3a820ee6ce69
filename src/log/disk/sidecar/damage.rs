//! Adds damaged records to a sidecar.

use super::build::{SidecarHeader, pairs};
use super::{FixedFields, HEADER_BYTES, RANGE_BYTES, SegmentRef, SidecarSection};
use crate::log::disk::block_file;

/// The sidecar `encoded` with this as what is damaged, first and last position of each
/// run. It still has the keys of the records that are damaged now: so they are known
/// when their events are emitted again. `None` if it is damaged itself, or another
/// file's.
pub fn with_damage(encoded: &[u8], of: &SegmentRef, damage: &[(u32, u32)]) -> Option<Vec<u8>> {
    const PLACE: usize = SidecarSection::Damage as usize;
    let content = block_file::decode(encoded, of.salt).ok()?;
    let mut header =
        SidecarHeader::decode(&mut FixedFields(&content)).filter(|header| header.of == *of)?;
    let before = header.sections.get(PLACE)?.clone();
    let bytes = pairs::<RANGE_BYTES>(damage.iter().copied());
    let end = before.start + bytes.len() as u32;
    let last = header.sections.last()?.end;
    // What lies behind it moves.
    let moved = |at: u32| at.checked_sub(before.end)?.checked_add(end);
    for section in header.sections.iter_mut().skip(PLACE + 1) {
        *section = moved(section.start)?..moved(section.end)?;
    }
    *header.sections.get_mut(PLACE)? = before.start..end;
    let mut renewed = header.encode();
    renewed.extend_from_slice(content.get(HEADER_BYTES..before.start as usize)?);
    renewed.extend_from_slice(&bytes);
    renewed.extend_from_slice(content.get(before.end as usize..last as usize)?);
    Some(block_file::encode(&renewed, of.salt))
}
