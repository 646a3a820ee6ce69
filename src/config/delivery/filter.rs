//! `[delivery.filter]`: which records go out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Error;
use crate::filter::Filter;
use crate::proto::pb;

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
    /// A CEL expression, as searches have it.
    pub expression: String,
}

impl DeliveryFilter {
    /// The filter as requests have it, checked.
    pub(super) fn filter(&self, key: &dyn Fn(&str) -> String) -> Result<pb::Filter, Error> {
        let values = |name: &str, texts: &[String], prefix: &str, of: fn(&str) -> Option<i32>| {
            let value = |(position, text): (usize, &String)| {
                let named = format!("{prefix}{}", text.to_ascii_uppercase().replace('-', "_"));
                of(&named).filter(|number| *number != 0).ok_or_else(|| {
                    let known = known(prefix, of);
                    let key = key(&format!("{name}[{position}]"));
                    Error::value(key, format!("{text:?} is not one of {known}"))
                })
            };
            texts.iter().enumerate().map(value).collect::<Result<Vec<i32>, Error>>()
        };
        let least: Vec<String> = self.min_severity.iter().cloned().collect();
        let least = values("min_severity", &least, "SEVERITY_", |name| {
            pb::Severity::from_str_name(name).map(|severity| severity as i32)
        })
        .map_err(|error| match error {
            Error::Value { what, origin, .. } => {
                Error::Value { key: key("min_severity"), origin, what }
            }
            other => other,
        })?;
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
            categories: values("categories", &self.categories, "CATEGORY_", |name| {
                pb::Category::from_str_name(name).map(|category| category as i32)
            })?,
            min_severity: least.first().copied().unwrap_or_default(),
            results: values("results", &self.results, "RESULT_", |name| {
                pb::Result::from_str_name(name).map(|result| result as i32)
            })?,
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

/// The names of an enum, as the configuration has them.
fn known(prefix: &str, of: fn(&str) -> Option<i32>) -> String {
    let names: &[&str] = match prefix {
        "SEVERITY_" => &["info", "warning", "error", "critical"],
        "RESULT_" => &["success", "failure", "pending"],
        _ => {
            let categories = (1..).map_while(|number| pb::Category::try_from(number).ok());
            let names = categories.map(|category| {
                let name = category.as_str_name();
                name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
            });
            return names.collect::<Vec<_>>().join(", ");
        }
    };
    let _ = of;
    names.join(", ")
}
