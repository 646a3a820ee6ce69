//! The gateway inside your own process: for tests of what emits or subscribes.
//!
//! ```text
//! cargo run --example embed
//! ```

use auditgate::client::Client;
use auditgate::proto::pb;
use auditgate::proto::pb::event::Payload;
use auditgate::server::{Config, Gateway};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for record in embed().await? {
        println!("{} {}", record.sequence, record.r#type);
    }
    Ok(())
}

/// What a test does: starts a gateway on a free port, lets the code under test
/// emit into it, and looks at what came.
pub async fn embed() -> Result<Vec<pb::Record>, Box<dyn std::error::Error>> {
    let gateway =
        Gateway::start(Config { listen: "127.0.0.1:0".parse()?, ..Config::default() }).await?;
    let url = format!("http://{}", gateway.address());

    code_under_test(&url).await?;

    let client = Client::connect(&url).await?;
    let filter = pb::Filter { types: vec!["user.*".to_owned()], ..Default::default() };
    let mut results =
        client.search(pb::SearchRequest { filter: Some(filter), ..Default::default() });
    let mut records = Vec::new();
    while let Some(record) = results.next().await? {
        records.push(record);
    }
    gateway.stop().await;
    Ok(records)
}

async fn code_under_test(url: &str) -> Result<(), auditgate::client::Error> {
    let client = Client::connect(url).await?;
    let event = pb::Event {
        user: Some(pb::User { name: Some("alice".to_owned()), ..Default::default() }),
        payload: Some(Payload::UserCreate(pb::UserCreate::default())),
        ..Default::default()
    };
    client.emit(event).await?;
    Ok(())
}
