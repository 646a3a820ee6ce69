//! Roles, tokens and certificates that change while the gateway serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use auditgate::config::{Access, RedactAction, RedactRule, Settings, Tls, Treatment};
use auditgate::proto::pb;
use tonic::{Code, Streaming};

use crate::support::access::{
    Authority, Client, access, cause, channel, client_on, connect, emit, event, refused, role,
    search, settings, start, types,
};
use crate::support::soon;

fn reading(patterns: &[&str]) -> Access {
    let roles = vec![role(&["root"], &["*"], &["*"], &[]), role(&["reader"], &[], patterns, &[])];
    access(&["root", "reader"], roles)
}

async fn subscribe(client: &mut Client, pattern: &str) -> Streaming<pb::SubscribeResponse> {
    let request = pb::SubscribeRequest { filter: types(pattern), start: None };
    let mut stream = soon(client.subscribe(request)).await.expect("open").into_inner();
    soon(stream.message()).await.expect("open").expect("the first response comes at once");
    stream
}

/// The types of the next records, and the cursor behind them.
async fn next(stream: &mut Streaming<pb::SubscribeResponse>) -> (Vec<String>, String) {
    loop {
        let message = soon(stream.message()).await.expect("open").expect("no end");
        if !message.records.is_empty() {
            let types = message.records.into_iter().map(|record| record.r#type).collect();
            return (types, message.cursor);
        }
    }
}

#[tokio::test]
async fn a_stream_whose_reader_loses_the_right_ends_with_a_cursor() {
    let before = settings(reading(&["session.*", "exec"]));
    let gateway = start(&before).await;
    let mut root = connect(&gateway, "root").await;
    let mut reader = connect(&gateway, "reader").await;
    let mut lost = subscribe(&mut reader, "*").await;
    let mut kept = subscribe(&mut reader, "exec").await;
    emit(&mut root, event("session.start", "1")).await.expect("accepted");
    let (_, cursor) = next(&mut lost).await;

    gateway.reload(&Settings::default(), &settings(reading(&["exec"]))).await.expect("valid");
    let mut last = String::new();
    let ended = loop {
        match soon(lost.message()).await {
            Ok(Some(message)) => {
                assert!(message.records.is_empty());
                last = message.cursor;
            }
            Ok(None) => panic!("an end without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(last, cursor, "where it stood");
    assert!(ended.message().contains(&cursor), "{}", ended.message());
    refused::<()>(Err(ended), Code::PermissionDenied, "EVENT_TYPE_FORBIDDEN");
    // What the other stream asks for may still be read.
    emit(&mut root, event("session.end", "2")).await.expect("accepted");
    emit(&mut root, event("exec", "3")).await.expect("accepted");
    assert_eq!(next(&mut kept).await.0, ["exec"]);
    refused(
        search(&mut reader, types("session.start")).await,
        Code::PermissionDenied,
        "EVENT_TYPE_FORBIDDEN",
    );
}

#[tokio::test]
async fn a_stream_gets_more_when_its_reader_may_read_more() {
    let gateway = start(&settings(reading(&["exec"]))).await;
    let mut root = connect(&gateway, "root").await;
    let mut reader = connect(&gateway, "reader").await;
    let mut stream = subscribe(&mut reader, "*").await;
    emit(&mut root, event("session.start", "1")).await.expect("accepted");
    emit(&mut root, event("exec", "2")).await.expect("accepted");
    assert_eq!(next(&mut stream).await.0, ["exec"]);
    gateway
        .reload(&Settings::default(), &settings(reading(&["exec", "session.*"])))
        .await
        .expect("valid");
    emit(&mut root, event("session.end", "3")).await.expect("accepted");
    assert_eq!(next(&mut stream).await.0, ["session.end"]);
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_streams_and_calls() {
    let gateway = start(&settings(reading(&["exec"]))).await;
    let mut reader = connect(&gateway, "reader").await;
    let mut stream = subscribe(&mut reader, "*").await;
    let (sender, requests) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut root = connect(&gateway, "root").await;
    let send =
        |id: &str| pb::EmitStreamRequest { events: vec![event("exec", id)], ..Default::default() };
    sender.send(send("1")).await.expect("open");
    let mut answers = soon(root.emit_stream(requests)).await.expect("open").into_inner();
    assert_eq!(soon(answers.message()).await.expect("open").expect("an answer").answered, 1);

    let mut without = reading(&["exec"]);
    without.tokens.clear();
    let other =
        auditgate::config::StaticToken { principal: "other".to_owned(), sha256: "0".repeat(64) };
    without.tokens.push(other);
    gateway.reload(&Settings::default(), &settings(without)).await.expect("valid");
    let ended = loop {
        match soon(stream.message()).await {
            Ok(message) => assert!(message.is_some(), "an end without a word"),
            Err(status) => break status,
        }
    };
    refused::<()>(Err(ended), Code::Unauthenticated, "CREDENTIALS_INVALID");
    sender.send(send("2")).await.expect("open");
    let ended = soon(answers.message()).await;
    refused(ended, Code::Unauthenticated, "CREDENTIALS_INVALID");
    refused(search(&mut root, None).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn a_gateway_that_begins_to_ask_asks_open_streams_too() {
    let gateway = start(&settings(Access::default())).await;
    let mut anybody = connect(&gateway, "").await;
    let mut stream = subscribe(&mut anybody, "*").await;
    gateway.reload(&Settings::default(), &settings(reading(&["*"]))).await.expect("valid");
    let ended = loop {
        match soon(stream.message()).await {
            Ok(message) => assert!(message.is_some(), "an end without a word"),
            Err(status) => break status,
        }
    };
    refused::<()>(Err(ended), Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a_change_that_is_not_good_changes_nothing() {
    let ca = Authority::new();
    let before = Settings { tls: ca.tls(), ..settings(reading(&["*"])) };
    let gateway = start(&before).await;
    let bad = Settings {
        tls: Tls { cert: Some(ca.write("bad.pem", "no certificate")), ..before.tls.clone() },
        ..settings(reading(&[]))
    };
    assert_eq!(
        gateway.reload(&Settings::default(), &bad).await.expect_err("refused").key(),
        Some("tls.cert")
    );
    let mut reader =
        client_on(channel(&gateway, &ca.pem, None).await.expect("the former"), "reader");
    assert!(search(&mut reader, None).await.is_ok(), "the former roles, too");
}

#[tokio::test]
async fn a_certificate_that_changes_on_disk_is_taken_without_a_word() {
    let (old, new) = (Authority::new(), Authority::new());
    let before = Settings { tls: old.tls(), ..settings(reading(&["*"])) };
    let gateway = start(&before).await;
    let mut lasting = client_on(channel(&gateway, &old.pem, None).await.expect("TLS"), "reader");
    assert!(search(&mut lasting, None).await.is_ok());
    // The certificate alone does not go with the key: the former stays for now.
    let issued = new.server();
    old.write("server.pem", &issued.cert);
    old.write("server.key", &issued.key);
    soon(async {
        while channel(&gateway, &new.pem, None).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let why = cause(channel(&gateway, &old.pem, None).await);
    assert!(why.contains("BadSignature"), "new connections: the new one: {why}");
    assert!(search(&mut lasting, None).await.is_ok(), "old connections stay");
}

/// An event of a command.
fn command(id: &str) -> pb::Event {
    let command = pb::Command { line: Some("cat /etc/shadow".to_owned()), ..Default::default() };
    let payload = pb::Exec { command: Some(command), ..Default::default() };
    pb::Event {
        id: Some(id.to_owned()),
        payload: Some(pb::event::Payload::Exec(payload)),
        ..Default::default()
    }
}

#[tokio::test]
async fn rules_of_redaction_change_for_calls_and_open_streams() {
    let before = settings(reading(&["exec"]));
    let mut after = before.clone();
    after.redact.commands = Treatment::Mask;
    let gateway = start(&before).await;
    let mut root = connect(&gateway, "root").await;
    let (sender, requests) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let send = |id: &str| pb::EmitStreamRequest { events: vec![command(id)], ..Default::default() };
    sender.send(send("1")).await.expect("open");
    let mut answers = soon(root.emit_stream(requests)).await.expect("open").into_inner();
    assert_eq!(soon(answers.message()).await.expect("open").expect("an answer").answered, 1);
    emit(&mut root, command("2")).await.expect("accepted");

    gateway.reload(&before, &after).await.expect("valid");
    sender.send(send("3")).await.expect("open");
    assert_eq!(soon(answers.message()).await.expect("open").expect("an answer").answered, 2);
    emit(&mut root, command("4")).await.expect("accepted");
    let request = pb::EmitBatchRequest { events: vec![command("5")], validate_only: false };
    soon(root.emit_batch(request)).await.expect("accepted");

    let mut bad = after.clone();
    bad.redact.rules = vec![RedactRule {
        types: Vec::new(),
        fields: vec!["exec.command.lien".to_owned()],
        action: RedactAction::Drop,
    }];
    let refused = gateway.reload(&after, &bad).await.expect_err("there is no such field");
    assert_eq!(refused.key(), Some("redact.rules[0].fields[0]"));
    emit(&mut root, command("6")).await.expect("accepted");

    let mut shown = Vec::new();
    for record in search(&mut root, None).await.expect("a page") {
        let event = record.event.expect("an event");
        let Some(pb::event::Payload::Exec(exec)) = event.payload else { panic!("a command") };
        shown.push((event.id.unwrap(), exec.command.unwrap().line.unwrap()));
    }
    shown.sort();
    for (id, line) in shown {
        let expected = if id.as_str() < "3" { "cat /etc/shadow" } else { "[redacted]" };
        assert_eq!(line, expected, "event {id}");
    }
}

/// How often everything is read again under load.
const RELOADS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_everything_is_read_again() {
    let ca = Authority::new();
    let tls = ca.mutual_tls();
    let configured = |number: usize| {
        // Each time other roles that still allow this, and another certificate.
        let extra = format!("custom.r{number}");
        let mut access = reading(&["exec", "session.*", &extra]);
        access.roles.push(role(&["worker-*"], &["exec", &extra], &["exec"], &[]));
        for worker in 0..4 {
            let name = format!("worker-{worker}");
            let sha256 = auditgate::access::hash_token(&name);
            access.tokens.push(auditgate::config::StaticToken { principal: name, sha256 });
        }
        Settings { tls: tls.clone(), ..settings(access) }
    };
    let gateway = Arc::new(start(&configured(0)).await);
    let over = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let mut workers = Vec::new();
    for worker in 0..4 {
        let (gateway, over, calls) = (Arc::clone(&gateway), Arc::clone(&over), Arc::clone(&calls));
        let pem = ca.pem.clone();
        workers.push(tokio::spawn(async move {
            let token = format!("worker-{worker}");
            let mut number = 0;
            loop {
                // A connection serves some calls, so that handshakes go on as well.
                let fresh = channel(&gateway, &pem, None).await.expect("a handshake");
                let mut client = client_on(fresh, &token);
                for _ in 0..20 {
                    let id = format!("{token}-{number}");
                    emit(&mut client, event("exec", &id)).await.expect("no failed call");
                    search(&mut client, types("exec")).await.map(drop).expect("no failed call");
                    number += 1;
                    calls.fetch_add(2, Ordering::Relaxed);
                }
                if over.load(Ordering::Relaxed) {
                    return number;
                }
            }
        }));
    }
    for number in 1..=RELOADS {
        let issued = ca.server();
        // A pair that is half written is never read: reading is asked for below.
        ca.write("server.pem", &issued.cert);
        ca.write("server.key", &issued.key);
        gateway.reload(&Settings::default(), &configured(number)).await.expect("valid");
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);
    let mut emitted = 0;
    for worker in workers {
        emitted += worker.await.expect("no call failed");
    }
    let calls = calls.load(Ordering::Relaxed);
    println!("{calls} calls over {RELOADS} reloads");
    assert!(calls > 0 && emitted > 0);
}
