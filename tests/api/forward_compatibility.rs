//! What this gateway's schema lacks reaches readers whose schema has it.

use crate::support;
use crate::support::raw::{self, field, number, values, varint};
use prost::Message as _;
use tonic::transport::Channel;

/// Numbers of fields that no version has yet.
const NEW_ENVELOPE_FIELD: u32 = 77;
const NEW_USER_FIELD: u32 = 99;
const NEW_PAYLOAD_FIELD: u32 = 55;
/// Numbers of `Record`.
const RECORD_CLIENT_BYTES: u32 = 7;
const RECORD_EVENT: u32 = 15;
/// `Event.user_login`.
const USER_LOGIN: u32 = 173;

/// An event as a newer client has it.
#[derive(Clone, PartialEq, prost::Message)]
struct NewerEvent {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(message, optional, tag = "2")]
    time: Option<prost_types::Timestamp>,
    #[prost(message, optional, tag = "6")]
    user: Option<NewerUser>,
    #[prost(message, optional, tag = "77")]
    approval: Option<NewerApproval>,
    #[prost(message, optional, tag = "173")]
    user_login: Option<NewerUserLogin>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerUser {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(fixed64, optional, tag = "99")]
    badge: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerApproval {
    #[prost(string, optional, tag = "1")]
    by: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NewerUserLogin {
    #[prost(string, optional, tag = "1")]
    method: Option<String>,
    #[prost(sint32, optional, tag = "55")]
    risk: Option<i32>,
}

/// With an id and a time of its own, nothing is appended.
fn newer_event(complete: bool) -> NewerEvent {
    let time = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 7 };
    NewerEvent {
        id: complete.then(|| "newer".to_owned()),
        time: complete.then_some(time),
        user: Some(NewerUser { name: Some("alice".to_owned()), badge: Some(u64::MAX) }),
        approval: Some(NewerApproval { by: Some("bob".to_owned()) }),
        user_login: Some(NewerUserLogin { method: Some("local".to_owned()), risk: Some(-3) }),
    }
}

/// The newer event in an encoding that no library would choose: fields from the
/// last to the first, a length in more bytes than it needs, an empty part of a
/// message that comes again.
fn unusual_event() -> Vec<u8> {
    let newer = newer_event(true);
    let mut event = field(USER_LOGIN, &newer.user_login.unwrap().encode_to_vec());
    event.extend(field(NEW_ENVELOPE_FIELD, &newer.approval.unwrap().encode_to_vec()));
    let user = newer.user.unwrap();
    event.extend(field(6, &varint(10, 1)));
    let user = user.encode_to_vec();
    event.extend([6 << 3 | 2, user.len() as u8 | 0x80, 0]);
    event.extend(user);
    event.extend(field(2, &newer.time.unwrap().encode_to_vec()));
    event.extend(field(1, b"newer"));
    event
}

/// The record, encoded, as each kind of reader gets it.
async fn read_everywhere(channel: &Channel, sequence: u64) -> Vec<(&'static str, Vec<u8>)> {
    let earliest = varint(2, 2);
    let mut stream = raw::open(channel, "Subscribe", earliest).await.expect("subscribed");
    let first = support::soon(stream.message()).await.expect("no refusal").expect("no end");
    assert!(values(&first, 1).is_empty());
    let second = support::soon(stream.message()).await.expect("no refusal").expect("no end");
    let page = raw::call(channel, "Search", Vec::new()).await.expect("a page");
    let record = raw::call(channel, "GetRecord", varint(2, sequence)).await.expect("kept");
    vec![
        ("Subscribe", values(&second, 1)[0].to_vec()),
        ("Search", values(&page, 1)[0].to_vec()),
        ("GetRecord", values(&record, 1)[0].to_vec()),
    ]
}

fn only_event(record: &[u8]) -> &[u8] {
    let events = values(record, RECORD_EVENT);
    assert_eq!(events.len(), 1);
    events[0]
}

#[tokio::test]
async fn a_complete_event_reaches_every_reader_byte_for_byte() {
    for sent in [newer_event(true).encode_to_vec(), unusual_event()] {
        let gateway = support::start().await;
        let channel = support::channel(&gateway).await;
        raw::call(&channel, "Emit", field(1, &sent)).await.expect("accepted");
        for (reader, record) in read_everywhere(&channel, 1).await {
            assert_eq!(only_event(&record), sent, "{reader}");
            assert_eq!(number(&record, RECORD_CLIENT_BYTES), None, "{reader}");
        }
    }
}

#[tokio::test]
async fn what_the_gateway_appends_stands_behind_what_the_client_sent() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    let sent = newer_event(false).encode_to_vec();
    raw::call(&channel, "EmitBatch", field(1, &sent)).await.expect("accepted");
    for (reader, record) in read_everywhere(&channel, 1).await {
        let event = only_event(&record);
        assert_eq!(&event[..sent.len()], sent, "{reader}");
        assert_eq!(number(&record, RECORD_CLIENT_BYTES), Some(sent.len() as u64), "{reader}");
        let appended = NewerEvent::decode(&event[sent.len()..]).expect("fields");
        assert_eq!(appended.id.map(|id| id.len()), Some(36), "{reader}");
        assert!(appended.time.is_some(), "{reader}");
    }
}

#[tokio::test]
async fn a_newer_reader_sees_the_new_fields() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    raw::call(&channel, "Emit", field(1, &unusual_event())).await.expect("accepted");
    for (reader, record) in read_everywhere(&channel, 1).await {
        let event = NewerEvent::decode(only_event(&record)).expect("an event");
        assert_eq!(event, newer_event(true), "{reader}");
    }
}

#[tokio::test]
async fn this_version_reads_what_it_knows_of_it() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    let mut client = support::connect(&gateway).await;
    raw::call(&channel, "Emit", field(1, &unusual_event())).await.expect("accepted");
    let page = support::search(&mut client, Default::default()).await;
    let record = &page.records[0];
    assert_eq!(record.r#type, "user.login");
    let event = record.event.as_ref().unwrap();
    assert_eq!(event.user.as_ref().unwrap().name(), "alice");
    assert_eq!(event.user.as_ref().unwrap().kind(), support::pb::UserKind::Human);
    // The new fields are where they were said to be, not in known ones.
    let known = event.encode_to_vec();
    assert!(values(&known, NEW_ENVELOPE_FIELD).is_empty());
    assert!(values(values(&known, USER_LOGIN)[0], NEW_PAYLOAD_FIELD).is_empty());
    assert!(number(values(&known, 6)[0], NEW_USER_FIELD).is_none());
}

#[tokio::test]
async fn a_new_field_of_a_request_is_let_through() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    let mut request = field(1, &newer_event(true).encode_to_vec());
    request.extend(field(500, b"a hint from the future"));
    raw::call(&channel, "Emit", request).await.expect("accepted");
    for (reader, record) in read_everywhere(&channel, 1).await {
        assert_eq!(only_event(&record), newer_event(true).encode_to_vec(), "{reader}");
    }
}
