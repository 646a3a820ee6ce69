//! `auditgate types`: the catalog.

use super::{Error, ExitKind, print};
use crate::catalog::{self, TypeId};
use crate::reference;

/// List the event types, or describe one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate types
  auditgate types user.login

Exit status: 0 if all was told; 2 if there is no such type.")]
pub struct Args {
    /// Describe this type with its codes and fields
    #[arg(value_name = "TYPE")]
    event_type: Option<String>,
    /// Print the reference of all types in Markdown: docs/EVENTS.md
    #[arg(long, conflicts_with = "event_type")]
    markdown: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    match &args.event_type {
        _ if args.markdown => print(&reference::markdown()),
        Some(name) => print(&reference::describe(find(name)?)),
        None => print(&reference::list()),
    }
}

/// The event type of this name.
pub fn find(name: &str) -> Result<TypeId, Error> {
    catalog::by_name(name)
        .ok_or_else(|| Error::TypeUnknown { name: name.to_owned(), nearest: nearest(name) })
}

/// The most similar name, if it is similar.
fn nearest(name: &str) -> Option<&'static str> {
    /// From here on, names are similar: 1 is the same.
    const SIMILAR: f64 = 0.75;
    let (similarity, nearest) = catalog::all()
        .map(|(_, event_type)| {
            (strsim::normalized_damerau_levenshtein(name, event_type.name), event_type.name)
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (similarity >= SIMILAR).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similar_name_is_offered() {
        assert_eq!(nearest("user.logn"), Some("user.login"));
        assert_eq!(nearest("sesion.start"), Some("session.start"));
        assert_eq!(nearest("completely else"), None);
        assert!(find("user.login").is_ok());
    }
}
