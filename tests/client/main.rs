//! The client library against gateways that break, restart and refuse.
#![cfg(feature = "server")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod emitter;
mod examples;
mod failover;
mod subscriber;
#[path = "../support/mod.rs"]
mod support;
