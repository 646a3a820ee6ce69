//! Requests that no handler would see: too large, compressed in unknown ways,
//! not framed, or for methods that do not exist.

use auditgate::service::REQUEST_BYTES_MAX;
use bytes::Bytes;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tower::Service as _;

use super::scene::{Row, Scene, path, reason};
use crate::support::raw::{self, field, varint};
use crate::support::{self, Random, login};

const METHODS: [&str; 12] = [
    "Emit",
    "EmitBatch",
    "Subscribe",
    "Search",
    "GetRecord",
    "CountRecords",
    "CheckFilter",
    "ListEventTypes",
    "GetStatus",
    "GetCheckpoint",
    "GetInclusionProof",
    "GetConsistencyProof",
];

fn too_large(name: &'static str, method: &'static str, says: &[&'static str]) -> Row {
    Row {
        code: Code::ResourceExhausted,
        ..Row::invalid(name, method, vec![], "REQUEST_TOO_LARGE", "", says)
    }
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused() {
    let mut scene = Scene::open().await;
    for method in METHODS {
        let row = too_large("plain", method, &["request is 5000000 bytes", "limit 4194304"]);
        let answer = scene.ask(method, vec![0; 5_000_000]).await;
        scene.refused(&row, answer).await;
    }
    // Up to the limit the request is read, and refused for what it is.
    let answer = scene.ask("Emit", vec![0; REQUEST_BYTES_MAX]).await;
    assert_eq!(reason(&answer.expect_err("zeros")), "REQUEST_MALFORMED");
}

#[tokio::test]
async fn what_decompresses_beyond_the_limit_is_refused() {
    let mut scene = Scene::open().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let row = too_large("bomb", "EmitBatch", &["larger than the limit", "limit 4194304"]);
        let bomb = field(1, &vec![0; REQUEST_BYTES_MAX]);
        let answer = raw::call_compressed(&scene.channel, row.method, bomb, encoding).await;
        scene.refused(&row, answer).await;
    }
}

#[tokio::test]
async fn an_unknown_compression_is_refused_with_those_that_are_known() {
    let mut scene = Scene::open().await;
    let says = ["\"snappy\"", "gzip, zstd or identity"];
    let row = Row {
        code: Code::Unimplemented,
        ..Row::invalid("snappy", "Emit", vec![], "COMPRESSION_UNSUPPORTED", "", &says)
    };
    let body = field(1, &login("compressed", "alice").encode_to_vec());
    for method in [
        "Emit",
        "Subscribe",
        "EmitStream",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    ] {
        let answer = raw::call_encoded_as(&scene.channel, method, body.clone(), "snappy").await;
        // As the protocol asks, for clients that can choose another one.
        let status = answer.as_ref().expect_err("snappy");
        let accepted = status.metadata().get("grpc-accept-encoding").expect("what is accepted");
        let accepted = accepted.to_str().unwrap();
        assert_eq!(accepted, "gzip,zstd,identity", "{method}");
        scene.refused(&row, answer).await;
    }
}

#[tokio::test]
async fn an_unknown_method_is_refused() {
    let mut scene = Scene::open().await;
    for (method, says) in [
        ("Shred", "unknown method /auditgate.v1.AuditService/Shred"),
        ("/auditgate.v9.AuditService/Emit", "unknown method /auditgate.v9.AuditService/Emit"),
    ] {
        let row = Row {
            code: Code::Unimplemented,
            ..Row::invalid("unknown", method, vec![], "METHOD_UNKNOWN", "", &[says])
        };
        scene.refuses([row]).await;
    }
    let long = format!("/auditgate.v1.AuditService/{}", "x".repeat(5_000));
    let answer = scene.ask(&long, vec![]).await;
    assert_eq!(reason(&answer.expect_err("no such method")), "METHOD_UNKNOWN");
}

/// Sends a body as it is, gRPC's frame included.
async fn send(scene: &Scene, encoding: Option<&str>, body: &str) -> Result<Bytes, Status> {
    send_to(scene, "Emit", encoding, body.into()).await
}

async fn send_to(
    scene: &Scene,
    method: &str,
    encoding: Option<&str>,
    body: Vec<u8>,
) -> Result<Bytes, Status> {
    let mut request =
        http::Request::post(format!("http://{}{}", scene.gateway.address(), path(method)))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let body = http_body_util::Full::from(body);
    let request = request.body(tonic::body::Body::new(body)).unwrap();
    let mut channel = scene.channel.clone();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("connected");
    let response = support::soon(channel.call(request)).await.expect("an answer");
    Err(Status::from_header_map(response.headers()).expect("a refusal without a body"))
}

/// Cardinality: gRPC has UNIMPLEMENTED for that.
#[tokio::test]
async fn a_second_message_is_refused() {
    let mut scene = Scene::open().await;
    let event = field(1, &login("twice", "alice").encode_to_vec());
    let frame = |message: &[u8]| raw_frame(message);
    let row = |name, method| Row {
        code: Code::Unimplemented,
        ..Row::invalid(name, method, vec![], "REQUEST_MALFORMED", "", &["more than one message"])
    };
    for (name, method, message) in [
        ("two events", "Emit", &event[..]),
        ("two requests for a page", "Search", b""),
        ("two subscriptions", "Subscribe", b""),
        ("two questions", "GetStatus", b""),
    ] {
        let body = [frame(message), frame(message)].concat();
        scene.refused(&row(name, method), send_to(&scene, method, None, body).await).await;
        let body = [frame(message), b"\0\0".to_vec()].concat();
        scene.refused(&row(name, method), send_to(&scene, method, None, body).await).await;
    }
    // Packed, too.
    let packed = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, bytes).unwrap();
        let packed = packer.finish().unwrap();
        [&[1], &(packed.len() as u32).to_be_bytes()[..], &packed].concat()
    };
    let body = [packed(&event), packed(&event)].concat();
    let answer = send_to(&scene, "Emit", Some("gzip"), body).await;
    scene.refused(&row("packed", "Emit"), answer).await;
}

fn raw_frame(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// Answers HTTP, not gRPC: what sends this is no client of gRPC.
#[tokio::test]
async fn what_a_page_in_a_browser_can_send_is_refused() {
    use http::{Method, StatusCode};
    let scene = Scene::open().await;
    let records = async |scene: &Scene| {
        support::status(&mut support::connect(&scene.gateway).await).await.record_count
    };
    let before = records(&scene).await;
    let ask = async |method: Method, types: &[&str]| {
        let uri = format!("http://{}{}", scene.gateway.address(), path("Emit"));
        let mut request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        for one in types {
            request = request.header("content-type", *one);
        }
        let request = request.body(tonic::body::Body::empty()).unwrap();
        let mut channel = scene.channel.clone();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("connected");
        let response = support::soon(channel.call(request)).await.expect("an answer");
        let cors = |name: &&http::HeaderName| name.as_str().starts_with("access-control");
        assert_eq!(response.headers().keys().find(cors), None, "no page is let in");
        assert!(!response.headers().contains_key("grpc-status"));
        response.status()
    };
    for types in [
        &[][..],
        &["text/plain"],
        &["application/x-www-form-urlencoded"],
        &["multipart/form-data; boundary=x"],
        &["application/grpc-web+proto"],
        &["application/grpc;x=y"],
    ] {
        assert_eq!(ask(Method::POST, types).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{types:?}");
    }
    for method in [Method::OPTIONS, Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let status = ask(method.clone(), &["application/grpc"]).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert_eq!(records(&scene).await, before, "nothing was stored");
}

#[tokio::test]
async fn what_is_not_framed_is_refused() {
    let mut scene = Scene::open().await;
    let row = |name| {
        Row::invalid(name, "Emit", vec![], "REQUEST_MALFORMED", "", &["not framed as a gRPC call"])
    };
    for (name, encoding, body) in [
        ("no message", None, ""),
        ("half a frame", None, "\0\0\0"),
        ("half a message", None, "\0\0\0\0\x20half"),
        ("unknown flag", None, "\x07\0\0\0\x01x"),
        ("compressed without a name", None, "\x01\0\0\0\x01x"),
        ("damaged gzip", Some("gzip"), "\x01\0\0\0\x08not gzip"),
        ("damaged zstd", Some("zstd"), "\x01\0\0\0\x08not zstd"),
    ] {
        let answer = send(&scene, encoding, body).await;
        scene.refused(&row(name), answer).await;
    }
}

#[tokio::test]
async fn a_request_that_does_not_decode_is_refused() {
    let mut scene = Scene::open().await;
    let says: &[&'static str] = &["request is not valid"];
    // No request has a field 1 that is a 32-bit number; GetStatus,
    // ListEventTypes and GetCheckpoint have no fields at all, so anything well formed will do.
    let wrong_type = vec![0x0d, 1, 2, 3, 4];
    for method in METHODS {
        let cut = vec![0x0a, 0x7f];
        scene.refuses([Row::invalid("cut", method, cut, "REQUEST_MALFORMED", "", says)]).await;
        let groups = vec![0x63; 400];
        scene
            .refuses([Row::invalid("groups", method, groups, "REQUEST_MALFORMED", "", says)])
            .await;
        if !matches!(method, "ListEventTypes" | "GetStatus" | "GetCheckpoint") {
            let body = wrong_type.clone();
            scene
                .refuses([Row::invalid("type", method, body, "REQUEST_MALFORMED", "", says)])
                .await;
        }
    }
    // A string of a filter that is not UTF-8: the sentence names the field.
    let filter = field(1, &field(14, b"\xff"));
    for method in ["Subscribe", "Search", "CountRecords"] {
        let says = &["filter", "text", "UTF-8"];
        let body = filter.clone();
        scene.refuses([Row::invalid("text", method, body, "REQUEST_MALFORMED", "", says)]).await;
    }
    let validate_only = [field(1, &login("e", "alice").encode_to_vec()), field(2, b"yes")].concat();
    let says = &["validate_only"];
    scene
        .refuses([Row::invalid("bool", "Emit", validate_only, "REQUEST_MALFORMED", "", says)])
        .await;
}

/// Requests to read that are random bytes: some decode, and then are answered.
#[tokio::test]
async fn random_requests_are_answered_or_refused() {
    let mut scene = Scene::open().await;
    let mut random = Random(3);
    for _ in 0..200 {
        let length = random.below(60);
        let bytes = random.bytes(length);
        let method = *random.one_of(&METHODS[2..]);
        for body in [bytes.clone(), field(1, &bytes), [varint(5, 9), bytes].concat()] {
            if let Err(status) = scene.ask(method, body).await {
                let code = status.code();
                // The scene's gateway keeps no tree.
                let is_off = reason(&status) == "PROOF_OFF";
                let is_right = matches!(code, Code::InvalidArgument | Code::NotFound) || is_off;
                assert!(is_right, "{status:?}");
            }
        }
    }
    scene.unchanged("random requests").await;
}
