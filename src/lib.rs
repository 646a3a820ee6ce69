//! A gRPC audit event gateway.

pub mod catalog;
pub mod event;
pub mod filter;
pub mod proto;
pub mod record;
pub mod time;
pub mod wire;
