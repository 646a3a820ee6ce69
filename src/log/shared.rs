//! The shared log: many gateways, one order.
//!
//! The gateways of a cluster publish commit groups to one replicated stream. Each applies
//! the same messages in the same order by the same rule, and so comes to the same log.
//! So far, these are the [format of the messages](message) and the [rule](machine).

pub mod machine;
pub mod message;
