//! An emitter is who it shows to be, whatever its events say.

use auditgate::proto::pb;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Endpoint;

use crate::support::access::{access, connect, refused, role, settings, start};
use crate::support::soon;

/// How many identities are forged.
const FORGED: usize = 100_000;
/// How many of them in one call.
const BATCH: usize = 5_000;

/// An event that claims in every field to come from `name`.
fn event(number: usize, name: &str) -> pb::Event {
    use pb::event::Payload;
    let text = || Some(name.to_owned());
    pb::Event {
        id: Some(format!("{name}-{number}")),
        user: Some(pb::User { name: text(), impersonator: text(), ..Default::default() }),
        source: Some(pb::Source { name: text(), ..Default::default() }),
        connection: Some(pb::Connection {
            remote_address: Some("10.0.0.1:1".to_owned()),
            ..Default::default()
        }),
        labels: [("principal".to_owned(), name.to_owned())].into(),
        unmapped: [("emitter".to_owned(), format!("{{\"principal\": \"{name}\"}}"))].into(),
        payload: Some(Payload::UserLogin(pb::UserLogin::default())),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_identity_in_an_event_reaches_the_emitter() {
    let roles = vec![role(&["mallory"], &["*"], &["*"], &[])];
    let gateway = start(&settings(access(&["mallory", "root"], roles))).await;
    let mut client = connect(&gateway, "mallory").await;
    for first in (0..FORGED).step_by(BATCH) {
        let name = |number: usize| ["root", "auditgate", "", "cert:admin"][number % 4];
        let events = (first..first + BATCH).map(|number| event(number, name(number))).collect();
        let request = pb::EmitBatchRequest { events, validate_only: false };
        let accepted = soon(client.emit_batch(request)).await.expect("accepted").into_inner();
        assert_eq!(accepted.receipts.len(), BATCH);
    }
    let mut seen = 0;
    let mut page_token = String::new();
    loop {
        let request = pb::SearchRequest { page_size: 1_000, page_token, ..Default::default() };
        let page = soon(client.search(request)).await.expect("a page").into_inner();
        for record in &page.records {
            let emitter = record.emitter.as_ref().expect("an emitter");
            assert_eq!(emitter.principal, "mallory", "record {}", record.sequence);
            assert!(emitter.peer.starts_with("127.0.0.1:"), "{}", emitter.peer);
        }
        seen += page.records.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, FORGED);
}

/// A request as a client writes it that knows the gateway's own fields.
#[derive(Clone, PartialEq, prost::Message)]
struct Forged {
    #[prost(bytes = "vec", tag = "1")]
    event: Vec<u8>,
    /// The number of `Record.emitter`.
    #[prost(bytes = "vec", tag = "3")]
    emitter: Vec<u8>,
}

#[tokio::test]
async fn bytes_of_an_emitter_stay_where_the_client_put_them() {
    let roles = vec![role(&["mallory"], &["*"], &["*"], &[])];
    let gateway = start(&settings(access(&["mallory"], roles))).await;
    let mut client = connect(&gateway, "mallory").await;
    let emitter = pb::Emitter { principal: "root".to_owned(), peer: "10.0.0.1:1".to_owned() };
    let emitter = emitter.encode_to_vec();
    // Fields that the schema does not know are kept, within the event.
    let mut event = event(1, "x").encode_to_vec();
    for number in [90, 91] {
        encode_key(number, WireType::LengthDelimited, &mut event);
        encode_varint(emitter.len() as u64, &mut event);
        event.extend_from_slice(&emitter);
    }
    let url = format!("http://{}", gateway.address());
    let channel = Endpoint::from_shared(url).unwrap().connect().await.expect("it listens");
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.expect("connected");
    let mut request = Request::new(Forged { event: event.clone(), emitter });
    request.metadata_mut().insert("authorization", "Bearer mallory".parse().unwrap());
    let path = "/auditgate.v1.AuditService/Emit".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<Forged, pb::EmitResponse>::default();
    soon(grpc.unary(request, path, codec)).await.expect("accepted");
    let records = crate::support::access::search(&mut client, None).await.expect("a page");
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.emitter.as_ref().expect("an emitter").principal, "mallory");
    assert!(record.emitter.as_ref().expect("an emitter").peer.starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn two_tokens_in_one_call_are_refused() {
    let roles = vec![role(&["*"], &["*"], &["*"], &[])];
    let gateway = start(&settings(access(&["mallory", "root"], roles))).await;
    let mut client = connect(&gateway, "").await;
    for (first, second) in
        [("mallory", "root"), ("root", "mallory"), ("root", "root"), ("root", "")]
    {
        let mut request = Request::new(pb::SearchRequest::default());
        for token in [first, second] {
            let header = format!("Bearer {token}").parse().expect("a header");
            request.metadata_mut().append("authorization", header);
        }
        let answer = soon(client.search(request)).await;
        refused(answer, tonic::Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
    let mut joined = Request::new(pb::SearchRequest::default());
    let header = "Bearer mallory, Bearer root".parse().expect("a header");
    joined.metadata_mut().insert("authorization", header);
    refused(soon(client.search(joined)).await, tonic::Code::Unauthenticated, "CREDENTIALS_INVALID");
}
