//! Three gateways on three NATS servers, as processes: each is killed, stopped in order and
//! suspended while events come; servers lose what they had. Afterwards, no acknowledged
//! event is missing or doubled, or the loss was reported, and all copies are equal.
//!
//! A run is bounded unless `AUDITGATE_FAULTS=long`: see `make faults`.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod copies;
mod damage;
mod gateway;
mod load;
mod random;
mod scene;
#[path = "../support/mod.rs"]
mod support;

/// Whether there is time for all of it.
fn is_long() -> bool {
    std::env::var("AUDITGATE_FAULTS").is_ok_and(|how| how == "long")
}
