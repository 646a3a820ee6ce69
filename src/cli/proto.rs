//! `auditgate proto`: writes the proto files, to generate code from them.

use std::path::{Path, PathBuf};

use super::{Error, ExitKind, say};
use crate::proto::{DESCRIPTOR_SET, FILES};

/// Name of the file that holds all descriptors.
const DESCRIPTOR_SET_FILE: &str = "descriptor_set.binpb";

/// Write the proto files and a descriptor set to a folder
///
/// The descriptor set includes all imports and the comments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate proto --out proto
  protoc -I proto --go_out=gen proto/auditgate/v1/*.proto
  grpcurl -plaintext -protoset proto/descriptor_set.binpb localhost:50051 describe

Exit status: 0 if all files were written; 2 if not.")]
pub struct Args {
    /// Folder to write to; created if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    for (path, text) in FILES {
        write(&args.out.join(path), text.as_bytes())?;
    }
    write(&args.out.join(DESCRIPTOR_SET_FILE), DESCRIPTOR_SET)?;
    let (count, folder) = (FILES.len(), args.out.display());
    say(&format!("wrote {count} proto files and {DESCRIPTOR_SET_FILE} to {folder}"));
    Ok(ExitKind::All)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, bytes))
        .map_err(|error| Error::WriteFile { file: file.display().to_string(), error })
}
