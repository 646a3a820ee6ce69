//! The shared log: many gateways, one order.
//!
//! The gateways of a cluster publish commit groups to one replicated [stream]. Each applies
//! the same [messages](message) in the same order by the same [rule](machine), and so comes
//! to the same log. The [tail] brings the messages into order, and the [publisher] repeats
//! what was not applied in time. All of these are pure: they do no I/O, and are told the time.
//! A gateway's [handle](shared_log) drives them, and keeps a copy of the log on disk.

pub mod cluster_key;
pub mod machine;
mod mark;
pub mod members;
pub mod message;
pub mod publisher;
pub mod resume;
pub mod seed;
pub mod shared_log;
pub mod stream;
pub mod survey;
pub mod tail;
mod window_file;

#[cfg(test)]
mod tests;
