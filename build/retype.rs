//! Rewrites a descriptor set so that events and records are bytes.
//!
//! A field of message type and a field of type `bytes` have the same encoding,
//! so code generated from the result reads and writes the same requests and
//! responses, with each event or record as the slice that arrived. An absent one
//! and an empty one become the same: no bytes.

use std::collections::BTreeSet;

use prost_types::field_descriptor_proto::Type;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::codegen::PACKAGE;

/// Types that are kept encoded.
const OPAQUE: [&str; 2] = [".auditgate.v1.Event", ".auditgate.v1.Record"];

/// Makes the fields of opaque type `bytes`, in messages at the top of a file;
/// returns the messages that had such a field, as fully qualified names with a
/// leading dot.
pub fn retype(set: &mut FileDescriptorSet) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    for file in &mut set.file {
        let package = package(file);
        for message in &mut file.message_type {
            let name = format!("{package}.{}", message.name());
            for field in &mut message.field {
                if OPAQUE.contains(&field.type_name()) {
                    field.set_type(Type::Bytes);
                    field.type_name = None;
                    changed.insert(name.clone());
                }
            }
        }
    }
    changed
}

/// Every message and enum of the project's package at the top of a file.
pub fn top_level_names(set: &FileDescriptorSet) -> Vec<String> {
    let mut names = Vec::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        let package = package(file);
        let messages = file.message_type.iter().map(|message| message.name().to_owned());
        let enums = file.enum_type.iter().map(|found| found.name().to_owned());
        names.extend(messages.chain(enums).map(|name| format!("{package}.{name}")));
    }
    names
}

fn package(file: &FileDescriptorProto) -> String {
    format!(".{}", file.package())
}
