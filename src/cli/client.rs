//! The way to the gateway.

use super::Error;
use crate::client::{self, Client, Violation};

/// Where the gateway is.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Server {
    /// URL of the gateway
    #[arg(
        long = "server",
        value_name = "URL",
        env = "AUDITGATE_SERVER",
        default_value = client::URL
    )]
    url: String,
}

impl Server {
    /// Connects.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect(&self.url).await?)
    }

    /// The error where there is no answer in time.
    pub fn late(&self) -> Error {
        let (url, reason) = (self.url.clone(), "no answer in time".to_owned());
        client::Error::Connect { url, reason }.into()
    }
}

/// What an error says, with a line for each field that is to blame.
pub fn told(error: &client::Error) -> String {
    let mut said = error.to_string();
    for violation in error.refusal().into_iter().flat_map(|refusal| &refusal.violations) {
        let Violation { field, description } = violation;
        // The gateway's sentence may already say it, and where.
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
            told(&client::Refusal::from(status).into())
        };
        let apart = told("bad filter", "filter.types[0]", "no such type");
        assert_eq!(apart, "bad filter\n  filter.types[0]: no such type");
        assert_eq!(told("page_size is -1", "page_size", "page_size is -1"), "page_size is -1");
        let placed = told("there is no payload", "event.payload", "there is no payload");
        assert_eq!(placed, "there is no payload\n  at event.payload");
    }
}
