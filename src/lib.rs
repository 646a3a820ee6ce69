//! A gRPC audit event gateway.

pub mod catalog;
pub mod cli;
pub mod event;
pub mod example;
pub mod proto;
pub mod record;
pub mod reference;
pub mod teleport;
pub mod time;
pub mod wire;
