//! What the gateway records of itself.

use auditgate::config::{self, Settings};
use auditgate::proto::pb;
use auditgate::server::Gateway;
use pb::event::Payload;
use tonic::Code;

use crate::support::access::{
    Client, access, connect, emit, event, refused, role, search, settings, start, types,
};
use crate::support::soon;

fn configured() -> config::Access {
    let roles =
        vec![role(&["root"], &["*"], &["*"], &[]), role(&["reader"], &["exec"], &["exec"], &[])];
    config::Access { self_audit: None, ..access(&["root", "reader"], roles) }
}

async fn gateway() -> (Gateway, Client) {
    let gateway = start(&settings(configured())).await;
    let root = connect(&gateway, "root").await;
    (gateway, root)
}

/// The gateway's own records, the oldest first; a look at them leaves none.
async fn own(root: &mut Client) -> Vec<pb::Record> {
    let mut records = search(root, types("auditgate.*")).await.expect("a page");
    records.reverse();
    for record in &records {
        assert_eq!(record.emitter.as_ref().expect("an emitter").principal, "auditgate");
    }
    records
}

/// Waits until there are so many of a type.
async fn until(root: &mut Client, name: &str, count: usize) -> Vec<pb::Event> {
    soon(async {
        loop {
            let records = own(root).await;
            let of_type = records.into_iter().filter(|record| record.r#type == name);
            let events: Vec<_> = of_type.filter_map(|record| record.event).collect();
            if events.len() >= count {
                return events;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn user(event: &pb::Event) -> &str {
    event.user.as_ref().map_or("", |user| user.name())
}

#[tokio::test]
async fn a_start_is_the_first_record_and_a_stop_the_last() {
    let (gateway, mut root) = gateway().await;
    let records = own(&mut root).await;
    let [start] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((start.sequence, start.r#type.as_str()), (1, "auditgate.start"));
    let Some(Payload::AuditgateStart(payload)) = &start.event.as_ref().expect("one").payload else {
        panic!("{start:?}")
    };
    assert_eq!(payload.listen_address(), gateway.address().to_string());
    assert!(!payload.encrypted());
    let request = pb::SubscribeRequest { filter: types("auditgate.stop"), start: None };
    let mut stream = soon(root.subscribe(request)).await.expect("open").into_inner();
    soon(stream.message()).await.expect("open").expect("the first response");
    gateway.stop().await;
    let message = soon(stream.message()).await.expect("open").expect("a record");
    assert_eq!(message.records[0].r#type, "auditgate.stop");
}

#[tokio::test]
async fn a_refusal_says_who_what_and_why() {
    let (gateway, mut root) = gateway().await;
    let mut reader = connect(&gateway, "reader").await;
    refused(
        search(&mut reader, types("user.login")).await,
        Code::PermissionDenied,
        "EVENT_TYPE_FORBIDDEN",
    );
    let denied = until(&mut root, "auditgate.denied", 1).await;
    assert_eq!(user(&denied[0]), "reader");
    let Some(Payload::AuditgateDenied(payload)) = &denied[0].payload else { panic!("{denied:?}") };
    assert_eq!(payload.rpc(), "/auditgate.v1.AuditService/Search");
    assert_eq!((payload.reason(), payload.suppressed()), ("EVENT_TYPE_FORBIDDEN", 0));
    let address = denied[0].connection.as_ref().expect("a connection").remote_address();
    assert!(address.starts_with("127.0.0.1:"), "{address}");

    let mut stranger = connect(&gateway, "not a token").await;
    refused(search(&mut stranger, None).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let requests = tokio_stream::iter([pb::EmitStreamRequest {
        events: vec![event("user.login", "x")],
        ..Default::default()
    }]);
    let mut answers = soon(reader.emit_stream(requests)).await.expect("open").into_inner();
    soon(answers.message()).await.expect("open").expect("an answer");
    let denied = until(&mut root, "auditgate.denied", 3).await;
    assert_eq!((user(&denied[1]), user(&denied[2])), ("", "reader"));
    let shown = format!("{denied:?}");
    assert!(!shown.contains("not a token"), "no token is recorded: {shown}");
}

/// Clients ask for it by themselves.
#[tokio::test]
async fn who_may_not_ask_for_the_health_is_not_recorded() {
    let health = config::Audience::Permitted;
    let gateway = start(&settings(config::Access { health, ..configured() })).await;
    let (mut root, mut reader) =
        (connect(&gateway, "root").await, connect(&gateway, "reader").await);
    let credentials = auditgate::client::Credentials::new().token("reader");
    let url = format!("http://{}", gateway.address());
    let connecting = auditgate::client::Client::connect_with(&url, &credentials);
    soon(connecting).await.expect("a refusal is an answer");
    refused(
        search(&mut reader, types("user.login")).await,
        Code::PermissionDenied,
        "EVENT_TYPE_FORBIDDEN",
    );
    let denied = until(&mut root, "auditgate.denied", 1).await;
    let [event] = denied.as_slice() else { panic!("{denied:?}") };
    let Some(Payload::AuditgateDenied(payload)) = &event.payload else { panic!("{event:?}") };
    assert_eq!(payload.rpc(), "/auditgate.v1.AuditService/Search");
}

#[tokio::test]
async fn many_refusals_are_counted_and_not_all_recorded() {
    let (gateway, mut root) = gateway().await;
    let mut stranger = connect(&gateway, "nobody").await;
    let begun = std::time::Instant::now();
    let calls = 300;
    for _ in 0..calls {
        refused(search(&mut stranger, None).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
    let told = soon(async {
        loop {
            let denied = until(&mut root, "auditgate.denied", 1).await;
            let suppressed = denied.iter().map(|event| match &event.payload {
                Some(Payload::AuditgateDenied(payload)) => payload.suppressed(),
                other => panic!("{other:?}"),
            });
            let total = denied.len() as u64 + suppressed.sum::<u64>();
            if total == calls {
                return denied.len();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    // So many at once, and then so many a second.
    let most = 50.0 + 10.0 * (begun.elapsed().as_secs_f64() + 1.0);
    assert!(told >= 50 && told as f64 <= most, "{told} recorded");
}

#[tokio::test]
async fn each_read_leaves_a_record_but_for_looks_at_such_records() {
    let (gateway, mut root) = gateway().await;
    let mut reader = connect(&gateway, "reader").await;
    search(&mut reader, types("exec")).await.expect("a page");
    // Reads no record.
    let check = pb::CheckFilterRequest { filter: types("exec") };
    soon(reader.check_filter(check)).await.expect("an answer");
    let request = pb::SubscribeRequest::default();
    let mut stream = soon(reader.subscribe(request)).await.expect("open").into_inner();
    soon(stream.message()).await.expect("open").expect("the first response");
    let reads = until(&mut root, "auditgate.read", 2).await;
    let shown: Vec<_> = reads
        .iter()
        .map(|event| match &event.payload {
            Some(Payload::AuditgateRead(read)) => (user(event), read.rpc(), read.filter()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("reader", "/auditgate.v1.AuditService/Search", "{\"types\":[\"exec\"]}"),
            ("reader", "/auditgate.v1.AuditService/Subscribe", "{}"),
        ]
    );
    let before = own(&mut root).await.len();
    search(&mut root, types("auditgate.read")).await.expect("a page");
    assert_eq!(own(&mut root).await.len(), before);
}

#[tokio::test]
async fn nobody_else_emits_such_events() {
    let (gateway, mut root) = gateway().await;
    for name in ["auditgate.start", "auditgate.denied", "auditgate.read"] {
        let one = emit(&mut root, event(name, "x")).await;
        refused(one, Code::PermissionDenied, "EVENT_TYPE_RESERVED");
    }
    // Nor where everybody may do everything.
    let open = start(&settings(config::Access::default())).await;
    let mut anybody = connect(&open, "").await;
    let one = emit(&mut anybody, event("auditgate.stop", "x")).await;
    refused(one, Code::PermissionDenied, "EVENT_TYPE_RESERVED");
    assert!(search(&mut anybody, None).await.expect("a page").is_empty(), "none of its own there");
    drop(gateway);
}

#[tokio::test]
async fn a_change_of_the_configuration_names_its_keys() {
    let (gateway, mut root) = gateway().await;
    let before = settings(configured());
    let mut after = settings(configured());
    after.access.roles.pop();
    after.ring.records = 7;
    gateway.reload(&before, &after).await.expect("valid");
    let changes = until(&mut root, "auditgate.config_change", 1).await;
    let Some(Payload::AuditgateConfigChange(change)) = &changes[0].payload else {
        panic!("{changes:?}")
    };
    assert_eq!(change.changed_keys, ["access.roles", "ring.records"]);
    assert_eq!(change.restart_keys, ["ring.records"]);
    assert_eq!(changes[0].outcome.as_ref().expect("an outcome").success, Some(true));
    let missing = Some("/nonexistent".into());
    let tls = config::Tls { cert: missing.clone(), key: missing, ..Default::default() };
    gateway.reload(&before, &Settings { tls, ..before.clone() }).await.expect_err("no such file");
    let changes = until(&mut root, "auditgate.config_change", 2).await;
    let outcome = changes[1].outcome.as_ref().expect("an outcome");
    assert_eq!(outcome.success, Some(false));
    assert!(outcome.error().contains("tls.cert"), "{outcome:?}");
}
