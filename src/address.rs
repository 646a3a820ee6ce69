//! Addresses with a port, as people write them.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// The name of this machine that is known without asking anybody.
const LOCALHOST: &str = "localhost";

/// Reads `127.0.0.1:50051`, `[::1]:50051` or `NAME:50051`. `localhost` is 127.0.0.1; other
/// names are looked up, and the first of their addresses counts.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "an address and a port, such as 127.0.0.1:50051 or localhost:50051";
    let named = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let is_name = |host: &str| {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // What consists of digits is a wrong address rather than a name.
        host.bytes().all(is_of_name) && host.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let Some((host, port)) = named.filter(|(host, _): &(&str, u16)| is_name(host)) else {
        return Err(format!("{text:?} is not {expected}"));
    };
    if host.eq_ignore_ascii_case(LOCALHOST) {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let found = (host, port).to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| format!("{text:?} is not {expected}: the name {host} has no address here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name() {
        let parsed = |text: &str| parse(text).map(|address| address.to_string());
        assert_eq!(parsed("127.0.0.1:0").as_deref(), Ok("127.0.0.1:0"));
        assert_eq!(parsed("[::1]:7").as_deref(), Ok("[::1]:7"));
        assert_eq!(parsed("localhost:50051").as_deref(), Ok("127.0.0.1:50051"));
        assert_eq!(parsed("LocalHost:1").as_deref(), Ok("127.0.0.1:1"));
        for wrong in [
            "",
            "localhost",
            ":1",
            "localhost:",
            "localhost:x",
            "localhost:70000",
            "127.0.0.1",
            "127.0.0:1",
            "300.0.0.1:1",
            "::1:7",
            "a b:1",
            "http://localhost:1",
            "localhost:1/",
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains("such as 127.0.0.1:50051 or localhost:50051"), "{wrong}: {said}");
        }
        let said = parse("no-such-host.invalid:1").unwrap_err();
        assert!(said.contains("no-such-host.invalid has no address"), "{said}");
    }
}
