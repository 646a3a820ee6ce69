//! An event that is emitted again is not stored again.

use std::collections::BTreeMap;

use crate::support::raw::{self, field};
use crate::support::{self, Client, numbered, pb};
use prost::Message as _;
use tonic::{Code, Status};

fn full(id: &str) -> pb::Event {
    let labels = ["a", "b", "c", "d"].map(|key| (key.to_owned(), key.to_uppercase()));
    pb::Event {
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 }),
        labels: labels.into(),
        code: Some("T1000I".into()),
        ..support::login(id, "alice")
    }
}

async fn emit(client: &mut Client, event: pb::Event) -> Result<pb::Receipt, Status> {
    let request = pb::EmitRequest { event: Some(event), validate_only: false };
    support::soon(client.emit(request)).await.map(|response| response.into_inner().receipt.unwrap())
}

async fn validate(client: &mut Client, event: pb::Event) -> Result<pb::Receipt, Status> {
    let request = pb::EmitRequest { event: Some(event), validate_only: true };
    support::soon(client.emit(request)).await.map(|response| response.into_inner().receipt.unwrap())
}

/// The receipt of a repetition says what the first one said, and that it is one.
fn repeats(first: &pb::Receipt, again: &pb::Receipt) {
    assert!(!first.duplicate);
    assert_eq!(*again, pb::Receipt { duplicate: true, ..first.clone() });
}

async fn stored(client: &mut Client) -> u64 {
    support::status(client).await.last_sequence
}

#[tokio::test]
async fn a_repetition_gets_the_first_receipt() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    for event in [full("full"), support::login("without-time", "alice")] {
        let first = emit(&mut client, event.clone()).await.unwrap();
        support::emit_all(&mut client, vec![pb::Event { id: None, ..full("") }]).await;
        for _ in 0..3 {
            repeats(&first, &emit(&mut client, event.clone()).await.unwrap());
        }
        let mut other = support::connect(&gateway).await;
        repeats(&first, &emit(&mut other, event).await.unwrap());
    }
    assert_eq!(stored(&mut client).await, 4);
    let counters = support::status(&mut client).await.counters.unwrap();
    assert_eq!((counters.accepted, counters.duplicates), (4, 8));
}

#[tokio::test]
async fn without_an_id_nothing_is_a_repetition() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let event = pb::Event { id: None, ..full("") };
    let first = emit(&mut client, event.clone()).await.unwrap();
    let second = emit(&mut client, event).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert!(!second.duplicate);
}

/// The fields of the message, in the order given by `arrange`.
fn rearranged(message: &[u8], arrange: impl Fn(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut walk = auditgate::wire::fields(message);
    let mut before = message.len();
    while walk.next().is_some() {
        let from = message.len() - before;
        before = walk.rest().len();
        fields.push(message[from..message.len() - before].to_vec());
    }
    arrange(&mut fields);
    fields.concat()
}

#[tokio::test]
async fn the_order_of_fields_and_of_map_entries_is_no_content() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    let mut client = support::connect(&gateway).await;
    let event = full("same").encode_to_vec();
    let backwards = rearranged(&event, |fields| fields.reverse());
    let rotated = rearranged(&event, |fields| fields.rotate_left(3));
    assert!(backwards != event && rotated != event && rotated != backwards);
    for (position, encoding) in [&event, &backwards, &rotated].into_iter().enumerate() {
        let response = raw::call(&channel, "Emit", field(1, encoding)).await.expect("accepted");
        let receipt = pb::EmitResponse::decode(response).unwrap().receipt.unwrap();
        assert_eq!((receipt.sequence, receipt.duplicate), (1, position > 0));
    }
    // Also within one batch, where neither is stored yet.
    let event = full("batched").encode_to_vec();
    let backwards = rearranged(&event, |fields| fields.reverse());
    let batch = [field(1, &event), field(1, &backwards)].concat();
    let response = raw::call(&channel, "EmitBatch", batch).await.expect("accepted");
    let receipts = pb::EmitBatchResponse::decode(response).unwrap().receipts;
    repeats(&receipts[0], &receipts[1]);
    assert_eq!(stored(&mut client).await, 2);
}

#[tokio::test]
async fn an_empty_value_is_not_an_absent_one() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    emit(&mut client, full("presence")).await.unwrap();
    let event = pb::Event { trace_id: Some(String::new()), ..full("presence") };
    let refused = emit(&mut client, event).await.expect_err("another content");
    assert_eq!(refused.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn repetitions_within_and_across_batches_do_not_fail_them() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let one = emit(&mut client, full("one")).await.unwrap();
    let batch = vec![full("two"), full("one"), full("three"), full("two"), full("two")];
    let receipts = support::emit_all(&mut client, batch).await;
    assert_eq!(
        receipts.iter().map(|receipt| receipt.sequence).collect::<Vec<_>>(),
        [2, 1, 3, 2, 2]
    );
    repeats(&one, &receipts[1]);
    repeats(&receipts[0], &receipts[3]);
    repeats(&receipts[0], &receipts[4]);
    assert!(!receipts[2].duplicate);
    // A batch whose answer was lost is sent again as a whole.
    let batch = numbered(4..=53);
    let first = support::emit_all(&mut client, batch.clone()).await;
    let again = support::emit_all(&mut client, batch).await;
    first.iter().zip(&again).for_each(|(first, again)| repeats(first, again));
    assert_eq!(stored(&mut client).await, 53);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_repetitions_store_once() {
    const TASKS: usize = 16;
    const EVENTS: u64 = 40;
    let gateway = support::start().await;
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let mut client = support::connect(&gateway).await;
        tasks.push(tokio::spawn(async move {
            let mut receipts = Vec::new();
            for number in 1..=EVENTS {
                let event = full(&format!("shared-{number}"));
                if task % 2 == 0 {
                    receipts.push(support::emit(&mut client, event).await);
                } else {
                    receipts
                        .extend(support::emit_all(&mut client, vec![event.clone(), event]).await);
                }
            }
            receipts
        }));
    }
    let mut by_id: BTreeMap<String, Vec<pb::Receipt>> = BTreeMap::new();
    for task in tasks {
        for receipt in task.await.unwrap() {
            by_id.entry(receipt.id.clone()).or_default().push(receipt);
        }
    }
    assert_eq!(by_id.len() as u64, EVENTS);
    for (id, receipts) in by_id {
        assert_eq!(receipts.len(), TASKS / 2 * 3);
        let mut firsts = receipts.iter().filter(|receipt| !receipt.duplicate);
        let first = firsts.next().expect("one of them was stored");
        assert_eq!(firsts.next(), None, "{id} was stored twice");
        for receipt in &receipts {
            assert_eq!(
                (receipt.sequence, receipt.accept_time),
                (first.sequence, first.accept_time)
            );
        }
    }
    let mut client = support::connect(&gateway).await;
    assert_eq!(stored(&mut client).await, EVENTS);
}

#[tokio::test]
async fn to_validate_is_to_find_what_emit_would_and_to_keep_nothing() {
    let gateway = support::start().await;
    let mut client = support::connect(&gateway).await;
    let first = emit(&mut client, full("kept")).await.unwrap();

    let new = validate(&mut client, full("new")).await.unwrap();
    let expected = pb::Receipt { id: "new".into(), ..Default::default() };
    assert_eq!(new, expected, "neither a sequence nor a time of acceptance");
    repeats(&first, &validate(&mut client, full("kept")).await.unwrap());
    let other = pb::Event { code: Some("T1000W".into()), ..full("kept") };
    let refused = validate(&mut client, other.clone()).await.expect_err("a conflict");
    assert_eq!(refused.code(), Code::AlreadyExists);

    let batch = |events| pb::EmitBatchRequest { events, validate_only: true };
    let request = batch(vec![full("new"), full("kept"), full("new")]);
    let receipts = client.emit_batch(request).await.expect("valid").into_inner().receipts;
    assert_eq!(receipts[0], expected);
    repeats(&first, &receipts[1]);
    repeats(&expected, &receipts[2]);
    let refused = client.emit_batch(batch(vec![full("new"), other])).await;
    assert_eq!(refused.expect_err("a conflict").code(), Code::AlreadyExists);

    assert_eq!(stored(&mut client).await, 1);
    let counters = support::status(&mut client).await.counters.unwrap();
    assert_eq!((counters.accepted, counters.duplicates), (1, 0));
    assert_eq!(emit(&mut client, full("new")).await.unwrap().sequence, 2);
}

#[tokio::test]
async fn an_id_is_free_again_when_its_record_was_evicted() {
    let gateway = support::start_small().await;
    let mut client = support::connect(&gateway).await;
    emit(&mut client, full("old")).await.unwrap();
    for event in numbered(2..=200) {
        emit(&mut client, event).await.unwrap();
    }
    let again = emit(&mut client, pb::Event { code: None, ..full("old") }).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (201, false));
}
