//! Filter by remote address: exact addresses or CIDR blocks.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::VALUE_BYTES_MAX;
use super::error::{self, Error, excerpt};
use super::values;

/// Bits of an IPv6 address that precede a mapped IPv4 address.
const MAPPED_PREFIX_BITS: u8 = 96;

/// Blocks of addresses, one of which must match; every address matches if there are none.
#[derive(Debug)]
pub(super) struct CidrBlocks(Vec<IpNet>);

impl CidrBlocks {
    /// Memory that it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<IpNet>()
    }

    pub(super) fn compile(field: &'static str, values: &[String]) -> Result<Self, Error> {
        values::check(field, values, VALUE_BYTES_MAX)?;
        let parse = |(position, value): (usize, &String)| {
            block(value).ok_or_else(|| Error::AddressInvalid {
                field: error::path(field, position),
                value: excerpt(value),
            })
        };
        values.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether every address matches.
    pub(super) fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the address, with or without a port, matches. Other texts do not match.
    pub(super) fn matches(&self, address: Option<&str>) -> bool {
        if self.is_any() {
            return true;
        }
        let Some(address) = address.and_then(without_port) else { return false };
        // `::/0` contains mapped addresses in their long form.
        let canonical = address.to_canonical();
        self.0.iter().any(|block| block.contains(&canonical) || block.contains(&address))
    }
}

fn block(text: &str) -> Option<IpNet> {
    let text = &without_zone(text);
    let block =
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(match block.addr().to_canonical() {
        mapped @ IpAddr::V4(_) if block.addr().is_ipv6() => {
            let bits = block.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
            bits.and_then(|bits| IpNet::new(mapped, bits).ok()).unwrap_or(block)
        }
        _ => block,
    })
}

/// The text without the zone of an IPv6 address (RFC 4007, section 11): it names an interface of
/// one host, which means nothing elsewhere.
fn without_zone(text: &str) -> Cow<'_, str> {
    let Some((address, rest)) = text.split_once('%') else { return Cow::Borrowed(text) };
    let zone = rest.find([']', '/']).unwrap_or(rest.len());
    let (zone, behind) = rest.split_at(zone);
    let is_v6 = address.trim_start_matches('[').parse::<Ipv6Addr>().is_ok();
    // RFC 6874 has no other characters in a zone.
    let is_zone = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@')
    };
    if !is_v6 || zone.is_empty() || !zone.bytes().all(is_zone) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{address}{behind}"))
}

fn without_port(text: &str) -> Option<IpAddr> {
    let text = &*without_zone(text);
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    (text.parse().ok())
        .or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
        .or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(values: &[&str]) -> Result<CidrBlocks, Error> {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        CidrBlocks::compile("remote_addresses", &values)
    }

    #[test]
    fn addresses_match_with_and_without_a_port() {
        for (block, address, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "10.1.2.3:4022", true),
            ("10.1.2.3/8", "10.200.0.1", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.1.2.3", "10.1.2.3:1", true),
            ("10.1.2.3", "10.1.2.4:1", false),
            ("::1", "[::1]:80", true),
            ("::1", "[::1]", true),
            ("::1", "::1", true),
            ("fd00::/8", "[fd12::1]:443", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:9", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
            ("fe80::/10", "[fe80::1%eth0]:22", true),
            ("fe80::/10", "[fe80::1%eth0]", true),
            ("fe80::/10", "fe80::1%25", true),
            ("fe80::1%eth0", "[fe80::1%eth1]:22", true),
            ("fe80::%eth0/10", "fe80::1", true),
            ("fe80::/10", "[fd00::1%eth0]:22", false),
            ("0.0.0.0/0", "10.1.2.3%eth0", false),
            ("::/0", "fe80::1%", false),
            ("::/0", "fe80::1%a b", false),
            ("::/0", "::ffff:10.1.2.3", true),
            ("::/0", "10.1.2.3", false),
            ("0.0.0.0/0", "::1", false),
            ("0.0.0.0/0", "", false),
            ("0.0.0.0/0", "example.com:80", false),
            ("0.0.0.0/0", "10.1.2.3:99999", false),
        ] {
            let blocks = compile(&[block]).expect("valid");
            assert_eq!(blocks.matches(Some(address)), expected, "{block} {address}");
        }
        assert!(!compile(&["0.0.0.0/0"]).expect("valid").matches(None));
        assert!(compile(&[]).expect("valid").matches(None));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "10.0.0.0/33",
            "10.0.0",
            "localhost",
            "10.1.2.3:80",
            "::1/129",
            "/8",
            "10.1.2.3%eth0",
            "fe80::1%",
            "[fe80::1%eth0]:22",
        ] {
            let error = compile(&["10.0.0.1", bad]).expect_err(bad);
            assert_eq!(error.field(), "remote_addresses[1]");
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
