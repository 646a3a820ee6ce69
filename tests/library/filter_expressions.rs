//! Expressions that are refused, and why: the sentence names the place.

use std::time::{Duration, Instant};

use auditgate::filter::{
    EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX, EXPRESSION_PATTERNS_MAX, Error, Filter,
};
use auditgate::proto::pb;

fn compile(expression: &str) -> Result<Filter, Error> {
    Filter::compile(&pb::Filter { expression: expression.to_owned(), ..Default::default() })
}

/// Error kinds, in the words of the reasons that callers see.
fn reason(source: &str) -> (&'static str, String) {
    let error = compile(source).expect_err(source);
    assert_eq!(error.field(), "expression");
    let reason = match &error {
        Error::ExpressionInvalid { .. } | Error::ExpressionNeverEqual { .. } => "invalid",
        Error::ExpressionPathUnknown { .. } | Error::ExpressionNameUnknown { .. } => "path",
        Error::ExpressionTooLong { .. }
        | Error::ExpressionTooDeep { .. }
        | Error::ExpressionNesting { .. } => "large",
        Error::ExpressionTooManyPatterns { .. } | Error::ExpressionTooCostly { .. } => "costly",
        other => panic!("{other}"),
    };
    (reason, error.to_string())
}

#[test]
fn refusals() {
    for (source, expected, part) in [
        (
            "event.usr.name == 'x'",
            "path",
            "\"usr\" at line 1, column 7, which Event does not have; nearest: user",
        ),
        ("true &&\n event.user.nme == 'x'", "path", "line 2, column 13"),
        ("'é' == event.usr", "path", "line 1, column 14"),
        (
            "evnt.id == 'x'",
            "path",
            "column 1: unknown identifier evnt; did you mean event, or the text 'evnt'?",
        ),
        (
            "event.user.name == alice",
            "path",
            "column 20: unknown identifier alice; did you mean event.user, or the text 'alice'?",
        ),
        ("user == 'alice'", "path", "did you mean event.user, or the text 'user'?"),
        ("sesion.id == 'x'", "path", "did you mean event.session, or"),
        ("event.user.roles.exists(role, rle == 'x')", "path", "did you mean role, or"),
        ("event.user.name.x == 'x'", "path", "string does not have"),
        ("has(event.usr)", "path", "usr"),
        ("event.userName == 'x'", "path", "userName"),
        ("event.user.roles.exists(r, s == 'x')", "path", "unknown identifier s;"),
        (
            "event.user.name ==",
            "invalid",
            "line 1, column 19: unexpected end: a value is expected here",
        ),
        ("event.user.name = 'x'", "invalid", "line 1, column 17"),
        ("'abc", "invalid", "line 1, column 1: unterminated string: the closing ' is missing"),
        ("event.user.name == 5", "invalid", "column 1: cannot compare string and int"),
        ("event.user == null", "invalid", "cannot compare"),
        ("event.labels == event.labels", "invalid", "cannot compare"),
        ("event.user.name < 5", "invalid", "cannot order"),
        ("event.user.name + 5 == 'x'", "invalid", "cannot compute with"),
        ("sequence + event.index == 2", "invalid", "cannot compute with"),
        ("event.user.name", "invalid", "its type is string, not bool"),
        ("1", "invalid", "its type is int, not bool"),
        ("event", "invalid", "auditgate.v1.Event, not bool"),
        ("!event.user.name", "invalid", "bool is expected here"),
        ("event.user.name && true", "invalid", "bool is expected here, not string"),
        (
            "event.user.name.startswith('x')",
            "invalid",
            "no function startswith; nearest: startsWith",
        ),
        ("frob(1) == 1", "invalid", "no function frob"),
        ("size() == 1", "invalid", "size"),
        ("event.index.size() == 1", "invalid", "size does not take (int)"),
        ("event.user.name.startsWith(1)", "invalid", "startsWith does not take (string, int)"),
        ("startsWith('a', 'b')", "invalid", "startsWith"),
        ("event.user.roles.exists(r)", "invalid", "exists"),
        ("event.user.roles.exists(1, true)", "invalid", "simple name"),
        ("event.user.roles.all(r, r)", "invalid", "bool is expected here"),
        ("event.user.name.exists(r, true)", "invalid", "nothing to visit in string"),
        ("has(event)", "invalid", "has"),
        ("event.user.name.matches(event.code)", "invalid", "must be a literal"),
        ("event.user.name.matches('(')", "invalid", "pattern is not valid"),
        ("event.user.name.matches('\\\\w{100}{100}')", "invalid", "compiles to more than"),
        ("event.index.matches('x')", "invalid", "matches does not take"),
        ("event.user.name in event.code", "invalid", "cannot be in"),
        ("5 in event.user.roles", "invalid", "cannot be in"),
        ("event.user.roles['x'] == 'x'", "invalid", "no element at"),
        ("true ? 1 : 'x'", "invalid", "one branch"),
        ("-event.user.name == 'x'", "invalid", "cannot be negated"),
        (
            "timestamp('yesterday') == event.time",
            "invalid",
            "timestamp of this literal has no value",
        ),
        ("event.time > '2026-01-01T00:00:00Z'", "invalid", "cannot order timestamp and string"),
        ("{'a': 1}.a == 1", "invalid", "map literals are not supported"),
        ("Event{id: 'x'}.id == 'x'", "invalid", "message literals are not supported"),
        ("99999999999999999999 == 1", "invalid", "too large for an int"),
        ("event.?user == 1", "invalid", "not supported"),
        ("[1].all(a, [1].all(b, [1].all(c, true)))", "large", "nests"),
        (
            "type == 'user.logn'",
            "invalid",
            "column 9: type is never \"user.logn\"; nearest: user.login",
        ),
        ("'sesion.start' != type", "invalid", "column 1: type is never"),
        ("type in ['exec', 'exce']", "invalid", "column 18: type is never \"exce\"; nearest: exec"),
        ("type == 'custom'", "invalid", "type is never \"custom\""),
        ("type == 'custom.a b'", "invalid", "type is never \"custom.a b\""),
        ("'WARNING' == severity", "invalid", "severity is never \"WARNING\"; nearest: warning"),
        ("severity == 'warn'", "invalid", "nearest: warning"),
        ("severity >= 'high'", "invalid", "nearest: info, warning, error, critical"),
        ("'low' < severity", "invalid", "column 1: severity is never \"low\""),
        ("severity in ['error', 'crit']", "invalid", "severity is never \"crit\""),
        ("'x' in [severity]", "invalid", "column 1: severity is never"),
        ("result == 'failed'", "invalid", "result is never \"failed\"; nearest: failure"),
        ("result != 'ok'", "invalid", "nearest: success, failure, pending"),
        (
            "event.user.roles.all(a, event.user.roles.all(b, a.contains(b + b + b + b + b)))",
            "costly",
            "limit 100000",
        ),
    ] {
        let (found, message) = reason(source);
        assert_eq!(found, expected, "{source}: {message}");
        assert!(message.contains(part), "{source}: {message}");
        assert!(message.len() < 300, "{source}: {message}");
    }
}

#[test]
fn bounds() {
    assert!(compile(" \n").expect("blank").matches_all());
    let padded = |bytes: usize| format!("true{}", " ".repeat(bytes - "true".len()));
    assert!(compile(&padded(EXPRESSION_BYTES_MAX)).is_ok());
    assert_eq!(
        reason(&padded(EXPRESSION_BYTES_MAX + 1)),
        ("large", "expression is 4097 bytes, limit 4096".into())
    );

    let sum = |terms: usize| format!("{} == 1", vec!["1"; terms].join(" + "));
    assert!(compile(&sum(EXPRESSION_DEPTH_MAX - 1)).is_ok());
    assert_eq!(reason(&sum(EXPRESSION_DEPTH_MAX)).0, "large");
    let brackets = |count: usize| format!("{}true{}", "(".repeat(count), ")".repeat(count));
    assert!(compile(&brackets(EXPRESSION_DEPTH_MAX / 2)).is_ok());
    assert_eq!(reason(&brackets(EXPRESSION_DEPTH_MAX / 2 + 1)).0, "large");
    // Alternatives do not nest, however many there are.
    assert!(compile(&vec!["sequence == 1"; 200].join(" || ")).is_ok());

    let patterns = |count: usize| vec!["type.matches('x')"; count].join(" || ");
    assert!(compile(&patterns(EXPRESSION_PATTERNS_MAX)).is_ok());
    assert_eq!(reason(&patterns(EXPRESSION_PATTERNS_MAX + 1)).0, "costly");
}

#[test]
fn faults_have_a_place_and_names_that_may_be_meant() {
    for (source, place, nearest) in [
        ("true &&\n event.user.nme == 'x'", Some((2, 13, 3)), "name"),
        ("event.user.name == alice", Some((1, 20, 5)), "event.user"),
        ("event.code.startswith('x')", Some((1, 12, 10)), "startsWith"),
        ("type == 'user.logn'", Some((1, 9, 11)), "user.login"),
        ("'é' == 'abc", Some((1, 8, 4)), ""),
        ("event.code ==", Some((1, 14, 0)), ""),
        ("event.index == 'x'", Some((1, 1, 18)), ""),
        ("event.user.roles.all(a, event.user.roles.all(b, a + b + b + b + b + b == b))", None, ""),
    ] {
        let error = compile(source).expect_err(source);
        let found = error.position().map(|at| (at.line, at.column, at.length));
        assert_eq!(found, place, "{source}: {error}");
        assert_eq!(
            error.nearest().first().map_or("", String::as_str),
            nearest,
            "{source}: {error}"
        );
    }
}

/// No text within the limit takes long to refuse or to compile, or more stack
/// than there is, whatever thread the caller runs on.
#[test]
fn hostile_text_is_handled_in_bounded_time_and_stack() {
    /// Generous: builds without optimization, on a busy machine.
    const TIME_MAX: Duration = Duration::from_secs(10);
    /// A quarter of what threads of the gateway have, in builds without optimization.
    const CALLER_STACK_BYTES: usize = 512 * 1024;
    let units = [
        "(", "[", "{", "!", "-", "a?", "a?b:", "a.", "a[", "f(", "a.f(", "1+", "a&&", "a==", "{1:",
        "[1,", "a in ", "!(", "-(", "[a?(", "a{b:", "'", "\"", "\\", "`", "has(", "a.all(b,", "\n",
        "é", "\0", "-1-", "//", "'''", "r'", "1.", "0x", "a ? (", "(a).b[", "[[", "([{",
    ];
    let handle = |source: String| {
        let started = Instant::now();
        let _ = compile(&source);
        let taken = started.elapsed();
        assert!(taken < TIME_MAX, "{taken:?} for {:.40}", source);
    };
    let all = move || {
        for unit in units {
            let open = unit.repeat(EXPRESSION_BYTES_MAX / unit.len());
            handle(open.clone());
            let half: String = unit.repeat(EXPRESSION_BYTES_MAX / unit.len() / 2);
            let close = |character| match character {
                '(' => Some(')'),
                '[' => Some(']'),
                '{' => Some('}'),
                _ => None,
            };
            let closing: String = half.chars().rev().filter_map(close).collect();
            let mut closed = format!("{half}1{closing}");
            closed.truncate(EXPRESSION_BYTES_MAX);
            handle(closed);
        }
    };
    std::thread::Builder::new()
        .stack_size(CALLER_STACK_BYTES)
        .spawn(all)
        .expect("a thread")
        .join()
        .expect("no panic");
}
