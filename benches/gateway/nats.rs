//! NATS servers, where they are installed.

#[path = "../../tests/support/nats.rs"]
mod servers;

use std::path::PathBuf;

use crate::Result;
use crate::durable::folder;

pub use servers::{NatsCluster, NatsServer};

/// The program, if it is installed below the folder in which this one was built; says that
/// measures are skipped if there is none.
pub fn program_or_skip(measures: &str) -> Option<PathBuf> {
    servers::program_or_skip(measures)
}

/// Starts a server with these settings.
///
/// # Errors
/// If it does not start.
pub fn server(program: &std::path::Path, settings: &str) -> Result<NatsServer> {
    Ok(NatsServer::start(program, settings, folder()?)?)
}

/// Starts three servers, each of which syncs before it answers.
///
/// # Errors
/// If they do not start.
pub fn cluster(program: &std::path::Path) -> Result<NatsCluster> {
    Ok(NatsCluster::start(program, 3, folder()?)?)
}
