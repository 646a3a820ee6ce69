//! Checkpoints and proofs over the wire.

use crate::support::{self, Client, emit_all, numbered, pb, soon};
use auditgate::log::Bounds;
use auditgate::proof::key::SignatureKind;
use auditgate::proof::proof_file::{Error, ProofFile};
use auditgate::proof::{Hash, SignedCheckpoint, SigningKey, VerifierKey, check_consistency};
use auditgate::server::{Config, Gateway};
use pb::get_inclusion_proof_request::Key;
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

async fn start(bounds: Bounds) -> (Gateway, Client, VerifierKey) {
    let key = SigningKey::generate("test.example/log", SignatureKind::Log).unwrap();
    let public = key.verifier();
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen, ring: bounds, signing_key: Some(key), ..Config::default() };
    let gateway = Gateway::start(config).await.expect("a free port");
    let client = support::connect(&gateway).await;
    (gateway, client, public)
}

async fn checkpoint(client: &mut Client, key: &VerifierKey) -> SignedCheckpoint {
    let response = soon(client.get_checkpoint(pb::GetCheckpointRequest {})).await;
    let response = response.expect("a checkpoint").into_inner();
    assert_eq!(response.verifier_key, key.to_string());
    SignedCheckpoint::verify(&response.checkpoint, key).expect("it is the log's")
}

async fn receipt(client: &mut Client, key: Key) -> Result<ProofFile, tonic::Status> {
    let request = pb::GetInclusionProofRequest { key: Some(key), size: 0 };
    let response = soon(client.get_inclusion_proof(request)).await?.into_inner();
    Ok(ProofFile {
        record: response.record,
        index: response.leaf_index,
        hashes: hashes(&response.hashes),
        checkpoint: response.checkpoint,
    })
}

fn hashes(bytes: &[Vec<u8>]) -> Vec<Hash> {
    bytes.iter().map(|hash| Hash(hash.as_slice().try_into().unwrap())).collect()
}

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().expect("every refusal has one").reason.clone()
}

#[tokio::test]
async fn a_record_is_proven_by_id_and_by_sequence() {
    let (_gateway, mut client, key) = start(Bounds::default()).await;
    emit_all(&mut client, numbered(1..=300)).await;
    for (wanted, sequence) in [(Key::Id("e-7".into()), 7), (Key::Sequence(299), 299)] {
        let receipt = receipt(&mut client, wanted).await.expect("a proof");
        let signed = receipt.check(&key).expect("it proves it");
        assert_eq!(signed.size(), 300, "a checkpoint is made where there is none yet");
        let record = pb::Record::decode(receipt.record.as_slice()).unwrap();
        assert_eq!((record.sequence, receipt.index), (sequence, sequence - 1));
        assert_eq!(record.event.unwrap().id(), format!("e-{sequence}"));
        let again = ProofFile::parse(&receipt.encoded()).expect("it is read as it is written");
        assert_eq!(again, receipt);
    }
}

#[tokio::test]
async fn a_later_log_begins_with_an_earlier_one() {
    let (_gateway, mut client, key) = start(Bounds::default()).await;
    let mut kept = vec![checkpoint(&mut client, &key).await];
    assert_eq!(kept[0].size(), 0);
    for last in [1, 255, 256, 300] {
        let first = kept.last().unwrap().size() + 1;
        emit_all(&mut client, numbered(first..=last)).await;
        kept.push(checkpoint(&mut client, &key).await);
        assert_eq!(kept.last().unwrap().size(), last);
    }
    for old in &kept {
        let request = pb::GetConsistencyProofRequest { old_size: old.size() };
        let response = soon(client.get_consistency_proof(request)).await.unwrap().into_inner();
        let new = SignedCheckpoint::verify(&response.checkpoint, &key).unwrap();
        let hashes = hashes(&response.hashes);
        assert_eq!(check_consistency(old.checkpoint(), new.checkpoint(), &hashes), Ok(()));
    }
    let ahead =
        soon(client.get_consistency_proof(pb::GetConsistencyProofRequest { old_size: 301 }));
    let ahead = ahead.await.unwrap_err();
    assert_eq!((ahead.code(), reason(&ahead).as_str()), (Code::OutOfRange, "OLD_SIZE_AHEAD"));
}

#[tokio::test]
async fn what_is_not_kept_is_not_proven() {
    let bounds = Bounds { bytes: 16 * 1024 * 1024, records: 64 };
    let (_gateway, mut client, key) = start(bounds).await;
    for batch in 0..20 {
        emit_all(&mut client, numbered(batch * 40 + 1..=batch * 40 + 40)).await;
    }
    let gone = receipt(&mut client, Key::Sequence(1)).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).as_str()), (Code::NotFound, "RECORD_NOT_FOUND"));
    let none = receipt(&mut client, Key::Id(String::new())).await.unwrap_err();
    assert_eq!((none.code(), reason(&none).as_str()), (Code::InvalidArgument, "KEY_MISSING"));
    // The newest is, though nearly all before it are gone.
    let kept = receipt(&mut client, Key::Sequence(800)).await.unwrap();
    assert_eq!(kept.check(&key).unwrap().size(), 800);
}

#[tokio::test]
async fn a_gateway_without_a_tree_says_so() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    emit_all(&mut client, numbered(1..=1)).await;
    let checkpoint = soon(client.get_checkpoint(pb::GetCheckpointRequest {})).await;
    let inclusion = receipt(&mut client, Key::Sequence(1)).await;
    let consistency = soon(client.get_consistency_proof(pb::GetConsistencyProofRequest::default()));
    let refused = [checkpoint.unwrap_err(), inclusion.unwrap_err(), consistency.await.unwrap_err()];
    for status in refused {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status), "PROOF_OFF");
        assert!(status.message().contains("--merkle"), "{}", status.message());
    }
}

#[tokio::test]
async fn no_byte_of_a_proof_file_can_change() {
    let (_gateway, mut client, key) = start(Bounds::default()).await;
    emit_all(&mut client, numbered(1..=5)).await;
    let text = receipt(&mut client, Key::Sequence(3)).await.unwrap().encoded();
    assert!(ProofFile::parse(&text).unwrap().check(&key).is_ok());
    let checkpoint = text.find("\n\n").unwrap() + 2;
    for position in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[position] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let proven = ProofFile::parse(&changed).and_then(|receipt| receipt.check(&key));
        let why = proven.expect_err(&format!("byte {position} of\n{text}"));
        let is_right = match why {
            Error::Line { .. } => position < checkpoint,
            Error::Refuted(_) | Error::Sequence { .. } => position < checkpoint - 1,
            Error::Checkpoint(_) => position >= checkpoint,
        };
        assert!(is_right, "byte {position}: {why}");
    }
}
