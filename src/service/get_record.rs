//! GetRecord.

use std::sync::Arc;

use bytes::Bytes;
use tonic::Request;

use crate::filter::TypeSet;
use crate::hub::RecordKey;
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::Sequence;
use crate::service::{Error, Service, decode};

impl Service {
    pub(super) async fn one_record(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        use pb::get_record_request::Key as Requested;
        let caller = self.caller(&request)?;
        let readable = caller.grants().read();
        let request: pb::GetRecordRequest = decode(request.into_inner())?;
        let key = match &request.key {
            None => return Err(Error::KeyMissing),
            Some(Requested::Id(id)) => RecordKey::Id(id),
            Some(Requested::Sequence(sequence)) => RecordKey::Sequence(Sequence(*sequence)),
        };
        // `record` is field 1 of the response, and frames carry its key.
        self.frame(key, readable).await.map(EncodedResponse::new)
    }

    /// The frame of one record, for a reader of these types.
    pub(super) async fn frame(
        &self,
        key: RecordKey<'_>,
        readable: &Arc<TypeSet>,
    ) -> Result<Bytes, Error> {
        if key == RecordKey::Id("") {
            return Err(Error::KeyMissing);
        }
        let found = self.hub.record(key, readable).await.map_err(Error::Read)?;
        found.ok_or_else(|| self.not_found(key, readable))
    }

    /// The same error for a missing record and for one that the caller may not read.
    fn not_found(&self, key: RecordKey<'_>, readable: &TypeSet) -> Error {
        /// The maximum length of an id in the error, in characters.
        const SHOWN_CHARS_MAX: usize = 128;
        match key {
            RecordKey::Id(id) => {
                Error::IdNotFound { id: id.chars().take(SHOWN_CHARS_MAX).collect() }
            }
            RecordKey::Sequence(sequence) if !readable.is_all() => Error::SequenceHidden(sequence),
            RecordKey::Sequence(sequence) => {
                let extent = self.hub.extent();
                Error::SequenceNotFound { sequence, first: extent.first, last: extent.last }
            }
        }
    }
}
