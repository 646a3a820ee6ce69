//! Runs prost and tonic over the descriptors, twice: with the messages as they
//! are, for clients, and with events and records as bytes, for the server.

use std::error::Error;
use std::path::Path;

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

use crate::retype;

/// The package of the protocol.
pub const PACKAGE: &str = "auditgate.v1";
const SERVICE: &str = "auditgate.v1.AuditService";
/// Codec of the server: requests arrive as the bytes that they are, and
/// responses leave as bytes, so that refusals and fan-out are the handler's.
const CODEC: &str = "crate::proto::codec::RawCodec";
const REQUEST: &str = "::bytes::Bytes";
const RESPONSE: &str = "crate::proto::codec::EncodedResponse";

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

/// Writes `retyped/auditgate.v1.rs`: the messages that hold events or records,
/// as bytes, and the server.
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
    tonic_build::manual::Builder::new()
        .build_client(false)
        .out_dir(&folder)
        .compile(&[service(pool)?]);
    Ok(())
}

fn service(pool: &DescriptorPool) -> Result<tonic_build::manual::Service, Box<dyn Error>> {
    let found = pool
        .get_service_by_name(SERVICE)
        .ok_or_else(|| format!("service {SERVICE} is not defined"))?;
    let mut service = tonic_build::manual::Service::builder().name(found.name()).package(PACKAGE);
    for method in found.methods() {
        let mut built = tonic_build::manual::Method::builder()
            .name(snake(method.name()))
            .route_name(method.name())
            .input_type(REQUEST)
            .output_type(RESPONSE)
            .codec_path(CODEC);
        if method.is_client_streaming() {
            built = built.client_streaming();
        }
        if method.is_server_streaming() {
            built = built.server_streaming();
        }
        service = service.method(built.build());
    }
    Ok(service.build())
}

/// `GetRecord` as `get_record`.
fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for (position, letter) in camel.char_indices() {
        if letter.is_ascii_uppercase() && position > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn descriptor_set(pool: &DescriptorPool) -> Result<FileDescriptorSet, Box<dyn Error>> {
    Ok(FileDescriptorSet::decode(pool.encode_to_vec().as_slice())?)
}
