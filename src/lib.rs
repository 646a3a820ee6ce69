//! A gRPC audit event gateway.
//!
//! With `default-features = false` this is the protocol's messages and the
//! [`client`] alone. The feature `server` adds the gateway, to embed in another
//! program: `server::Gateway`. The feature `cli` adds the command line.
//!
//! Semantic versioning covers [`client`], [`proto`], [`catalog`], `config` and `server`. The other
//! modules are hidden. They are public only for the gateway's own tests, benchmarks and fuzz
//! targets, and change without notice.

#[cfg(feature = "server")]
#[doc(hidden)]
pub mod access;
#[cfg(any(feature = "cli", feature = "server"))]
mod address;
#[cfg(feature = "server")]
mod audit;
mod backoff;
pub mod catalog;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod content;
#[cfg(feature = "server")]
mod counters;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod delivery;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod event;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod example;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod filter;
#[cfg(any(feature = "cli", feature = "server"))]
mod glob;
#[cfg(any(feature = "cli", feature = "server"))]
mod go_duration;
#[cfg(feature = "server")]
mod histogram;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod hub;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod json;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod log;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod mapping;
#[cfg(feature = "server")]
mod network;
#[cfg(any(feature = "cli", feature = "server"))]
mod printable;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod proof;
pub mod proto;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod record;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod reference;
#[cfg(any(feature = "cli", feature = "server"))]
mod reserved_names;
#[cfg(any(feature = "cli", feature = "server"))]
mod secret_file;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod service;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod teleport;
#[cfg(any(feature = "cli", feature = "server"))]
mod text;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod time;
#[cfg(any(feature = "cli", feature = "server"))]
#[doc(hidden)]
pub mod wire;
