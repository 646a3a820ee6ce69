//! An emitter: a service that tells of the logins it sees.
//!
//! ```text
//! cargo run --example emit -- 10
//! ```
//!
//! AUDITGATE_SERVER names the gateway; http://127.0.0.1:50051 if it is not set.

use auditgate::client::{self, Client, Emitter, Options, Pending};
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), client::Error> {
    let url = std::env::var("AUDITGATE_SERVER").unwrap_or_else(|_| client::URL.to_owned());
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10);
    for receipt in emit(&url, count).await? {
        println!("{} is record {}", receipt.id, receipt.sequence);
    }
    Ok(())
}

/// Emits `count` logins; returns their receipts.
pub async fn emit(url: &str, count: usize) -> Result<Vec<pb::Receipt>, client::Error> {
    let client = Client::connect(url).await?;
    // Batches, retries under the same id and deadlines are the emitter's business.
    let emitter = client.emitter(Options::default());
    let mut pending = Vec::new();
    for number in 0..count {
        // This waits only where too much is on its way already.
        pending.push(tell(&emitter, number).await?);
    }
    let mut receipts = Vec::new();
    for pending in pending {
        // With the receipt the event is safe; an error says what became of it.
        receipts.push(pending.await?);
    }
    emitter.close().await;
    Ok(receipts)
}

async fn tell(emitter: &Emitter, number: usize) -> Result<Pending, client::Error> {
    let success = !number.is_multiple_of(3);
    let event = pb::Event {
        user: Some(pb::User {
            name: Some(if success { "alice" } else { "mallory" }.to_owned()),
            ..Default::default()
        }),
        outcome: Some(pb::Outcome {
            success: Some(success),
            error: (!success).then(|| "bad password".to_owned()),
            ..Default::default()
        }),
        source: Some(pb::Source { name: Some("example".to_owned()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin {
            method: Some("local".to_owned()),
            ..Default::default()
        })),
        ..Default::default()
    };
    emitter.send(event).await
}
