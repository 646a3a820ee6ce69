//! `auditgate search`: forms, filters, pages, exit statuses.

use crate::support::cli::{Running, day, emit, field, login, run, run_at, start_with, subscribed};
use crate::support::start;

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_fitted_to_80_columns() {
    let gateway = start_with(day()).await;
    let ran = run(&gateway, &["search", "--reverse", "--utc", "-o", "pretty"]);
    assert_eq!(
        ran.lines(),
        [
            "03-01 12:00:00 I user.login        alice    203.0.113.24    ok   local",
            "03-01 12:00:01 W user.login        mallory  2001:db8::17    fail local bad pass…",
            "03-01 12:00:02 I db.session.query  alice    203.0.113.24    ok   orders shop se…",
            "03-01 12:00:03 I exec              carol as bob web-1       ok   root systemctl…",
            "03-01 12:00:04 W lock.created      carol    main            -    mallory",
            "03-01 12:00:05 I custom.deploy     ci       -               -",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_fitted_to_200_columns() {
    let gateway = start_with(day()).await;
    let arguments = ["search", "--reverse", "--utc", "-o", "pretty"];
    let ran = run_at(gateway.address(), 200, &arguments);
    assert_eq!(
        ran.lines(),
        [
            "2026-03-01 12:00:00.250 info     user.login                       alice                203.0.113.24             success local",
            "2026-03-01 12:00:01.250 warning  user.login                       mallory              2001:db8::17             failure local bad password",
            "2026-03-01 12:00:02.250 info     db.session.query                 alice                203.0.113.24             success orders shop select *\\nfrom customers where id = 7",
            "2026-03-01 12:00:03.250 info     exec                             carol as bob         web-1                    success root systemctl restart nginx exit_code=0",
            "2026-03-01 12:00:04.250 warning  lock.created                     carol                main                     -       mallory",
            "2026-03-01 12:00:05.250 info     custom.deploy                    ci                   -                        -",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_used_only_where_they_are_wanted() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let plain = run(&gateway, &["search", "--utc", "-o", "pretty"]);
    assert!(!plain.out.contains('\u{1b}'), "{:?}", plain.out);
    let colored = run(&gateway, &["search", "--utc", "-o", "pretty", "--color", "always"]);
    assert!(colored.out.starts_with("\u{1b}[2m03-01 12:00:00\u{1b}[0m "), "{:?}", colored.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_event_reaches_no_terminal_raw() {
    let hostile: String = ('\0'..='\u{1f}')
        .chain('\u{7f}'..='\u{9f}')
        .chain('\u{200b}'..='\u{200f}')
        .chain('\u{2028}'..='\u{202e}')
        .chain('\u{2066}'..='\u{2069}')
        .chain(['\u{feff}', '\u{e0041}'])
        .collect();
    let mut event = login(0, &hostile);
    event.labels = [(hostile.clone(), hostile.clone())].into();
    event.server = Some(auditgate::proto::pb::Server {
        hostname: Some(hostile.clone()),
        ..Default::default()
    });
    event.outcome = Some(auditgate::proto::pb::Outcome {
        success: Some(false),
        error: Some(hostile.clone()),
        ..Default::default()
    });
    let gateway = start_with(vec![event]).await;
    for form in ["pretty", "json", "ndjson", "teleport"] {
        for columns in [80, 200] {
            let arguments = ["search", "-o", form];
            let ran = run_at(gateway.address(), columns, &arguments);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let raw = ran.out.chars().find(|letter| *letter != '\n' && hostile.contains(*letter));
            assert_eq!(raw, None, "{form}: {:?}", ran.out);
        }
    }
    let ran = run(&gateway, &["search", "-o", "ndjson"]);
    assert_eq!(field(&ran.out, "/event/user/name"), hostile, "and yet it means the same");
    let ran = run(&gateway, &["search", "--user", &hostile[1..], "--type", "nosuch\u{9b}31m"]);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.err.contains('\u{9b}'), "{:?}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_an_array_and_ndjson_a_record_a_line() {
    let gateway = start_with(vec![login(0, "alice"), login(1, "bob")]).await;
    let ran = run(&gateway, &["search", "-o", "json"]);
    let array: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let names: Vec<_> = array.as_array().expect("an array").iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0]["event"]["user"]["name"], "bob", "newest first");
    let ran = run(&gateway, &["search", "-o", "json", "--user", "nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "[]\n"));
    let ran = run(&gateway, &["search", "--reverse"]);
    assert_eq!(ran.field("/event/user/name"), ["alice", "bob"], "ndjson where no terminal is");
    assert!(ran.out.starts_with("{\"sequence\":\"1\",\"accept_time\":"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_the_columns_that_are_named() {
    let gateway = start_with(day()).await;
    let fields =
        "sequence,time,type,result,user.name,event.labels.env,user_login.method,outcome.error";
    let ran = run(&gateway, &["search", "--reverse", "--fields", fields]);
    assert_eq!(
        ran.lines(),
        [
            fields,
            "1,2026-03-01T12:00:00.250Z,user.login,success,alice,,local,",
            "2,2026-03-01T12:00:01.250Z,user.login,failure,mallory,,local,bad password",
            "3,2026-03-01T12:00:02.250Z,db.session.query,success,alice,,,",
            "4,2026-03-01T12:00:03.250Z,exec,success,bob,,,",
            "5,2026-03-01T12:00:04.250Z,lock.created,,carol,,,",
            "6,2026-03-01T12:00:05.250Z,custom.deploy,,,prod,,",
        ]
    );
    let ran = run(&gateway, &["search", "-o", "csv", "--limit", "1"]);
    assert!(ran.lines()[0].starts_with("sequence,event.time,type,severity,result,"));
    let ran = run(&gateway, &["search", "--fields", "user.nmae"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.err,
        "error: --fields user.nmae: there is no field \"nmae\" in User, but there is \"name\"\n"
    );
    let ran = run(&gateway, &["search", "-o", "json", "--fields", "type"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn teleport_s_form_is_that_of_export() {
    let gateway = start_with(day()).await;
    let ran = run(&gateway, &["search", "--reverse", "-o", "teleport"]);
    let export = run(&gateway, &["export", "--format", "teleport"]);
    assert_eq!(ran.out, export.out);
    assert_eq!(ran.field("/event")[0], "user.login");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_narrows_the_results() {
    let gateway = start_with(day()).await;
    let found = |flags: &[&str]| {
        let ran = run(&gateway, &[&["search", "--reverse"], flags].concat());
        assert_eq!(ran.err, "", "{flags:?}");
        ran.field("/sequence").join(" ")
    };
    assert_eq!(found(&["--type", "user.login"]), "1 2");
    assert_eq!(found(&["--type", "*session*,exec", "--not-type", "exec"]), "3");
    assert_eq!(found(&["--category", "custom"]), "6");
    assert_eq!(found(&["--failed"]), "2");
    assert_eq!(found(&["--severity", "warning"]), "2 5");
    assert_eq!(found(&["--result", "success"]), "1 3 4");
    assert_eq!(found(&["--code", "T1000W"]), "2");
    assert_eq!(found(&["--user", "carol"]), "4 5");
    assert_eq!(found(&["--cluster", "main"]), "5");
    assert_eq!(found(&["--source", "ci"]), "6");
    assert_eq!(found(&["--address", "203.0.113.0/24"]), "1 3");
    assert_eq!(found(&["--label", "env=prod"]), "6");
    assert_eq!(found(&["--text", "CUSTOMERS"]), "3");
    assert_eq!(found(&["--filter", "event.user.login == 'root'"]), "4");
    assert_eq!(found(&["--since", "2026-03-01T12:00:04Z"]), "5 6");
    assert_eq!(found(&["--until", "2026-03-01 12:00:01", "--utc"]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_goes_across_pages() {
    let gateway = start_with((0..2_500).map(|number| login(number, "alice")).collect()).await;
    let ran = run(&gateway, &["search", "--limit", "2200"]);
    let expected: Vec<String> = (301..=2_500).rev().map(|number: u64| number.to_string()).collect();
    assert_eq!(ran.field("/sequence"), expected);
    assert_eq!(run(&gateway, &["search", "--limit", "3"]).lines().len(), 3);
    assert_eq!(run(&gateway, &["search"]).lines().len(), 2_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_where_the_search_began() {
    let gateway = start_with(vec![login(0, "alice")]).await;
    let mut running = Running::start(&gateway, &["search", "--follow"]);
    assert_eq!(field(&running.line(), "/sequence"), "1");
    subscribed(&gateway, 1).await;
    emit(&gateway, vec![login(1, "bob")]).await;
    assert_eq!(field(&running.line(), "/sequence"), "2");
    let ran = running.interrupt();
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(130), "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_tells() {
    let gateway = start().await;
    let nothing = run(&gateway, &["search"]);
    assert_eq!((nothing.code, nothing.out.as_str(), nothing.err.as_str()), (Some(1), "", ""));
    let refused = run(&gateway, &["search", "--filter", "event.usr.name == 'x'"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
    assert!(refused.err.starts_with("error: --filter "), "{}", refused.err);
    let refused = run(&gateway, &["search", "--type", "user.logni", "--user", "alice"]);
    let sentence = "error: --type \"user.logni\" is not an event type; nearest: user.login";
    assert!(refused.err.starts_with(sentence), "{}", refused.err);
    let refused = run(&gateway, &["count", "--since=2026-01-02", "--until=2026-01-01"]);
    assert!(refused.err.contains("--since") && refused.err.contains("--until"), "{}", refused.err);
    assert!(!refused.err.contains("start_time"), "{}", refused.err);
    let wrong = run(&gateway, &["search", "--since", "soon"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("\"soon\" is not a time"), "{}", wrong.err);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("a bound socket has an address");
    drop(listener);
    let away = run_at(nobody, 80, &["search"]);
    assert_eq!((away.code, away.out.as_str()), (Some(2), ""));
    let expected =
        format!("error: cannot connect to http://{nobody}: Connection refused (os error 111)\n");
    assert_eq!(away.err, expected);
}
