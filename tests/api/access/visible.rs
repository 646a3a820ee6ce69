//! What a reader sees of what others do: nothing that no role lets it see.

use auditgate::config::Right;
use auditgate::proto::pb;
use pb::get_record_request::Key;
use tonic::Code;

use crate::support::access::{
    access, connect, emit, emit_request, event, reason, refused, role, search, settings, start,
    types,
};
use crate::support::soon;

async fn gateway() -> auditgate::server::Gateway {
    let roles = vec![
        role(&["root"], &["*"], &["*"], &[Right::Status, Right::Subscribers]),
        role(&["sessions"], &["session.*"], &["session.*", "custom.a*"], &[Right::Status]),
        role(&["logins"], &["user.login"], &["user.*"], &[Right::Status, Right::Subscribers]),
    ];
    start(&settings(access(&["root", "sessions", "logins", "stranger"], roles))).await
}

#[tokio::test]
async fn patterns_and_empty_filters_are_narrowed_and_names_refused() {
    let gateway = gateway().await;
    let mut root = connect(&gateway, "root").await;
    for name in ["session.start", "user.login", "custom.ab", "custom.b", "session.end", "exec"] {
        emit(&mut root, event(name, name)).await.expect(name);
    }
    let mut reader = connect(&gateway, "sessions").await;
    for filter in [None, types("*"), types("*.*")] {
        let found = search(&mut reader, filter).await.expect("a page");
        let names: Vec<_> = found.iter().map(|record| record.r#type.as_str()).collect();
        assert_eq!(names, ["session.end", "custom.ab", "session.start"]);
    }
    let narrow = pb::Filter { types: vec!["user.*".to_owned()], ..Default::default() };
    assert_eq!(search(&mut reader, Some(narrow)).await.expect("a page"), []);
    let by_expression =
        pb::Filter { expression: "type == 'user.login'".to_owned(), ..Default::default() };
    assert_eq!(search(&mut reader, Some(by_expression)).await.expect("a page"), []);
    for name in ["user.login", "custom.b"] {
        let status = refused(
            search(&mut reader, types(name)).await,
            Code::PermissionDenied,
            "EVENT_TYPE_FORBIDDEN",
        );
        assert!(status.message().contains(name), "{}", status.message());
        let request = pb::CountRecordsRequest { filter: types(name), ..Default::default() };
        let counted = soon(reader.count_records(request)).await;
        refused(counted, Code::PermissionDenied, "EVENT_TYPE_FORBIDDEN");
    }
    let request = pb::CountRecordsRequest::default();
    let counted = soon(reader.count_records(request)).await.expect("counts").into_inner();
    let counts = &counted.buckets[0].counts;
    let mut names: Vec<_> = counts.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["custom.ab", "session.end", "session.start"]);
}

#[tokio::test]
async fn a_record_that_may_not_be_read_is_as_one_that_is_not_there() {
    let gateway = gateway().await;
    let mut root = connect(&gateway, "root").await;
    emit(&mut root, event("user.login", "hidden")).await.expect("accepted");
    let mut reader = connect(&gateway, "sessions").await;
    let mut said = Vec::new();
    for key in
        [Key::Sequence(1), Key::Sequence(7), Key::Id("hidden".into()), Key::Id("absent".into())]
    {
        let request = pb::GetRecordRequest { key: Some(key) };
        let status =
            refused(soon(reader.get_record(request)).await, Code::NotFound, "RECORD_NOT_FOUND");
        // The details repeat the message.
        said.push((status.message().to_owned(), status.details().len()));
    }
    assert_eq!(said[0].0.replace('1', "7"), said[1].0, "only the number differs");
    assert_eq!(said[2].0.replace("hidden", "absent"), said[3].0, "only the id differs");
    assert_eq!((said[0].1, said[2].1), (said[1].1, said[3].1));
    let request = pb::GetRecordRequest { key: Some(Key::Sequence(1)) };
    assert!(soon(root.get_record(request)).await.is_ok());
}

#[tokio::test]
async fn an_id_is_its_principal_s_own() {
    let gateway = gateway().await;
    let (mut first, mut second) =
        (connect(&gateway, "root").await, connect(&gateway, "logins").await);
    let own = emit(&mut first, event("user.login", "same")).await.expect("accepted");
    let other = emit(&mut second, event("user.login", "same")).await.expect("accepted");
    assert!(!other.duplicate && other.sequence != own.sequence, "not a word of the first one");
    let again = emit(&mut second, event("user.login", "same")).await.expect("accepted");
    assert!(again.duplicate);
    assert_eq!(again.sequence, other.sequence);
}

#[tokio::test]
async fn an_id_is_found_among_the_records_that_may_be_read() {
    let gateway = gateway().await;
    let (mut root, mut reader) =
        (connect(&gateway, "root").await, connect(&gateway, "sessions").await);
    let own = emit(&mut reader, event("session.start", "same")).await.expect("accepted");
    let newer = emit(&mut root, event("user.login", "same")).await.expect("accepted");
    for (client, sequence) in [(&mut reader, own.sequence), (&mut root, newer.sequence)] {
        let request = pb::GetRecordRequest { key: Some(Key::Id("same".into())) };
        let found = soon(client.get_record(request)).await.expect("found").into_inner();
        assert_eq!(found.record.expect("a record").sequence, sequence);
    }
}

#[tokio::test]
async fn a_batch_with_a_type_that_may_not_be_emitted_is_refused_as_a_whole() {
    let gateway = gateway().await;
    let mut client = connect(&gateway, "sessions").await;
    let events = vec![event("session.start", "a"), event("user.login", "b")];
    let request = pb::EmitBatchRequest { events, validate_only: false };
    let status = refused(
        soon(client.emit_batch(request)).await,
        Code::PermissionDenied,
        "EVENT_TYPE_FORBIDDEN",
    );
    assert!(status.message().contains("events[1]"), "{}", status.message());
    assert_eq!(search(&mut client, None).await.expect("a page"), []);
    let one = soon(client.emit(emit_request(event("user.login", "b")))).await;
    assert_eq!(reason(&one.expect_err("refused")), "EVENT_TYPE_FORBIDDEN");
}

#[tokio::test]
async fn the_status_shows_others_only_to_those_who_may_see_them() {
    let gateway = gateway().await;
    let (mut root, mut sessions, mut logins) = (
        connect(&gateway, "root").await,
        connect(&gateway, "sessions").await,
        connect(&gateway, "logins").await,
    );
    let subscribe = |pattern: &str| pb::SubscribeRequest { filter: types(pattern), start: None };
    let mut streams = Vec::new();
    for (client, pattern) in [(&mut root, "db.*"), (&mut sessions, "session.*")] {
        let mut stream =
            soon(client.subscribe(subscribe(pattern))).await.expect("open").into_inner();
        soon(stream.message()).await.expect("open").expect("the first response comes at once");
        streams.push(stream);
    }
    let mut shown = Vec::new();
    for client in [&mut root, &mut sessions, &mut logins] {
        let status = soon(client.get_status(pb::GetStatusRequest {})).await.expect("a status");
        let subscribers = status.into_inner().subscribers.into_iter();
        shown.push(subscribers.map(|one| (one.principal, one.filter)).collect::<Vec<_>>());
    }
    let full = [("root".to_owned(), types("db.*")), ("sessions".to_owned(), types("session.*"))];
    assert_eq!(shown[0], full);
    assert_eq!(shown[1], full[1..], "its own, and no other");
    assert_eq!(shown[2], full.map(|(name, _)| (name, None)), "who, but not what for");
}

#[tokio::test]
async fn who_has_no_role_may_do_nothing() {
    let gateway = gateway().await;
    let mut stranger = connect(&gateway, "stranger").await;
    refused(
        emit(&mut stranger, event("exec", "x")).await,
        Code::PermissionDenied,
        "CALL_FORBIDDEN",
    );
    refused(search(&mut stranger, None).await, Code::PermissionDenied, "CALL_FORBIDDEN");
    let mut unknown = connect(&gateway, "unknown").await;
    refused(search(&mut unknown, None).await, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let mut nobody = connect(&gateway, "").await;
    refused(search(&mut nobody, None).await, Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn readers_who_ask_for_the_same_each_get_what_they_may_read() {
    let gateway = gateway().await;
    let mut root = connect(&gateway, "root").await;
    let mut streams = Vec::new();
    for name in ["root", "sessions", "logins", "sessions"] {
        let mut client = connect(&gateway, name).await;
        let request = pb::SubscribeRequest::default();
        let mut stream = soon(client.subscribe(request)).await.expect("open").into_inner();
        soon(stream.message()).await.expect("open").expect("the first response");
        streams.push((client, stream));
    }
    let all = ["session.start", "user.login", "exec", "session.end", "user.create", "custom.ab"];
    for name in all {
        emit(&mut root, event(name, name)).await.expect(name);
    }
    let mine = ["session.start", "session.end", "custom.ab"];
    let expected: [&[&str]; 4] = [&all, &mine, &["user.login", "user.create"], &mine];
    for ((_, stream), expected) in streams.iter_mut().zip(expected) {
        let mut found = Vec::new();
        while found.len() < expected.len() {
            let message = soon(stream.message()).await.expect("open").expect("no end");
            found.extend(message.records.into_iter().map(|record| record.r#type));
        }
        assert_eq!(found, expected);
    }
}
