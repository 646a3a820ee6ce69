use super::super::type_set::NEAREST_MAX;
use super::*;

fn compile(types: &[&str], exclude: &[&str]) -> Result<TypeFilter, Error> {
    compile_for(types, exclude, &["*"])
}

fn set(patterns: &[&str]) -> Arc<TypeSet> {
    let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
    Arc::new(TypeSet::compile("read", &patterns).expect("valid"))
}

fn compile_for(types: &[&str], exclude: &[&str], readable: &[&str]) -> Result<TypeFilter, Error> {
    let filter = pb::Filter {
        types: types.iter().map(|value| (*value).to_owned()).collect(),
        exclude_types: exclude.iter().map(|value| (*value).to_owned()).collect(),
        ..Default::default()
    };
    TypeFilter::compile(&filter, &set(readable))
}

fn id(name: &str) -> TypeId {
    catalog::by_name(name).expect("in the catalog")
}

#[test]
fn types_and_exclusions_are_resolved_to_ids() {
    let types = compile(&["session.*", "user.login"], &["session.start"]).expect("valid");
    assert_eq!(types.verdict(id("user.login")), Verdict::Yes);
    assert_eq!(types.verdict(id("session.end")), Verdict::Yes);
    assert_eq!(types.verdict(id("session.start")), Verdict::No);
    assert_eq!(types.verdict(id("custom")), Verdict::No);
    assert!(types.matches("session.end"));
    assert!(!types.matches("custom.session.end"));
    let selected = types.selection().expect("narrowed");
    assert!(selected.contains(&id("session.end")) && !selected.contains(&id("exec")));
    assert!(selected.is_sorted());
}

#[test]
fn custom_types_match_by_name() {
    let all = [&["custom"] as &[_], &["custom.*"], &["*"], &["c*"], &[]];
    for types in all {
        let types = compile(types, &[]).expect("valid");
        assert_eq!(types.verdict(id("custom")), Verdict::Yes);
        assert!(types.matches("custom.anything"));
    }
    let named = compile(&["custom.a", "custom.b*"], &["custom.bb"]).expect("valid");
    assert_eq!(named.verdict(id("custom")), Verdict::Unsure);
    assert_eq!(named.selection(), Some(vec![id("custom")]));
    for (name, expected) in
        [("custom.a", true), ("custom.b", true), ("custom.bb", false), ("custom.c", false)]
    {
        assert_eq!(named.matches(name), expected, "{name}");
    }
    let excluded = compile(&[], &["custom.a"]).expect("valid");
    assert_eq!(excluded.verdict(id("custom")), Verdict::Unsure);
    assert!(!excluded.is_all());
    assert_eq!(excluded.selection(), None);
    assert!(excluded.matches("custom.b") && !excluded.matches("custom.a"));
    assert!(!compile(&[], &["c*"]).expect("valid").matches("custom.a"));
    let ends = compile(&["*.login"], &[]).expect("valid");
    assert!(ends.matches("custom.x.login") && ends.matches("user.login"));
}

#[test]
fn only_what_may_be_read_matches() {
    let read = ["session.*", "user.login", "custom.a*"];
    for types in [&[] as &[_], &["*"], &["*.*", "user.login"]] {
        let types = compile_for(types, &[], &read).expect("valid");
        assert!(!types.is_all());
        for (name, expected) in [
            ("session.start", true),
            ("user.login", true),
            ("user.create", false),
            ("exec", false),
            ("custom.a", true),
            ("custom.b", false),
        ] {
            assert_eq!(types.matches(name), expected, "{name}");
        }
        assert_eq!(types.verdict(id("exec")), Verdict::No);
        assert_eq!(types.verdict(id("user.login")), Verdict::Yes);
        assert_eq!(types.verdict(id("custom")), Verdict::Unsure);
        assert!(!types.selection().expect("narrowed").contains(&id("exec")));
    }
    let none = compile_for(&[], &[], &["exec"]).expect("valid");
    assert_eq!(none.verdict(id("custom")), Verdict::No);
    assert!(!none.matches("custom.a"));
    let all = compile_for(&["custom"], &[], &["custom.a*"]).expect("narrowed");
    assert!(all.matches("custom.a") && !all.matches("custom.b"));
}

#[test]
fn a_name_that_may_not_be_read_is_refused_and_a_pattern_is_not() {
    for (types, field) in [
        (&["session.*", "exec"] as &[_], "types[1]"),
        (&["custom.b"], "types[0]"),
        (&["user.create"], "types[0]"),
    ] {
        let error = compile_for(types, &[], &["session.*", "custom.a"]).expect_err("named");
        assert!(matches!(&error, Error::TypeForbidden { .. }), "{error}");
        assert_eq!(error.field(), field);
    }
    assert!(compile_for(&["user.*"], &["exec"], &["session.*"]).is_ok());
    let error = compile_for(&["custom"], &[], &["session.*"]).expect_err("named");
    assert_eq!(error.field(), "types[0]");
}

#[test]
fn what_a_filter_needs_is_compared_with_what_may_be_read() {
    let types = |wanted: &[&str], read: &[&str]| compile_for(wanted, &[], read).expect("valid");
    let sessions = types(&["session.*"], &["session.*", "exec"]);
    assert!(sessions.is_within(&set(&["session.*"])), "exec was not asked for");
    assert!(!sessions.is_within(&set(&["session.start"])));
    let custom = types(&[], &["custom.a"]);
    assert!(custom.is_within(&set(&["custom.a", "custom.b"])));
    assert!(custom.is_within(&set(&["*"])));
    assert!(!custom.is_within(&set(&["custom.b"])));
    assert!(!types(&[], &["custom"]).is_within(&set(&["custom.a"])));
}

#[test]
fn unknown_types_are_refused_with_the_nearest_names() {
    match compile(&["exec", "user.logn"], &[]).expect_err("unknown") {
        Error::TypeUnknown { field, nearest, .. } => {
            assert_eq!(field, "types[1]");
            assert_eq!(nearest.first(), Some(&"user.login"));
            assert!(nearest.len() <= NEAREST_MAX);
        }
        other => panic!("{other}"),
    }
    match compile(&[], &["sesion.*"]).expect_err("unknown") {
        Error::GlobUnmatched { field, .. } => assert_eq!(field, "exclude_types[0]"),
        other => panic!("{other}"),
    }
    for bad in ["", "custom.", "custom.a b", "Custom.a", "*zzz*"] {
        let refused = compile(&[bad], &[]).expect_err(bad);
        assert_eq!(refused.field(), "types[0]", "{refused}");
    }
}

#[test]
fn categories_must_be_known() {
    let categories = |numbers: &[i32]| {
        let filter = pb::Filter { categories: numbers.to_vec(), ..Default::default() };
        TypeFilter::compile(&filter, &Arc::new(TypeSet::all()))
    };
    let types = categories(&[pb::Category::Session as i32]).expect("valid");
    assert!(types.matches("session.start") && !types.matches("user.login"));
    assert!(!types.matches("custom.a"));
    assert!(categories(&[pb::Category::Custom as i32]).expect("valid").matches("custom.a"));
    for bad in [0, -1, 1_000] {
        let error = categories(&[1, bad]).expect_err("unknown");
        assert_eq!(error.field(), "categories[1]");
    }
}
