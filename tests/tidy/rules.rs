//! What the code must not do. Each rule returns what it objects to, as
//! `file:line` and a sentence.

use std::path::Path;

use regex::Regex;

use crate::layers::layer;
use crate::source::Source;

/// What lies at the top of the tree.
const TOP: [&str; 30] = [
    ".ci",
    ".dockerignore",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benches",
    "buf.gen.yaml",
    "buf.yaml",
    "build",
    "build.rs",
    "catalog",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "examples",
    "fuzz",
    "proto",
    "rustfmt.toml",
    "src",
    "tests",
    "web",
];
/// The layers that know of gRPC.
const GRPC_LAYERS: [&str; 6] = ["main", "cli", "server", "service", "client", "proto"];
/// The layers that receive statuses: what they make never leaves the process.
const CLIENT_LAYERS: [&str; 3] = ["main", "cli", "client"];
/// The one file that makes a `Status`.
const STATUS_FILE: &str = "src/service/status.rs";
/// What turns a `Status` into something else, what STATUS_FILE defines, or what reads the
/// message of that name: any other function of `Status` makes one.
const STATUS_USES: [&str; 5] = ["code", "decode", "from", "from_header_map", "into_http"];
/// The files that may be unsafe: each is small and says why it is right.
const UNSAFE_FILES: [&str; 2] = ["src/log/append_buffer.rs", "src/server/heap.rs"];
/// A file with more lines than this is asked whether it is one thing.
pub const LINES_QUESTIONED: usize = 300;
/// A file with more lines than this is not.
pub const LINES_MAX: usize = 400;

/// The top module to which a file of `src` belongs; none for `lib.rs`.
fn module(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

/// Imports point down.
pub fn layers(source: &Source) -> Vec<String> {
    let Some(own) = module(&source.path) else { return Vec::new() };
    let Some(own_layer) = layer(own) else {
        return vec![format!(
            "{}:1: module {own} has no layer: add it to LAYERS in tests/tidy/layers.rs",
            source.path
        )];
    };
    let mut objections = Vec::new();
    for (position, used) in uses(source) {
        if used != own && layer(&used).is_some_and(|used| used < own_layer) {
            objections.push(format!(
                "{}: {own} uses {used}, which lies above it: move what both need down, or hand it in",
                source.place(position)
            ));
        }
    }
    objections
}

/// The top modules that a file names, and where. `crate::{...}` names several;
/// `super` counts where it climbs to the top.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in ["crate", "auditgate"] {
        for position in source.find(&format!("{start} : :")) {
            found.extend(names_after(source, position + 3));
        }
    }
    // `src/log.rs` is one level below the top, `src/log/ring.rs` two.
    let depth = source.path.matches('/').count();
    for position in source.find("super : :") {
        let climbed_before =
            position.checked_sub(3).is_some_and(|before| source.text(before, 0) == "super");
        let mut after = position;
        while source.text(after, 0) == "super" {
            after += 3;
        }
        if !climbed_before && (after - position) / 3 >= depth {
            found.extend(names_after(source, after));
        }
    }
    found
}

/// The name at `position`, or the first name of each path within braces there.
fn names_after(source: &Source, position: usize) -> Vec<(usize, String)> {
    if source.text(position, 0) != "{" {
        return vec![(position, source.text(position, 0).to_owned())];
    }
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for (at, token) in source.tokens.iter().enumerate().skip(position) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(token.text.as_str(), "{" | ",") {
            found.push((at + 1, source.text(at, 1).to_owned()));
        }
    }
    found
}

/// gRPC is the business of the layers that speak it.
pub fn grpc(source: &Source) -> Vec<String> {
    let Some(own) = module(&source.path).filter(|own| !GRPC_LAYERS.contains(own)) else {
        return Vec::new();
    };
    // The module of that name in the crate of OpenTelemetry's messages is not tonic.
    let is_module = |position: usize| {
        position.checked_sub(3).is_some_and(|at| source.text(at, 0) == "opentelemetry_proto")
    };
    let mentions = source.find("tonic").into_iter().filter(|position| !is_module(*position));
    let object = |position| {
        format!("{}: {own} knows tonic: leave gRPC to src/service", source.place(position))
    };
    mentions.map(object).collect()
}

/// One file turns errors into statuses.
pub fn statuses(source: &Source) -> Vec<String> {
    let of_client = module(&source.path).is_some_and(|own| CLIENT_LAYERS.contains(&own));
    if of_client || source.path == STATUS_FILE {
        return Vec::new();
    }
    let made = source.find("Status : :").into_iter();
    let made = made.filter(|position| {
        !source.tokens[*position].test && !STATUS_USES.contains(&source.text(*position, 3))
    });
    let object =
        |position| format!("{}: makes a Status: do it in {STATUS_FILE}", source.place(position));
    made.map(object).collect()
}

/// Nothing that panics without a reason, nothing unfinished.
pub fn forbidden(source: &Source) -> Vec<String> {
    let rules = [
        (". unwrap (", "unwrap: return an error, or say by expect why it cannot fail"),
        ("todo !", "todo: finish it"),
        ("unimplemented !", "unimplemented: finish it"),
        ("dbg !", "dbg: remove it"),
    ];
    let mut objections = Vec::new();
    for (pattern, advice) in rules {
        for position in source.find(pattern) {
            if !source.tokens[position].test {
                objections.push(format!("{}: {advice}", source.place(position)));
            }
        }
    }
    for position in source.find(". expect (") {
        let reason = source.text(position, 3);
        let is_sentence = !reason.starts_with('"') || reason.trim().contains(' ');
        if !source.tokens[position].test && !is_sentence {
            objections.push(format!(
                "{}: expect({reason}: say in words why it cannot fail",
                source.place(position)
            ));
        }
    }
    // In tests, too.
    for position in source.find("# [ ignore") {
        objections.push(format!("{}: ignored test: mend or delete it", source.place(position)));
    }
    objections
}

/// `unsafe` has its few places.
pub fn unsafety(source: &Source) -> Vec<String> {
    if UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let object = |position| {
        format!("{}: unsafe: only {} may be", source.place(position), UNSAFE_FILES.join(", "))
    };
    source.find("unsafe").into_iter().map(object).collect()
}

/// `foo.rs` beside `foo/`, and no file too long.
pub fn file_shape(source: &Source) -> Vec<String> {
    let mut objections = Vec::new();
    if Path::new(&source.path).ends_with("mod.rs") {
        let folder = source.path.trim_end_matches("/mod.rs");
        objections.push(format!("{}:1: mod.rs: name it {folder}.rs", source.path));
    }
    if source.lines > LINES_MAX {
        objections.push(format!(
            "{}:{}: {} lines, limit {LINES_MAX}: split it by what it says",
            source.path, LINES_MAX, source.lines
        ));
    }
    objections
}

/// What only makes sense on the machine of one developer.
pub struct Strays(Vec<(Regex, &'static str)>);

impl Strays {
    /// `clone` is the path of the clone that is looked at.
    pub fn new(clone: &str) -> Self {
        let rules = [
            (regex::escape(clone), "path of this clone"),
            // The bracket keeps this file from objecting to itself.
            (r"/[r]oot/\.".to_owned(), "path of a machine"),
            (r"/[w]ork/".to_owned(), "path of a machine"),
            (r"/[f]arm/".to_owned(), "path of a machine"),
            (r"/(home|Users)/\w+/(\.|src/|code/|git/|projects/)".to_owned(), "path of a machine"),
            (r"registry\.npmjs\.org".to_owned(), "host of a package registry"),
            (r"files\.pythonhosted\.org".to_owned(), "host of a package registry"),
            (r"pypi\.org".to_owned(), "host of a package registry"),
            (r"(static|index)\.crates\.io".to_owned(), "host of a package registry"),
            (r"deb\.debian\.org".to_owned(), "host of a package registry"),
            (r"proxy\.golang\.org".to_owned(), "host of a package registry"),
        ];
        let compile = |(pattern, what): (String, _)| (Regex::new(&pattern).unwrap(), what);
        Self(rules.into_iter().map(compile).collect())
    }

    /// Looks through a file.
    pub fn find(&self, path: &str, text: &str) -> Vec<String> {
        let mut objections = Vec::new();
        for (number, line) in text.lines().enumerate() {
            for (pattern, what) in &self.0 {
                if let Some(found) = pattern.find(line) {
                    objections.push(format!(
                        "{path}:{}: {:?}, {what}: it means nothing elsewhere",
                        number + 1,
                        found.as_str()
                    ));
                }
            }
        }
        objections
    }
}

/// A file must lie in a folder, or be a file, that belongs at the top: what a
/// command of the documentation leaves behind is easily committed with the rest.
pub fn at_the_top(path: &str) -> Result<(), String> {
    let first = path.split('/').next().unwrap_or(path);
    match TOP.contains(&first) {
        true => Ok(()),
        false => Err(format!("{path}: {first} does not belong at the top of the tree")),
    }
}
