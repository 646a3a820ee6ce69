//! What clients hand back: cursors, page tokens, proofs and keys. What can be read is
//! written the same.
#![no_main]

use auditgate::log::cursor::{Cursor, PageToken};
use auditgate::proof::VerifierKey;
use auditgate::proof::proof_file::ProofFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cursor) = Cursor::parse(text) {
        assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
    }
    if let Ok(token) = PageToken::parse(text) {
        assert_eq!(PageToken::parse(&token.to_string()), Ok(token));
    }
    if let Ok(receipt) = ProofFile::parse(text) {
        let again = ProofFile::parse(&receipt.encoded()).expect("what is written can be read");
        assert_eq!((again.record, again.index), (receipt.record, receipt.index));
    }
    let _ = VerifierKey::parse(text);
});
