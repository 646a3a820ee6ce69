//! Flags that say how to reach the gateway.

use std::path::{Path, PathBuf};

use super::{Error, flags, say};
use crate::client::{self, Client, Credentials, Violation};

/// The environment variables of the flags below.
#[cfg(feature = "server")]
pub const VARIABLES: [&str; 5] = [
    "AUDITGATE_SERVER",
    "AUDITGATE_TOKEN_FILE",
    "AUDITGATE_CACERT",
    "AUDITGATE_CERT",
    "AUDITGATE_KEY",
];

/// How to reach the gateway.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct GatewayArgs {
    /// URL of the gateway; for gateways with one shared log, several URLs separated by commas: if
    /// one fails, the next is used
    #[arg(
        long = "server",
        value_name = "URL[,URL...]",
        env = "AUDITGATE_SERVER",
        default_value = client::URL
    )]
    url: String,
    /// Read the bearer token from FILE
    #[arg(long, value_name = "FILE", env = "AUDITGATE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Trust the CAs in FILE (PEM) instead of those of the system
    #[arg(long, value_name = "FILE", env = "AUDITGATE_CACERT")]
    cacert: Option<PathBuf>,
    /// Authenticate with the client certificate in FILE (PEM)
    #[arg(long, value_name = "FILE", env = "AUDITGATE_CERT", requires = "key")]
    cert: Option<PathBuf>,
    /// Read the private key of the client certificate from FILE (PEM)
    #[arg(long, value_name = "FILE", env = "AUDITGATE_KEY", requires = "cert")]
    key: Option<PathBuf>,
    /// Send the token over http:// to another machine, where anyone on the way can read it
    #[arg(long)]
    insecure: bool,
}

impl GatewayArgs {
    /// Connects.
    pub async fn client(&self) -> Result<Client, Error> {
        let client = Client::connect_with(&self.url, &self.credentials()?).await?;
        client.on_notice(|notice| say(&notice.to_string()));
        Ok(client)
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        let unreadable =
            |file: &Path, error| Error::Read { file: file.display().to_string(), error };
        let read =
            |file: &PathBuf| std::fs::read_to_string(file).map_err(|error| unreadable(file, error));
        let mut credentials = Credentials::new();
        if self.insecure {
            credentials = credentials.allow_plaintext();
        }
        if let Some(file) = &self.token_file {
            credentials = credentials.token_file(file).map_err(|error| unreadable(file, error))?;
        }
        if let Some(file) = &self.cacert {
            credentials = credentials.ca(read(file)?);
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            credentials = credentials.identity(read(cert)?, read(key)?);
        }
        Ok(credentials)
    }

    /// The error for an answer that did not come in time.
    pub fn timed_out(&self) -> Error {
        let (url, reason) = (self.url.clone(), "no answer in time".to_owned());
        client::Error::Connect { url, reason }.into()
    }
}

/// A name of `auditgate.v1.ErrorReason`.
const CREDENTIALS_MISSING: &str = "CREDENTIALS_MISSING";

/// The text of an error, with a line for each field to blame.
pub fn error_text(error: &client::Error) -> String {
    let mut said = error.to_string();
    if matches!(error, client::Error::TokenExposed { .. }) {
        said.push_str(", or allow it with --insecure");
    }
    let reason = error.refusal().and_then(|refusal| refusal.reason.as_deref());
    if reason == Some(CREDENTIALS_MISSING) {
        return "authentication is required: pass --token-file FILE, or --cert FILE and --key FILE"
            .to_owned();
    }
    let violations = || error.refusal().into_iter().flat_map(|refusal| &refusal.violations);
    let of_flags = violations().next().and_then(|first| flags::sentence(&first.field, &said));
    if let Some(of_flags) = of_flags {
        return of_flags;
    }
    for violation in violations() {
        let Violation { field, description } = violation;
        // The message of the gateway may already contain both.
        match (said.contains(description.as_str()), said.contains(field.as_str())) {
            (true, true) => {}
            (true, false) => said.push_str(&format!("\n  at {field}")),
            (false, _) => said.push_str(&format!("\n  {field}: {description}")),
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn an_error_is_told_with_its_fields() {
        let told = |message: &str, field: &str, description: &str| {
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation(field, description);
            let status = Status::with_error_details(Code::InvalidArgument, message, details);
            error_text(&client::Refusal::from(status).into())
        };
        let apart = told("bad event", "event.types[0]", "no such type");
        assert_eq!(apart, "bad event\n  event.types[0]: no such type");
        let flag = told("types[0] is \"x\", which is no type", "filter.types[0]", "no type");
        assert_eq!(flag, "--type \"x\" is no type");
        assert_eq!(told("page_size is -1", "page_size", "page_size is -1"), "page_size is -1");
        let mut details = ErrorDetails::new();
        details.set_error_info(CREDENTIALS_MISSING, "auditgate", []);
        let status = Status::with_error_details(Code::Unauthenticated, "send a header", details);
        let told_missing = error_text(&client::Refusal::from(status).into());
        assert!(told_missing.contains("--token-file"), "{told_missing}");
        let placed = told("there is no payload", "event.payload", "there is no payload");
        assert_eq!(placed, "there is no payload\n  at event.payload");
    }
}
