//! Peers that break the rules, or keep to them with bad intent: each is cut off or
//! held in bounds, while a good client is served as if they were not there.
//!
//! `cargo test --test hostile -- --nocapture --test-threads 1` prints the figures of
//! docs/RELIABILITY.md.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod busy;
mod costs;
mod expressions;
mod fair;
mod floods;
mod frames;
mod memory;
mod repeats;
mod scene;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod web;

/// One scene at a time: they share the processors, and what is timed must not be
/// each other.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
