//! Encodes requests and decodes responses of the export of logs:
//! `opentelemetry/proto/collector/logs/v1/logs_service.proto`.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use prost::Message as _;

use crate::delivery::batch::Batch;
use crate::delivery::destination::http_client::HttpAnswer;
use crate::wire::{put_bytes_field, put_bytes_header};

/// Field numbers, by message.
mod number {
    /// `ExportLogsServiceRequest`.
    pub const RESOURCE_LOGS: u32 = 1;
    /// `ResourceLogs`.
    pub const RESOURCE: u32 = 1;
    pub const SCOPE_LOGS: u32 = 2;
    /// `Resource`.
    pub const ATTRIBUTES: u32 = 1;
    /// `ScopeLogs`.
    pub const SCOPE: u32 = 1;
    pub const LOG_RECORDS: u32 = 2;
    /// `InstrumentationScope`.
    pub const NAME: u32 = 1;
    pub const VERSION: u32 = 2;
    /// `KeyValue`.
    pub const KEY: u32 = 1;
    pub const VALUE: u32 = 2;
    /// `AnyValue`.
    pub const STRING: u32 = 1;
}

/// The parts that all requests have in common.
#[derive(Debug)]
pub struct ExportFrame {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl ExportFrame {
    /// The frame of requests about a service of this name.
    pub fn new(service_name: &str) -> Self {
        let mut resource = Vec::new();
        for (key, text) in
            [("service.name", service_name), ("service.version", env!("CARGO_PKG_VERSION"))]
        {
            let mut value = Vec::new();
            put_bytes_field(&mut value, number::STRING, text.as_bytes());
            let mut attribute = Vec::new();
            put_bytes_field(&mut attribute, number::KEY, key.as_bytes());
            put_bytes_field(&mut attribute, number::VALUE, &value);
            put_bytes_field(&mut resource, number::ATTRIBUTES, &attribute);
        }
        let mut scope = Vec::new();
        put_bytes_field(&mut scope, number::NAME, b"auditgate");
        put_bytes_field(&mut scope, number::VERSION, env!("CARGO_PKG_VERSION").as_bytes());
        Self { resource, scope }
    }

    /// The encoded `ExportLogsServiceRequest` of a batch.
    pub fn request(&self, batch: &Batch) -> Vec<u8> {
        // Log records are copied once, because their total size is known.
        let records: usize = batch.iter().map(|item| field_len(item.bytes.len())).sum();
        let scope_logs = field_len(self.scope.len()) + records;
        let resource_logs = field_len(self.resource.len()) + field_len(scope_logs);
        let mut out = Vec::with_capacity(field_len(resource_logs));
        put_bytes_header(&mut out, number::RESOURCE_LOGS, resource_logs);
        put_bytes_field(&mut out, number::RESOURCE, &self.resource);
        put_bytes_header(&mut out, number::SCOPE_LOGS, scope_logs);
        put_bytes_field(&mut out, number::SCOPE, &self.scope);
        for item in batch.iter() {
            put_bytes_field(&mut out, number::LOG_RECORDS, item.bytes);
        }
        out
    }
}

/// The encoded length of a field with a number below 16 and `len` bytes.
fn field_len(len: usize) -> usize {
    1 + crate::wire::varint_len(len as u64) + len
}

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExportResponse {
    /// The refused log records, if any.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartialSuccess {
    /// The number of refused log records.
    #[prost(int64, tag = "1")]
    pub rejected_log_records: i64,
    /// The reason, or a warning if none is refused.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// The partial success in an encoded response; `None` if the response is not valid.
pub fn partial_success(response: &[u8]) -> Option<PartialSuccess> {
    Some(ExportResponse::decode(response).ok()?.partial_success.unwrap_or_default())
}

/// Replaces the body by its message if it is an encoded `google.rpc.Status`.
pub fn in_words(mut answer: HttpAnswer) -> HttpAnswer {
    let content_type = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !answer.status.is_success()
        && content_type == Some(b"application/x-protobuf")
        && let Ok(status) = tonic_types::pb::Status::decode(answer.body.as_slice())
    {
        answer.body = status.message.into_bytes();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_in_a_request_are_right() {
        let batch = Batch::new("log".into());
        let request = ExportFrame::new("auditgate").request(&batch);
        let mut depth = request.as_slice();
        for (number, value) in crate::wire::trusted(depth) {
            assert_eq!(number, number::RESOURCE_LOGS);
            depth = value.bytes().expect("a message");
        }
        let fields: Vec<u32> = crate::wire::trusted(depth).map(|(number, _)| number).collect();
        assert_eq!(fields, [number::RESOURCE, number::SCOPE_LOGS]);
        assert_eq!(request.len(), request.capacity(), "sized ahead");
    }
}
