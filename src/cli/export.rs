//! `auditgate export`: records in the form of another log.

use std::io::{BufWriter, Write as _};

use tonic::Code;

use super::client::{Server, retry, sentence};
use super::{Done, Error, Format, say};
use crate::proto::pb;
use crate::proto::pb::get_record_request::Key;
use crate::teleport;

/// Most records of a page: what the gateway gives at most.
const PAGE_RECORDS: i32 = 1_000;

/// Write events in the form of another system's log
///
/// Writes one line a record to standard output, from the oldest to the newest;
/// what is accepted meanwhile is left out. A line that was imported is written
/// with each key and value that it had.
///
/// Exit status: 0 if every record was written; 1 if some were not, which is
/// reported, or no record has the id; 2 if the arguments are wrong or the gateway
/// cannot be reached.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// Write only the event with this id
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<Done, Error> {
    let Format::Teleport = args.format;
    let mut client = args.server.connect().await?;
    let mut output = Output::new();
    if let Some(id) = args.id {
        let request = pb::GetRecordRequest { key: Some(Key::Id(id)) };
        match retry(async || client.get_record(request.clone()).await).await {
            Ok(response) => output.write(response.into_inner().record.as_slice())?,
            Err(status) if status.code() == Code::NotFound => output.lack(&sentence(&status)),
            Err(status) => return Err(Error::Refused(sentence(&status))),
        }
        return Ok(output.done);
    }
    let mut request = pb::SearchRequest {
        order: pb::Order::OldestFirst.into(),
        page_size: PAGE_RECORDS,
        ..Default::default()
    };
    loop {
        let page = retry(async || client.search(request.clone()).await).await;
        let page = page.map_err(|status| Error::Refused(sentence(&status)))?.into_inner();
        for gap in &page.gaps {
            output.lack(&format!(
                "records {} to {} were evicted before they could be read",
                gap.first_sequence, gap.last_sequence
            ));
        }
        output.write(&page.records)?;
        if page.next_page_token.is_empty() {
            return Ok(output.done);
        }
        request.page_token = page.next_page_token;
    }
}

/// Standard output, and whether all went into it.
struct Output {
    lines: BufWriter<std::io::Stdout>,
    done: Done,
}

impl Output {
    fn new() -> Self {
        Self { lines: BufWriter::new(std::io::stdout()), done: Done::All }
    }

    /// Writes the records, each as a line.
    fn write(&mut self, records: &[pb::Record]) -> Result<(), Error> {
        for record in records {
            match record.event.as_ref().map(teleport::export) {
                Some(Ok(line)) => writeln!(self.lines, "{line}")?,
                Some(Err(error)) => self.lack(&format!(
                    "record {} of type {} cannot be written: {error}",
                    record.sequence, record.r#type
                )),
                None => self.lack(&format!("record {} has no event", record.sequence)),
            }
        }
        Ok(self.lines.flush()?)
    }

    /// Tells what is left out.
    fn lack(&mut self, what: &str) {
        self.done = Done::Some;
        say(what);
    }
}
