//! Checks a proof file without a gateway.

use std::path::Path;

use prost::Message as _;

use super::report_failure;
use crate::cli::keygen::read;
use crate::cli::{Error, ExitKind, print, times};
use crate::proof::VerifierKey;
use crate::proof::proof_file::ProofFile;
use crate::proto::pb;

/// Checks the proof in a file.
pub fn check(file: &Path, key: &VerifierKey, witnesses: &[VerifierKey]) -> Result<ExitKind, Error> {
    let receipt = match ProofFile::parse(&read(file)?) {
        Ok(receipt) => receipt,
        Err(error) => {
            return report_failure(&format!("{} is not a valid proof: {error}", file.display()));
        }
    };
    let signed = match receipt.check(key) {
        Ok(signed) => signed,
        Err(error) => {
            return report_failure(&format!("{} is not a valid proof: {error}", file.display()));
        }
    };
    let mut seen = String::new();
    for witness in witnesses {
        match signed.cosignature(witness) {
            Ok(found) => seen.push_str(&format!(
                "\nthe witness {} saw that checkpoint at {}",
                found.name,
                times::unix(found.time)
            )),
            Err(error) => {
                return report_failure(&format!("the checkpoint was not witnessed: {error}"));
            }
        }
    }
    // The record is the log's own, so it decodes; a proof does not depend on it.
    let record = pb::Record::decode(receipt.record.as_slice()).unwrap_or_default();
    print(&format!(
        "proven: record {sequence}, {type_name} {id}, is in the log {origin}, whose first {size} records its key signed{seen}\n",
        sequence = receipt.index + 1,
        type_name = record.r#type,
        id = record.event.as_ref().map(pb::Event::id).unwrap_or_default(),
        origin = signed.origin(),
        size = signed.size(),
    ))
}
