//! `auditgate tail`: the last records and those that come, cursors, gaps, broken
//! connections and pipes.

use crate::support::cli::{Running, day, emit, field, finish, login, run, start_with, subscribed};
use crate::support::{start, start_at};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_records_are_shown_in_order() {
    let gateway = start_with((0..20).map(|number| login(number, "alice")).collect()).await;
    let shown = |arguments: &[&str]| {
        run(&gateway, &[&["tail", "--no-follow"], arguments].concat()).field("/sequence").join(" ")
    };
    assert_eq!(shown(&["-n", "3"]), "18 19 20");
    assert_eq!(shown(&["--limit", "2"]), "19 20");
    assert_eq!(shown(&["--lines", "1"]), "20");
    assert_eq!(shown(&[]), "11 12 13 14 15 16 17 18 19 20", "as tail does");
    assert_eq!(shown(&["-n", "0"]), "");
    assert_eq!(shown(&["-n", "2", "--filter", "sequence < 6"]), "4 5");
    assert_eq!(shown(&["--from", "latest"]), "");
    assert_eq!(shown(&["--from", "earliest"]).split(' ').count(), 20);
    assert_eq!(shown(&["--from", "1h"]).split(' ').count(), 20);
    assert_eq!(shown(&["--since", "1h"]).split(' ').count(), 20);
    assert_eq!(shown(&["--from", "earliest", "--until", "1h"]), "", "accepted before that");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_shown_as_a_line_for_people() {
    let gateway = start().await;
    let mut running = Running::start(&gateway, &["tail", "-o", "pretty", "--utc", "--failed"]);
    subscribed(&gateway, 1).await;
    emit(&gateway, day()).await;
    assert_eq!(
        running.line(),
        " SEQ TIME           S TYPE             WHO      WHERE           RES  DETAIL"
    );
    assert_eq!(
        running.line(),
        "   2 03-01 12:00:01 W user.login       mallory  2001:db8::17    fail local bad …"
    );
    let ran = running.interrupt();
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(130), "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_closed_when_tail_is_interrupted() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let mut running = Running::start(&gateway, &["tail", "-o", "json"]);
    assert_eq!(running.line(), "[");
    subscribed(&gateway, 1).await;
    let ran = running.interrupt();
    assert_eq!(ran.code, Some(130));
    let array: serde_json::Value = serde_json::from_str(&format!("[{}", ran.out)).expect("JSON");
    assert_eq!(array[0]["sequence"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_file_resumes_where_the_lines_ended() {
    let gateway = start_with((0..5).map(|number| login(number, "alice")).collect()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cursor");
    let file = file.to_str().expect("a name");
    let arguments = ["tail", "--from", "earliest", "--no-follow", "--cursor-file", file];
    assert_eq!(run(&gateway, &arguments).field("/sequence"), ["1", "2", "3", "4", "5"]);
    assert_eq!(run(&gateway, &arguments).out, "", "nothing is repeated");
    emit(&gateway, vec![login(5, "bob"), login(6, "bob")]).await;
    assert_eq!(run(&gateway, &arguments).field("/sequence"), ["6", "7"], "nothing is missed");

    // Killed while it runs: what was written and stored is not repeated.
    let mut running = Running::start(&gateway, &["tail", "--cursor-file", file]);
    subscribed(&gateway, 1).await;
    let before = std::fs::read_to_string(file).expect("a cursor");
    emit(&gateway, vec![login(7, "carol")]).await;
    assert_eq!(field(&running.line(), "/sequence"), "8");
    while std::fs::read_to_string(file).expect("a cursor") == before {
        tokio::task::yield_now().await;
    }
    let mut child = running.close();
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    assert_eq!(run(&gateway, &arguments).out, "");

    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "no cursor\n").expect("it is written");
    let wrong = wrong.to_str().expect("a name");
    let ran = run(&gateway, &["tail", "--no-follow", "--cursor-file", wrong]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.starts_with(&format!("error: {wrong}: ")), "{}", ran.err);
    assert!(ran.err.ends_with("\ndelete the file to start anew\n"), "{}", ran.err);
    let ran = run(&gateway, &["tail", "--no-follow", "--from", &"no-cursor-".repeat(5)]);
    assert!(ran.code == Some(2) && !ran.err.contains("delete the file"), "{}", ran.err);

    let empty = folder.path().join("empty");
    let empty = empty.to_str().expect("a name");
    for text in ["", "\n", " \n\n"] {
        std::fs::write(empty, text).expect("it is written");
        let ran = run(&gateway, &["tail", "--no-follow", "--cursor-file", empty]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.starts_with(&format!("error: {empty}: ")), "{}", ran.err);
        assert!(ran.err.ends_with("\ndelete the file to start anew\n"), "{}", ran.err);
    }

    let unwritable = folder.path().join("absent/cursor");
    let unwritable = unwritable.to_str().expect("a name");
    let ran = run(&gateway, &["tail", "--no-follow", "--cursor-file", unwritable]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "before any output");
    assert!(ran.err.starts_with("error: cannot write "), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_back_is_followed_again() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let address = gateway.address();
    let mut running = Running::start(&gateway, &["tail"]);
    assert_eq!(field(&running.line(), "/event/user/name"), "alice");
    subscribed(&gateway, 1).await;
    gateway.stop().await;
    let gateway = start_at(address).await;
    emit(&gateway, vec![login(1, "bob")]).await;
    assert_eq!(running.line(), r#"{"gap":{"reason":"GAP_REASON_OTHER_LOG"}}"#);
    assert_eq!(field(&running.line(), "/event/user/name"), "bob");
    let ran = running.interrupt();
    assert_eq!(ran.code, Some(130));
    let told: Vec<&str> = ran.err.lines().collect();
    assert!(told[0].starts_with("connection lost: the gateway is stopping"), "{told:?}");
    assert_eq!(told.last(), Some(&"connected again"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_told_and_shows_in_the_exit_status() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let other = start_with(vec![login(0, "bob")]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cursor");
    let arguments = ["tail", "--no-follow", "-o", "csv", "--fields", "user.name", "--cursor-file"];
    let arguments = [&arguments[..], &[file.to_str().expect("a name")]].concat();
    assert_eq!(run(&gateway, &arguments).lines(), ["user.name", "alice"]);
    let ran = run(&other, &arguments);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "user.name\nbob\n"));
    assert_eq!(ran.err, "gap: the cursor belongs to another log; reading from the oldest record\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_it_without_a_word() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let mut running = Running::start(&gateway, &["tail"]);
    running.line();
    subscribed(&gateway, 1).await;
    let child = running.close();
    emit(&gateway, vec![login(1, "bob")]).await;
    let ran = finish(child);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_arguments_are_refused() {
    let gateway = start().await;
    for arguments in [
        ["tail", "-n", "3", "--from", "earliest"],
        ["tail", "-n", "3", "--since", "1h"],
        ["tail", "--from", "earliest", "--since", "1h"],
        ["tail", "--from", "erliest", "-o", "csv"],
    ] {
        let ran = run(&gateway, &arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_of_time_has_no_plus() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    for since in [&["--since", "-1h"][..], &["--since=-1h"], &["--since", "1h"], &["--from", "-1h"]]
    {
        let ran = run(&gateway, &[&["tail", "--no-follow"], since].concat());
        assert_eq!(ran.field("/sequence"), ["1"], "{since:?}: {ran:?}");
    }
    for since in ["--since=+1h", "--until=+1h", "--from=+1h"] {
        let ran = run(&gateway, &["tail", "--no-follow", since]);
        assert_eq!(ran.code, Some(2), "{since}: {ran:?}");
        assert!(ran.err.contains("1h is an hour ago"), "{since}: {}", ran.err);
    }
}
