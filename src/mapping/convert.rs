//! Converts the value of a field to the value of another schema's field.
//!
//! A lossless conversion may refuse a value that does not fit, which then goes to the catch-all.
//! After a lossy conversion, such as a time in milliseconds, the value also goes to a lossless row
//! or to the catch-all.

use std::net::IpAddr;

use super::captured::Captured;
use super::conversion::Conversion;
use super::text;
use super::wire_json;
use crate::wire::{self, FieldKind, WireValue};

/// The longest text of an IP address, without a zone.
const IP_BYTES_MAX: usize = 39;

/// A table of values: from the name of an enum's value, or a text, to a text or a number.
#[derive(Debug, Clone)]
pub struct ValueTable {
    /// Its name.
    pub name: String,
    /// The entries: by number for an enum, by text otherwise.
    pub entries: Vec<(String, Scalar<'static>)>,
    /// Whether no two entries have the same value, so that a value determines its source.
    pub is_lossless: bool,
}

/// A converted value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// True or false.
    Flag(bool),
    /// Seconds and nanoseconds of a time.
    Time(i64, i64),
    /// Seconds and nanoseconds of a duration.
    Duration(i64, i64),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// The value of a slot as a scalar, if the conversion makes one and the value fits.
pub fn scalar<'a>(
    conversion: Conversion,
    kind: FieldKind,
    value: WireValue<'a>,
    tables: &'a [ValueTable],
) -> Option<Scalar<'a>> {
    match conversion {
        Conversion::Text => Some(Scalar::Text(value.text()?)),
        Conversion::Number => number(kind, value),
        Conversion::PortNumber => match number(kind, value)? {
            Scalar::Int(port @ 0..=65_535) => Some(Scalar::Int(port)),
            Scalar::Uint(port @ 0..=65_535) => Some(Scalar::Uint(port)),
            _ => None,
        },
        Conversion::Flag => Some(Scalar::Flag(value.varint()? != 0)),
        Conversion::Name => Some(Scalar::Text(name(kind, value)?)),
        Conversion::Values(table) => {
            let table = tables.get(usize::from(table))?;
            let key = match kind {
                FieldKind::Enum(_) => name(kind, value)?,
                _ => value.text()?,
            };
            let found = table.entries.iter().find(|(of, _)| of == key);
            found.map(|(_, scalar)| *scalar)
        }
        Conversion::Time => {
            let (seconds, nanos) = wire::seconds_and_nanos(value.bytes()?);
            Some(Scalar::Time(seconds, nanos))
        }
        Conversion::Duration => {
            let (seconds, nanos) = wire::seconds_and_nanos(value.bytes()?);
            Some(Scalar::Duration(seconds, nanos))
        }
        Conversion::Millis => {
            let (seconds, nanos) = wire::seconds_and_nanos(value.bytes()?);
            let millis = seconds.checked_mul(1_000)?.checked_add(nanos.div_euclid(1_000_000))?;
            Some(Scalar::Int(millis))
        }
        Conversion::Nanos => {
            let (seconds, nanos) = wire::seconds_and_nanos(value.bytes()?);
            let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
            Some(Scalar::Int(nanos))
        }
        Conversion::Base64 => Some(Scalar::Bytes(value.bytes()?)),
        Conversion::Ip | Conversion::Ip4 | Conversion::Ip6 => {
            let (host, _) = host_and_port(value.text()?);
            let fits = match conversion {
                Conversion::Ip4 => !host.contains(':'),
                Conversion::Ip6 => host.contains(':'),
                _ => true,
            };
            (fits && is_ip(host)).then_some(Scalar::Text(host))
        }
        Conversion::HostPart => Some(Scalar::Text(host_and_port(value.text()?).0)),
        Conversion::Host => {
            let (host, _) = host_and_port(value.text()?);
            (!is_ip(host)).then_some(Scalar::Text(host))
        }
        Conversion::WholeIp => value.text().filter(|text| is_ip(text)).map(Scalar::Text),
        Conversion::WholeHost => value.text().filter(|text| !is_ip(text)).map(Scalar::Text),
        Conversion::Port => {
            let (_, port) = host_and_port(value.text()?);
            Some(Scalar::Int(i64::from(port?)))
        }
        Conversion::Decimal => decimal(value.text()?).map(Scalar::Int),
        Conversion::FileName => {
            let path = value.text()?;
            let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path);
            (!name.is_empty()).then_some(Scalar::Text(name))
        }
        Conversion::Texts
        | Conversion::First
        | Conversion::Join
        | Conversion::Names
        | Conversion::Tags
        | Conversion::Labels
        | Conversion::Json
        | Conversion::JsonText
        | Conversion::Id
        | Conversion::Meaning
        | Conversion::TraceId => None,
    }
}

/// The first text of a list.
pub fn first<'a>(captured: &Captured<'a>, slot: u8) -> Option<&'a str> {
    captured.list(slot).next().and_then(WireValue::text)
}

/// Appends a list of texts with spaces between them.
pub fn join(captured: &Captured<'_>, slot: u8, out: &mut String) {
    for (at, part) in captured.list(slot).filter_map(WireValue::text).enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(part);
    }
}

/// Appends the whole value of a slot as protobuf JSON.
pub fn json(captured: &Captured<'_>, slot: u8, field: &wire::Field, out: &mut Vec<u8>) {
    let values: Vec<_> = if field.repeated {
        captured.list(slot).map(|value| (field.number, value)).collect()
    } else {
        captured.value(slot).map(|value| (field.number, value)).into_iter().collect()
    };
    wire_json::write_value(out, field, &values);
}

/// The entries of a map of texts, by key.
pub fn text_entries<'a>(captured: &Captured<'a>, slot: u8) -> Vec<(&'a str, &'a str)> {
    let entries = wire_json::sorted_entries(captured.list(slot).filter_map(WireValue::bytes));
    let text = |value: Option<WireValue<'a>>| value.and_then(WireValue::text).unwrap_or_default();
    entries.into_iter().map(|(key, value)| (key, text(value))).collect()
}

fn name(kind: FieldKind, value: WireValue<'_>) -> Option<&'static str> {
    let FieldKind::Enum(id) = kind else { return None };
    wire_json::enum_name(id, value.varint()? as i32)
}

fn number(kind: FieldKind, value: WireValue<'_>) -> Option<Scalar<'static>> {
    let number = value.varint()?;
    Some(match kind {
        FieldKind::Int32 => Scalar::Int(i64::from(number as i32)),
        FieldKind::Int64 => Scalar::Int(number as i64),
        FieldKind::Uint32 => Scalar::Uint(u64::from(number as u32)),
        FieldKind::Uint64 => Scalar::Uint(number),
        _ => return None,
    })
}

/// The number in a text, if the text is its canonical form.
fn decimal(digits: &str) -> Option<i64> {
    let number: i64 = digits.parse().ok()?;
    let mut again = Vec::new();
    text::int(&mut again, number);
    (again == digits.as_bytes()).then_some(number)
}

fn is_ip(host: &str) -> bool {
    host.len() <= IP_BYTES_MAX && host.parse::<IpAddr>().is_ok()
}

/// Host and port of an address, such that they determine the address: `HOST:PORT`, with brackets
/// only around an IPv6 address. Any other text is a host.
pub fn host_and_port(address: &str) -> (&str, Option<u16>) {
    let whole = (address, None);
    let Some((host, port)) = address.rsplit_once(':') else { return whole };
    let Some(port) = decimal(port).and_then(|port| u16::try_from(port).ok()) else { return whole };
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return if inner.contains(':') { (inner, Some(port)) } else { whole };
    }
    if host.is_empty() || host.contains([':', '[', ']']) { whole } else { (host, Some(port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_told_from_its_host_and_port() {
        for (address, host, port) in [
            ("10.0.0.1:22", "10.0.0.1", Some(22)),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("host.example:0", "host.example", Some(0)),
            ("2001:db8::1", "2001:db8::1", None),
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:022", "10.0.0.1:022", None),
            ("10.0.0.1:65536", "10.0.0.1:65536", None),
            ("10.0.0.1:+5", "10.0.0.1:+5", None),
            ("10.0.0.1:", "10.0.0.1:", None),
            ("[10.0.0.1]:22", "[10.0.0.1]:22", None),
            (":22", ":22", None),
            ("", "", None),
            ("[x]:1:2", "[x]:1:2", None),
        ] {
            assert_eq!(host_and_port(address), (host, port), "{address}");
        }
    }

    #[test]
    fn a_decimal_is_written_in_one_way() {
        for (digits, number) in [("0", Some(0)), ("-7", Some(-7)), ("127", Some(127))] {
            assert_eq!(decimal(digits), number);
        }
        for digits in ["", "007", "+1", "-0", " 1", "1.0", "9223372036854775808"] {
            assert_eq!(decimal(digits), None, "{digits}");
        }
    }
}
