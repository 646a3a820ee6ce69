//! `[delivery.filter]`: which records go out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Error;
use crate::filter::Filter;
use crate::proto::{PlainName, pb};

/// Which records go out. A record matches if it matches every key; a key with several values matches
/// any one of them, except labels.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryFilter {
    /// Event types, exact or with `*` for any characters.
    pub types: Vec<String>,
    /// Event types to leave out, even if they match `types`.
    pub exclude_types: Vec<String>,
    /// Categories of event types, such as `db` or `access_request`.
    pub categories: Vec<String>,
    /// Minimum severity: `info`, `warning`, `error` or `critical`.
    pub min_severity: Option<String>,
    /// Results: `success`, `failure` or `pending`.
    pub results: Vec<String>,
    /// Codes of events, such as `T1000W`.
    pub codes: Vec<String>,
    /// Names of users: the acting user or the impersonator.
    pub users: Vec<String>,
    /// Ids of sessions.
    pub session_ids: Vec<String>,
    /// Ids of servers.
    pub server_ids: Vec<String>,
    /// Names of clusters.
    pub cluster_names: Vec<String>,
    /// Names of the services that emitted the event.
    pub sources: Vec<String>,
    /// Remote addresses or CIDR blocks.
    pub remote_addresses: Vec<String>,
    /// Labels, each as `KEY=VALUE`; an event must have all of them.
    pub labels: Vec<String>,
    /// Text that occurs in some string of the event, in any case.
    pub text: String,
    /// A CEL expression, as in searches.
    pub expression: String,
}

impl DeliveryFilter {
    /// The filter message, checked.
    pub(super) fn filter(&self, key: &dyn Fn(&str) -> String) -> Result<pb::Filter, Error> {
        let least = self.min_severity.as_deref();
        let least = least.map(|name| number::<pb::Severity>(&|| key("min_severity"), name));
        let labels = self.labels.iter().enumerate().map(|(position, label)| {
            label
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| {
                    Error::value(
                        key(&format!("labels[{position}]")),
                        format!("{label:?} is not KEY=VALUE"),
                    )
                })
        });
        let filter = pb::Filter {
            types: self.types.clone(),
            exclude_types: self.exclude_types.clone(),
            categories: numbers::<pb::Category>(key, "categories", &self.categories)?,
            min_severity: least.transpose()?.unwrap_or_default(),
            results: numbers::<pb::Result>(key, "results", &self.results)?,
            codes: self.codes.clone(),
            users: self.users.clone(),
            session_ids: self.session_ids.clone(),
            server_ids: self.server_ids.clone(),
            cluster_names: self.cluster_names.clone(),
            sources: self.sources.clone(),
            remote_addresses: self.remote_addresses.clone(),
            labels: labels.collect::<Result<_, Error>>()?,
            text: self.text.clone(),
            expression: self.expression.clone(),
        };
        Filter::compile(&filter).map_err(|error| Error::value(key(&error.field()), error))?;
        Ok(filter)
    }
}

/// The numbers of the values in a list.
fn numbers<T: PlainName>(
    key: &dyn Fn(&str) -> String,
    list: &str,
    names: &[String],
) -> Result<Vec<i32>, Error> {
    let named = names.iter().enumerate();
    named.map(|(at, name)| number::<T>(&|| key(&format!("{list}[{at}]")), name)).collect()
}

/// The number of the value with a name.
fn number<T: PlainName>(key: &dyn Fn() -> String, name: &str) -> Result<i32, Error> {
    T::from_plain_name(name).map(Into::into).ok_or_else(|| {
        let known = T::plain_names().join(", ");
        Error::value(key(), format!("{name:?} is not one of {known}"))
    })
}
