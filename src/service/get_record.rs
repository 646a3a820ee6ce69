//! GetRecord.

use bytes::Bytes;
use tonic::Request;

use crate::hub::Key;
use crate::proto::codec::Encoded;
use crate::proto::pb;
use crate::record::Sequence;
use crate::service::{Error, Service, decode};

impl Service {
    pub(super) async fn one_record(&self, request: Request<Bytes>) -> Result<Encoded, Error> {
        use pb::get_record_request::Key as Requested;
        let request: pb::GetRecordRequest = decode(request.into_inner())?;
        let key = match &request.key {
            None => return Err(Error::KeyMissing),
            Some(Requested::Id(id)) => Key::Id(id),
            Some(Requested::Sequence(sequence)) => Key::Sequence(Sequence(*sequence)),
        };
        // `record` is field 1 of the response, and frames carry its key.
        self.frame(key).await.map(Encoded::new)
    }

    /// The frame of one record.
    pub(super) async fn frame(&self, key: Key<'_>) -> Result<Bytes, Error> {
        if key == Key::Id("") {
            return Err(Error::KeyMissing);
        }
        let found = self.hub.record(key).await.map_err(Error::Read)?;
        found.ok_or_else(|| self.not_found(key))
    }

    fn not_found(&self, key: Key<'_>) -> Error {
        /// How much of an id the error repeats, in characters.
        const SHOWN_CHARS_MAX: usize = 128;
        match key {
            Key::Id(id) => Error::IdNotFound { id: id.chars().take(SHOWN_CHARS_MAX).collect() },
            Key::Sequence(sequence) => {
                let extent = self.hub.extent();
                Error::SequenceNotFound { sequence, first: extent.first, last: extent.last }
            }
        }
    }
}
