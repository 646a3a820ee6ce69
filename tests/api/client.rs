//! The client library against gateways that break, restart and refuse.

mod emitter;
mod examples;
mod failover;
mod subscriber;
