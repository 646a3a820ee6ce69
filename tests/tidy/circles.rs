//! No two files import each other. A module and the modules within it may: the outer one says what
//! is seen of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The names of the modules that lead to a file; none for `lib.rs`.
type ModulePath = Vec<String>;

/// Objects to each two files of which each imports the other.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let files: BTreeMap<ModulePath, &Source> =
        sources.iter().map(|source| (path_of(source), source)).collect();
    let mut imports = BTreeSet::new();
    for (own, source) in &files {
        for path in named(own, source) {
            let known = (1..=path.len()).rev().map(|length| path[..length].to_vec());
            if let Some(used) = known.into_iter().find(|path| files.contains_key(path)) {
                imports.insert((own.clone(), used));
            }
        }
    }
    let is_circle = |(own, used): &&(ModulePath, ModulePath)| {
        own < used && !used.starts_with(own) && imports.contains(&(used.clone(), own.clone()))
    };
    let object = |(own, used): &(ModulePath, ModulePath)| {
        format!(
            "{}:1: it and {} import each other: move what both need into a file of its own",
            files[own].path, files[used].path
        )
    };
    imports.iter().filter(is_circle).map(object).collect()
}

fn path_of(source: &Source) -> ModulePath {
    let path = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
}

/// The paths that a file names outside of tests, from the top.
fn named(own: &[String], source: &Source) -> Vec<ModulePath> {
    let mut found = Vec::new();
    for (position, token) in source.tokens.iter().enumerate() {
        let begins = position.checked_sub(1).is_none_or(|before| source.text(before, 0) != ":");
        if token.test || !begins || source.text(position, 1) != ":" {
            continue;
        }
        let mut base = match token.text.as_str() {
            "crate" => Vec::new(),
            "self" => own.to_vec(),
            "super" => own[..own.len().saturating_sub(1)].to_vec(),
            _ => continue,
        };
        let mut position = position + 3;
        while source.text(position, 0) == "super" {
            base.pop();
            position += 3;
        }
        paths(source, &mut position, &base, &mut found);
    }
    found
}

/// Collects the paths that begin at `position`, below `base`; braces hold several.
fn paths(source: &Source, position: &mut usize, base: &[String], found: &mut Vec<ModulePath>) {
    let mut path = base.to_vec();
    loop {
        let token = source.text(*position, 0);
        if token == "{" {
            *position += 1;
            while !matches!(source.text(*position, 0), "}" | "") {
                paths(source, position, &path, found);
                // A comma, or what renames the path.
                while !matches!(source.text(*position, 0), "," | "}" | "") {
                    *position += 1;
                }
                if source.text(*position, 0) == "," {
                    *position += 1;
                }
            }
            *position += 1;
            return;
        }
        path.push(token.to_owned());
        *position += 1;
        if source.text(*position, 0) != ":" || source.text(*position, 1) != ":" {
            found.push(path);
            return;
        }
        *position += 2;
    }
}
