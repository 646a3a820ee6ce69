//! The shared log: many gateways, one order.
//!
//! The gateways of a cluster publish commit groups to one replicated [stream]. Each applies
//! the same [messages](message) in the same order by the same [rule](machine), and so comes
//! to the same log. The [tail] brings the messages into order, and the [publisher] repeats
//! what was not applied in time. All of these are pure: they do no I/O, and are told the time.

pub mod machine;
pub mod message;
pub mod publisher;
pub mod stream;
pub mod tail;

#[cfg(test)]
mod tests;
