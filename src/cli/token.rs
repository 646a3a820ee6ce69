//! `auditgate token`: makes a static token.

use std::path::PathBuf;

use super::new_file::{PRIVATE, write_new};
use super::{Error, ExitKind, print};
use crate::access::{hash_token, new_token};
use crate::config::check_principal_name;

/// Create a bearer token for a principal
///
/// Writes the token to a new file that only its owner can read. Prints the lines for
/// the configuration, which contain the hash of the token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate token orders orders.token >> auditgate.toml

Exit status: 0 if the token was created; 2 if not.")]
pub struct Args {
    /// Name of the principal
    principal: String,
    /// File to write the token to
    file: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    check_principal_name(&args.principal)
        .map_err(|what| Error::Usage(format!("the name of the principal: {what}")))?;
    let token = new_token().map_err(|error| Error::Usage(error.to_string()))?;
    write_new(&args.file, &format!("{token}\n"), PRIVATE)?;
    let principal = toml::Value::String(args.principal.clone());
    let hash = hash_token(&token);
    let table = format!("\n[[access.tokens]]\nprincipal = {principal}\nsha256 = \"{hash}\"\n");
    print(&table).inspect_err(|_| {
        // Nobody has the hash yet, so the token would be useless.
        let _ = std::fs::remove_file(&args.file);
    })
}
