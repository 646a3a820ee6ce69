//! Requests may be compressed, and responses are where the client takes it.

use std::io::Write as _;

use crate::support::{self, Client, pb};
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic_types::StatusExt as _;

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

#[tokio::test]
async fn emit_streams_may_be_compressed() {
    for (compression, name) in ENCODINGS {
        let gateway = support::start().await;
        let mut client = Client::new(support::channel(&gateway).await)
            .send_compressed(compression)
            .accept_compressed(compression);
        let requests = (0..20).map(|number| pb::EmitStreamRequest {
            events: (1..=100)
                .map(|event| support::login(&format!("{number}-{event}"), "a"))
                .collect(),
            validate_only: false,
        });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let answers = client.emit_stream(requests).await.expect("open");
        assert_eq!(encoding(&answers).as_deref(), Some(name));
        let mut answers = answers.into_inner();
        let mut answered = 0;
        while let Some(answer) = support::soon(answers.next()).await {
            answered = answer.expect("accepted").answered;
        }
        assert_eq!(answered, 2_000, "{name}");
    }
}

/// What a stream sends that cannot be unpacked ends it with the reason.
#[tokio::test]
async fn a_stream_that_cannot_be_unpacked_is_refused_with_the_reason() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 8 * 1024 * 1024]).unwrap();
    let bomb = bomb.finish().unwrap();
    for (body, reason) in [(&bomb[..], "REQUEST_TOO_LARGE"), (b"not gzip", "REQUEST_MALFORMED")] {
        let gateway = support::start().await;
        let body = [&[1], &(body.len() as u32).to_be_bytes()[..], body].concat();
        let url = format!("http://{}/auditgate.v1.AuditService/EmitStream", gateway.address());
        let request = http::Request::post(url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-encoding", "gzip")
            .body(tonic::body::Body::new(http_body_util::Full::new(body.into())))
            .unwrap();
        let mut channel = support::channel(&gateway).await;
        std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx)).await.unwrap();
        let response = support::soon(tower::Service::call(&mut channel, request)).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body());
        let trailers = support::soon(body).await.unwrap().trailers().cloned().expect("trailers");
        let status = tonic::Status::from_header_map(&trailers).expect("a status");
        let info = status.get_details_error_info().expect("details");
        assert_eq!(info.reason, reason, "{status:?}");
    }
}
