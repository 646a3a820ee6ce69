//! Rules of CONTRIBUTING.md, checked by reading the source files. Each rule is first
//! given an example that breaks it, to which it must object.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod circles;
mod layers;
mod rules;
mod source;
mod words;

use rules::Strays;
use source::Source;

type Rule = fn(&Source) -> Vec<String>;

/// Fails with all objections to the sources.
fn hold(rule: Rule) {
    let objections: Vec<String> = source::sources().iter().flat_map(rule).collect();
    assert!(objections.is_empty(), "\n{}\n", objections.join("\n"));
}

/// Asserts that the rule objects to each line of a file at `path` that ends in
/// `// no`, and to no other.
fn objects_to(rule: Rule, path: &str, text: &str) {
    let objections = rule(&Source::parse(path, text));
    let lines: Vec<String> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.ends_with("// no"))
        .map(|(number, _)| format!("{path}:{}:", number + 1))
        .collect();
    assert_eq!(objections.len(), lines.len(), "{objections:#?}");
    for place in lines {
        assert!(objections.iter().any(|text| text.starts_with(&place)), "{place} {objections:#?}");
    }
}

#[test]
fn imports_point_down() {
    objects_to(
        rules::layers,
        "src/log/ring.rs",
        r#"
use crate::event::Event;
use crate::log::segment;
use crate::hub; // no
use crate::{
    record::{Record, hub},
    service, // no
    time::Time,
};
use super::segment::hub;
use super::super::server; // no
// use crate::cli;
fn down() { let text = "crate::cli"; assert!(crate::cli::run()) } // no
"#,
    );
    objects_to(rules::layers, "src/log.rs", "use super::hub; // no\nuse super::record;");
    objects_to(rules::layers, "src/main.rs", "use auditgate::cli;");
    objects_to(rules::layers, "src/teleport.rs", "use auditgate::cli; // no");
    objects_to(rules::layers, "src/elsewhere.rs", "// no");
    hold(rules::layers);
}

#[test]
fn no_two_files_import_each_other() {
    let circle = [
        Source::parse("src/a.rs", "mod x;\nmod y;\nuse crate::b::{c::D as E, self};\nuse x::X;"),
        Source::parse("src/a/x.rs", "use super::{A, y::Y};"),
        Source::parse("src/a/y.rs", "fn f() -> super::x::X { }"),
        Source::parse("src/b.rs", "#[cfg(test)]\nmod tests { use crate::a::A; }"),
        Source::parse("src/b/c.rs", "use crate::{d, a::A};"),
    ];
    let objections = circles::circles(&circle);
    assert_eq!(objections.len(), 2, "{objections:#?}");
    assert!(objections[0].starts_with("src/a.rs:1: it and src/b/c.rs "), "{objections:#?}");
    assert!(objections[1].starts_with("src/a/x.rs:1: it and src/a/y.rs "), "{objections:#?}");
    let objections = circles::circles(&source::sources());
    assert!(objections.is_empty(), "\n{}\n", objections.join("\n"));
}

#[test]
fn the_documentation_has_the_layers() {
    let page = std::fs::read_to_string(source::root().join("CONTRIBUTING.md")).unwrap();
    let table = layers::table();
    assert!(page.contains(&table), "CONTRIBUTING.md lacks this table:\n{table}");
}

#[test]
fn only_the_layers_that_speak_grpc_know_tonic() {
    objects_to(rules::grpc, "src/log/ring.rs", "// tonic\nuse tonic::Code; // no");
    objects_to(rules::grpc, "src/service/emit.rs", "use tonic::Code;");
    objects_to(rules::grpc, "src/log/ring.rs", "use ::tonic::Code; // no");
    objects_to(rules::grpc, "src/mapping/otlp.rs", "use opentelemetry_proto::tonic::logs;");
    hold(rules::grpc);
}

#[test]
fn one_file_makes_statuses() {
    let text = "fn f(s: Status) { s.map(Status::from) }\nfn g() { Status::internal(\"\") } // no";
    objects_to(rules::statuses, "src/service/emit.rs", text);
    for path in ["src/service/status.rs", "src/cli/retry.rs"] {
        assert!(rules::statuses(&Source::parse(path, text)).is_empty(), "{path}");
    }
    hold(rules::statuses);
}

#[test]
fn nothing_panics_without_a_reason_or_is_unfinished() {
    let text = r#"
// x.unwrap()
/* x.unwrap() */
fn f() { x.unwrap_or_default(); "\"x.unwrap()"; '"'; }
fn g() { x.unwrap() } // no
fn h() { todo!() } // no
fn i() { vec![dbg!(1)]; } // no
fn j() { x.expect("") } // no
fn k() { x.expect("oops") } // no
fn l() { x.expect("a checked event has a type") }
fn m() { unimplemented!() } // no
#[cfg(test)]
mod tests {
    fn n() { x.unwrap(); x.expect("valid") }
    #[ignore] // no
    #[test]
    fn o() {}
}
fn p() { x.unwrap() } // no
"#;
    objects_to(rules::forbidden, "src/event.rs", text);
    hold(rules::forbidden);
}

#[test]
fn modules_for_tests_are_told_apart() {
    let mut sources = [
        Source::parse("src/event.rs", "#[cfg(test)]\nmod tests;\nmod testsuite;"),
        Source::parse("src/event/tests.rs", "fn f() { x.unwrap() }"),
        Source::parse("src/event/tests/more.rs", "fn f() { x.unwrap() }"),
        Source::parse("src/event/testsuite.rs", "fn f() { x.unwrap() }"),
    ];
    source::mark_test_files(&mut sources);
    let objections = sources.iter().map(|source| rules::forbidden(source).len());
    assert_eq!(objections.collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn unsafe_code_has_its_place() {
    let text = "#![deny(unsafe_code)]\nfn f() { unsafe { g() } } // no";
    objects_to(rules::unsafety, "src/log/segment.rs", text);
    assert!(rules::unsafety(&Source::parse("src/log/append_buffer.rs", text)).is_empty());
    hold(rules::unsafety);
}

#[test]
fn files_are_short_and_lie_beside_their_folders() {
    let long = Source::parse("src/long.rs", &"//\n".repeat(rules::LINES_MAX + 1));
    assert_eq!(rules::file_shape(&long).len(), 1);
    let longest = Source::parse("src/long.rs", &"//\n".repeat(rules::LINES_MAX));
    assert!(rules::file_shape(&longest).is_empty());
    objects_to(rules::file_shape, "src/log/mod.rs", "// no");
    for source in source::sources() {
        if source.lines > rules::LINES_QUESTIONED {
            println!("{}: {} lines: is it one thing?", source.path, source.lines);
        }
    }
    hold(rules::file_shape);
}

#[test]
fn one_word_has_one_meaning() {
    let sources = [
        Source::parse(
            "src/a.rs",
            "struct Key;\nenum Error {}\n#[cfg(test)]\nmod tests { struct Held; }",
        ),
        Source::parse("src/b.rs", "trait Held {}\nstruct Error;\nimpl Key { type Item = u8; }"),
        Source::parse("src/c.rs", "pub(crate) enum Key {}"),
    ];
    let objections = words::names(&sources);
    assert_eq!(objections.len(), 1, "{objections:#?}");
    assert!(objections[0].starts_with("src/c.rs:1: Key is also the name of a type in src/a.rs:1"));

    let page =
        "| key | what | `a::Key`, `b.rs` |\n| item | what | `b::Item`, `d.rs`, `c::Held` |\n`e`";
    let objections = words::glossary(page, &sources);
    assert_eq!(objections.len(), 3, "{objections:#?}");
    assert!(objections.iter().all(|text| text.starts_with("docs/glossary.md:2: ")));

    let sources = source::sources();
    let page = std::fs::read_to_string(source::root().join("docs/glossary.md")).unwrap();
    assert!(page.matches("`").count() > 100, "the glossary names code");
    let objections = [words::names(&sources), words::glossary(&page, &sources)].concat();
    assert!(objections.is_empty(), "\n{}\n", objections.join("\n"));
}

#[test]
fn nothing_lies_at_the_top_that_does_not_belong_there() {
    for (path, first) in [("audit/log", "audit"), ("notes.txt", "notes.txt")] {
        let objection = rules::at_the_top(path).unwrap_err();
        assert!(objection.contains(&format!("{first} does not belong")), "{objection}");
    }
    let strays: Vec<_> =
        source::committed().iter().filter_map(|path| rules::at_the_top(path).err()).collect();
    assert!(strays.is_empty(), "\n{}\n", strays.join("\n"));
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let strays = Strays::new("/srv/clone");
    let bad = [
        ["/srv", "/clone/src"],
        ["/ro", "ot/.cargo"],
        ["/wo", "rk/main"],
        ["/home", "/carol/.cargo"],
        ["https://registry.npm", "js.org/x"],
        ["https://files.python", "hosted.org"],
        ["index.crates", ".io"],
    ];
    for parts in bad {
        let line = parts.concat();
        assert_eq!(strays.find("x", &line).len(), 1, "{line}");
    }
    assert!(strays.find("x", "https://crates.io/crates/tonic /home/alice/report.pdf").is_empty());

    let strays = Strays::new(source::root().to_str().unwrap());
    let mut objections = Vec::new();
    for path in source::tracked() {
        // A deleted file is still listed; one that is not text has no lines.
        if let Ok(text) = std::fs::read_to_string(source::root().join(&path)) {
            objections.extend(strays.find(&path, &text));
        }
    }
    assert!(objections.is_empty(), "\n{}\n", objections.join("\n"));
}

/// What SECURITY.md promises is shown by tests, and these exist.
#[test]
fn promises_are_shown_by_tests_that_exist() {
    let page = std::fs::read_to_string(source::root().join("SECURITY.md")).unwrap();
    let (_, behind) = page.split_once("### What shows it").expect("the section");
    let (section, _) = behind.split_once("\n## ").expect("another section");
    let tests = source::text_of(&["src", "tests"]);
    let mut names = 0;
    for name in section.split('`').skip(1).step_by(2) {
        let is_file = source::root().join(name).exists();
        let is_test = tests.contains(&format!("fn {name}("));
        assert!(is_file || is_test || name == "event", "SECURITY.md: there is no test {name}");
        names += usize::from(is_test);
    }
    assert!(names > 20, "{names} tests are named");
}
