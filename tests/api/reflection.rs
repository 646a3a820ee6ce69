//! Clients without a proto file: reflection in both versions, and health.

use std::collections::BTreeMap;

use crate::support;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const SERVICE: &str = "auditgate.v1.AuditService";

/// What is asked of reflection, in either version.
#[derive(Clone)]
enum Ask {
    Services,
    Symbol(String),
    File(String),
}

/// What it answers.
#[derive(Debug)]
enum Answer {
    Services(Vec<String>),
    Files(Vec<Vec<u8>>),
}

/// The two versions differ in the names of their modules only.
macro_rules! reflection {
    ($function:ident, $version:ident) => {
        async fn $function(channel: Channel, ask: Ask) -> Result<Answer, Status> {
            use pb::server_reflection_request::MessageRequest as Request;
            use pb::server_reflection_response::MessageResponse as Response;
            use tonic_reflection::pb::$version as pb;
            let message = match ask {
                Ask::Services => Request::ListServices(String::new()),
                Ask::Symbol(symbol) => Request::FileContainingSymbol(symbol),
                Ask::File(name) => Request::FileByFilename(name),
            };
            let request =
                pb::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let mut client = pb::server_reflection_client::ServerReflectionClient::new(channel)
                .max_decoding_message_size(usize::MAX);
            let responses = client.server_reflection_info(tokio_stream::once(request));
            let mut responses = support::soon(responses).await.expect("a stream").into_inner();
            let response = support::soon(responses.message()).await?.expect("an answer");
            Ok(match response.message_response.expect("an answer") {
                Response::ListServicesResponse(list) => {
                    Answer::Services(list.service.into_iter().map(|found| found.name).collect())
                }
                Response::FileDescriptorResponse(files) => {
                    Answer::Files(files.file_descriptor_proto)
                }
                other => panic!("{other:?}"),
            })
        }
    };
}

reflection!(ask_v1, v1);
reflection!(ask_v1alpha, v1alpha);

async fn ask(version: &str, channel: &Channel, ask: Ask) -> Result<Answer, Status> {
    match version {
        "v1" => ask_v1(channel.clone(), ask).await,
        _ => ask_v1alpha(channel.clone(), ask).await,
    }
}

/// The file with the symbol and all that it imports, as a client fetches them.
async fn fetch(version: &str, channel: &Channel, symbol: &str) -> DescriptorPool {
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let mut pending = vec![Ask::Symbol(symbol.to_owned())];
    while let Some(next) = pending.pop() {
        if matches!(&next, Ask::File(name) if files.contains_key(name)) {
            continue;
        }
        let answer = ask(version, channel, next).await.expect("known");
        let Answer::Files(encoded) = answer else { panic!("{version} {symbol}: {answer:?}") };
        for file in encoded {
            let file = FileDescriptorProto::decode(file.as_slice()).expect("a file");
            pending.extend(file.dependency.iter().cloned().map(Ask::File));
            files.insert(file.name().to_owned(), file);
        }
    }
    let set = FileDescriptorSet { file: files.into_values().collect() };
    DescriptorPool::from_file_descriptor_set(set).expect("all that is imported is there")
}

#[tokio::test]
async fn both_versions_list_the_services() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    for version in ["v1", "v1alpha"] {
        let answer = ask(version, &channel, Ask::Services).await.expect("a list");
        let Answer::Services(services) = answer else { panic!("{version}: {answer:?}") };
        for service in [SERVICE, "grpc.health.v1.Health"] {
            assert!(services.iter().any(|found| found == service), "{version}: {services:?}");
        }
    }
}

#[tokio::test]
async fn both_versions_describe_the_service_and_what_errors_are_made_of() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    for version in ["v1", "v1alpha"] {
        let pool = fetch(version, &channel, SERVICE).await;
        let service = pool.get_service_by_name(SERVICE).expect("the service");
        let methods: Vec<_> = service.methods().map(|method| method.name().to_owned()).collect();
        for method in ["Emit", "EmitBatch", "Subscribe", "Search", "GetRecord", "CountRecords"] {
            assert!(methods.iter().any(|found| found == method), "{version}: {methods:?}");
        }
        let event = pool.get_message_by_name("auditgate.v1.Event").expect("the event");
        assert!(event.get_field_by_name("user_login").is_some());

        for message in ["google.rpc.BadRequest", "google.rpc.ErrorInfo"] {
            let pool = fetch(version, &channel, message).await;
            assert!(pool.get_message_by_name(message).is_some(), "{version}: {message}");
        }
    }
}

#[tokio::test]
async fn descriptions_carry_the_comments() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    let answer = ask("v1", &channel, Ask::Symbol(SERVICE.to_owned())).await.expect("known");
    let Answer::Files(files) = answer else { panic!("{answer:?}") };
    let file = FileDescriptorProto::decode(files[0].as_slice()).expect("a file");
    let locations = file.source_code_info.expect("source info").location;
    let commented = locations.iter().filter(|found| !found.leading_comments().is_empty());
    assert!(commented.count() > 100, "each element of the file has a comment");
}

#[tokio::test]
async fn an_unknown_symbol_is_not_found() {
    let gateway = support::start().await;
    let channel = support::channel(&gateway).await;
    for version in ["v1", "v1alpha"] {
        let symbol = Ask::Symbol("auditgate.v1.Nothing".to_owned());
        let refused = ask(version, &channel, symbol).await.expect_err("unknown");
        assert_eq!(refused.code(), Code::NotFound, "{version}");
    }
}

#[tokio::test]
async fn health_is_told_of_the_gateway_and_of_the_service() {
    let gateway = support::start().await;
    let mut client = HealthClient::new(support::channel(&gateway).await);
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = support::soon(client.check(request)).await.expect("known").into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{service:?}");
    }
    let request = HealthCheckRequest { service: "auditgate.v1.Nothing".to_owned() };
    let refused = support::soon(client.check(request)).await.expect_err("unknown");
    assert_eq!(refused.code(), Code::NotFound);
}
