//! Filter flags, shared by every command that reads.

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prost_types::Timestamp as Stamp;

use super::Error;
use super::times::{self, TimeArg};
use crate::proto::{PlainName as _, pb};
use crate::text;

/// Which records to select.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Filter")]
#[group(skip)]
pub struct Args {
    /// Event types, exact or as a glob: user.login, 'session.*'
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Event types to exclude
    #[arg(long = "not-type", value_name = "TYPE", value_delimiter = ',')]
    exclude_types: Vec<String>,
    /// Categories of event types, such as db or access_request
    #[arg(long = "category", value_name = "NAME", value_delimiter = ',', value_parser = category)]
    categories: Vec<pb::Category>,
    /// Minimum severity
    #[arg(long, value_name = "LEVEL")]
    severity: Option<SeverityArg>,
    /// Only failures; the same as --result failure
    #[arg(long, conflicts_with = "results")]
    failed: bool,
    /// Result of the action
    #[arg(long = "result", value_name = "RESULT", value_delimiter = ',')]
    results: Vec<OutcomeArg>,
    /// Event codes, such as T1000W
    #[arg(long = "code", value_name = "CODE", value_delimiter = ',')]
    codes: Vec<String>,
    /// Names of users: the acting user or the impersonator
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// Session ids
    #[arg(long = "session", value_name = "ID")]
    session_ids: Vec<String>,
    /// Server ids
    #[arg(long = "server-id", value_name = "ID")]
    server_ids: Vec<String>,
    /// Cluster names
    #[arg(long = "cluster", value_name = "NAME")]
    cluster_names: Vec<String>,
    /// Names of the services that emitted the event
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Remote addresses or CIDR blocks, such as 10.0.0.0/8
    #[arg(long = "address", value_name = "ADDR", value_delimiter = ',')]
    remote_addresses: Vec<String>,
    /// Labels; all of them must match
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Text that occurs in any string of the event, case-insensitive
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    text: String,
    /// A CEL expression over event, type, severity, result, sequence,
    /// accept_time, accept_time_raised, clock_skew and emitter: "event.user.name == 'alice'"
    #[arg(long = "filter", value_name = "CEL", default_value = "", hide_default_value = true)]
    expression: String,
    /// From this time on: how long ago (1h or -1h, 2d), a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = times::parse, allow_hyphen_values = true)]
    since: Option<TimeArg>,
    /// Before this time, in the same formats
    #[arg(long, value_name = "TIME", value_parser = times::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SeverityArg {
    Info,
    Warning,
    Error,
    Critical,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutcomeArg {
    Success,
    Failure,
    Pending,
}

impl Args {
    /// The filter message of the request.
    pub fn filter(&self) -> pb::Filter {
        let mut results: Vec<i32> = self
            .results
            .iter()
            .map(|result| match result {
                OutcomeArg::Success => pb::Result::Success.into(),
                OutcomeArg::Failure => pb::Result::Failure.into(),
                OutcomeArg::Pending => pb::Result::Pending.into(),
            })
            .collect();
        if self.failed {
            results.push(pb::Result::Failure.into());
        }
        let min_severity = self.severity.map_or(pb::Severity::Unspecified, |least| match least {
            SeverityArg::Info => pb::Severity::Info,
            SeverityArg::Warning => pb::Severity::Warning,
            SeverityArg::Error => pb::Severity::Error,
            SeverityArg::Critical => pb::Severity::Critical,
        });
        pb::Filter {
            types: self.types.clone(),
            exclude_types: self.exclude_types.clone(),
            categories: self.categories.iter().map(|category| (*category).into()).collect(),
            min_severity: min_severity.into(),
            results,
            codes: self.codes.clone(),
            users: self.users.clone(),
            session_ids: self.session_ids.clone(),
            server_ids: self.server_ids.clone(),
            cluster_names: self.cluster_names.clone(),
            sources: self.sources.clone(),
            remote_addresses: self.remote_addresses.clone(),
            labels: self.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
            text: self.text.clone(),
            expression: self.expression.clone(),
        }
    }

    /// The times of `--since` and `--until`, in `zone` and relative to now.
    pub fn range(&self, zone: &TimeZone) -> Result<(Option<Stamp>, Option<Stamp>), Error> {
        let now = Timestamp::now();
        let resolve = |flag: &str, when: Option<TimeArg>| {
            when.map(|when| when.resolve(now, zone))
                .transpose()
                .map_err(|error| Error::Usage(format!("{flag}: {error}")))
        };
        Ok((resolve("--since", self.since)?, resolve("--until", self.until)?))
    }
}

/// The expression in the arguments of a command, if any.
pub fn expression(matches: &clap::ArgMatches) -> Option<String> {
    matches.try_get_one::<String>("expression").ok().flatten().cloned()
}

fn category(name: &str) -> Result<pb::Category, String> {
    pb::Category::from_plain_name(name).ok_or_else(|| {
        let known = pb::Category::plain_names();
        let nearest = text::nearest_one(name, known.iter().map(String::as_str));
        let nearest = nearest.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
        format!("{nearest}there are: {}", known.join(", "))
    })
}

/// Reads `KEY=VALUE`.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: Args,
    }

    fn filter(flags: &[&str]) -> Result<pb::Filter, String> {
        Line::try_parse_from(std::iter::once(&"x").chain(flags))
            .map(|line| line.filter.filter())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_field_of_the_filter_has_a_flag() {
        let all = filter(&[
            "--type=user.login,session.*",
            "--type=exec",
            "--not-type=session.data",
            "--category=db,access-request",
            "--severity=warning",
            "--result=failure,pending",
            "--code=T1000W",
            "--user=alice",
            "--session=s",
            "--server-id=n",
            "--cluster=c",
            "--source=billing",
            "--address=10.0.0.0/8",
            "--label=env=prod=1",
            "--text=drop",
            "--filter=result == 'failure'",
        ]);
        let expected = pb::Filter {
            types: vec!["user.login".into(), "session.*".into(), "exec".into()],
            exclude_types: vec!["session.data".into()],
            categories: vec![pb::Category::Db.into(), pb::Category::AccessRequest.into()],
            min_severity: pb::Severity::Warning.into(),
            results: vec![pb::Result::Failure.into(), pb::Result::Pending.into()],
            codes: vec!["T1000W".into()],
            users: vec!["alice".into()],
            session_ids: vec!["s".into()],
            server_ids: vec!["n".into()],
            cluster_names: vec!["c".into()],
            sources: vec!["billing".into()],
            remote_addresses: vec!["10.0.0.0/8".into()],
            labels: BTreeMap::from([("env".into(), "prod=1".into())]),
            text: "drop".into(),
            expression: "result == 'failure'".into(),
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(filter(&[]), Ok(pb::Filter::default()));
        let failed = filter(&["--failed"]).expect("a filter");
        assert_eq!(failed.results, [pb::Result::Failure as i32]);
    }

    /// The page understands the same lines, and its tests read the same table.
    #[test]
    fn the_table_of_the_page_holds_here() {
        #[derive(serde::Deserialize)]
        struct Case {
            args: Vec<String>,
            filter: serde_json::Value,
        }
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("filter_cases.json")).expect("JSON");
        for case in cases {
            let args: Vec<&str> = case.args.iter().map(String::as_str).collect();
            let read = filter(&args).expect("a filter");
            let json = crate::json::line(&crate::json::reflect("Filter", &read));
            let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(json, case.filter, "{args:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_advice() {
        let refused = filter(&["--category=sql"]).expect_err("there is none");
        assert!(refused.contains("there are: access_request, app,"), "{refused}");
        for (args, flag) in [
            (&["--label=x"][..], "--label"),
            (&["--failed", "--result=success"], "cannot be used with"),
            (&["--since=soon"], "--since"),
        ] {
            let refused = filter(args).expect_err("no filter");
            assert!(refused.contains(flag), "{args:?}: {refused}");
        }
    }
}
