//! NATS servers, where they are installed.

#[path = "../../tests/support/nats.rs"]
mod servers;

use std::path::Path;

use crate::Result;
use crate::durable::folder;

pub use servers::{NatsCluster, NatsServer, program_or_skip};

/// Starts a server with these settings.
///
/// # Errors
/// If it does not start.
pub fn server(program: &Path, settings: &str) -> Result<NatsServer> {
    Ok(NatsServer::start(program, settings, folder()?)?)
}

/// Starts three servers, each of which syncs before it answers.
///
/// # Errors
/// If they do not start.
pub fn cluster(program: &Path) -> Result<NatsCluster> {
    Ok(NatsCluster::start(program, 3, folder()?)?)
}
