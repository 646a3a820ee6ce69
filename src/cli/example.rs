//! `auditgate example`: prints an example request of an event type.

use super::{Error, ExitKind, print};

/// Print a filled EmitRequest of an event type, as JSON
///
/// The request is ready to send. All fields of the type are filled. The id and the
/// time are absent, so the gateway sets them and each call stores a new event.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate example user.login | auditgate emit
  auditgate example user.login \\
    | grpcurl -plaintext -d @ localhost:50051 auditgate.v1.AuditService/Emit

Exit status: 0; 2 if there is no such type.")]
pub struct Args {
    /// The event type, such as `user.login`; `auditgate types` lists them
    #[arg(value_name = "TYPE")]
    event_type: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let name = args.event_type.as_deref().ok_or(Error::TypeMissing)?;
    let type_id = super::types::find(name)?;
    print(&format!("{}\n", crate::example::request_json(type_id)))
}
