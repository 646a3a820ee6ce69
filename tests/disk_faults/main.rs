//! The log on disk under faults, in the program as it is run: killed at every step
//! and at random moments, with failing and with full storage.
//!
//! A run is bounded unless `AUDITGATE_FAULTS=long`: see `make faults`.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod deliveries;
mod emitter;
mod failing;
mod full;
mod gateway;
mod killed;
#[path = "../support/mod.rs"]
mod support;

/// Whether there is time for all of it.
fn is_long() -> bool {
    std::env::var("AUDITGATE_FAULTS").is_ok_and(|how| how == "long")
}

/// Says that a test cannot run here, where whoever reads the output sees it.
fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}
