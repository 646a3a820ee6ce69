//! The key of a client's quota and account.

use std::fmt;
use std::net::IpAddr;

use crate::network::Network;

/// A client: a principal, or the network of the address if no principal is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientKey {
    /// A principal, by its name.
    Principal(String),
    /// An IPv4 address or an IPv6 network of 64 bits.
    Network(Network),
}

impl ClientKey {
    /// The principal of this name.
    pub fn principal(name: &str) -> Self {
        Self::Principal(name.to_owned())
    }

    /// The network of this address.
    pub fn at(address: IpAddr) -> Self {
        Self::Network(Network::of(address))
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}
