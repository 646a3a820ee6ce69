//! Requests whose events are cut out of them: the events are those that a decoder
//! finds, and every one of them can be checked.
#![no_main]

use auditgate::event::{EVENT_BYTES_MAX, Event};
use auditgate::proto::{pb, retyped};
use auditgate::time::Time;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let _ = retyped::EmitRequest::decode(bytes.clone());
    let _ = pb::SearchRequest::decode(data);
    let _ = pb::SubscribeRequest::decode(data);
    let Ok(batch) = retyped::EmitBatchRequest::decode(bytes) else { return };
    if let Ok(decoded) = pb::EmitBatchRequest::decode(data) {
        assert_eq!(decoded.events.len(), batch.events.len());
    }
    for event in batch.events {
        let _ = Event::check(event, Time::now(), EVENT_BYTES_MAX);
    }
});
