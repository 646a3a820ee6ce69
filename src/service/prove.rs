//! The methods GetCheckpoint, GetInclusionProof and GetConsistencyProof.

use std::sync::Arc;

use bytes::Bytes;
use tonic::Request;

use crate::access::Method;
use crate::hub::RecordKey;
use crate::proof::Hash;
use crate::proof::prover::Prover;
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::{Record, Sequence, unframed};
use crate::service::{Error, Service, decode};

impl Service {
    pub(super) async fn checkpoint(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        self.caller(&request)?;
        let pb::GetCheckpointRequest {} = decode(request.into_inner())?;
        let prover = self.prover()?;
        let signed = prover.checkpoint().await.map_err(Error::Proof)?;
        Ok(EncodedResponse::message(&pb::GetCheckpointResponse {
            checkpoint: signed.text().to_owned(),
            verifier_key: prover.verifier().to_string(),
        }))
    }

    pub(super) async fn inclusion(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        use pb::get_inclusion_proof_request::Key as Requested;
        let reader = self.reader(&request)?;
        let request: pb::GetInclusionProofRequest = decode(request.into_inner())?;
        let prover = self.prover()?;
        let key = match &request.key {
            None => return Err(Error::KeyMissing),
            Some(Requested::Id(id)) => RecordKey::Id(id),
            Some(Requested::Sequence(sequence)) => RecordKey::Sequence(Sequence(*sequence)),
        };
        // Another gateway may have issued the size.
        self.reach(&reader, Sequence(request.size).into()).await.map_err(Error::Read)?;
        let frame = self.frame(Method::GetInclusionProof, key, &reader).await?;
        let record = unframed(&frame);
        let sequence = Record::read(record).sequence;
        let size = Some(request.size).filter(|size| *size > 0);
        let shown = prover.inclusion(sequence, record, size).await.map_err(Error::Proof)?;
        // A caller that names a size has the checkpoint.
        let checkpoint = size.map_or(shown.signed.text(), |_| "").to_owned();
        Ok(EncodedResponse::message(&pb::GetInclusionProofResponse {
            record: record.to_vec(),
            leaf_index: shown.index,
            hashes: bytes(&shown.hashes),
            checkpoint,
        }))
    }

    pub(super) async fn consistency(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        let reader = self.reader(&request)?;
        let request: pb::GetConsistencyProofRequest = decode(request.into_inner())?;
        let prover = self.prover()?;
        // Another gateway may have issued the size.
        self.reach(&reader, Sequence(request.old_size).into()).await.map_err(Error::Read)?;
        let shown = prover.consistency(request.old_size).await.map_err(Error::Proof)?;
        Ok(EncodedResponse::message(&pb::GetConsistencyProofResponse {
            hashes: bytes(&shown.hashes),
            checkpoint: shown.signed.text().to_owned(),
        }))
    }

    fn prover(&self) -> Result<&Arc<Prover>, Error> {
        self.prover.as_ref().ok_or(Error::ProofOff)
    }
}

fn bytes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.0.to_vec()).collect()
}
