mod differential;
mod shown;

use super::*;
use shown::shown;

fn fault(source: &str) -> (std::ops::Range<usize>, String) {
    let fault = parse(source).expect_err(source);
    match fault.kind {
        FaultKind::Syntax(problem) => (fault.span, problem),
        FaultKind::TooDeep => (fault.span, "too deep".to_owned()),
    }
}

#[test]
fn operators_bind_as_the_language_says() {
    for (source, expected) in [
        ("a || b && c == d + e * f", "_||_(a,_&&_(b,_==_(c,_+_(d,_*_(e,f)))))"),
        ("a - b - c", "_-_(_-_(a,b),c)"),
        ("a < b == c in d", "@in(_==_(_<_(a,b),c),d)"),
        ("a ? b : c ? d : e", "_?_:_(a,b,_?_:_(c,d,e))"),
        ("-a.b * !c.d()", "_*_(-_(a.b),!_(c.d()))"),
        ("!!a && --b == -1", "_&&_(a,_==_(b,-1))"),
        ("4--4", "_-_(4,-4)"),
        ("--19", "19"),
        ("---19", "-_(19)"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("(a || b) && c", "_&&_(_||_(a,b),c)"),
        ("a[1][b].c", "_[_](_[_](a,1),b).c"),
        ("[1, 'x',][0]", "_[_]([1,\"x\"],0)"),
        ("a.`b-c`.d", "a.b-c.d"),
        ("x.all(e, e > 1)", "x.all(e,_>_(e,1))"),
        (".a.b(c)", ".a.b(c)"),
    ] {
        let tree = parse(source).unwrap_or_else(|fault| panic!("{source}: {fault:?}"));
        assert_eq!(shown(&tree), expected, "{source}");
    }
}

#[test]
fn nodes_know_where_they_stand() {
    let source = "true && (event.user.name == 'é')";
    let tree = parse(source).expect("valid");
    let Kind::Binary(Binary::And, parts) = &tree.kind else { panic!("{tree:?}") };
    assert_eq!(source.get(parts.1.span.clone()), Some("(event.user.name == 'é')"));
    let Kind::Binary(Binary::Equal, parts) = &parts.1.kind else { panic!("{tree:?}") };
    let Kind::Select(_, name) = &parts.0.kind else { panic!("{tree:?}") };
    assert_eq!(source.get(name.span.clone()), Some("name"));
}

#[test]
fn faults_say_what_is_wrong_and_where() {
    for (source, span, problem) in [
        ("a ==", 4..4, "unexpected end: a value is expected here"),
        ("", 0..0, "a value is expected here"),
        ("a == == b", 5..7, "unexpected ==: a value is expected here"),
        ("a = b", 2..3, "use == to compare"),
        ("a === b", 4..5, "use == for ==="),
        ("a <> b", 3..4, "use != for <>"),
        ("a and b", 2..5, "use && for and"),
        ("a OR b", 2..4, "use || for or"),
        ("not a", 4..5, "use ! for not"),
        ("a is b", 2..4, "use == for is"),
        ("a like 'b%'", 2..6, "use contains(), startsWith() or matches() for like"),
        ("a b", 2..3, "an operator is expected before b"),
        ("a 'b'", 2..5, "an operator is expected before a string"),
        ("f(a, b", 1..2, "( is not closed: ) is missing"),
        ("(a && (b || c)", 0..1, "( is not closed: ) is missing"),
        ("a)", 1..2, ") closes nothing"),
        ("[a, b", 0..1, "[ is not closed: ] is missing"),
        ("a[b c]", 4..5, "an operator is expected before c"),
        ("a ? b", 2..3, "? is not closed: : is missing"),
        ("{a}", 2..3, "unexpected }: a : must follow the key of a map"),
        ("a.", 2..2, "unexpected end: the name of a field must follow the dot"),
        ("a.1b", 1..4, "this is not a number"),
        ("a.in", 2..4, "in is a keyword: write it as `in`"),
        (".true", 1..5, "unexpected true: a name must follow the dot"),
        ("M{in: 1}", 2..4, "unexpected in: a field name is expected here"),
        ("for == 1", 0..3, "for is a reserved word"),
        ("in [1]", 0..2, "a value is expected before in"),
        ("a.?b", 2..3, "optional values are not supported: use has()"),
        ("'abc", 0..4, "unterminated string: the closing ' is missing"),
        ("9223372036854775808", 0..19, "too large for an int"),
    ] {
        let (found, said) = fault(source);
        assert!(said.contains(problem), "{source}: {said}");
        assert_eq!(found, span, "{source}: {said}");
    }
}

#[test]
fn depth_is_bounded() {
    for (unit, most) in
        [("(", RECURSION_MAX), ("[", RECURSION_MAX), ("f(", RECURSION_MAX), ("-(", RECURSION_MAX)]
    {
        let close = |count: usize| match unit {
            "[" => "]".repeat(count),
            _ => ")".repeat(count),
        };
        let nested = |count: usize| format!("{}x{}", unit.repeat(count), close(count));
        assert!(parse(&nested(most)).is_ok(), "{unit}");
        assert_eq!(fault(&nested(most + 1)).1, "too deep", "{unit}");
    }
    for unit in ["+1", ".a", "[0]", ".f()", " in x", "<2"] {
        assert!(parse(&format!("x{}", unit.repeat(DEPTH_MAX - 2))).is_ok(), "{unit}");
        assert_eq!(fault(&format!("x{}", unit.repeat(DEPTH_MAX + 1))).1, "too deep", "{unit}");
    }
    let chain = vec!["x"; 1_000].join(" && ");
    assert_eq!(parse(&chain).expect("it does not nest").depth, 11);
}

/// The cases of the specification: see the head of the file.
#[test]
fn expressions_of_the_specification_parse_as_it_says() {
    let cases = include_str!("conformance.tsv").lines().filter(|line| !line.starts_with('#'));
    let (mut trees, mut refused, mut deep) = (0, 0, 0);
    for case in cases {
        let (source, expected) = case.split_once('\t').expect("two columns");
        let source: String = serde_json::from_str(source).expect("JSON");
        let parsed = parse(&source);
        if parsed.as_ref().is_err_and(|fault| fault.kind == FaultKind::TooDeep) {
            deep += 1;
            continue;
        }
        match expected {
            "!" => {
                let fault = parsed.map(|tree| shown(&tree)).expect_err(&source);
                assert!(fault.span.end <= source.len(), "{source}: {fault:?}");
                refused += 1;
            }
            "?" => {}
            _ if source.contains(".?")
                || source.contains("[?")
                || source.contains("{?")
                || source.contains(", ?") =>
            {
                let fault = parsed.map(|tree| shown(&tree)).expect_err(&source);
                let what = FaultKind::Syntax("optional values are not supported: use has()".into());
                assert_eq!(fault.kind, what, "{source}");
            }
            "*" => assert!(parsed.is_ok(), "{source}: {parsed:?}"),
            tree => {
                let own = parsed.unwrap_or_else(|fault| panic!("{source}: {fault:?}"));
                let own: String = shown(&own).split_whitespace().collect();
                assert_eq!(own, tree, "{source}");
                trees += 1;
            }
        }
    }
    assert!(trees > 2_000 && refused > 60 && deep < 20, "{trees} {refused} {deep}");
}
