//! What the gateway refuses, row by row: each refusal has the right code, a
//! sentence, a reason and the field to blame, and changes nothing.

mod batches;
mod events;
mod filters;
mod queries;
mod scene;
mod transport;
