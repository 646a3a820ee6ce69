//! Who may do what, over the wire: TLS and certificates, tokens, roles, and changes
//! of them while the gateway runs.

mod audit;
mod changes;
mod forged;
mod limits;
mod matrix;
mod operations;
mod transport;
mod visible;
mod web;
