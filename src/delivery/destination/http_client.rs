//! The HTTP client of destinations: bounded answers, one time limit for the whole exchange, no
//! redirects, no proxies.

use std::error::Error as StdError;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::delivery::dead_letters::shown;
use crate::delivery::destination::secret::SecretSource;
use crate::delivery::destination::tls::DestinationTls;
use crate::delivery::destination::{Delay, OpenError, RETRY_AFTER_MAX, Rejection, Reply};

/// The default of the most bytes of an answer that are read.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of the headers of an answer, approximately.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// The longest time that a connection is kept without a request.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// An HTTP endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its URL: `http` or `https`, without credentials.
    pub url: Uri,
    /// Certificates.
    pub tls: DestinationTls,
    /// The time limit of a request, from the connection to the last byte of the answer.
    pub timeout: Duration,
}

impl Endpoint {
    /// The URL without its query, which may contain secrets.
    pub fn shown(&self) -> String {
        let text = self.url.to_string();
        text.split_once('?').map_or(text.clone(), |(shown, _)| shown.to_owned())
    }
}

/// A header with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationCredential {
    /// The secret.
    pub source: SecretSource,
    /// The key of the configuration that names it.
    pub key: &'static str,
    /// The header.
    pub header: HeaderName,
    /// How the header's value is made of the secret.
    pub scheme: Scheme,
}

/// How a header's value is made of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// The secret after a prefix: `Bearer `, `Splunk `, or nothing.
    Prefix(&'static str),
    /// The secret is the password of this user.
    Basic(String),
}

/// The HTTP version of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHttp {
    /// HTTP/1.1, or HTTP/2 if TLS negotiates it.
    Negotiated,
    /// HTTP/2, also without TLS.
    Http2,
}

/// A client of one endpoint.
#[derive(Debug)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    timeout: Duration,
    /// Sent with every request.
    headers: HeaderMap,
}

/// The answer of an endpoint.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers, followed by the trailers.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub is_cut: bool,
}

impl HttpClient {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// If a certificate or the credential cannot be used.
    pub fn open(
        endpoint: &Endpoint,
        credential: Option<&DestinationCredential>,
        version: ClientHttp,
    ) -> Result<Self, OpenError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(endpoint.timeout));
        let tls = HttpsConnectorBuilder::new().with_tls_config(endpoint.tls.load()?);
        let connector = match version {
            ClientHttp::Negotiated => {
                tls.https_or_http().enable_http1().enable_http2().wrap_connector(connector)
            }
            ClientHttp::Http2 => tls.https_or_http().enable_http2().wrap_connector(connector),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .http1_max_buf_size(HEADER_BYTES_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX as u32)
            .http2_only(version == ClientHttp::Http2)
            .build(connector);
        let mut headers = HeaderMap::new();
        let agent = concat!("auditgate/", env!("CARGO_PKG_VERSION"));
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
        if let Some(credential) = credential {
            headers.insert(credential.header.clone(), credential.value()?);
        }
        Ok(Self { client, url: endpoint.url.clone(), timeout: endpoint.timeout, headers })
    }

    /// Posts a body to the URL of the endpoint.
    ///
    /// # Errors
    /// The reply that stands for a missing answer.
    pub async fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
        answer_bytes_max: usize,
    ) -> Result<HttpAnswer, Reply> {
        self.post_to(self.url.clone(), headers, body, answer_bytes_max).await
    }

    /// Posts a body to another URL of the same host.
    ///
    /// # Errors
    /// The reply that stands for a missing answer.
    pub async fn post_to(
        &self,
        url: Uri,
        headers: HeaderMap,
        body: Bytes,
        answer_bytes_max: usize,
    ) -> Result<HttpAnswer, Reply> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().extend(headers);
        match timeout(self.timeout, self.exchange(request, answer_bytes_max)).await {
            Ok(answered) => answered,
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                Err(Reply::unavailable(format!("no whole answer within {seconds} s")))
            }
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        answer_bytes_max: usize,
    ) -> Result<HttpAnswer, Reply> {
        let response = self.client.request(request).await.map_err(|error| failure(&error))?;
        let (parts, mut body) = response.into_parts();
        let mut answer = HttpAnswer {
            status: parts.status,
            headers: parts.headers,
            body: Vec::new(),
            is_cut: false,
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure(&error))?;
            match frame.into_data() {
                Ok(data) => {
                    let room = answer_bytes_max - answer.body.len();
                    answer.body.extend_from_slice(data.get(..room).unwrap_or(&data));
                    if data.len() > room {
                        // The rest is not read, and the connection is not reused.
                        answer.is_cut = true;
                        return Ok(answer);
                    }
                }
                Err(frame) => answer.headers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        Ok(answer)
    }
}

impl DestinationCredential {
    fn value(&self) -> Result<HeaderValue, OpenError> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD as BASE64;
        let secret = self.source.read(self.key)?;
        let text = match &self.scheme {
            Scheme::Prefix(prefix) => format!("{prefix}{}", secret.reveal()),
            Scheme::Basic(user) => {
                format!("Basic {}", BASE64.encode(format!("{user}:{}", secret.reveal())))
            }
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| OpenError::new(self.key, "cannot be the value of a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl HttpAnswer {
    /// Interprets the status of the answer.
    pub fn reply(&self) -> Reply {
        let status = self.status.as_u16();
        match status {
            200..=299 => Reply::ACCEPTED,
            400 | 413 | 422 => Reply::Rejected(self.rejection()),
            408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Reply::Unavailable(self.delay()),
            300..=399 => {
                let location = self.headers.get(LOCATION).map(HeaderValue::as_bytes);
                let location = String::from_utf8_lossy(location.unwrap_or_default());
                Reply::Blocked(format!(
                    "answers {status}, a redirect to {:?}, which is not followed: configure the address that takes records",
                    shown(&location)
                ))
            }
            _ => Reply::Blocked(format!("answers {status}: {}", shown(&self.words()))),
        }
    }

    /// The answer as a rejection of a record.
    pub fn rejection(&self) -> Rejection {
        Rejection { status: self.status.as_u16().to_string(), words: self.words() }
    }

    /// The answer as a reason to wait.
    pub fn delay(&self) -> Delay {
        Delay {
            why: format!("answers {}: {}", self.status.as_u16(), shown(&self.words())),
            retry_after: self.headers.get(RETRY_AFTER).and_then(retry_after),
        }
    }

    /// The body as text.
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

/// The wait that a header `Retry-After` asks for: seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The reply for a failed exchange: a TLS error blocks the delivery, others are retried.
fn failure(error: &(dyn StdError + 'static)) -> Reply {
    let sentence = sentence(error);
    match is_of_tls(error) {
        true => Reply::Blocked(format!("TLS failed: {sentence}")),
        false => Reply::unavailable(sentence),
    }
}

/// An error with its causes, each once.
fn sentence(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let part = error.to_string();
        if !parts.iter().any(|known| known.contains(&part)) {
            parts.push(part);
        }
        cause = error.source();
    }
    shown(&parts.join(": "))
}

/// Whether an error or one of its causes is a TLS error.
pub fn is_of_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || inner.is_some_and(|inner| is_of_tls(inner)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The body, compressed if that is configured, with the header that says so.
pub async fn compressed(body: Vec<u8>, gzip: bool, headers: &mut HeaderMap) -> Bytes {
    if !gzip {
        return body.into();
    }
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    gzipped(body).await.into()
}

/// Compresses bytes by gzip on a blocking thread: it takes some milliseconds.
pub async fn gzipped(bytes: Vec<u8>) -> Vec<u8> {
    let compressing = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
        written.expect("a vector grows as needed")
    });
    compressing.await.expect("compression does not panic, and is not cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> HttpAnswer {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        });
        HttpAnswer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
            is_cut: false,
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let reply = |status| answer(status, &[], "words").reply();
        for accepted in [200, 201, 202, 204, 299] {
            assert_eq!(reply(accepted), Reply::ACCEPTED, "{accepted}");
        }
        for rejected in [400, 413, 422] {
            assert!(matches!(reply(rejected), Reply::Rejected(_)), "{rejected}");
        }
        for later in [408, 425, 429, 500, 502, 503, 504, 507, 520, 599] {
            assert!(matches!(reply(later), Reply::Unavailable(_)), "{later}");
        }
        for blocked in [301, 302, 307, 308, 401, 403, 404, 405, 410, 415, 501, 505] {
            assert!(matches!(reply(blocked), Reply::Blocked(_)), "{blocked}");
        }
    }

    #[test]
    fn an_answer_can_ask_for_a_wait() {
        let wait = |value: &str| answer(429, &[("retry-after", value)], "").delay().retry_after;
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("Mon, 01 Jan 2001 00:00:00 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let asked = wait(&soon).expect("a date is a wait");
        assert!((80..=90).contains(&asked.as_secs()), "{asked:?}");
    }

    #[test]
    fn what_an_answer_says_is_escaped() {
        let Reply::Blocked(why) = answer(302, &[("location", "http://x/\t")], "").reply() else {
            panic!("a redirect blocks")
        };
        assert!(why.contains("which is not followed"), "{why}");
        let Reply::Blocked(why) = answer(403, &[], "\u{1b}[2Jno").reply() else {
            panic!("it blocks")
        };
        assert_eq!(why, "answers 403: \\u{1b}[2Jno");
    }
}
