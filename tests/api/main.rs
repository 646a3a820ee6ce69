//! The service over the wire: what each call answers, refuses and keeps, who may call it, and
//! the client library.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::needless_update, reason = "requests may get fields that these tests leave alone")]

mod access;
mod admin;
mod behind;
mod canaries;
mod client;
mod compression;
mod count_records;
mod deadlines;
mod deliveries;
mod drain;
mod emit_stream;
mod fan_out;
mod forward_compatibility;
mod idempotency;
mod proof_disk;
mod proofs;
mod quotas;
mod reflection;
mod refusals;
mod search;
mod secret_lines;
mod subscribe;
#[path = "../support/mod.rs"]
mod support;
mod web;
