//! HTTP endpoints: each batch is one POST of a JSON array or of lines.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::delivery::batch::Batch;
use crate::delivery::destination::http_client::{
    ANSWER_BYTES_MAX, ClientHttp, DestinationCredential, Endpoint, HttpClient, compressed,
};
use crate::delivery::destination::secret::SecretSource;
use crate::delivery::destination::webhook_signature::WebhookSigner;
use crate::delivery::destination::{Destination, OpenError, Reply};
use crate::delivery::format::ItemKind;
use crate::log::BoxFuture;
use crate::time::Time;

/// The key of the secret for signatures.
const SECRET_KEY: &str = "signing_secret_file";

/// An HTTP endpoint that accepts batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The body of a request.
    pub body: BodyForm,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// The credential of the gateway.
    pub credential: Option<DestinationCredential>,
    /// The secret for the signatures of Standard Webhooks.
    pub signing_secret: Option<SecretSource>,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// A JSON array.
    Array,
    /// One item a line.
    Lines,
}

/// Posts batches to an HTTP endpoint.
pub struct HttpDestination {
    client: HttpClient,
    body: BodyForm,
    content_type: HeaderValue,
    gzip: bool,
    signer: Option<WebhookSigner>,
}

impl HttpDestination {
    /// Reads secrets and certificates.
    ///
    /// # Errors
    /// If a file or variable cannot be used.
    pub fn open(config: &Config, kind: ItemKind) -> Result<Self, OpenError> {
        let signer = match &config.signing_secret {
            Some(source) => Some(WebhookSigner::new(&source.read(SECRET_KEY)?, SECRET_KEY)?),
            None => None,
        };
        let content_type = match (config.body, kind) {
            (BodyForm::Array, _) => "application/json",
            (BodyForm::Lines, ItemKind::Json) => "application/x-ndjson",
            (BodyForm::Lines, _) => "text/plain; charset=utf-8",
        };
        let credential = config.credential.as_ref();
        Ok(Self {
            client: HttpClient::open(&config.endpoint, credential, ClientHttp::Negotiated)?,
            body: config.body,
            content_type: HeaderValue::from_static(content_type),
            gzip: config.gzip,
            signer,
        })
    }

    async fn post(&self, batch: &Batch) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        let body = compressed(body(batch, self.body), self.gzip, &mut headers).await;
        if let Some(signer) = &self.signer {
            let (seconds, _) = Time::now().parts();
            let (first, last) = batch.range();
            // The id is the same at each attempt, and must not contain the separator of the signed
            // text.
            let id = format!("{}-{first}-{last}", batch.log_id());
            headers.extend(signer.headers(&id, seconds, &body));
        }
        match self.client.post(headers, body, ANSWER_BYTES_MAX).await {
            Ok(answer) => answer.reply(),
            Err(reply) => reply,
        }
    }
}

impl Destination for HttpDestination {
    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Reply> {
        Box::pin(self.post(batch))
    }
}

/// The body of a request.
fn body(batch: &Batch, form: BodyForm) -> Vec<u8> {
    let mut body = Vec::with_capacity(batch.byte_size() + batch.len() + 2);
    if form == BodyForm::Array {
        body.push(b'[');
    }
    for (position, item) in batch.iter().enumerate() {
        if form == BodyForm::Array && position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item.bytes);
        if form == BodyForm::Lines {
            body.push(b'\n');
        }
    }
    if form == BodyForm::Array {
        body.push(b']');
    }
    body
}
