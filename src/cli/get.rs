//! `auditgate get`: shows one record in full.

mod details;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use super::client::{GatewayArgs, error_text};
use super::numbers::counted;
use super::search::any_id;
use super::{Error, ExitKind, escape, interruptible, print, say, terminal};
use crate::client::{self, Client};
use crate::json::{self, reflect};
use crate::proto::pb;
use crate::proto::pb::get_record_request::Key;
use details::Details;

/// Time limit for finding other records with the same id.
const OTHERS_TIME_MAX: Duration = Duration::from_secs(2);
/// The most records with one id that are shown.
const OTHERS_MAX: usize = 100;

/// Show one record in full
///
/// Shows who did what, where and with which result, the connection, the times, what the gateway
/// changed, and all other fields. Several emitters may use one id: all records with it are shown,
/// the newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate get 4711
  auditgate get 3f0f5d5e-1
  auditgate get --id 4711 -o json

Exit status: 0 if the record was found; 1 if there is no such record, or you may not read it; 2 if
the arguments are wrong, or the gateway cannot be reached or refuses; 130 after Ctrl-C.")]
pub struct Args {
    /// Sequence of the record (digits), or the id of its event
    #[arg(value_name = "SEQUENCE|ID", required_unless_present = "id", allow_hyphen_values = true)]
    record: Option<String>,
    /// Id of the event, also if it consists of digits
    #[arg(long, value_name = "ID", conflicts_with = "record", allow_hyphen_values = true)]
    id: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = RecordView::Pretty)]
    output: RecordView,
    #[command(flatten)]
    page: terminal::PageArgs,
    #[command(flatten)]
    server: GatewayArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecordView {
    /// A page for people
    Pretty,
    /// The record as protobuf JSON; of several records one object after the other
    Json,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitKind, Error> {
    let key = match (&args.id, &args.record) {
        (Some(id), _) => Key::Id(id.clone()),
        (None, Some(key)) => key_of(key)?,
        (None, None) => {
            return Err(Error::Usage("no record given: pass its sequence or id".into()));
        }
    };
    let client = args.server.client().await?;
    interruptible(show(&args, &client, key)).await
}

/// Digits are a sequence.
fn key_of(text: &str) -> Result<Key, Error> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Ok(Key::Id(text.to_owned()));
    }
    text.parse().map(Key::Sequence).map_err(|_| {
        Error::Usage(format!(
            "{text} is not a sequence: it is too large; for an id use --id {text}"
        ))
    })
}

async fn show(args: &Args, client: &Client, key: Key) -> Result<ExitKind, Error> {
    let id = match &key {
        Key::Id(id) => Some(id.clone()),
        Key::Sequence(_) => None,
    };
    let record = match client.get_record(key).await {
        Ok(record) => record,
        Err(error) if is_absence(&error) => {
            let hint = args.record.as_deref().filter(|_| id.is_none());
            let hint = hint.map(|key| format!("\nfor an event with the id {key}, use --id {key}"));
            say(&format!("{}{}", error_text(&error), hint.unwrap_or_default()));
            return Ok(ExitKind::Some);
        }
        Err(error) => return Err(error.into()),
    };
    let others = match &id {
        Some(id) => others(client, id, record.sequence).await?,
        None => Vec::new(),
    };
    let count = others.len() as u64 + 1;
    let records: Vec<pb::Record> = std::iter::once(record).chain(others).collect();
    print(&render(args, &records))?;
    if count > 1 {
        say(&format!("{} have this id, the newest first", counted(count, "record")));
    }
    Ok(ExitKind::All)
}

fn is_absence(error: &client::Error) -> bool {
    error.refusal().is_some_and(|refusal| refusal.code == Code::NotFound)
}

/// The records before `newest` with the same id, which other emitters have used.
async fn others(client: &Client, id: &str, newest: u64) -> Result<Vec<pb::Record>, Error> {
    let Some(before) = newest.checked_sub(1).filter(|before| *before > 0) else {
        return Ok(Vec::new());
    };
    let filter = pb::Filter { expression: any_id(&[id.to_owned()])?, ..Default::default() };
    let request =
        pb::SearchRequest { filter: Some(filter), last_sequence: before, ..Default::default() };
    let mut results = client.search(request);
    let mut found = Vec::new();
    let give_up = Instant::now() + OTHERS_TIME_MAX;
    while found.len() < OTHERS_MAX {
        match timeout_at(give_up, results.next()).await {
            Ok(next) => match next? {
                Some(record) => found.push(record),
                None => return Ok(found),
            },
            Err(_) => {
                let seconds = OTHERS_TIME_MAX.as_secs();
                say(&format!(
                    "the log is large: there may be more records with this id than were found within \
                     {seconds} s; `auditgate search --id` reads all of it"
                ));
                return Ok(found);
            }
        }
    }
    say(&format!("only the newest {} are shown", counted(OTHERS_MAX as u64 + 1, "record")));
    Ok(found)
}

fn render(args: &Args, records: &[pb::Record]) -> String {
    let terminal = std::io::stdout().is_terminal();
    let page = |record: &pb::Record| match args.output {
        RecordView::Json => {
            format!("{}\n", escape::json(&json::indented(&reflect("Record", record))))
        }
        RecordView::Pretty => {
            let (zone, color) = (args.page.zone(), args.page.color(terminal));
            Details::of(record, &zone).draw(terminal::width(), color)
        }
    };
    let pages: Vec<String> = records.iter().map(page).collect();
    pages.join(if args.output == RecordView::Pretty { "\n" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_sequence() {
        assert!(matches!(key_of("4711"), Ok(Key::Sequence(4_711))));
        for id in ["47x", "-1", "3f0f5d5e-1", "1.5", " 1", "٣"] {
            assert!(matches!(key_of(id), Ok(Key::Id(_))), "{id}");
        }
        let said = key_of("99999999999999999999").expect_err("too large").to_string();
        assert!(said.contains("--id 99999999999999999999"), "{said}");
    }
}
