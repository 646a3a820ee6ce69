//! `auditgate whoami`: shows the caller's principal and grants.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::client::GatewayArgs;
use super::{Error, ExitKind, escape, interruptible, print, terminal, times, units};
use crate::catalog;
use crate::json::{self, reflect};
use crate::proto::pb;

/// Width of the names of rows, in columns.
const NAME: usize = 7;

/// Show the principal that the gateway sees, and its rights
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate whoami
  auditgate whoami --token-file alice.token -o json

Exit status: 0 if the gateway answers; 2 if the arguments are wrong, or the gateway
cannot be reached or does not accept the token or certificate; 130 after Ctrl-C.")]
pub struct Args {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = CallerView::Pretty)]
    output: CallerView,
    /// Show times in UTC instead of the local time zone
    #[arg(long)]
    utc: bool,
    #[command(flatten)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CallerView {
    /// A few lines
    Pretty,
    /// GetCallerResponse as JSON
    Json,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let client = args.server.client().await?;
    interruptible(async {
        let caller = client.get_caller().await?;
        let text = match args.output {
            CallerView::Pretty => {
                let width = if std::io::stdout().is_terminal() { terminal::width() } else { None };
                render(&caller, width, &terminal::zone(args.utc), now())
            }
            CallerView::Json => {
                let reflected = reflect("GetCallerResponse", &caller);
                format!("{}\n", escape::json(&json::indented(&reflected)))
            }
        };
        print(&text)
    })
    .await
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The caller in a few lines; `now` is in seconds since 1970.
fn render(
    caller: &pb::GetCallerResponse,
    width: Option<usize>,
    zone: &TimeZone,
    now: i64,
) -> String {
    let name = match (caller.authenticated, caller.principal.as_str()) {
        (false, _) => "anybody: authentication is off, and every client may do everything",
        (true, "") => "nobody: the gateway asks for no credential for this call",
        (true, name) => name,
    };
    let mut rows = vec![
        ("name", name.to_owned()),
        ("reads", types(&caller.readable_types, false)),
        ("emits", types(&caller.emittable_types, true)),
        ("rights", list(&caller.rights)),
    ];
    if let Some(time) = &caller.expire_time {
        let left = time.seconds.saturating_sub(now);
        let left = match left {
            ..0 => "has ended".to_owned(),
            left => format!("ends in {}", units::length(left)),
        };
        rows.push(("until", format!("{}, {left}", times::format(time, zone, "%F %T"))));
    }
    let mut out = String::new();
    for (name, text) in rows {
        let name = terminal::fitted(name, NAME);
        for line in terminal::labelled(&name, NAME, &escape::escaped(&text), width) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// The names of the types, or that these are all.
fn types(names: &[String], emits: bool) -> String {
    let all = catalog::all().filter(|(id, own)| !(id.is_custom() || emits && own.is_reserved()));
    let custom = format!("{}*", catalog::CUSTOM_PREFIX);
    let is_all = names.contains(&custom)
        && all.into_iter().all(|(_, own)| names.iter().any(|name| name == own.name));
    if is_all { "all event types".to_owned() } else { list(names) }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_told_in_a_few_lines() {
        let mut readable: Vec<String> = catalog::all()
            .filter(|(id, _)| !id.is_custom())
            .map(|(_, own)| own.name.to_owned())
            .collect();
        readable.push("custom.*".to_owned());
        let caller = pb::GetCallerResponse {
            principal: "alice".into(),
            authenticated: true,
            readable_types: readable,
            emittable_types: vec!["exec".into(), "user.login".into()],
            rights: Vec::new(),
            expire_time: Some(prost_types::Timestamp { seconds: 1_700_003_600, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(
            render(&caller, Some(80), &TimeZone::UTC, 1_700_000_000),
            "name     alice\n\
             reads    all event types\n\
             emits    exec, user.login\n\
             rights   none\n\
             until    2023-11-14 23:13:20, ends in 1 h 0 min\n"
        );
        let open = pb::GetCallerResponse::default();
        let text = render(&open, Some(40), &TimeZone::UTC, 0);
        assert!(text.starts_with("name     anybody: authentication is off,\n"), "{text}");
        assert!(text.lines().all(|line| terminal::columns(line) <= 40), "{text}");
    }
}
