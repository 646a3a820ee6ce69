//! What a status tells of refusals, disconnects, certificates and reloads, and to whom.

use auditgate::config::{Access, Right, Settings};
use auditgate::proto::pb;
use tonic::Code;

use crate::support::access::{
    Authority, Client, access, channel, client_on, connect, event, refused, role, settings, start,
    types,
};
use crate::support::soon;

const ALL: [Right; 2] = [Right::Status, Right::Subscribers];

fn readers(names: &[&str]) -> Access {
    let roles = vec![
        role(&["root"], &["*"], &["*"], &ALL),
        role(&["reader", "other"], &["exec"], &["session.*"], &[Right::Status]),
    ];
    access(names, roles)
}

async fn status(client: &mut Client) -> pb::GetStatusResponse {
    soon(client.get_status(pb::GetStatusRequest {})).await.expect("a status").into_inner()
}

/// The status, once it tells of so many disconnects.
async fn with_disconnects(client: &mut Client, count: usize) -> pb::GetStatusResponse {
    soon(async {
        loop {
            let status = status(client).await;
            if status.disconnects.len() >= count {
                return status;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn streams_that_end_are_told_to_those_who_may_see_them() {
    let before = settings(readers(&["root", "reader", "other"]));
    let gateway = start(&before).await;
    let mut root = connect(&gateway, "root").await;
    let mut reader = connect(&gateway, "reader").await;
    let mut other = connect(&gateway, "other").await;
    assert_eq!(status(&mut root).await.disconnects, []);
    let request = pb::SubscribeRequest { filter: types("session.*"), start: None };
    let stream = soon(other.subscribe(request.clone())).await.expect("open").into_inner();
    drop(stream);
    let told = with_disconnects(&mut root, 1).await;
    let mut stream = soon(reader.subscribe(request)).await.expect("open").into_inner();
    soon(stream.message()).await.expect("open").expect("the first response comes at once");
    // The token of the reader is good no more.
    gateway.reload(&before, &settings(readers(&["root", "other"]))).await.expect("valid");
    while let Ok(Some(_)) = soon(stream.message()).await {}
    let all = with_disconnects(&mut root, 2).await;
    let names: Vec<(&str, &str)> =
        all.disconnects.iter().map(|one| (one.principal.as_str(), one.reason.as_str())).collect();
    assert_eq!(names, [("reader", "CREDENTIALS_INVALID"), ("other", "client_left")]);
    assert_eq!(all.disconnects[1], told.disconnects[0]);
    let one = &all.disconnects[0];
    assert_eq!(one.kind(), pb::DisconnectKind::Subscription);
    assert!(one.peer.starts_with("127.0.0.1:") && one.time.is_some(), "{one:?}");
    let own = status(&mut other).await.disconnects;
    assert_eq!(own, all.disconnects[1..], "its own, and no other");
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let gateway = start(&settings(readers(&["root", "reader"]))).await;
    let mut reader = connect(&gateway, "reader").await;
    let emit = pb::EmitRequest { event: Some(event("user.login", "x")), validate_only: false };
    for _ in 0..2 {
        let answer = soon(reader.emit(emit.clone())).await;
        refused(answer, Code::PermissionDenied, "EVENT_TYPE_FORBIDDEN");
    }
    let unknown =
        soon(connect(&gateway, "unknown").await.get_status(pb::GetStatusRequest {})).await;
    refused(unknown, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let found = status(&mut connect(&gateway, "root").await).await;
    let count =
        |reason: &str, calls, events| pb::RefusalCount { reason: reason.to_owned(), calls, events };
    let expected = [count("EVENT_TYPE_FORBIDDEN", 2, 2), count("CREDENTIALS_INVALID", 1, 0)];
    assert_eq!(found.refusals, expected);
    let connections = found.connections.expect("of a server");
    assert!(connections.open >= 2 && connections.accepted >= 3, "{connections:?}");
    assert!(connections.limit > connections.open, "{connections:?}");
    let limits = found.account_limits.expect("of a server");
    assert!(limits.subscribers > 0 && limits.emit_streams > 0, "{limits:?}");
    assert!(limits.holding.expect("of memory").room_bytes > 0, "{limits:?}");
}

#[tokio::test]
async fn certificates_and_reloads_are_told_and_the_names_of_files_to_few() {
    let authority = Authority::new();
    let before = Settings { tls: authority.tls(), ..settings(readers(&["root", "reader"])) };
    let gateway = start(&before).await;
    let client = async |token: &str| {
        client_on(channel(&gateway, &authority.pem, None).await.expect("TLS"), token)
    };
    let (mut root, mut reader) = (client("root").await, client("reader").await);
    let seen = status(&mut root).await;
    assert_eq!(seen.last_reload, None);
    let [certificate] = seen.certificates.as_slice() else { panic!("{seen:?}") };
    assert_eq!(certificate.key, "tls.cert");
    assert!(certificate.file.ends_with("server.pem"), "{certificate:?}");
    assert!(certificate.expire_time.is_some_and(|end| end.seconds > 2_000_000_000));
    gateway.reload(&before, &before).await.expect("valid");
    let last = status(&mut root).await.last_reload.expect("one");
    assert!(last.applied && last.error.is_empty() && last.time.is_some(), "{last:?}");
    gateway.count_unreadable_reload("line 3: unknown key");
    let last = status(&mut root).await.last_reload.expect("one");
    assert_eq!((last.applied, last.error.as_str()), (false, "line 3: unknown key"));
    let seen = status(&mut reader).await;
    let last = seen.last_reload.expect("one");
    assert_eq!((last.applied, last.error.as_str()), (false, ""));
    assert_eq!((seen.certificates.len(), seen.certificates[0].file.as_str()), (1, ""));
}
