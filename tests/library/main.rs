//! Parts of the library against models, golden files and generated input; no network.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod build_refusals;
mod catalog_golden;
mod damaged_records;
mod events_reference;
mod events_stay_encoded;
mod example_events;
mod filter_expressions;
mod filter_model;
mod mappings_reference;
mod model;
mod redaction_model;
mod stream_timing;
#[path = "../support/mod.rs"]
mod support;
mod teleport_lossless;
mod teleport_types;
mod waiting;
