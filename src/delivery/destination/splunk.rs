//! Splunk's HTTP Event Collector, with indexer acknowledgement if the token has it.
//!
//! Written from <https://help.splunk.com/en/splunk-enterprise/get-data-in/get-started-with-getting-data-in/get-data-with-http-event-collector>:
//! its pages on the format of events, on error codes and on indexer acknowledgement.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::delivery::batch::{Batch, ItemView};
use crate::delivery::dead_letters::shown;
use crate::delivery::destination::http_client::{
    ANSWER_BYTES_MAX, ClientHttp, DestinationCredential, Endpoint, HttpAnswer, HttpClient,
    compressed,
};
use crate::delivery::destination::{Destination, OpenError, Reply};
use crate::delivery::format::ItemKind;
use crate::log::BoxFuture;

/// The path that accepts events.
pub const EVENT_PATH: &str = "/services/collector/event";
/// The path that returns which requests are indexed.
pub const ACK_PATH: &str = "/services/collector/ack";
/// The channel of acknowledgements.
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");
/// The first and the longest interval at which the collector is asked for an acknowledgement.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Codes of errors in the configuration, not in an event.
const CODES_OF_CONFIGURATION: [u32; 5] = [7, 10, 11, 14, 16];

/// An HTTP Event Collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The URL of [`EVENT_PATH`].
    pub endpoint: Endpoint,
    /// The URL of [`ACK_PATH`].
    pub ack_url: Uri,
    /// The token.
    pub credential: DestinationCredential,
    /// The index; the token's own if `None`.
    pub index: Option<String>,
    /// The source type.
    pub source_type: String,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Whether indexer acknowledgement is required. If not, a batch also counts as delivered if the
    /// collector offers none.
    pub requires_ack: bool,
    /// Whether the collector is asked for acknowledgements that it offers.
    pub asks_for_ack: bool,
    /// How long to wait for an acknowledgement before the batch is sent again.
    pub ack_timeout: Duration,
}

/// Sends batches to a collector.
pub struct SplunkDestination {
    client: HttpClient,
    config: Config,
    kind: ItemKind,
    channel: Uuid,
}

/// The answer of the collector.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CollectorAnswer {
    code: Option<u32>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
}

/// Which requests are indexed.
#[derive(Debug, Deserialize)]
struct AckAnswer {
    acks: BTreeMap<String, bool>,
}

/// Estimated size of an event beside its content, in bytes.
const HEAD_BYTES: usize = 256;

/// The fields of an event before its content.
#[derive(Serialize)]
struct EventHead<'a> {
    time: String,
    source: &'static str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    fields: IndexedFields,
}

#[derive(Serialize)]
struct IndexedFields {
    record_id: String,
}

impl SplunkDestination {
    /// Reads secrets and certificates.
    ///
    /// # Errors
    /// If a file or variable cannot be used.
    pub fn open(config: &Config, kind: ItemKind) -> Result<Self, OpenError> {
        let client =
            HttpClient::open(&config.endpoint, Some(&config.credential), ClientHttp::Negotiated)?;
        Ok(Self { client, config: config.clone(), kind, channel: Uuid::now_v7() })
    }

    async fn post(&self, batch: &Batch) -> Reply {
        let mut headers = self.headers();
        let mut body = Vec::with_capacity(batch.byte_size() + batch.len() * HEAD_BYTES);
        batch.iter().for_each(|item| self.add_event(&item, &mut body));
        let body = compressed(body, self.config.gzip, &mut headers).await;
        let answer = match self.client.post(headers, body, ANSWER_BYTES_MAX).await {
            Ok(answer) => answer,
            Err(reply) => return reply,
        };
        match reply(&answer) {
            Reply::Accepted { .. } => {}
            other => return other,
        }
        match collector_answer(&answer).ack_id {
            Some(id) if self.config.asks_for_ack => self.acknowledgement(id).await,
            _ if self.config.requires_ack => Reply::Blocked(
                "the collector offers no indexer acknowledgement: enable it for the token, or set indexer_ack = false".to_owned(),
            ),
            _ => Reply::ACCEPTED,
        }
    }

    /// Waits until a request is indexed.
    async fn acknowledgement(&self, id: u64) -> Reply {
        let deadline = Instant::now() + self.config.ack_timeout;
        let (mut interval, longest) = POLL_INTERVAL;
        let asked = format!("{{\"acks\":[{id}]}}");
        let mut last = String::new();
        while Instant::now() < deadline {
            sleep(interval).await;
            interval = (interval * 2).min(longest);
            let url = self.config.ack_url.clone();
            let body = asked.clone().into();
            match self.client.post_to(url, self.headers(), body, ANSWER_BYTES_MAX).await {
                Err(Reply::Blocked(why)) => return Reply::Blocked(why),
                Err(Reply::Unavailable(delay)) => last = delay.why,
                Err(_) => {}
                Ok(answer) => match reply(&answer) {
                    Reply::Accepted { .. } => {
                        let acks = serde_json::from_slice::<AckAnswer>(&answer.body);
                        let acks = acks.map(|answer| answer.acks).unwrap_or_default();
                        if acks.get(&id.to_string()) == Some(&true) {
                            return Reply::ACCEPTED;
                        }
                    }
                    Reply::Blocked(why) => return Reply::Blocked(why),
                    other => last = format!("{other:?}"),
                },
            }
        }
        let seconds = self.config.ack_timeout.as_secs();
        let last = shown(&last);
        let last = if last.is_empty() { String::new() } else { format!(": {last}") };
        Reply::unavailable(format!(
            "the indexers did not acknowledge the batch within {seconds} s{last}"
        ))
    }

    fn headers(&self) -> HeaderMap {
        let channel = HeaderValue::try_from(self.channel.to_string());
        let channel = channel.expect("a UUID is visible ASCII");
        HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CHANNEL, channel),
        ])
    }

    /// Appends an item as an event of the collector.
    fn add_event(&self, item: &ItemView<'_>, body: &mut Vec<u8>) {
        let (seconds, nanos) = item.time().parts();
        let head = EventHead {
            time: format!("{seconds}.{:03}", nanos / 1_000_000),
            source: "auditgate",
            sourcetype: &self.config.source_type,
            index: self.config.index.as_deref(),
            fields: IndexedFields { record_id: item.id() },
        };
        serde_json::to_writer(&mut *body, &head).expect("texts are JSON");
        // The content comes last, unchanged.
        body.pop();
        body.extend_from_slice(b",\"event\":");
        match self.kind {
            ItemKind::Json => body.extend_from_slice(item.bytes),
            _ => {
                let text = String::from_utf8_lossy(item.bytes);
                serde_json::to_writer(&mut *body, &text).expect("text is JSON");
            }
        }
        body.extend_from_slice(b"}\n");
    }
}

impl Destination for SplunkDestination {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        Box::pin(self.post(batch))
    }
}

fn collector_answer(answer: &HttpAnswer) -> CollectorAnswer {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Interprets an answer by its status, except for errors in the configuration.
fn reply(answer: &HttpAnswer) -> Reply {
    match answer.reply() {
        Reply::Rejected(_)
            if collector_answer(answer)
                .code
                .is_some_and(|code| CODES_OF_CONFIGURATION.contains(&code)) =>
        {
            Reply::Blocked(format!(
                "answers {}: {}",
                answer.status.as_u16(),
                shown(&answer.words())
            ))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, body: &str) -> HttpAnswer {
        HttpAnswer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            is_cut: false,
        }
    }

    #[test]
    fn what_the_configuration_says_is_no_fault_of_an_event() {
        let of = |status, code: u32| {
            reply(&answer(status, &format!("{{\"text\":\"no\",\"code\":{code}}}")))
        };
        assert_eq!(of(200, 0), Reply::ACCEPTED);
        assert!(matches!(of(400, 6), Reply::Rejected(_)), "invalid data format");
        assert!(matches!(of(400, 12), Reply::Rejected(_)), "event field is required");
        assert!(matches!(of(400, 7), Reply::Blocked(_)), "incorrect index");
        assert!(matches!(of(400, 10), Reply::Blocked(_)), "data channel is missing");
        assert!(matches!(of(403, 4), Reply::Blocked(_)), "invalid token");
        assert!(matches!(of(503, 9), Reply::Unavailable(_)), "server is busy");
        assert!(matches!(reply(&answer(400, "<html>")), Reply::Rejected(_)));
    }
}
