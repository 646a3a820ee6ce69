//! `auditgate token`: makes a static token.

use std::path::PathBuf;

use super::init::write_new;
use super::{Error, ExitKind, print};
use crate::access::{hash_token, new_token};

/// Make a token for a principal
///
/// Writes the token to a file that only its owner can read, and that must not be
/// there yet. Standard output gets what belongs into the configuration: the hash.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate token orders orders.token >> auditgate.toml

Exit status: 0 if it was made; 2 if not.")]
pub struct Args {
    /// Name of the principal
    principal: String,
    /// File to write the token to
    file: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let token = new_token().map_err(|error| Error::Usage(error.to_string()))?;
    write_new(&args.file, &format!("{token}\n"), true)?;
    let principal = toml::Value::String(args.principal.clone());
    let hash = hash_token(&token);
    print(&format!("\n[[access.tokens]]\nprincipal = {principal}\nsha256 = \"{hash}\"\n"))
}
