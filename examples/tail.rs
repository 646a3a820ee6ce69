//! A subscriber: handles each record at least once, across restarts of itself
//! and of the gateway.
//!
//! ```text
//! cargo run --example tail -- example.cursor
//! ```
//!
//! AUDITGATE_SERVER names the gateway; http://127.0.0.1:50051 if it is not set.

use std::path::Path;

use auditgate::client::{self, Client, Item, Start};
use auditgate::proto::pb;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("AUDITGATE_SERVER").unwrap_or_else(|_| client::URL.to_owned());
    let file = std::env::args().nth(1).unwrap_or_else(|| "example.cursor".to_owned());
    let print = |record: &pb::Record| println!("{} {}", record.sequence, record.r#type);
    tail(&url, Path::new(&file), print).await
}

/// Hands every record to `handle`, and keeps the cursor in `file`.
pub async fn tail(
    url: &str,
    file: &Path,
    mut handle: impl FnMut(&pb::Record),
) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(url).await?;
    let start = match std::fs::read_to_string(file) {
        Ok(cursor) => Start::Cursor(cursor),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Start::Earliest,
        Err(error) => return Err(error.into()),
    };
    let mut subscriber = client.subscribe(pb::Filter::default(), start);
    loop {
        match subscriber.next().await? {
            Item::Record(record) => handle(&record),
            Item::Gap(gap) => eprintln!(
                "missed records {} to {}: {}",
                gap.first_sequence,
                gap.last_sequence,
                gap.reason().as_str_name()
            ),
            // All before this has been handled: now the cursor may be stored. If
            // this process ends sooner, those records come again.
            Item::Checkpoint(cursor) => store(file, &cursor)?,
            Item::Lost { reason, .. } => eprintln!("connection lost: {reason}"),
            Item::Regained => eprintln!("connected again"),
            Item::CaughtUp => {}
        }
    }
}

/// Replaces the file as a whole, so that a crash leaves the old cursor or the new.
fn store(file: &Path, cursor: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, cursor)?;
    std::fs::rename(&beside, file)
}
