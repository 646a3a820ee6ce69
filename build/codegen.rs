//! Runs prost over the descriptors, twice: with the messages as they are, and the client of tonic; and with
//! events and records as bytes, for the server, which needs no code of tonic.

use std::error::Error;
use std::path::Path;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

use crate::retype;

/// The package of the protocol.
pub const PACKAGE: &str = "auditgate.v1";

/// Writes `typed/auditgate.v1.rs`: messages as they are, and the client.
pub fn typed(pool: &DescriptorPool, out: &Path) -> Result<(), Box<dyn Error>> {
    let folder = out.join("typed");
    std::fs::create_dir_all(&folder)?;
    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".")
        .out_dir(&folder)
        .compile_fds(descriptor_set(pool)?)?;
    Ok(())
}

/// Writes `retyped/auditgate.v1.rs`: the messages that hold events or records, as bytes.
pub fn retyped(pool: &DescriptorPool, out: &Path) -> Result<(), Box<dyn Error>> {
    let folder = out.join("retyped");
    std::fs::create_dir_all(&folder)?;
    let mut set = descriptor_set(pool)?;
    let changed = retype::retype(&mut set);
    let mut config = prost_build::Config::new();
    config.out_dir(&folder).bytes(["."]);
    for name in retype::top_level_names(&set) {
        if !changed.contains(&name) {
            let rust = name.rsplit('.').next().unwrap_or_default();
            config.extern_path(name.clone(), format!("crate::proto::pb::{rust}"));
        }
    }
    for file in &mut set.file {
        file.service.clear();
    }
    config.compile_fds(set)?;
    Ok(())
}

fn descriptor_set(pool: &DescriptorPool) -> Result<FileDescriptorSet, Box<dyn Error>> {
    Ok(FileDescriptorSet::decode(pool.encode_to_vec().as_slice())?)
}
