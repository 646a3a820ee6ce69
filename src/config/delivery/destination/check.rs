//! Checks the settings of a destination, and converts them to its configuration.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, Uri};

use super::{BatchBody, DeliveryDestination, DestinationKind, OtlpProtocol};
use crate::address;
use crate::config::{ByteSize, Period};
use crate::delivery::destination::http_client::{DestinationCredential, Endpoint, Scheme};
use crate::delivery::destination::secret::SecretSource;
use crate::delivery::destination::syslog::{FACILITIES, MessageForm, SyslogAddress};
use crate::delivery::destination::tls::DestinationTls;
use crate::delivery::destination::{
    Config, elasticsearch, file, http as endpoint, otlp, splunk, syslog,
};
use crate::delivery::format::{FormatName, ItemKind};
use crate::printable::first_hidden;

/// The key to blame, and a sentence about it.
type Fault = (&'static str, String);

const TIMEOUT: Duration = Duration::from_secs(30);
const ACK_TIMEOUT: Duration = Duration::from_secs(120);
const RESEND_BYTES: usize = 64 * 1024;
const RESEND_BYTES_MAX: usize = 16 * 1024 * 1024;
const ROTATE_BYTES: usize = 128 * 1024 * 1024;
const ROTATE_BYTES_MIN: usize = 1024 * 1024;
const ROTATE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const AUDIT_FACILITY: &str = "audit";
const SD_ID: &str = "auditgate@32473";
/// Longest text of a key, in bytes.
const TEXT_BYTES_MAX: usize = 256;

use DestinationKind::{Elasticsearch, File, Http, Otlp, Splunk, Syslog};

/// The checked configuration of a destination.
pub fn config(told: &DeliveryDestination, format: FormatName) -> Result<Config, Fault> {
    check_keys(told)?;
    check_texts(told)?;
    Ok(match told.kind {
        Http => Config::Http(http(told, format)?),
        Otlp => Config::Otlp(otlp(told)?),
        Splunk => Config::Splunk(splunk(told, format)?),
        Elasticsearch => Config::Elasticsearch(elasticsearch(told, format)?),
        Syslog => Config::Syslog(syslog(told)?),
        File => Config::File(file(told)?),
    })
}

/// Refuses keys that the kind does not have: they would have no effect.
fn check_keys(told: &DeliveryDestination) -> Result<(), Fault> {
    const OF_HTTP: &[DestinationKind] = &[Http, Otlp, Splunk, Elasticsearch];
    const OF_NETWORK: &[DestinationKind] = &[Http, Otlp, Splunk, Elasticsearch, Syslog];
    let keys: [(&'static str, bool, &[DestinationKind]); 28] = [
        ("url", told.url.is_some(), OF_NETWORK),
        ("path", told.path.is_some(), &[File]),
        ("body", told.body.is_some(), &[Http]),
        ("protocol", told.protocol.is_some(), &[Otlp]),
        ("gzip", told.gzip.is_some(), OF_HTTP),
        ("token_file", told.token_file.is_some(), OF_HTTP),
        ("token_env", told.token_env.is_some(), OF_HTTP),
        ("token_header", told.token_header.is_some(), &[Http, Otlp]),
        ("user", told.user.is_some(), &[Http, Otlp, Elasticsearch]),
        ("signing_secret_file", told.signing_secret_file.is_some(), &[Http]),
        ("signing_secret_env", told.signing_secret_env.is_some(), &[Http]),
        ("ca_file", told.ca_file.is_some(), OF_NETWORK),
        ("cert_file", told.cert_file.is_some(), OF_NETWORK),
        ("key_file", told.key_file.is_some(), OF_NETWORK),
        ("timeout", told.timeout.is_some(), OF_NETWORK),
        ("service_name", told.service_name.is_some(), &[Otlp]),
        ("index", told.index.is_some(), &[Splunk, Elasticsearch]),
        ("source_type", told.source_type.is_some(), &[Splunk]),
        ("indexer_ack", told.indexer_ack.is_some(), &[Splunk]),
        ("ack_timeout", told.ack_timeout.is_some(), &[Splunk]),
        ("facility", told.facility.is_some(), &[Syslog]),
        ("hostname", told.hostname.is_some(), &[Syslog]),
        ("app_name", told.app_name.is_some(), &[Syslog]),
        ("sd_id", told.sd_id.is_some(), &[Syslog]),
        ("resend_bytes", told.resend_bytes.is_some(), &[Syslog]),
        ("rotate_bytes", told.rotate_bytes.is_some(), &[File]),
        ("rotate_age", told.rotate_age.is_some(), &[File]),
        ("group_readable", told.group_readable.is_some(), &[File]),
    ];
    for (key, is_set, kinds) in keys {
        if is_set && !kinds.contains(&told.kind) {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let own = told.kind.name();
            let what = format!("has no effect with kind = {own:?}: it is for {}", kinds.join(", "));
            return Err((key, what));
        }
    }
    Ok(())
}

fn check_texts(told: &DeliveryDestination) -> Result<(), Fault> {
    let texts = [
        ("token_env", &told.token_env),
        ("user", &told.user),
        ("signing_secret_env", &told.signing_secret_env),
        ("service_name", &told.service_name),
        ("index", &told.index),
        ("source_type", &told.source_type),
        ("hostname", &told.hostname),
        ("app_name", &told.app_name),
    ];
    for (key, text) in texts {
        let Some(text) = text else { continue };
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || first_hidden(text).is_some() {
            let what = format!("must be 1 to {TEXT_BYTES_MAX} bytes of visible characters");
            return Err((key, what));
        }
    }
    if let Some(user) = told.user.as_ref().filter(|user| user.contains(':')) {
        return Err(("user", format!("{user:?} has a colon, which ends the name of a user")));
    }
    Ok(())
}

fn http(told: &DeliveryDestination, format: FormatName) -> Result<endpoint::Config, Fault> {
    let credential = credential(told, Scheme::Prefix("Bearer "))?;
    let is_json = format.item_kind() == ItemKind::Json;
    let body = told.body.unwrap_or(if is_json { BatchBody::Array } else { BatchBody::Lines });
    Ok(endpoint::Config {
        endpoint: endpoint(told, url(told, "")?, credential.is_some())?,
        body: match body {
            BatchBody::Array => endpoint::BodyForm::Array,
            BatchBody::Lines => endpoint::BodyForm::Lines,
        },
        gzip: told.gzip.unwrap_or(false),
        credential,
        signing_secret: secret(
            ("signing_secret_file", &told.signing_secret_file),
            ("signing_secret_env", &told.signing_secret_env),
        )?
        .map(|(source, _)| source),
    })
}

fn otlp(told: &DeliveryDestination) -> Result<otlp::Config, Fault> {
    let protocol = told.protocol.unwrap_or(OtlpProtocol::Grpc);
    let credential = credential(told, Scheme::Prefix("Bearer "))?;
    let (path, protocol) = match protocol {
        OtlpProtocol::Grpc => (otlp::GRPC_PATH, otlp::Protocol::Grpc),
        OtlpProtocol::Http => (otlp::HTTP_PATH, otlp::Protocol::Http),
    };
    Ok(otlp::Config {
        endpoint: endpoint(told, url(told, path)?, credential.is_some())?,
        protocol,
        credential,
        gzip: told.gzip.unwrap_or(false),
        service_name: told.service_name.clone().unwrap_or_else(|| "auditgate".to_owned()),
    })
}

fn splunk(told: &DeliveryDestination, format: FormatName) -> Result<splunk::Config, Fault> {
    let credential = credential(told, Scheme::Prefix("Splunk "))?;
    let credential = credential.ok_or_else(|| missing("token_file", "or token_env"))?;
    let ack_timeout = told.ack_timeout.map_or(ACK_TIMEOUT, |Period(time)| time);
    within("ack_timeout", ack_timeout, 1..=60 * 60)?;
    Ok(splunk::Config {
        endpoint: endpoint(told, url(told, splunk::EVENT_PATH)?, true)?,
        ack_url: url(told, splunk::ACK_PATH)?,
        credential,
        index: told.index.clone(),
        source_type: told
            .source_type
            .clone()
            .unwrap_or_else(|| format!("auditgate:{}", format.name())),
        gzip: told.gzip.unwrap_or(false),
        requires_ack: told.indexer_ack.unwrap_or(false),
        asks_for_ack: told.indexer_ack.unwrap_or(true),
        ack_timeout,
    })
}

fn elasticsearch(
    told: &DeliveryDestination,
    format: FormatName,
) -> Result<elasticsearch::Config, Fault> {
    let credential = credential(told, Scheme::Prefix("ApiKey "))?;
    let index = told.index.clone().ok_or_else(|| missing("index", "the index or data stream"))?;
    let is_index =
        index.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if !is_index || index.starts_with(['-', '_', '.']) {
        let what = "must be lowercase letters, digits, -, _ or ., and begin with a letter or digit";
        return Err(("index", format!("{index:?} {what}")));
    }
    let base = url(told, "")?;
    let url = elasticsearch::bulk_path(&base.to_string(), &index)
        .parse()
        .map_err(|error| ("url", format!("{error}")))?;
    Ok(elasticsearch::Config {
        endpoint: endpoint(told, url, credential.is_some())?,
        index,
        credential,
        gzip: told.gzip.unwrap_or(false),
        adds_timestamp: !format.has_timestamp(),
    })
}

fn syslog(told: &DeliveryDestination) -> Result<syslog::Config, Fault> {
    let facility = told.facility.as_deref().unwrap_or(AUDIT_FACILITY);
    let number = FACILITIES.iter().position(|name| *name == facility);
    let number = number.and_then(|number| u8::try_from(number).ok()).ok_or_else(|| {
        ("facility", format!("{facility:?} is not one of {}", FACILITIES.join(", ")))
    })?;
    let sd_id = told.sd_id.clone().unwrap_or_else(|| SD_ID.to_owned());
    let is_sd_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    if !(1..=32).contains(&sd_id.len()) || !sd_id.bytes().all(is_sd_name) || !sd_id.contains('@') {
        let what = "must be NAME@NUMBER of at most 32 visible characters, without =, ] and \"";
        return Err(("sd_id", format!("{sd_id:?} {what}")));
    }
    let resend_bytes = told.resend_bytes.map_or(RESEND_BYTES, |ByteSize(bytes)| bytes);
    if resend_bytes > RESEND_BYTES_MAX {
        return Err(("resend_bytes", format!("{}, limit 16MiB", ByteSize(resend_bytes))));
    }
    let address = syslog_address(told)?;
    if !address.is_encrypted && (told.ca_file.is_some() || told.cert_file.is_some()) {
        let key = if told.ca_file.is_some() { "ca_file" } else { "cert_file" };
        return Err((key, "has no effect without TLS: use tls:// in url".to_owned()));
    }
    Ok(syslog::Config {
        address,
        tls: tls(told)?,
        timeout: timeout(told)?,
        resend_bytes,
        form: MessageForm {
            facility: number,
            hostname: told.hostname.clone().unwrap_or_else(address::host_name),
            app_name: told.app_name.clone().unwrap_or_else(|| "auditgate".to_owned()),
            sd_id,
        },
    })
}

fn file(told: &DeliveryDestination) -> Result<file::Config, Fault> {
    let directory =
        told.path.clone().ok_or_else(|| missing("path", "the directory of the files"))?;
    let rotate_bytes = told.rotate_bytes.map_or(ROTATE_BYTES, |ByteSize(bytes)| bytes);
    if rotate_bytes < ROTATE_BYTES_MIN {
        return Err(("rotate_bytes", "must be at least 1MiB".to_owned()));
    }
    let rotate_age = told.rotate_age.map_or(ROTATE_AGE, |Period(age)| age);
    within("rotate_age", rotate_age, 1..=3_650 * 24 * 60 * 60)?;
    Ok(file::Config {
        directory,
        rotate_bytes: rotate_bytes as u64,
        rotate_age,
        group_readable: told.group_readable.unwrap_or(false),
    })
}

fn endpoint(told: &DeliveryDestination, url: Uri, has_secret: bool) -> Result<Endpoint, Fault> {
    let is_plain = url.scheme_str() == Some("http");
    if is_plain && has_secret && !is_loopback(url.host().unwrap_or_default()) {
        let what = "sends a token over http, where others can read it: use https";
        return Err(("url", what.to_owned()));
    }
    if is_plain && (told.ca_file.is_some() || told.cert_file.is_some()) {
        let key = if told.ca_file.is_some() { "ca_file" } else { "cert_file" };
        return Err((key, "has no effect without TLS: use https:// in url".to_owned()));
    }
    Ok(Endpoint { url, tls: tls(told)?, timeout: timeout(told)? })
}

/// The URL, with `path` appended unless it ends with that.
fn url(told: &DeliveryDestination, path: &str) -> Result<Uri, Fault> {
    let text = told.url.as_deref().ok_or_else(|| missing("url", "where the records go"))?;
    let refused = |what: &str| ("url", format!("{} {what}", shown(text)));
    let parsed: Uri = text.parse().map_err(|_| refused("is not a URL"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err(refused("must begin with http:// or https://"));
    }
    if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refused("has a user or password in it: use token_file and user"));
    }
    if parsed.host().unwrap_or_default().is_empty() {
        return Err(refused("has no host"));
    }
    if path.is_empty() || parsed.path().ends_with(path) {
        return Ok(parsed);
    }
    if parsed.query().is_some() {
        return Err(refused("has a query, which this kind of destination does not"));
    }
    let base = text.trim_end_matches('/');
    format!("{base}{path}").parse().map_err(|_| refused("is not a URL"))
}

/// A URL without its user part, which may have a password.
fn shown(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
    {
        Some((scheme, host)) => format!("{:?}", format!("{scheme}://(hidden)@{host}")),
        None => format!("{text:?}"),
    }
}

fn syslog_address(told: &DeliveryDestination) -> Result<SyslogAddress, Fault> {
    let text =
        told.url.as_deref().ok_or_else(|| missing("url", "tls://HOST:PORT or tcp://HOST:PORT"))?;
    let refused = || ("url", format!("{} is not tls://HOST:PORT or tcp://HOST:PORT", shown(text)));
    let parsed: Uri = text.parse().map_err(|_| refused())?;
    let is_encrypted = match parsed.scheme_str() {
        Some("tls") => true,
        Some("tcp") => false,
        _ => return Err(refused()),
    };
    let authority = parsed.authority().ok_or_else(refused)?;
    let port = authority.port_u16().ok_or_else(refused)?;
    if authority.as_str().contains('@') || !matches!(parsed.path(), "" | "/") || port == 0 {
        return Err(refused());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(SyslogAddress { is_encrypted, host, port })
}

fn credential(
    told: &DeliveryDestination,
    scheme: Scheme,
) -> Result<Option<DestinationCredential>, Fault> {
    let found = secret(("token_file", &told.token_file), ("token_env", &told.token_env))?;
    let Some((source, key)) = found else {
        let needing = [("token_header", &told.token_header), ("user", &told.user)];
        let needing = needing.into_iter().find(|(_, text)| text.is_some());
        return match needing {
            Some((key, _)) => Err((key, "needs token_file or token_env".to_owned())),
            None => Ok(None),
        };
    };
    let scheme = match (&told.user, &told.token_header) {
        (Some(_), Some(_)) => {
            return Err(("token_header", "cannot be used with user".to_owned()));
        }
        (Some(user), None) => Scheme::Basic(user.clone()),
        (None, Some(header)) if !header.eq_ignore_ascii_case("authorization") => Scheme::Prefix(""),
        (None, _) => scheme,
    };
    let header = told.token_header.as_deref().unwrap_or("authorization");
    let header = HeaderName::try_from(header)
        .map_err(|_| ("token_header", format!("{header:?} is not the name of a header")))?;
    Ok(Some(DestinationCredential { source, key, header, scheme }))
}

type Named<'a, T> = (&'static str, &'a Option<T>);

fn secret(
    (file_key, file): Named<'_, std::path::PathBuf>,
    (variable_key, variable): Named<'_, String>,
) -> Result<Option<(SecretSource, &'static str)>, Fault> {
    match (file, variable) {
        (Some(_), Some(_)) => Err((variable_key, format!("cannot be used with {file_key}"))),
        (Some(file), None) => Ok(Some((SecretSource::File(file.clone()), file_key))),
        (None, Some(name)) => Ok(Some((SecretSource::Variable(name.clone()), variable_key))),
        (None, None) => Ok(None),
    }
}

fn tls(told: &DeliveryDestination) -> Result<DestinationTls, Fault> {
    let identity = match (&told.cert_file, &told.key_file) {
        (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
        (Some(_), None) => return Err(("key_file", "missing, but cert_file is set".to_owned())),
        (None, Some(_)) => return Err(("cert_file", "missing, but key_file is set".to_owned())),
        (None, None) => None,
    };
    Ok(DestinationTls { ca: told.ca_file.clone(), identity })
}

fn timeout(told: &DeliveryDestination) -> Result<Duration, Fault> {
    let timeout = told.timeout.map_or(TIMEOUT, |Period(time)| time);
    within("timeout", timeout, 1..=600)?;
    Ok(timeout)
}

fn within(key: &'static str, value: Duration, seconds: RangeInclusive<u64>) -> Result<(), Fault> {
    Period(value).check(seconds).map_err(|what| (key, what))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn missing(key: &'static str, what: &str) -> Fault {
    (key, format!("is missing: {what}"))
}
