//! The bulk API of Elasticsearch and OpenSearch: one `create` an item, with the record's id as
//! `_id`, so that a record is stored once, however often it is sent.
//!
//! Written from <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk> and
//! <https://docs.opensearch.org/latest/api-reference/document-apis/bulk/>.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::delivery::batch::Batch;
use crate::delivery::dead_letters::shown;
use crate::delivery::destination::http_client::{
    ClientHttp, DestinationCredential, Endpoint, HttpAnswer, HttpClient, compressed,
};
use crate::delivery::destination::{Delay, Destination, ItemReplies, OpenError, Rejection, Reply};
use crate::log::BoxFuture;
use crate::time::Time;

/// The most bytes of an answer beside its items.
const ANSWER_BYTES: usize = 64 * 1024;
/// The most bytes of an answer for each item, about: an error with its reason.
const ANSWER_BYTES_PER_ITEM: usize = 4 * 1024;

/// An index or data stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The URL of the bulk API of the index: see [`bulk_path`].
    pub endpoint: Endpoint,
    /// The index or data stream.
    pub index: String,
    /// The credential of the gateway.
    pub credential: Option<DestinationCredential>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Whether items get a field `@timestamp`, which data streams ask for.
    pub adds_timestamp: bool,
}

/// Sends batches to the bulk API.
pub struct ElasticsearchDestination {
    client: HttpClient,
    gzip: bool,
    adds_timestamp: bool,
}

/// Path and query of the bulk API of an index. The query restricts the answer to the fields that
/// are read.
pub fn bulk_path(base: &str, index: &str) -> String {
    let base = base.trim_end_matches('/');
    format!("{base}/{index}/_bulk?filter_path=errors,items.*.status,items.*.error")
}

#[derive(Debug, Deserialize)]
struct BulkAnswer {
    errors: bool,
    #[serde(default)]
    items: Vec<BulkItem>,
}

#[derive(Debug, Deserialize)]
struct BulkItem {
    create: BulkResult,
}

#[derive(Debug, Deserialize)]
struct BulkResult {
    status: u16,
    #[serde(default)]
    error: serde_json::Value,
}

impl ElasticsearchDestination {
    /// Reads secrets and certificates.
    ///
    /// # Errors
    /// If a file or variable cannot be used.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let credential = config.credential.as_ref();
        Ok(Self {
            client: HttpClient::open(&config.endpoint, credential, ClientHttp::Negotiated)?,
            gzip: config.gzip,
            adds_timestamp: config.adds_timestamp,
        })
    }

    async fn post(&self, batch: &Batch) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let body = compressed(self.body(batch), self.gzip, &mut headers).await;
        let answer_bytes_max = ANSWER_BYTES + batch.len() * ANSWER_BYTES_PER_ITEM;
        match self.client.post(headers, body, answer_bytes_max).await {
            Ok(answer) => read(&answer, batch.len()),
            Err(reply) => reply,
        }
    }

    fn body(&self, batch: &Batch) -> Vec<u8> {
        let mut body = Vec::with_capacity(batch.byte_size() + batch.len() * 128);
        for item in batch.iter() {
            // An id has no character that JSON escapes.
            body.extend_from_slice(
                format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n", item.id()).as_bytes(),
            );
            match item.bytes.strip_prefix(b"{").filter(|_| self.adds_timestamp) {
                None => body.extend_from_slice(item.bytes),
                Some(fields) => {
                    let time = item.record().map_or_else(Time::now, |record| record.accept_time);
                    body.extend_from_slice(format!("{{\"@timestamp\":\"{time}\"").as_bytes());
                    if fields != b"}" {
                        body.push(b',');
                    }
                    body.extend_from_slice(fields);
                }
            }
            body.push(b'\n');
        }
        body
    }
}

impl Destination for ElasticsearchDestination {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        Box::pin(self.post(batch))
    }
}

/// Interprets the answer to a bulk request with `count` items.
fn read(answer: &HttpAnswer, count: usize) -> Reply {
    if !answer.status.is_success() {
        return answer.reply();
    }
    if answer.is_cut {
        return Reply::unavailable(format!(
            "the answer is larger than {} bytes",
            answer.body.len()
        ));
    }
    let bulk: BulkAnswer = match serde_json::from_slice(&answer.body) {
        Ok(bulk) => bulk,
        Err(error) => {
            let words = answer.words();
            return Reply::unavailable(format!(
                "the answer is not that of a bulk request ({error}): {}",
                shown(&words)
            ));
        }
    };
    if bulk.items.len() != count {
        let answered = bulk.items.len();
        return Reply::unavailable(format!("the answer has {answered} items for {count} records"));
    }
    if !bulk.errors {
        return Reply::ACCEPTED;
    }
    let mut replies = ItemReplies::default();
    for (position, BulkItem { create }) in bulk.items.into_iter().enumerate() {
        let words = || shown(&create.error.to_string());
        match create.status {
            200..=299 => {}
            // The record exists already.
            409 => replies.repeated += 1,
            401 | 403 | 404 => {
                return Reply::Blocked(format!("answers {}: {}", create.status, words()));
            }
            408 | 429 | 500..=599 => {
                replies.unavailable.push(position);
                replies.delay.get_or_insert_with(|| Delay {
                    why: format!("answers {} for a record: {}", create.status, words()),
                    retry_after: None,
                });
            }
            status => {
                let rejection =
                    Rejection { status: status.to_string(), words: create.error.to_string() };
                replies.rejected.push((position, rejection));
            }
        }
    }
    if replies.rejected.is_empty() && replies.unavailable.is_empty() {
        return Reply::Accepted { repeated: replies.repeated };
    }
    Reply::ItemByItem(replies)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(body: &str) -> HttpAnswer {
        HttpAnswer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            is_cut: false,
        }
    }

    #[test]
    fn each_item_has_its_answer() {
        let body = r#"{"errors":true,"items":[
            {"create":{"status":201}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}},
            {"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"no"}}},
            {"create":{"status":429,"error":{"type":"es_rejected_execution_exception"}}}]}"#;
        let Reply::ItemByItem(replies) = read(&answer(body), 4) else { panic!("item by item") };
        assert_eq!(replies.repeated, 1);
        assert_eq!(replies.unavailable, [3]);
        assert_eq!(replies.rejected.len(), 1);
        let (position, rejection) = &replies.rejected[0];
        assert_eq!((*position, rejection.status.as_str()), (2, "400"));
        assert!(rejection.words.contains("document_parsing_exception"), "{}", rejection.words);
    }

    #[test]
    fn only_a_whole_answer_counts() {
        let done = r#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        assert_eq!(read(&answer(done), 1), Reply::ACCEPTED);
        let repeated = r#"{"errors":true,"items":[{"create":{"status":409}}]}"#;
        assert_eq!(read(&answer(repeated), 1), Reply::Accepted { repeated: 1 });
        let cut = HttpAnswer { is_cut: true, ..answer(done) };
        for unavailable in [read(&answer(done), 2), read(&answer("<html>"), 1), read(&cut, 1)] {
            assert!(matches!(unavailable, Reply::Unavailable(_)), "{unavailable:?}");
        }
        let missing = r#"{"errors":true,"items":[{"create":{"status":404,"error":"no index"}}]}"#;
        assert!(matches!(read(&answer(missing), 1), Reply::Blocked(_)));
    }

    #[test]
    fn the_path_names_the_index() {
        assert_eq!(
            bulk_path("https://es:9200/", "logs-audit-default"),
            "https://es:9200/logs-audit-default/_bulk?filter_path=errors,items.*.status,items.*.error"
        );
    }
}
