//! What a count may hold in memory.

use std::sync::Arc;

use prost::Message as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event::{EVENT_BYTES_MAX, Event};
use crate::filter::Filter;
use crate::log::{Append, Bounds, MemoryLog};
use crate::proto::pb;
use crate::record::Draft;

/// So many names of custom events, each with so many bytes.
async fn counted(names: usize, bytes: usize) -> Result<CountResult, Error> {
    let hub = Hub::new(Arc::new(MemoryLog::new(Bounds::default())), CancellationToken::new());
    let emitter = pb::Emitter::default().into();
    let events: Vec<usize> = (0..names).collect();
    for chunk in events.chunks(5_000) {
        let draft = |number: &usize| {
            let custom = pb::Custom {
                name: Some(format!("n{number:0>width$}", width = bytes - 1)),
                ..Default::default()
            };
            let payload = Some(pb::event::Payload::Custom(custom));
            let bytes = pb::Event { payload, ..Default::default() }.encode_to_vec();
            let event = Event::check(bytes.into(), Time::now(), EVENT_BYTES_MAX);
            Draft::new(event.expect("valid"), &emitter)
        };
        let drafts: Vec<Draft> = chunk.iter().map(draft).collect();
        hub.append(&drafts, Append::AllOrNothing { validate_only: false }).await.expect("appended");
    }
    let query = ScanQuery::new(Arc::new(Filter::compile(&pb::Filter::default()).expect("one")));
    hub.count(&CountRequest { query, bucket: None, group: Group::Type }, &()).await
}

#[tokio::test]
async fn names_are_counted_only_as_long_as_they_fit_an_answer() {
    let few = counted(1_000, 60).await.expect("few names");
    assert_eq!(few.buckets.values().map(BTreeMap::len).sum::<usize>(), 1_000);
    // 80,000 names of 67 bytes with `custom.` are more than clients take.
    assert_eq!(counted(80_000, 60).await.map(|_| ()), Err(Error::TooLarge));
}
