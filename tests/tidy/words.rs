//! One word has one meaning: no type name is defined twice, and each name in the glossary
//! exists.

use std::collections::BTreeMap;

use crate::source::Source;

/// Names that several types may have, since everybody knows what they mean and code says
/// whose they are: `event::Error`, `disk::Config`, and the arguments of a command.
const SHARED: [&str; 3] = ["Args", "Config", "Error"];
/// The words that define a type with a name of its own.
const DEFINITIONS: [&str; 4] = ["struct", "enum", "trait", "union"];
/// The number of columns of a table in the glossary, with the empty ones at both ends.
const COLUMNS: usize = 5;

/// Objects to each type whose name an earlier one has.
pub fn names(sources: &[Source]) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut objections = Vec::new();
    for source in sources {
        for (name, place) in defined(source) {
            if SHARED.contains(&name) {
                continue;
            }
            if let Some(other) = first.get(name) {
                objections.push(format!(
                    "{place}: {name} is also the name of a type in {other}: give each a name that tells its job"
                ));
            } else {
                first.insert(name, place);
            }
        }
    }
    objections
}

/// The names of the types that a file defines outside of tests, and where.
fn defined(source: &Source) -> impl Iterator<Item = (&str, String)> {
    let tokens = source.tokens.iter().enumerate();
    let definitions =
        tokens.filter(|(_, token)| !token.test && DEFINITIONS.contains(&token.text.as_str()));
    definitions
        .map(|(position, _)| (source.text(position, 1), source.place(position)))
        .filter(|(name, _)| name.starts_with(char::is_uppercase))
}

/// Objects to each name in the third column of a glossary that is neither a file below
/// `src` nor a type in the file of its module.
pub fn glossary(text: &str, sources: &[Source]) -> Vec<String> {
    let mut objections = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').collect();
        if cells.len() != COLUMNS {
            continue;
        }
        // Every second piece between backticks is a name.
        for name in cells[3].split('`').skip(1).step_by(2) {
            if !exists(name, sources) {
                objections.push(format!(
                    "docs/glossary.md:{}: {name} does not exist: name the file or type that the term has now",
                    number + 1
                ));
            }
        }
    }
    objections
}

fn exists(name: &str, sources: &[Source]) -> bool {
    let file = |path: String| sources.iter().find(move |source| source.path == path);
    match name.rsplit_once("::") {
        None => file(format!("src/{name}")).is_some(),
        Some((module, of_type)) => file(format!("src/{}.rs", module.replace("::", "/")))
            .is_some_and(|source| defined(source).any(|(name, _)| name == of_type)),
    }
}
