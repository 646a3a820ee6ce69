//! Emitters that know what they sent and what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use auditgate::proto::pb;
use auditgate::proto::pb::audit_service_client::AuditServiceClient;
use auditgate::proto::pb::event::Payload;

/// What is known of a log from outside.
#[derive(Default)]
pub struct Known {
    /// What was sent, by batches.
    pub sent: Vec<Vec<String>>,
    /// Ids and their sequences, as receipts told them.
    pub acknowledged: BTreeMap<String, u64>,
    /// Sent, but not acknowledged: to be sent again.
    pub open: Vec<Vec<String>>,
}

impl Known {
    pub fn merge(&mut self, other: Self) {
        self.sent.extend(other.sent);
        self.acknowledged.extend(other.acknowledged);
        self.open.extend(other.open);
    }

    /// Compares with what the log has.
    pub fn check(&self, kept: &[String]) {
        let places: BTreeMap<&str, u64> =
            kept.iter().zip(1..).map(|(id, sequence)| (id.as_str(), sequence)).collect();
        assert_eq!(places.len(), kept.len(), "none is doubled");
        let sent: BTreeSet<&str> = self.sent.iter().flatten().map(String::as_str).collect();
        assert!(kept.iter().all(|id| sent.contains(id.as_str())), "none is invented");
        for (id, sequence) in &self.acknowledged {
            assert_eq!(places.get(id.as_str()), Some(sequence), "{id} was acknowledged");
        }
        for batch in &self.sent {
            let found = batch.iter().filter(|id| places.contains_key(id.as_str())).count();
            assert!(found == 0 || found == batch.len(), "a batch in part: {batch:?}");
        }
    }
}

pub fn event(id: &str) -> pb::Event {
    pb::Event {
        id: Some(id.to_owned()),
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        user: Some(pb::User { name: Some("alice".into()), ..Default::default() }),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

/// Emits batches, one after the other, until they are through or the gateway is
/// gone.
pub async fn emit(address: SocketAddr, batches: Vec<Vec<String>>) -> Known {
    let mut known = Known::default();
    let mut client = match AuditServiceClient::connect(format!("http://{address}")).await {
        Ok(client) => client,
        Err(_) => {
            known.open = batches;
            return known;
        }
    };
    let mut batches = batches.into_iter();
    for batch in batches.by_ref() {
        let events = batch.iter().map(|id| event(id)).collect();
        known.sent.push(batch.clone());
        let request = pb::EmitBatchRequest { events, validate_only: false };
        match client.emit_batch(request).await {
            Ok(response) => {
                let receipts = response.into_inner().receipts;
                known.acknowledged.extend(receipts.into_iter().map(|r| (r.id, r.sequence)));
            }
            Err(_) => {
                known.open.push(batch);
                break;
            }
        }
    }
    known.open.extend(batches);
    known
}

/// Batches of one to four events.
pub fn batches(name: &str, count: usize) -> Vec<Vec<String>> {
    let batch =
        |number: usize| (0..=number % 4).map(|place| format!("{name}-{number}-{place}")).collect();
    (0..count).map(batch).collect()
}
