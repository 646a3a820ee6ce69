//! Compares a sidecar with the records of its segment file.

use super::{FixedFields, SegmentRef, build, is_current};
use crate::log::disk::block_file;

/// What is wrong with a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SidecarFlaw {
    /// The checksum of a block is wrong, or the file ends amid it.
    #[error("is damaged: the block at byte {at} fails its checksum")]
    Damaged {
        /// Where the block begins.
        at: usize,
    },
    /// All checksums are right, and yet it is not the segment file's.
    #[error("does not match the records, from byte {at} on")]
    Differs {
        /// The first byte that differs.
        at: usize,
    },
}

/// Checks the sidecar `found` of a segment that is `of`; if its file is whole, by
/// that, too. Returns whether it was compared: one of another version, or with keys
/// of another seed, is not taken by a gateway, and passes.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(found: &[u8], of: &SegmentRef, file: Option<&[u8]>) -> Result<bool, SidecarFlaw> {
    let content = block_file::decode(found, of.salt).map_err(|at| SidecarFlaw::Damaged { at })?;
    let Some(file) = file.filter(|_| is_current(&mut FixedFields(&content))) else {
        return Ok(false);
    };
    let made = block_file::encode(&build(file, of), of.salt);
    if made == found {
        return Ok(true);
    }
    let alike = made.iter().zip(found).take_while(|(made, found)| made == found).count();
    Err(SidecarFlaw::Differs { at: alike })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::record::Sequence;

    #[test]
    fn one_of_another_version_is_checked_by_its_checksums_alone() {
        let of = SegmentRef::new(Uuid::nil(), (Sequence(1), Sequence(1)), 7);
        let mut newer = block_file::encode(b"AGINDEX\0\x63\0\0\0", 7);
        assert_eq!(check(&newer, &of, Some(&[])), Ok(false));
        newer[100] ^= 1;
        assert_eq!(check(&newer, &of, Some(&[])), Err(SidecarFlaw::Damaged { at: 0 }));
        let mut own = block_file::encode(&build(&[], &of), 7);
        assert_eq!(check(&own, &of, Some(&[])), Ok(true));
        own.extend(block_file::encode(b"", 7));
        own.extend_from_slice(&[0; 9]);
        assert_eq!(check(&own, &of, None), Err(SidecarFlaw::Damaged { at: 4_096 }));
    }
}
