//! `auditgate types`: lists or describes event types.

use super::{Error, ExitKind, print};
use crate::catalog::{self, TypeId};
use crate::glob::NamePattern;
use crate::reference;
use crate::text;

/// List the event types, or describe one
///
/// A glob lists the types that it matches; * matches any characters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate types
  auditgate types user.login
  auditgate types 'session.*'

Exit status: 0; 2 if there is no such type.")]
pub struct Args {
    /// Describe this type with its codes and fields; a glob lists types
    #[arg(value_name = "TYPE")]
    event_type: Option<String>,
    /// Print the reference of all types in Markdown: docs/EVENTS.md
    #[arg(long, conflicts_with = "event_type")]
    markdown: bool,
    /// Print how records are mapped to other formats, in Markdown: docs/MAPPINGS.md
    #[arg(long, conflicts_with_all = ["event_type", "markdown"])]
    mappings: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    match &args.event_type {
        _ if args.markdown => print(&reference::markdown()),
        _ if args.mappings => print(&reference::mappings()),
        Some(name) if name.contains('*') => print(&reference::list(&matching(name)?)),
        Some(name) => print(&reference::describe(find(name)?)),
        None => print(&reference::list(&matching("*")?)),
    }
}

/// The event type of this name.
pub fn find(name: &str) -> Result<TypeId, Error> {
    catalog::by_name(name)
        .ok_or_else(|| Error::TypeUnknown { name: name.to_owned(), nearest: near(name) })
}

/// The types that a glob matches.
fn matching(glob: &str) -> Result<Vec<TypeId>, Error> {
    let pattern = NamePattern::new(glob);
    let found = catalog::all().filter(|(_, event_type)| pattern.matches(event_type.name));
    let found: Vec<TypeId> = found.map(|(id, _)| id).collect();
    if found.is_empty() {
        let nearest = near(&glob.replace('*', ""));
        return Err(Error::TypeUnknown { name: glob.to_owned(), nearest });
    }
    Ok(found)
}

fn near(name: &str) -> Option<&'static str> {
    let names = catalog::all().map(|(_, event_type)| event_type.name);
    text::nearest_one(name, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similar_name_is_offered() {
        assert_eq!(near("user.logn"), Some("user.login"));
        assert_eq!(near("login"), Some("user.login"));
        assert_eq!(near("sesion.start"), Some("session.start"));
        assert_eq!(near("qqqqqqqqq"), None);
        assert!(find("user.login").is_ok());
    }

    #[test]
    fn a_glob_stands_for_what_it_matches() {
        let names = |glob| {
            let found = matching(glob).map_err(|error| error.to_string());
            found.map(|ids| ids.into_iter().map(|id| id.get().name).collect::<Vec<_>>())
        };
        let sessions = names("session.*").expect("some");
        assert!(sessions.len() > 2 && sessions.iter().all(|name| name.starts_with("session.")));
        assert_eq!(names("*").expect("all").len(), catalog::all().count());
        assert!(names("sesion.*").expect_err("none").contains("but there is \"session."));
    }
}
