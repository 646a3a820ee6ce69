//! `[delivery.destination]`: where records go.

mod check;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ByteSize, Error, Period};
use crate::delivery::destination::Config;
use crate::delivery::format::FormatName;

/// Where the records go. Which keys apply depends on `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryDestination {
    /// The kind of the destination.
    pub kind: DestinationKind,
    /// The address. `http`: the URL that takes the records. `otlp`: the URL of the receiver, such as
    /// `http://localhost:4317` for gRPC. `splunk`: the URL of the collector, such as
    /// `https://splunk.example.com:8088`. `elasticsearch`: the URL of the cluster. `syslog`:
    /// `tls://HOST:PORT` or `tcp://HOST:PORT`.
    #[serde(default)]
    pub url: Option<String>,
    /// `file`: the directory of the files.
    #[serde(default)]
    #[schemars(extend("value_name" = "DIR"))]
    pub path: Option<PathBuf>,
    /// `http`: the body of a request. By default a JSON array, or lines if the format is not JSON.
    #[serde(default)]
    pub body: Option<BatchBody>,
    /// `otlp`: the protocol. By default `grpc`.
    #[serde(default)]
    pub protocol: Option<OtlpProtocol>,
    /// Whether requests are compressed by gzip. By default they are not.
    #[serde(default)]
    pub gzip: Option<bool>,
    /// File with the token or password; only its owner may have access. The file is read again
    /// when the destination refuses the token.
    #[serde(default)]
    #[schemars(extend("value_name" = "FILE"))]
    pub token_file: Option<PathBuf>,
    /// Variable of the environment with the token or password.
    #[serde(default)]
    pub token_env: Option<String>,
    /// `http`, `otlp`: the header that has the token. By default `authorization`, with the token
    /// after the word Bearer; any other header has the token alone.
    #[serde(default)]
    pub token_header: Option<String>,
    /// `http`, `otlp`, `elasticsearch`: name of the user whose password the token is (basic
    /// authentication). Without it, `elasticsearch` sends the token as an API key.
    #[serde(default)]
    pub user: Option<String>,
    /// `http`: file with the secret that signs requests (Standard Webhooks): `whsec_` and base64
    /// for HMAC, or `whsk_` and base64 for Ed25519.
    #[serde(default)]
    #[schemars(extend("value_name" = "FILE"))]
    pub signing_secret_file: Option<PathBuf>,
    /// `http`: variable of the environment with that secret.
    #[serde(default)]
    pub signing_secret_env: Option<String>,
    /// File with the CAs of the destination, in PEM. By default those that the system trusts.
    #[serde(default)]
    #[schemars(extend("value_name" = "FILE"))]
    pub ca_file: Option<PathBuf>,
    /// File with a client certificate, in PEM.
    #[serde(default)]
    #[schemars(extend("value_name" = "FILE"))]
    pub cert_file: Option<PathBuf>,
    /// File with the private key of the client certificate, in PEM; only its owner may have access.
    #[serde(default)]
    #[schemars(extend("value_name" = "FILE"))]
    pub key_file: Option<PathBuf>,
    /// Time limit of a request; from 1s to 10m. By default 30s.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// `otlp`: the resource attribute `service.name`. By default `auditgate`.
    #[serde(default)]
    pub service_name: Option<String>,
    /// `elasticsearch`: the index or data stream. `splunk`: the index; by default that of the token.
    #[serde(default)]
    pub index: Option<String>,
    /// `splunk`: the source type. By default `auditgate:` and the format.
    #[serde(default)]
    pub source_type: Option<String>,
    /// `splunk`: whether a batch counts as delivered only when the indexers acknowledge it. By
    /// default they are asked if the token has indexer acknowledgement. With `true`, a token without
    /// it blocks the delivery.
    #[serde(default)]
    pub indexer_ack: Option<bool>,
    /// `splunk`: how long to wait for the indexers before the batch is sent again; from 1s to 1h.
    /// By default 2m.
    #[serde(default)]
    pub ack_timeout: Option<Period>,
    /// `syslog`: the facility, by name. By default `audit`, which is number 13.
    #[serde(default)]
    pub facility: Option<String>,
    /// `syslog`: the field HOSTNAME. By default the name of the machine.
    #[serde(default)]
    pub hostname: Option<String>,
    /// `syslog`: the field APP-NAME. By default `auditgate`.
    #[serde(default)]
    pub app_name: Option<String>,
    /// `syslog`: the SD-ID of the structured data with the id of the record. By default
    /// `auditgate@32473`, with the number that is reserved for examples.
    #[serde(default)]
    pub sd_id: Option<String>,
    /// `syslog`: how many of the last bytes are sent again after a broken connection, because
    /// syslog has no acknowledgements; at most 16MiB. By default 64KiB.
    #[serde(default)]
    pub resend_bytes: Option<ByteSize>,
    /// `file`: the size at which the next file begins; from 1MiB. By default 128MiB.
    #[serde(default)]
    pub rotate_bytes: Option<ByteSize>,
    /// `file`: the age at which the next file begins; from 1s. By default 1d.
    #[serde(default)]
    pub rotate_age: Option<Period>,
    /// `file`: whether the group of the gateway may read the files. By default only their owner may.
    #[serde(default)]
    pub group_readable: Option<bool>,
}

/// A kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DestinationKind {
    /// An HTTP endpoint: each batch is a POST.
    Http,
    /// A receiver of OpenTelemetry logs.
    Otlp,
    /// The HTTP Event Collector of Splunk.
    Splunk,
    /// The bulk API of Elasticsearch or OpenSearch.
    Elasticsearch,
    /// A syslog receiver, over TLS or TCP.
    Syslog,
    /// Files in a directory.
    File,
}

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchBody {
    /// A JSON array.
    Array,
    /// One record a line.
    Lines,
}

/// How records go to a receiver of OpenTelemetry logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    Http,
}

impl DestinationKind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Otlp => "otlp",
            Self::Splunk => "splunk",
            Self::Elasticsearch => "elasticsearch",
            Self::Syslog => "syslog",
            Self::File => "file",
        }
    }
}

impl DeliveryDestination {
    /// The format of a delivery without `format`.
    pub(super) fn default_format(&self) -> FormatName {
        match self.kind {
            DestinationKind::Otlp => FormatName::Otlp,
            _ => FormatName::Json,
        }
    }

    /// The formats that the destination accepts, as a sentence.
    pub(super) fn formats(&self) -> &'static str {
        match self.kind {
            DestinationKind::Otlp => "use format = \"otlp\"",
            DestinationKind::Elasticsearch => "use a JSON format, such as ecs or json",
            DestinationKind::Http => {
                "use a JSON format, or body = \"lines\" for text; otlp is for kind = \"otlp\""
            }
            _ => "otlp is for kind = \"otlp\"",
        }
    }

    /// The checked configuration of the destination.
    pub(super) fn config(
        &self,
        format: FormatName,
        key: &dyn Fn(&str) -> String,
    ) -> Result<Config, Error> {
        check::config(self, format).map_err(|(name, what)| Error::value(key(name), what))
    }
}
