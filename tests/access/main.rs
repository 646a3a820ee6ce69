//! Who may do what, over the wire: TLS and certificates, tokens, roles, and changes
//! of them while the gateway runs.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::needless_update, reason = "requests may get fields that these tests leave alone")]

mod audit;
mod changes;
mod forged;
mod limits;
mod matrix;
mod operations;
#[path = "../support/mod.rs"]
mod support;
mod transport;
mod visible;
mod web;
