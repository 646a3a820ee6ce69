//! The method GetRecord.

use bytes::Bytes;
use tonic::Request;

use crate::access::Method;
use crate::audit::ReadTarget;
use crate::catalog;
use crate::filter::TypeSet;
use crate::hub::RecordKey;
use crate::proto::codec::EncodedResponse;
use crate::proto::pb;
use crate::record::{Record, Sequence};
use crate::service::reader::Reader;
use crate::service::{Error, Service, decode};

impl Service {
    pub(super) async fn one_record(
        &self,
        request: Request<Bytes>,
    ) -> Result<EncodedResponse, Error> {
        use pb::get_record_request::Key as Requested;
        let reader = self.reader(&request)?;
        let request: pb::GetRecordRequest = decode(request.into_inner())?;
        let key = match &request.key {
            None => return Err(Error::KeyMissing),
            Some(Requested::Id(id)) => RecordKey::Id(id),
            Some(Requested::Sequence(sequence)) => RecordKey::Sequence(Sequence(*sequence)),
        };
        // `record` is field 1 of the response, and frames carry its key.
        self.frame(Method::GetRecord, key, &reader).await.map(EncodedResponse::new)
    }

    /// The frame of one record, for a call of this method. The read is recorded before the caller
    /// gets an answer, also if there is no such record. Reads of the gateway's own records are not
    /// recorded.
    pub(super) async fn frame(
        &self,
        method: Method,
        key: RecordKey<'_>,
        reader: &Reader,
    ) -> Result<Bytes, Error> {
        if key == RecordKey::Id("") {
            return Err(Error::KeyMissing);
        }
        if let RecordKey::Sequence(sequence) = key {
            // A record that the log does not have is not found.
            self.reach(reader, sequence.into()).await.map_err(Error::Read)?;
        }
        let found = self.hub.record(key, reader.types()).await.map_err(Error::Read)?;
        let is_own = |frame: &Bytes| catalog::is_reserved(Record::read_frame(frame).type_name);
        if !found.as_ref().is_some_and(is_own) {
            self.record_read(reader, method, ReadTarget::Record(key), (None, None)).await?;
        }
        found.ok_or_else(|| self.not_found(key, reader.types()))
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
