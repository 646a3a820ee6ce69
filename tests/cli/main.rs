//! The program `auditgate`, run as a person or a script runs it.
#![cfg(all(feature = "cli", feature = "server"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod cluster;
mod connect;
mod count_emit;
mod credentials;
mod failover;
mod get;
mod operate;
mod proofs;
mod search;
mod secure;
mod serve;
mod shared;
#[path = "../support/mod.rs"]
mod support;
mod tail;
mod teleport;
