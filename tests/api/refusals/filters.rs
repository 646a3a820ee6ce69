//! Filters that are not accepted, the same by each call that takes one.

use prost::Message as _;
use tonic_types::StatusExt as _;

use super::scene::{Row, Scene};
use crate::support::pb;
use crate::support::raw::field;

/// A filter that is refused: name, filter, reason, field within the filter, and
/// what the sentence must name.
type BadFilter = (&'static str, pb::Filter, &'static str, &'static str, &'static [&'static str]);

fn types(types: &[&str]) -> pb::Filter {
    pb::Filter {
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn expression(expression: impl Into<String>) -> pb::Filter {
    pb::Filter { expression: expression.into(), ..Default::default() }
}

async fn refuse(rows: Vec<BadFilter>) {
    let mut scene = Scene::open().await;
    for (name, filter, reason, blamed, says) in rows {
        let blamed = format!("filter.{blamed}");
        // `filter` is field 1 of each of these requests.
        let body = field(1, &filter.encode_to_vec());
        for method in ["Subscribe", "Search", "CountRecords"] {
            scene.refuses([Row::invalid(name, method, body.clone(), reason, &blamed, says)]).await;
        }
        // CheckFilter says the same, as an answer.
        let refused = scene.ask("Search", body.clone()).await.expect_err(name);
        let answer =
            scene.ask("CheckFilter", body).await.unwrap_or_else(|it| panic!("{name}: {it}"));
        let checked = pb::CheckFilterResponse::decode(answer).expect("it decodes");
        let [problem] = checked.problems.as_slice() else { panic!("{name}: {checked:?}") };
        assert_eq!(problem.field, blamed, "{name}");
        assert!(refused.message().ends_with(&problem.message), "{name}: {problem:?}");
        let info = refused.get_details_error_info().expect("an ErrorInfo");
        let told = |key: &str| info.metadata.get(key).cloned().unwrap_or_default();
        let number =
            |number: u32| if problem.line > 0 { number.to_string() } else { String::new() };
        assert_eq!(told("line"), number(problem.line), "{name}");
        assert_eq!(told("column"), number(problem.column), "{name}");
        assert_eq!(told("length"), number(problem.length), "{name}");
        assert_eq!(told("nearest"), problem.nearest.join(", "), "{name}");
        scene.unchanged(name).await;
    }
}

#[tokio::test]
async fn a_check_tells_all_problems_with_their_places() {
    let scene = Scene::open().await;
    let filter = pb::Filter {
        remote_addresses: vec!["::1".to_owned(), "::g".to_owned()],
        expression: "true &&\n  event.usr.name == ''".to_owned(),
        ..types(&["exec", "exek"])
    };
    let body = field(1, &filter.encode_to_vec());
    let answer = scene.ask("CheckFilter", body).await.expect("an answer");
    let problems = pb::CheckFilterResponse::decode(answer).expect("it decodes").problems;
    let found: Vec<_> = problems
        .iter()
        .map(|it| (it.field.as_str(), it.line, it.column, it.length, it.nearest.first()))
        .map(|(field, line, column, length, near)| {
            (field, line, column, length, near.map(String::as_str))
        })
        .collect();
    let expected = [
        ("filter.types[1]", 0, 0, 0, Some("exec")),
        ("filter.remote_addresses[1]", 0, 0, 0, None),
        ("filter.expression", 2, 9, 3, Some("user")),
    ];
    assert_eq!(found, expected, "{problems:?}");
    for good in [vec![], field(1, &types(&["exec"]).encode_to_vec())] {
        let answer = scene.ask("CheckFilter", good).await.expect("an answer");
        assert_eq!(pb::CheckFilterResponse::decode(answer).expect("it decodes").problems, []);
    }
}

#[tokio::test]
async fn an_unknown_type_is_refused_with_the_nearest_names() {
    let excluded = pb::Filter { exclude_types: types(&["*.nothing"]).types, ..Default::default() };
    refuse(vec![
        (
            "type",
            types(&["user.logn"]),
            "EVENT_TYPE_UNKNOWN",
            "types[0]",
            &["user.logn", "user.login"],
        ),
        ("second", types(&["exec", "exek"]), "EVENT_TYPE_UNKNOWN", "types[1]", &["exek", "exec"]),
        ("glob", types(&["sesion.*"]), "EVENT_TYPE_UNKNOWN", "types[0]", &["sesion.*"]),
        ("excluded", excluded, "EVENT_TYPE_UNKNOWN", "exclude_types[0]", &["*.nothing"]),
    ])
    .await;
}

#[tokio::test]
async fn values_that_are_none_are_refused() {
    let address = |text: &str| pb::Filter {
        remote_addresses: vec!["10.0.0.0/8".to_owned(), text.to_owned()],
        ..Default::default()
    };
    let severity = pb::Filter { min_severity: 99, ..Default::default() };
    let result = pb::Filter { results: vec![1, -1], ..Default::default() };
    let category = pb::Filter { categories: vec![99], ..Default::default() };
    refuse(vec![
        ("severity", severity, "FILTER_INVALID", "min_severity", &["min_severity is 99"]),
        ("result", result, "FILTER_INVALID", "results[1]", &["results[1] is -1"]),
        ("category", category, "FILTER_INVALID", "categories[0]", &["categories[0] is 99"]),
        ("address", address("10.0.0"), "FILTER_INVALID", "remote_addresses[1]", &["\"10.0.0\""]),
        (
            "block",
            address("10.0.0.0/33"),
            "FILTER_INVALID",
            "remote_addresses[1]",
            &["10.0.0.0/33"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn more_or_longer_values_than_the_limit_are_refused() {
    let many = pb::Filter { users: vec!["alice".to_owned(); 100_000], ..Default::default() };
    let long = pb::Filter { codes: vec!["x".repeat(100_000)], ..Default::default() };
    let text = pb::Filter { text: "x".repeat(100_000), ..Default::default() };
    refuse(vec![
        ("users", many, "FILTER_TOO_LARGE", "users", &["users has 100000 values", "limit"]),
        ("code", long, "FILTER_TOO_LARGE", "codes[0]", &["codes[0] is 100000 bytes", "limit"]),
        ("text", text, "FILTER_TOO_LARGE", "text", &["text is 100000 bytes", "limit"]),
    ])
    .await;
}

#[tokio::test]
async fn an_expression_that_is_none_or_names_what_is_not_there_is_refused() {
    const INVALID: &str = "EXPRESSION_INVALID";
    const UNKNOWN: &str = "EXPRESSION_PATH_UNKNOWN";
    type BadExpression = (&'static str, &'static str, &'static str, &'static [&'static str]);
    let rows: [BadExpression; 7] = [
        ("syntax", "event.user.name ==", INVALID, &["expression"]),
        ("function", "shred(event)", INVALID, &["shred"]),
        ("pattern", "type.matches(event.id)", INVALID, &["matches"]),
        ("bad pattern", "type.matches('(')", INVALID, &["expression"]),
        ("field", "event.user.nam == 'alice'", UNKNOWN, &["\"nam\"", "name"]),
        ("second line", "true &&\n  event.usr.name == ''", UNKNOWN, &["\"usr\"", "user", "2"]),
        ("variable", "evnt.id == ''", UNKNOWN, &["unknown identifier evnt", "event"]),
    ];
    let rows = rows.map(|(name, text, reason, says)| {
        (name, expression(text), reason, "expression", says) as BadFilter
    });
    refuse(rows.into()).await;
}

#[tokio::test]
async fn an_expression_that_is_too_long_deep_or_costly_is_refused() {
    const LARGE: &str = "EXPRESSION_TOO_LARGE";
    const COSTLY: &str = "EXPRESSION_TOO_COSTLY";
    let long = format!("type == '{}'", "x".repeat(100_000));
    let deep = format!("{}true{}", "(".repeat(1_000), ")".repeat(1_000));
    let nested =
        "event.user.roles.all(a, event.user.roles.all(b, event.user.roles.all(c, a == c)))";
    refuse(vec![
        ("long", expression(long), LARGE, "expression", &["expression is 100010 bytes", "limit"]),
        ("deep", expression(deep), LARGE, "expression", &["expression is nested", "levels"]),
        ("costly", expression(nested), COSTLY, "expression", &["expression", "limit"]),
    ])
    .await;
}
