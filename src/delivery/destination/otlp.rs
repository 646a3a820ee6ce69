//! Receivers of OpenTelemetry logs: OTLP over gRPC or HTTP,
//! <https://opentelemetry.io/docs/specs/otlp/>.
//!
//! gRPC is implemented here on the HTTP client, because a call is one request and one response. So
//! both protocols have the same bounds, time limits and certificates.

mod export;
mod grpc_answer;

use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::delivery::batch::Batch;
use crate::delivery::destination::http_client::{
    ANSWER_BYTES_MAX, ClientHttp, DestinationCredential, Endpoint, HttpAnswer, HttpClient,
    compressed, gzipped,
};
use crate::delivery::destination::{Destination, ItemReplies, OpenError, Rejection, Reply};
use crate::log::BoxFuture;
use crate::proto::codec::{PREFIX_BYTES, set_prefix};

pub use export::PartialSuccess;

/// The path of the gRPC method.
pub const GRPC_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// The path of OTLP/HTTP.
pub const HTTP_PATH: &str = "/v1/logs";
/// The flag of a compressed gRPC message.
const COMPRESSED: u8 = 1;

/// A receiver of OpenTelemetry logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The URL, path included.
    pub endpoint: Endpoint,
    /// gRPC or HTTP.
    pub protocol: Protocol,
    /// The credential of the gateway.
    pub credential: Option<DestinationCredential>,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// The attribute `service.name` of the resource.
    pub service_name: String,
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    Http,
}

/// Exports batches to a receiver.
pub struct OtlpDestination {
    client: HttpClient,
    protocol: Protocol,
    gzip: bool,
    /// The encoded resource and scope of every request.
    frame: export::ExportFrame,
}

impl OtlpDestination {
    /// Reads secrets and certificates.
    ///
    /// # Errors
    /// If a file or variable cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let version = match config.protocol {
            Protocol::Grpc => ClientHttp::Http2,
            Protocol::Http => ClientHttp::Negotiated,
        };
        Ok(Self {
            client: HttpClient::open(&config.endpoint, config.credential.as_ref(), version)?,
            protocol: config.protocol,
            gzip: config.gzip,
            frame: export::ExportFrame::new(&config.service_name),
        })
    }

    async fn export(&self, batch: &Batch) -> Reply {
        let request = self.frame.request(batch);
        let answer = match self.protocol {
            Protocol::Http => self.post(request).await,
            Protocol::Grpc => self.call(request).await,
        };
        match answer.and_then(|answer| self.response(answer)) {
            Ok(response) => read(&response, batch.len()),
            Err(reply) => reply,
        }
    }

    async fn post(&self, request: Vec<u8>) -> Result<HttpAnswer, Reply> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let body = compressed(request, self.gzip, &mut headers).await;
        self.client.post(headers, body, ANSWER_BYTES_MAX).await
    }

    async fn call(&self, request: Vec<u8>) -> Result<HttpAnswer, Reply> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let mut flag = 0;
        let mut request = request;
        if self.gzip {
            headers
                .insert(HeaderName::from_static("grpc-encoding"), HeaderValue::from_static("gzip"));
            flag = COMPRESSED;
            request = gzipped(request).await;
        }
        let mut message = vec![0; PREFIX_BYTES];
        message.append(&mut request);
        set_prefix(&mut message, flag);
        self.client.post(headers, message.into(), ANSWER_BYTES_MAX).await
    }

    /// The encoded response in an answer.
    fn response(&self, answer: HttpAnswer) -> Result<Vec<u8>, Reply> {
        if self.protocol == Protocol::Grpc {
            return grpc_answer::response(&answer);
        }
        let answer = export::in_words(answer);
        match answer.reply() {
            Reply::Accepted { .. } => Ok(answer.body),
            other => Err(other),
        }
    }
}

impl Destination for OtlpDestination {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        Box::pin(self.export(batch))
    }
}

/// Interprets the response to an export of `count` records. A partial success has the number of
/// refused records, but not which ones. So the batch is refused and split, unless all are refused.
fn read(response: &[u8], count: usize) -> Reply {
    let Some(partial) = export::partial_success(response) else {
        return Reply::unavailable("the answer is not an ExportLogsServiceResponse");
    };
    let rejected = partial.rejected_log_records;
    if rejected <= 0 {
        return Reply::ACCEPTED;
    }
    let rejection =
        Rejection { status: "partial_success".to_owned(), words: partial.error_message };
    match usize::try_from(rejected) {
        Ok(rejected) if rejected < count => Reply::Rejected(rejection),
        _ => Reply::ItemByItem(ItemReplies {
            rejected: (0..count).map(|position| (position, rejection.clone())).collect(),
            ..ItemReplies::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn response(rejected: i64) -> Vec<u8> {
        let words = "no".to_owned();
        let partial = PartialSuccess { rejected_log_records: rejected, error_message: words };
        export::ExportResponse { partial_success: Some(partial) }.encode_to_vec()
    }

    #[test]
    fn a_partial_success_is_no_success_for_the_refused() {
        assert_eq!(read(&[], 3), Reply::ACCEPTED);
        assert_eq!(read(&response(0), 3), Reply::ACCEPTED, "a warning");
        assert_eq!(read(&response(-1), 3), Reply::ACCEPTED);
        assert!(matches!(read(&response(1), 3), Reply::Rejected(_)), "one of them, to be found");
        for all in [3, 4, i64::MAX] {
            let Reply::ItemByItem(replies) = read(&response(all), 3) else { panic!("{all}") };
            assert_eq!(replies.rejected.len(), 3);
        }
        assert!(matches!(read(b"\xff\xff", 3), Reply::Unavailable(_)));
    }
}
