use std::sync::Arc;

use tonic::transport::Endpoint;

use super::*;
use crate::client::{Client, Credentials};

fn servers(count: usize) -> Servers {
    let list = (0..count).map(|number| {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let transport = Client::with_bearer(channel, &Credentials::new()).transport();
        Server::new(format!("http://{number}"), transport)
    });
    Servers::new(list.collect(), 0)
}

fn lost(message: &str) -> Refusal {
    Refusal::unanswered(Code::Unavailable, message.to_owned(), true)
}

#[test]
fn a_list_is_separated_by_commas() {
    let urls = |list| parse(list).map_err(|error| error.to_string());
    assert_eq!(urls("a:1"), Ok(vec!["a:1".to_owned()]));
    assert_eq!(urls("http://a:1, b:2"), Ok(vec!["http://a:1".to_owned(), "b:2".to_owned()]));
    for (list, told) in
        [("a,,b", "empty"), (",a", "empty"), ("a,b,a", "a is given twice"), ("a,b,", "empty")]
    {
        assert!(urls(list).is_err_and(|error| error.contains(told)), "{list}");
    }
    let many: Vec<_> = (0..=SERVERS_MAX).map(|number| number.to_string()).collect();
    assert!(urls(&many.join(",")).is_err_and(|error| error.contains("limit 16")));
}

#[tokio::test]
async fn the_next_one_is_used_where_one_fails() {
    let servers = servers(3);
    assert!(servers.failed(0, &lost("reset")));
    assert_eq!(servers.current(), 1);
    // A call that had begun at the first one fails late: nothing is skipped.
    assert!(servers.failed(0, &lost("reset")));
    assert_eq!(servers.current(), 1);
    assert!(servers.failed(1, &lost("refused")) && servers.failed(0, &lost("reset")));
    assert_eq!(servers.current(), 2, "nor is one tried again for it");
    assert!(servers.failed(2, &lost("late")));
    assert_eq!(servers.current(), 0);
    let all = servers.summary(lost("late"));
    assert_eq!(all.message, "http://0: reset; http://1: refused; http://2: late");
}

#[tokio::test]
async fn limits_and_refusals_are_no_reason_to_leave() {
    let servers = servers(2);
    let limit = Refusal {
        transient: true,
        ..Refusal::unanswered(Code::ResourceExhausted, "slow".into(), true)
    };
    assert!(!servers.failed(0, &limit));
    assert!(!servers.failed(0, &Refusal::unanswered(Code::InvalidArgument, "no".into(), false)));
    assert_eq!(servers.current(), 0);
    let full = Refusal { reason: Some(STORAGE_FULL.to_owned()), ..limit };
    assert!(servers.failed(0, &full));
    assert_eq!(servers.current(), 1);
}

#[tokio::test]
async fn one_with_another_log_is_not_used_again() {
    let servers = servers(3);
    assert!(servers.failed(0, &lost("reset")));
    assert!(servers.failed(1, &Refusal::other_log("http://1", "http://0")));
    assert_eq!(servers.current(), 2);
    assert!(servers.failed(2, &lost("reset")) && servers.failed(0, &lost("reset")));
    assert_eq!(servers.current(), 2);
    assert!(servers.failed(2, &Refusal::other_log("http://2", "http://0")));
    assert_eq!(servers.current(), 0);
    assert!(!servers.failed(0, &lost("reset")), "there is no other");
    assert!(servers.summary(lost("reset")).message.contains("http://1 has another log"));
}

#[tokio::test]
async fn one_server_waits_as_ever_and_several_try_each_other_first() {
    let mut one = Attempts::new();
    let asked = Some(Duration::from_secs(2));
    assert_eq!(one.wait(false, 1, asked), Duration::from_secs(2));
    let mut several = Attempts::new();
    let mut longest = Duration::ZERO;
    for _ in 0..4 {
        assert!(several.wait(true, 3, asked) <= WAIT_MIN / 2);
        assert!(several.wait(true, 3, asked) <= WAIT_MIN / 2);
        let round = several.wait(true, 3, asked);
        assert!(round > longest / 2 && round < Duration::from_secs(2), "{round:?}");
        longest = round;
    }
    assert!(longest >= 4 * WAIT_MIN, "{longest:?}");
}

#[tokio::test]
async fn each_loss_is_told_once_until_one_answers() {
    let servers = servers(2);
    servers.left(1, lost("early"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    servers.tell(move |notice| heard.lock().push(notice.to_string()));
    for _ in 0..5 {
        servers.failed(0, &lost("reset"));
        servers.failed(1, &lost("refused"));
    }
    servers.answered(0);
    servers.answered(0);
    servers.failed(0, &lost("reset"));
    let expected = [
        "lost http://1: early; continuing at http://0",
        "lost http://0: reset; continuing at http://1",
        "lost http://1: refused; continuing at http://0",
        "connected to http://0",
        "lost http://0: reset; continuing at http://1",
    ];
    assert_eq!(*told.lock(), expected);
}
