//! Generated code and descriptors of the protocol `auditgate.v1`.

#[cfg(feature = "server")]
pub mod codec;
#[cfg(any(feature = "server", feature = "cli"))]
mod plain_name;

#[cfg(any(feature = "server", feature = "cli"))]
pub use plain_name::PlainName;

/// The generated messages and the generated client.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/typed/auditgate.v1.rs"));
}

/// The messages that hold events or records, with those as
/// bytes: the same encoding, so an event is the slice that arrived.
#[cfg(feature = "server")]
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod retyped {
    include!(concat!(env!("OUT_DIR"), "/retyped/auditgate.v1.rs"));
}

/// Full name of the service.
pub const SERVICE: &str = "auditgate.v1.AuditService";

/// The `FileDescriptorSet` of the protocol and what it imports, encoded, with
/// comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

/// The proto files themselves: path, such as `auditgate/v1/event.proto`, and text.
#[cfg(feature = "cli")]
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The descriptors, with options, for work by reflection.
#[cfg(any(feature = "server", feature = "cli"))]
pub fn descriptor_pool() -> &'static prost_reflect::DescriptorPool {
    static POOL: std::sync::LazyLock<prost_reflect::DescriptorPool> =
        std::sync::LazyLock::new(|| {
            prost_reflect::DescriptorPool::decode(DESCRIPTOR_SET)
                .expect("the build wrote a valid descriptor set")
        });
    &POOL
}
