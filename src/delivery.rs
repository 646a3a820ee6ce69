//! Deliveries: records that go to another system, by a named and durable subscription inside the
//! gateway.

pub mod format;
