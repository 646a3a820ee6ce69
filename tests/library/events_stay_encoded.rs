//! The server's form of a request has the same encoding as the client's, with
//! each event as the slice of the request that it arrived in.

use auditgate::proto::pb::event::Payload;
use auditgate::proto::{pb, retyped};
use bytes::Bytes;
use prost::Message as _;

fn events() -> Vec<pb::Event> {
    let login = pb::UserLogin { method: Some("local".into()), ..Default::default() };
    let user = pb::User { name: Some("alice".into()), ..Default::default() };
    let outcome = pb::Outcome { success: Some(false), ..Default::default() };
    vec![
        pb::Event {
            id: Some("one".into()),
            user: Some(user),
            outcome: Some(outcome),
            payload: Some(Payload::UserLogin(login)),
            ..Default::default()
        },
        pb::Event {
            id: Some(String::new()),
            payload: Some(Payload::SessionLeave(pb::SessionLeave {})),
            ..Default::default()
        },
        pb::Event::default(),
    ]
}

#[test]
fn a_batch_arrives_as_slices_of_the_request() {
    let events = events();
    let request = pb::EmitBatchRequest { events: events.clone(), validate_only: true };
    let request = Bytes::from(request.encode_to_vec());

    let decoded = retyped::EmitBatchRequest::decode(request.clone()).expect("the same encoding");
    assert!(decoded.validate_only);
    let encoded: Vec<_> = events.iter().map(pb::Event::encode_to_vec).collect();
    assert_eq!(decoded.events, encoded);

    let within = request.as_ptr_range();
    for event in decoded.events.iter().filter(|event| !event.is_empty()) {
        let slice = event.as_ptr_range();
        assert!(within.start <= slice.start && slice.end <= within.end, "{event:?} was copied");
    }
    assert_eq!(decoded.encode_to_vec(), request);
}

#[test]
fn a_single_event_arrives_as_a_slice_of_the_request() {
    let event = events().swap_remove(0);
    let request = pb::EmitRequest { event: Some(event.clone()), validate_only: false };
    let request = Bytes::from(request.encode_to_vec());

    let decoded = retyped::EmitRequest::decode(request.clone()).expect("the same encoding");
    assert_eq!(decoded.event, event.encode_to_vec());
    let slice = decoded.event.as_ptr_range();
    let within = request.as_ptr_range();
    assert!(within.start <= slice.start && slice.end <= within.end, "the event was copied");
}

#[test]
fn encoded_records_leave_as_records() {
    let records: Vec<_> = events()
        .into_iter()
        .zip(1..)
        .map(|(event, sequence)| pb::Record { sequence, event: Some(event), ..Default::default() })
        .collect();
    let response = retyped::SearchResponse {
        records: records.iter().map(|record| record.encode_to_vec().into()).collect(),
        gaps: vec![pb::Gap { first_sequence: 4, last_sequence: 9, reason: 1 }],
        next_page_token: "next".into(),
        ..Default::default()
    };
    let received =
        pb::SearchResponse::decode(response.encode_to_vec().as_slice()).expect("the same encoding");
    assert_eq!(received.records, records);
    assert_eq!(received.gaps, response.gaps);
    assert_eq!(received.next_page_token, "next");
}
