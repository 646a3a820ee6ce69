//! What of the servers makes a receipt less than it should be: the API of JetStream does not
//! show whether a server syncs before it acknowledges, but its monitor does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use serde::Deserialize;

use super::connection::NatsConnection;

/// The servers are looked at so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// A monitor is given so long to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A server that takes less refuses events and batches that a gateway accepts, in bytes.
const PAYLOAD_BYTES_MIN: usize = 5 * 1024 * 1024;

/// What is warned of at the moment.
pub type Warnings = Arc<Mutex<Vec<String>>>;

/// What a monitor says of its server, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerVariables {
    server_name: String,
    max_payload: usize,
    jetstream: JetStreamVariables,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JetStreamVariables {
    config: Option<JetStreamSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JetStreamSettings {
    sync_always: bool,
}

/// Looks at the servers every half a minute, for as long as it runs; warns of what is new.
pub async fn watch(connection: Arc<NatsConnection>, monitors: Vec<String>, warnings: Warnings) {
    let http: HttpClient<HttpConnector, Empty<Bytes>> =
        HttpClient::builder(TokioExecutor::new()).build_http();
    loop {
        let mut found = BTreeSet::new();
        found.extend(payload_warning(&connection));
        for monitor in &monitors {
            match variables(&http, monitor).await {
                Ok(variables) => found.extend(variables.warnings()),
                Err(why) => {
                    found.insert(format!(
                        "the monitor {monitor} does not say whether its server syncs before it acknowledges: {why}"
                    ));
                }
            }
        }
        warn(&warnings, found.into_iter().collect());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// From now on warns of these: tells what is new, and what is over.
pub fn warn(warnings: &Warnings, new: Vec<String>) {
    let before = std::mem::replace(&mut *warnings.lock(), new.clone());
    for warning in new.iter().filter(|warning| !before.contains(warning)) {
        tracing::warn!("{warning}");
    }
    for over in before.iter().filter(|warning| !new.contains(warning)) {
        tracing::info!("over: {over}");
    }
}

/// The server to which the gateway is connected takes too small messages.
fn payload_warning(connection: &NatsConnection) -> Option<String> {
    let server = connection.server_name();
    let is_small = connection.client.max_payload() < PAYLOAD_BYTES_MIN;
    (is_small && !server.is_empty())
        .then(|| small_payload(&server, connection.client.max_payload()))
}

fn small_payload(server: &str, bytes: usize) -> String {
    format!(
        "NATS server {server} takes messages of {bytes} bytes: an event or a batch that is larger is refused; set max_payload: 8MB"
    )
}

impl ServerVariables {
    fn warnings(&self) -> Vec<String> {
        let name = &self.server_name;
        let mut warnings = Vec::new();
        match &self.jetstream.config {
            Some(JetStreamSettings { sync_always: true }) => {}
            Some(JetStreamSettings { sync_always: false }) => warnings.push(format!(
                "NATS server {name} acknowledges before it syncs: events can be lost when machines lose power; set jetstream {{ sync_interval: always }}"
            )),
            None => warnings.push(format!("NATS server {name} runs without JetStream")),
        }
        if (1..PAYLOAD_BYTES_MIN).contains(&self.max_payload) {
            warnings.push(small_payload(name, self.max_payload));
        }
        warnings
    }
}

/// Checks the address of a monitor.
///
/// # Errors
/// If it is none, in a sentence.
pub fn check_monitor(monitor: &str) -> Result<(), String> {
    let uri = monitor.parse::<http::Uri>();
    let is_plain = uri.is_ok_and(|uri| {
        uri.scheme_str() == Some("http")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && uri.authority().is_some_and(|place| !place.as_str().contains('@'))
    });
    let shown = monitor.rsplit_once('@').map_or(monitor, |(_, host)| host);
    match is_plain {
        true => Ok(()),
        false => Err(format!("{shown:?} is no address of a monitor, as http://HOST:8222")),
    }
}

/// Asks a monitor, in bounded time and for bounded bytes.
async fn variables(
    http: &HttpClient<HttpConnector, Empty<Bytes>>,
    monitor: &str,
) -> Result<ServerVariables, String> {
    let uri = format!("{}/varz", monitor.trim_end_matches('/'));
    let asked = async {
        let uri = uri.parse::<http::Uri>().map_err(|error| error.to_string())?;
        let answer =
            http.get(uri).await.map_err(|error| match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            })?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("its answer is no JSON of /varz: {error}"))
    };
    let late = |_| Err(format!("no answer within {} s", ANSWER_TIME_MAX.as_secs()));
    tokio::time::timeout(ANSWER_TIME_MAX, asked).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn http() -> HttpClient<HttpConnector, Empty<Bytes>> {
        HttpClient::builder(TokioExecutor::new()).build_http()
    }

    /// A monitor that answers each request with this.
    async fn monitor(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let _ = socket.read(&mut [0; 4096]).await;
                    let _ = socket.write_all(&answer).await;
                });
            }
        });
        format!("http://{address}/")
    }

    fn page(body: &str) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body.as_bytes()].concat()
    }

    #[test]
    fn a_monitor_is_an_address_without_more() {
        for fine in ["http://n1:8222", "http://127.0.0.1:8222/", "http://[::1]:8222"] {
            assert_eq!(check_monitor(fine), Ok(()));
        }
        for wrong in ["n1:8222", "https://n1", "http://n1/varz", "http://n1?a", "", "http://a:b@n1"]
        {
            let why = check_monitor(wrong).unwrap_err();
            assert!(why.contains("http://HOST:8222") && !why.contains("a:b"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_sync_is_warned_of() {
        // As servers of 2.15 write it: the interval says nothing.
        let text = |always: &str, payload: usize| {
            format!(
                "{{\"server_name\":\"n1\",\"max_payload\":{payload},\"jetstream\":{{\"config\":\
                 {{\"max_storage\":1,\"sync_interval\":120000000000{always}}},\"stats\":{{}}}}}}"
            )
        };
        let asked = async |body: &str| variables(&http(), &monitor(page(body)).await).await;
        let fine = asked(&text(",\"sync_always\":true", 8 << 20)).await.unwrap();
        assert_eq!(fine.warnings(), [""; 0]);
        let [lazy, small] = &asked(&text("", 1 << 20)).await.unwrap().warnings()[..] else {
            panic!("two warnings")
        };
        assert!(lazy.contains("n1 acknowledges before it syncs"), "{lazy}");
        assert!(small.contains("1048576 bytes") && small.contains("max_payload: 8MB"), "{small}");
        let without = asked("{\"server_name\":\"n1\"}").await.unwrap().warnings();
        assert_eq!(without, ["NATS server n1 runs without JetStream"]);
        assert!(asked("no JSON").await.unwrap_err().contains("no JSON of /varz"));
    }

    #[tokio::test]
    async fn what_a_monitor_sends_is_bounded() {
        let endless = page(&" ".repeat(2 * ANSWER_BYTES_MAX));
        assert!(variables(&http(), &monitor(endless).await).await.is_err());
        let refused = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        assert!(variables(&http(), &monitor(refused).await).await.unwrap_err().contains("404"));
        let silent = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_vec();
        assert!(variables(&http(), &monitor(silent).await).await.is_err());
        let nobody = variables(&http(), "http://127.0.0.1:1").await.unwrap_err();
        assert!(nobody.contains("onnect"), "{nobody}");
    }
}
