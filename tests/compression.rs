//! Requests may be compressed, and responses are where the client takes it.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::{Client, pb};
use tonic::codec::CompressionEncoding;

const ENCODINGS: [(CompressionEncoding, &str); 2] =
    [(CompressionEncoding::Gzip, "gzip"), (CompressionEncoding::Zstd, "zstd")];

/// The header that names the compression of a response.
fn encoding<T>(response: &tonic::Response<T>) -> Option<String> {
    response.metadata().get("grpc-encoding").map(|name| name.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn compressed_requests_are_accepted() {
    for (compression, name) in ENCODINGS {
        let gateway = support::start().await;
        let mut client = Client::new(support::channel(&gateway).await).send_compressed(compression);
        let event = support::large("large", 500_000);
        support::emit(&mut client, event.clone()).await;
        support::emit_all(&mut client, support::numbered(1..=100)).await;

        let mut plain = support::connect(&gateway).await;
        let key = Some(pb::get_record_request::Key::Sequence(1));
        let record = plain.get_record(pb::GetRecordRequest { key }).await.expect("kept");
        let kept = record.into_inner().record.unwrap().event.unwrap();
        assert_eq!((kept.id, kept.labels), (event.id, event.labels), "{name}");
        assert_eq!(support::status(&mut plain).await.last_sequence, 101, "{name}");
    }
}

#[tokio::test]
async fn responses_are_compressed_where_the_client_takes_it() {
    let gateway = support::start().await;
    let mut plain = support::connect(&gateway).await;
    support::emit(&mut plain, support::large("large", 50_000)).await;
    let page = plain.search(pb::SearchRequest::default()).await.expect("a page");
    assert_eq!(encoding(&page), None);
    let page = page.into_inner();
    for (compression, name) in ENCODINGS {
        let mut client =
            Client::new(support::channel(&gateway).await).accept_compressed(compression);
        let compressed = client.search(pb::SearchRequest::default()).await.expect("a page");
        assert_eq!(encoding(&compressed).as_deref(), Some(name));
        assert_eq!(compressed.into_inner(), page, "{name}");

        let stream = client.subscribe(support::earliest()).await.expect("subscribed");
        assert_eq!(encoding(&stream).as_deref(), Some(name));
        let mut stream = stream.into_inner();
        let first = support::soon(stream.message()).await.expect("no refusal");
        assert!(first.expect("no end").records.is_empty());
        let second = support::soon(stream.message()).await.expect("no refusal");
        assert_eq!(second.expect("no end").records, page.records, "{name}");
    }
}
