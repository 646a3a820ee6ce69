//! Every RPC, with every role, for every event type.

use std::collections::BTreeSet;

use auditgate::catalog;
use auditgate::config::{Right, Role};
use auditgate::proof::SigningKey;
use auditgate::proof::key::SignatureKind;
use auditgate::proto::{SERVICE, descriptor_pool, pb};
use auditgate::server::{Config, Gateway};
use pb::get_record_request::Key;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::access::{
    self as scene, Client, access, client_on, emit, event, role, settings, types,
};
use crate::support::soon;

/// Two custom types stand for all of them.
const CUSTOM: [&str; 2] = ["custom.a", "custom.b"];

/// Into how many groups the types are split, neighbours into different ones.
const GROUPS: usize = 5;

/// A principal, and what its role says.
struct Subject {
    name: String,
    emit: BTreeSet<String>,
    read: BTreeSet<String>,
    allow: Vec<Right>,
}

impl Subject {
    fn new(name: &str, emit: &[String], read: &[String], allow: &[Right]) -> Self {
        Self {
            name: name.to_owned(),
            emit: emit.iter().cloned().collect(),
            read: read.iter().cloned().collect(),
            allow: allow.to_vec(),
        }
    }

    fn role(&self) -> Role {
        let list = |types: &BTreeSet<String>| types.iter().cloned().collect();
        Role {
            emit: list(&self.emit),
            read: list(&self.read),
            ..role(&[&self.name], &[], &[], &self.allow)
        }
    }

    fn has_any(&self) -> bool {
        !self.emit.is_empty() || !self.read.is_empty() || !self.allow.is_empty()
    }
}

/// The types of the catalog, and custom ones in place of theirs.
fn all_types() -> Vec<String> {
    let named = catalog::all()
        .filter(|(id, found)| !id.is_custom() && !found.is_reserved())
        .map(|(_, found)| found.name);
    named.chain(CUSTOM).map(str::to_owned).collect()
}

/// Somebody for each group of types who may emit it, somebody who may read it; and
/// some who may do all of one kind.
fn subjects(types: &[String]) -> Vec<Subject> {
    let mut subjects = vec![
        Subject::new("nobody", &[], &[], &[]),
        Subject::new("emitter", types, &[], &[]),
        Subject::new("reader", &[], types, &[]),
        Subject::new("watcher", &[], &[], &[Right::Status]),
        Subject::new("courier", &[], &[], &[Right::Deliveries]),
        Subject::new("prover", &[], &[], &[Right::Proof]),
        Subject::new("witness", &[], types, &[Right::Proof]),
        Subject::new("one-custom", &[CUSTOM[0].to_owned()], &[CUSTOM[0].to_owned()], &[]),
    ];
    for group in 0..GROUPS {
        let types: Vec<_> = types.iter().skip(group).step_by(GROUPS).cloned().collect();
        subjects.push(Subject::new(&format!("emit-{group}"), &types, &[], &[]));
        subjects.push(Subject::new(&format!("read-{group}"), &[], &types, &[Right::Status]));
    }
    subjects
}

fn code<T>(result: Result<T, tonic::Status>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn ok_if(allowed: bool) -> Code {
    if allowed { Code::Ok } else { Code::PermissionDenied }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_is_as_the_roles_say() {
    let types = all_types();
    let subjects = subjects(&types);
    let names: Vec<&str> =
        subjects.iter().map(|subject| subject.name.as_str()).chain(["root"]).collect();
    let mut roles: Vec<Role> = subjects.iter().map(Subject::role).collect();
    roles.push(role(&["root"], &["*"], &["*"], &[]));
    let signing_key = SigningKey::generate("test.example/log", SignatureKind::Log).ok();
    let config = Config { signing_key, ..Config::from(&settings(access(&names, roles))) };
    let gateway = Gateway::start(config).await.expect("it starts");
    let url = format!("http://{}", gateway.address());
    let channel = Channel::from_shared(url).unwrap().connect().await.expect("it listens");
    let mut root = client_on(channel.clone(), "root");
    for (position, name) in types.iter().enumerate() {
        let receipt = emit(&mut root, event(name, name)).await.expect(name);
        assert_eq!(receipt.sequence, position as u64 + 1);
    }
    let service = descriptor_pool().get_service_by_name(SERVICE).unwrap();
    let methods: Vec<String> = service.methods().map(|method| method.name().to_owned()).collect();
    let mut calls = 0;
    for subject in &subjects {
        let mut client = client_on(channel.clone(), &subject.name);
        for method in &methods {
            for (position, name) in types.iter().enumerate() {
                let sequence = position as u64 + 1;
                check(&mut client, method, subject, name, sequence).await;
                calls += 1;
            }
        }
        let shown = scene::search(&mut client, None).await.unwrap_or_default();
        let shown: BTreeSet<String> = shown.into_iter().map(|record| record.r#type).collect();
        assert_eq!(shown, subject.read, "all that {} sees", subject.name);
    }
    assert_eq!(calls, subjects.len() * methods.len() * types.len());
}

async fn check(client: &mut Client, method: &str, subject: &Subject, name: &str, sequence: u64) {
    let who = format!("{method} {} {name}", subject.name);
    let (emits, reads) = (subject.emit.contains(name), subject.read.contains(name));
    match method {
        "Emit" => {
            let request = pb::EmitRequest { event: Some(event(name, "x")), validate_only: true };
            assert_eq!(code(soon(client.emit(request)).await), ok_if(emits), "{who}");
        }
        "EmitBatch" => {
            let events = vec![event(name, "x")];
            let request = pb::EmitBatchRequest { events, validate_only: true };
            assert_eq!(code(soon(client.emit_batch(request)).await), ok_if(emits), "{who}");
        }
        "EmitStream" => check_emit_stream(client, subject, name, &who).await,
        "Subscribe" => {
            let start = pb::subscribe_request::Start::Position(pb::Position::Earliest.into());
            let request = pb::SubscribeRequest { filter: types(name), start: Some(start) };
            match soon(client.subscribe(request)).await {
                Err(status) => assert_eq!(status.code(), ok_if(reads), "{who}"),
                Ok(response) => {
                    assert!(reads, "{who}");
                    let mut stream = response.into_inner();
                    let mut types = Vec::new();
                    while let Some(message) = soon(stream.message()).await.expect("open") {
                        types.extend(message.records.into_iter().map(|record| record.r#type));
                        if message.caught_up && !types.is_empty() {
                            break;
                        }
                    }
                    assert!(types.iter().all(|found| found == name), "{who} {types:?}");
                }
            }
        }
        "Search" => match scene::search(client, types(name)).await {
            Err(status) => assert_eq!(status.code(), ok_if(reads), "{who}"),
            Ok(records) => {
                assert!(reads && records.iter().all(|record| record.r#type == name), "{who}")
            }
        },
        "CountRecords" => {
            let request = pb::CountRecordsRequest { filter: types(name), ..Default::default() };
            assert_eq!(code(soon(client.count_records(request)).await), ok_if(reads), "{who}");
        }
        "TopValues" => {
            let fields = vec!["type".to_owned()];
            let request =
                pb::TopValuesRequest { filter: types(name), fields, ..Default::default() };
            match soon(client.top_values(request)).await {
                Err(status) => assert_eq!(status.code(), ok_if(reads), "{who}"),
                Ok(response) => {
                    assert!(reads, "{who}");
                    let response = response.into_inner();
                    let values: Vec<_> =
                        response.fields.iter().flat_map(|own| &own.values).collect();
                    assert!(values.iter().all(|own| own.value == name), "{who}: {values:?}");
                    assert!(response.examined >= 1, "{who}");
                }
            }
        }
        "GetCaller" => {
            let caller =
                soon(client.get_caller(pb::GetCallerRequest {})).await.expect("anybody may");
            let caller = caller.into_inner();
            assert_eq!((caller.principal.as_str(), caller.authenticated), (&*subject.name, true));
            let (lists_read, lists_emit) = (
                caller.readable_types.iter().any(|own| own == name),
                caller.emittable_types.iter().any(|own| own == name),
            );
            // Custom types are listed as the patterns of roles.
            if !name.starts_with("custom") {
                assert_eq!((lists_read, lists_emit), (reads, emits), "{who}");
            }
            assert_eq!(caller.rights.len(), subject.allow.len(), "{who}");
        }
        "GetRecord" => {
            // What may not be read is as if it were not there.
            let expected = match (reads, subject.read.is_empty()) {
                (true, _) => Code::Ok,
                (false, false) => Code::NotFound,
                (false, true) => Code::PermissionDenied,
            };
            for key in [Key::Id(name.to_owned()), Key::Sequence(sequence)] {
                let request = pb::GetRecordRequest { key: Some(key) };
                assert_eq!(code(soon(client.get_record(request)).await), expected, "{who}");
            }
        }
        "CheckFilter" => {
            let request = pb::CheckFilterRequest { filter: types(name) };
            match soon(client.check_filter(request)).await {
                Err(status) => {
                    assert!(subject.read.is_empty(), "{who}");
                    assert_eq!(status.code(), Code::PermissionDenied, "{who}");
                }
                Ok(response) => {
                    let problems = response.into_inner().problems;
                    assert_eq!(problems.is_empty(), reads, "{who}: {problems:?}");
                }
            }
        }
        "ListEventTypes" => {
            let result = soon(client.list_event_types(pb::ListEventTypesRequest {})).await;
            assert_eq!(code(result), ok_if(subject.has_any()), "{who}");
        }
        "GetStatus" => {
            let result = soon(client.get_status(pb::GetStatusRequest {})).await;
            assert_eq!(code(result), ok_if(subject.allow.contains(&Right::Status)), "{who}");
        }
        "ListDeliveries" => {
            let result = soon(client.list_deliveries(pb::ListDeliveriesRequest {})).await;
            assert_eq!(code(result), ok_if(subject.allow.contains(&Right::Deliveries)), "{who}");
        }
        "ControlDelivery" => {
            let request = pb::ControlDeliveryRequest {
                name: "siem".into(),
                action: pb::DeliveryAction::Pause.into(),
                sequence: None,
            };
            let expected = match subject.allow.contains(&Right::Deliveries) {
                true => Code::NotFound,
                false => Code::PermissionDenied,
            };
            assert_eq!(code(soon(client.control_delivery(request)).await), expected, "{who}");
        }
        "GetCheckpoint" => {
            let result = soon(client.get_checkpoint(pb::GetCheckpointRequest {})).await;
            assert_eq!(code(result), ok_if(subject.allow.contains(&Right::Proof)), "{who}");
        }
        "GetConsistencyProof" => {
            let request = pb::GetConsistencyProofRequest { old_size: 1 };
            let result = soon(client.get_consistency_proof(request)).await;
            assert_eq!(code(result), ok_if(subject.allow.contains(&Right::Proof)), "{who}");
        }
        "GetInclusionProof" => {
            // The answer has the record in it.
            let expected = match (subject.allow.contains(&Right::Proof), reads) {
                (true, true) => Code::Ok,
                (true, false) => Code::NotFound,
                (false, _) => Code::PermissionDenied,
            };
            use pb::get_inclusion_proof_request::Key;
            for key in [Key::Id(name.to_owned()), Key::Sequence(sequence)] {
                let request = pb::GetInclusionProofRequest { key: Some(key), ..Default::default() };
                let result = soon(client.get_inclusion_proof(request)).await;
                assert_eq!(code(result), expected, "{who}");
            }
        }
        other => panic!("{other} is a new method: say here who may call it"),
    }
}

async fn check_emit_stream(client: &mut Client, subject: &Subject, name: &str, who: &str) {
    let events = vec![event(name, &format!("{}-{name}", subject.name))];
    let requests = tokio_stream::iter([pb::EmitStreamRequest { events, ..Default::default() }]);
    let mut answers = match soon(client.emit_stream(requests)).await {
        Ok(response) => response.into_inner(),
        // No role lets it emit anything at all.
        Err(status) => {
            assert!(subject.emit.is_empty(), "{who}");
            return assert_eq!(status.code(), Code::PermissionDenied, "{who}");
        }
    };
    let answer = soon(answers.message()).await.expect("an answer").expect("one");
    if subject.emit.contains(name) {
        assert_eq!(answer.receipts.len(), 1, "{who}");
    } else {
        let [refusal] = answer.refusals.as_slice() else { panic!("{who} {answer:?}") };
        assert_eq!(refusal.code, Code::PermissionDenied as i32, "{who}");
        assert_eq!(refusal.reason(), pb::ErrorReason::EventTypeForbidden, "{who}");
    }
}
