//! `auditgate count` and `auditgate emit`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use crate::support::cli::{
    self, command, day, field, finish, login, run, run_at, run_with, start_with,
};
use crate::support::{self, start};

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_drawn_as_bars() {
    let gateway = start_with(day()).await;
    assert_eq!(
        run(&gateway, &["count", "-o", "pretty"]).lines(),
        [
            "user.login        2  ███████████████████████████████████████████████████████████",
            "custom.deploy     1  █████████████████████████████▌",
            "db.session.query  1  █████████████████████████████▌",
            "exec              1  █████████████████████████████▌",
            "lock.created      1  █████████████████████████████▌",
            "total             6",
        ]
    );
    let arguments = ["count", "-o", "pretty", "--utc", "--bucket", "3s", "--by", "category"];
    assert_eq!(
        run_at(gateway.address(), 100, &arguments).lines(),
        [
            "2026-03-01 12:00:00  3  ██████████████████████████████████████  user 2, db 1",
            "2026-03-01 12:00:03  3  ██████████████████████████████████████  custom 1, exec 1, lock 1",
            "total                6",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_by_what_people_ask_for() {
    let gateway = start_with(day()).await;
    let counts = |key: &str| run(&gateway, &["count", "--by", key]).out;
    assert_eq!(counts("category"), "category,count\nuser,2\ncustom,1\ndb,1\nexec,1\nlock,1\n");
    assert_eq!(counts("severity"), "severity,count\ninfo,4\nwarning,2\n");
    assert_eq!(counts("result"), "result,count\nsuccess,3\nunspecified,2\nfailure,1\n");
    assert_eq!(counts("user"), "user,count\nalice,2\nbob,1\ncarol,1\nmallory,1\n");
    assert_eq!(counts("server"), "server,count\nweb-1,1\n");
    assert_eq!(counts("source"), "source,count\nci,1\n");
    assert_eq!(counts("address"), "address,count\n203.0.113.24,2\n2001:db8::17,1\n");
    assert_eq!(counts("code"), "code,count\nT1000W,1\nT3002I,1\n");
    assert_eq!(counts("user_login.method"), "user_login.method,count\nlocal,2\n");
    let top = run(&gateway, &["count", "--by", "user", "--top", "1"]);
    assert_eq!(top.out, "user,count\nalice,2\n");
    assert_eq!(
        top.err,
        "not listed: 3 records of other values: see --top\nnot listed: 1 record without a value\n"
    );
    let top = run(&gateway, &["count", "--by", "user", "--top", "1", "-o", "json"]);
    let read: serde_json::Value = serde_json::from_str(&top.out).expect("JSON");
    let expected = serde_json::json!([{ "counts": { "alice": 2 }, "absent": 1, "others": 3 }]);
    assert_eq!((top.code, read), (Some(0), expected));
    let types = run(&gateway, &["count", "--top", "2", "-o", "pretty"]);
    assert_eq!(
        types.lines().iter().map(|line| line.split_whitespace().next()).collect::<Vec<_>>(),
        ["user.login", "custom.deploy", "(others)", "total"].map(Some)
    );
    for (arguments, part) in [
        (["--by", "usr"], "did you mean user?"),
        (["--by", "user.nam"], "but there is \"name\""),
        (["--top", "0"], "--top"),
    ] {
        let refused = run(&gateway, &[&["count"], &arguments[..]].concat());
        assert_eq!(refused.code, Some(2), "{arguments:?}");
        assert!(refused.err.contains(part), "{}", refused.err);
    }
    let refused = run(&gateway, &["count", "--by", "user", "--bucket", "1h"]);
    assert!(refused.err.contains("--bucket does not go with --by user"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_csv_and_json() {
    let gateway =
        start_with(vec![login(0, "alice"), login(3_600, "bob"), login(3_601, "bob")]).await;
    assert_eq!(run(&gateway, &["count"]).lines(), ["type,count", "user.login,3"]);
    assert_eq!(
        run(&gateway, &["count", "--bucket", "1h", "--by", "category"]).lines(),
        ["time,category,count", "2026-03-01T12:00:00Z,user,1", "2026-03-01T13:00:00Z,user,2"]
    );
    let ran = run(&gateway, &["count", "--bucket", "1h", "--user", "bob", "-o", "json"]);
    let read: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let bucket =
        serde_json::json!({ "start_time": "2026-03-01T13:00:00Z", "counts": { "user.login": 2 } });
    assert_eq!(read, serde_json::json!([bucket]));
    let ran = run(&gateway, &["count", "--failed"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "type,count\n"));
    let ran = run(
        &gateway,
        &["count", "--bucket", "1s", "--since", "2026-01-01", "--until", "2026-02-01"],
    );
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("bucket"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_make_an_event() {
    let gateway = start().await;
    let ran = run(
        &gateway,
        &["emit", "user.login", "--user", "alice", "--success", "false", "--id", "mine"],
    );
    assert_eq!(field(ran.lines()[0], "/id"), "mine");
    assert_eq!(field(ran.lines()[0], "/sequence"), "1");
    let kept = run(&gateway, &["search", "-o", "csv", "--fields", "id,user.name,type,result"]);
    assert_eq!(kept.lines()[1], "mine,alice,user.login,failure");
    let again = run(&gateway, &["emit", "user.login", "--user", "bob", "--id", "mine"]);
    assert_eq!((again.code, again.out.as_str()), (Some(1), ""));
    assert!(again.err.starts_with("the event: "), "{}", again.err);
    let wrong = run(&gateway, &["emit", "user.logn"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("but there is \"user.login\""), "{}", wrong.err);
    let wrong = run(&gateway, &["emit", "user.login", "--set", "user_login.methd=x"]);
    assert_eq!(
        (wrong.code, wrong.err.as_str()),
        (
            Some(2),
            "error: --set user_login.methd: there is no field \"methd\" in UserLogin, but there is \"method\"\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_from_a_pipe_or_file() {
    let gateway = start().await;
    let input = "{\"id\": \"a\", \"exec\": {}}\n{\"id\": 7}\n\n{\"id\": \"c\"}\n{\"id\": \"d\", \"x11Forward\": {}}\n";
    let ran = run_with(&gateway, input, &["emit"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.field("/id"), ["a", "d"], "in order");
    let told: Vec<&str> = ran.err.lines().collect();
    assert!(told[0].starts_with("stdin:2: not an auditgate.v1.Event: "), "{told:?}");
    assert!(told[1].starts_with("stdin:4: event has no payload"), "{told:?}");
    assert_eq!(told.last(), Some(&"2 accepted, 2 refused"), "{told:?}");

    let again = run_with(&gateway, input, &["emit"]);
    assert_eq!(again.field("/duplicate"), ["true", "true"]);

    // What search writes can be emitted into another gateway.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, run(&gateway, &["search", "--reverse"]).out).expect("it is written");
    let other = start().await;
    let ran = run(&other, &["emit", "--file", file.to_str().expect("a name")]);
    assert_eq!(ran.field("/id"), ["a", "d"]);
    let fields = ["search", "--fields", "id,time,type"];
    assert_eq!(run(&other, &fields).out, run(&gateway, &fields).out);

    let absent = run(&other, &["emit", "--file", "absent"]);
    assert_eq!((absent.code, absent.out.as_str()), (Some(2), ""));
    assert!(absent.err.starts_with("error: cannot read absent: "), "{}", absent.err);
}

/// Whoever watches does not wait in the dark while events are sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_away_is_told_at_once_and_when_it_is_back() {
    let gateway = start().await;
    let address = gateway.address();
    let mut emit = command(address, 80, &["emit"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut import = command(address, 80, &["import", "--format", "teleport", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut events = emit.stdin.take().expect("a pipe");
    let mut lines = import.stdin.take().expect("a pipe");
    let client = cli::connect(&gateway).await;
    let feed = |events: &mut std::process::ChildStdin, lines: &mut std::process::ChildStdin| {
        events.write_all(b"{\"exec\": {}}\n").expect("it reads");
        lines.write_all(b"{\"event\":\"user.login\"}\n").expect("it reads");
    };
    feed(&mut events, &mut lines);
    while client.get_status().await.expect("a status").record_count < 2 {
        tokio::task::yield_now().await;
    }
    gateway.stop().await;
    feed(&mut events, &mut lines);
    drop((events, lines));
    let away = "the gateway does not accept events: ";
    let mut said = Vec::new();
    for child in [&mut emit, &mut import] {
        let mut reader = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("it says something");
        assert!(line.starts_with(away) && line.contains("; retrying for up to 60 s"), "{line}");
        said.push(reader);
    }
    let _gateway = support::start_at(address).await;
    for (child, mut reader) in [emit, import].into_iter().zip(said) {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("it ends");
        assert!(rest.starts_with("the gateway accepts events again\n"), "{rest}");
        assert_eq!(finish(child).code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_can_be_emitted() {
    let gateway = start().await;
    // All but those of the types that only the gateway itself emits.
    let types: Vec<_> = auditgate::catalog::all()
        .filter(|(_, event_type)| !event_type.is_reserved())
        .map(|(type_id, _)| type_id)
        .collect();
    let examples: String =
        types.iter().map(|type_id| auditgate::example::request_json(*type_id) + "\n").collect();
    let ran = run_with(&gateway, &examples, &["emit"]);
    assert_eq!(ran.lines().len(), types.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_may_be_checked_only() {
    let gateway = start().await;
    let ran = run(&gateway, &["emit", "exec", "--validate-only"]);
    assert_eq!(ran.lines().len(), 1);
    assert_eq!(field(&ran.out, "/sequence"), "");
    assert_eq!(run(&gateway, &["search"]).code, Some(1), "nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_a_live_feed() {
    let gateway = start().await;
    let mut command = command(gateway.address(), 80, &["emit"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"{\"exec\": {}}\n").expect("it reads");
    let client = cli::connect(&gateway).await;
    while client.get_status().await.expect("a status").record_count == 0 {
        tokio::task::yield_now().await;
    }
    drop(input);
    assert_eq!(finish(child).lines().len(), 1);
}
