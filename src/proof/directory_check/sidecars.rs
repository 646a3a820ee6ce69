//! Compares sidecars, from which a gateway answers searches, with the records.

use super::{DirectoryCheck, Error};
use crate::log::disk::sidecar::{self, EXTENSION, SegmentRef};

impl DirectoryCheck<'_> {
    /// Checks the sidecar of a segment file, if it has one; a gateway rebuilds a missing one.
    /// `whole` is the file unless it lacks records; then only the checksums are checked.
    pub(super) fn sidecar(
        &mut self,
        segment: &str,
        of: &SegmentRef,
        whole: Option<&[u8]>,
    ) -> Result<(), Error> {
        let stem = segment.rsplit_once('.').map_or(segment, |(stem, _)| stem);
        let name = format!("{stem}.{EXTENSION}");
        let Some(found) = self.read(&name)? else { return Ok(()) };
        match sidecar::check(&found, of, whole) {
            Ok(is_compared) => self.report.sidecars += u64::from(is_compared),
            Err(flaw) => self
                .report
                .find(None, format!("{name} {flaw}; no record is lost: the gateway rebuilds it")),
        }
        Ok(())
    }
}
