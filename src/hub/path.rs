//! Paths to single values of a record, such as `user.name`.

use std::borrow::Cow;

use crate::hub::count::Group;
use crate::record::Record;
use crate::time::Time;
use crate::wire::{self, EVENT, Field, FieldKind, TIMESTAMP, WireValue};

/// The most bytes of a path.
pub const PATH_BYTES_MAX: usize = 256;

/// A path to a single value of a record.
#[derive(Debug, Clone)]
pub enum Path {
    /// A fact that the gateway adds to the record.
    Group(Group),
    /// A field of the event.
    Event(EventPath),
}

/// A path to a single value of an event.
#[derive(Debug, Clone)]
pub struct EventPath {
    /// The field numbers along the path; the last one is the value's.
    numbers: Vec<u32>,
    /// The kind of the value.
    kind: FieldKind,
    /// The name of the payload that it leads into. Events of other types have no value there.
    payload: Option<&'static str>,
    /// Whether the value is an address, whose port is ignored.
    without_port: bool,
}

/// A field whose key is in the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// `user.name`.
    User,
    /// `session.id`.
    Session,
    /// `server.id`.
    Server,
}

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such field.
    #[error("{path:?} is not a field of an event: {name:?} is not known{}", near(.nearest))]
    Unknown {
        /// The beginning of the path.
        path: String,
        /// The unknown name in it.
        name: String,
        /// A similar name.
        nearest: Option<&'static str>,
    },
    /// It leads to a list or a map.
    #[error("{path:?} has no single value: {name} is a list or a map")]
    Repeated {
        /// The path.
        path: String,
        /// The field.
        name: &'static str,
    },
    /// It leads to a message, or through a value.
    #[error("{path:?} does not lead to a value: name one of its fields")]
    NoValue {
        /// The path.
        path: String,
    },
    /// It leads through a value.
    #[error("{path:?} continues after a value: {name} has no fields")]
    BehindValue {
        /// The path.
        path: String,
        /// The field.
        name: &'static str,
    },
}

fn near(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// If the path does not lead to a single value.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "type" => Self::Group(Group::Type),
            "category" => Self::Group(Group::Category),
            "severity" => Self::Group(Group::Severity),
            "result" => Self::Group(Group::Result),
            "address" => {
                let path = EventPath::parse("connection.remote_address")?;
                Self::Event(EventPath { without_port: true, ..path })
            }
            _ => Self::Event(EventPath::parse(text)?),
        })
    }

    /// The key of the field in the columns, if it has one there.
    pub fn keyed(&self) -> Option<Keyed> {
        use crate::event::field;
        let Self::Event(path) = self else { return None };
        match path.numbers.as_slice() {
            [field::USER, field::USER_NAME] => Some(Keyed::User),
            [field::SESSION, field::SESSION_ID] => Some(Keyed::Session),
            [field::SERVER, field::SERVER_ID] => Some(Keyed::Server),
            _ => None,
        }
    }
}

impl EventPath {
    fn parse(text: &str) -> Result<Self, Error> {
        let shown = || text.chars().take(64).collect::<String>();
        let mut numbers = Vec::new();
        let mut payload = None;
        let mut names = text.get(..PATH_BYTES_MAX).unwrap_or(text).split('.').peekable();
        let mut message = EVENT;
        while let Some(name) = names.next() {
            let Some(field) = message.get().field_by_name(name) else {
                return Err(Error::Unknown {
                    path: shown(),
                    name: name.chars().take(64).collect(),
                    nearest: nearest(message.get().fields, name),
                });
            };
            if field.repeated {
                return Err(Error::Repeated { path: shown(), name: field.name });
            }
            if message == EVENT && field.oneof.is_some() {
                payload = Some(field.name);
            }
            numbers.push(field.number);
            match (field.kind, names.peek()) {
                (FieldKind::Message(TIMESTAMP), None) => {}
                (FieldKind::Message(inner), Some(_)) => {
                    message = inner;
                    continue;
                }
                (FieldKind::Message(_) | FieldKind::Bytes, None) => {
                    return Err(Error::NoValue { path: shown() });
                }
                (_, None) => {}
                (_, Some(_)) => return Err(Error::BehindValue { path: shown(), name: field.name }),
            }
            return Ok(Self { numbers, kind: field.kind, payload, without_port: false });
        }
        Err(Error::NoValue { path: shown() })
    }

    /// The value in a record, as text; `None` if it is absent. As everywhere in protobuf, the last
    /// of several values counts, and parts of one message are merged.
    pub fn read<'a>(&self, record: &Record<'a>) -> Option<Cow<'a, [u8]>> {
        let mut values = Self::read_all(&[self], record);
        values.pop().flatten()
    }

    /// The values of several paths in a record, in one pass over it.
    pub fn read_all<'a>(paths: &[&Self], record: &Record<'a>) -> Vec<Option<Cow<'a, [u8]>>> {
        let is_possible = |path: &&&Self| {
            path.payload.is_none_or(|payload| is_payload_of(payload, record.type_name))
        };
        let mut found = vec![None; paths.len()];
        let wanted: Vec<PathRest<'_>> = paths
            .iter()
            .enumerate()
            .filter(|(_, path)| is_possible(path))
            .map(|(place, path)| PathRest { place, numbers: &path.numbers })
            .collect();
        find(record.event, &wanted, &mut found);
        let values = found.into_iter().zip(paths);
        let told = |(value, path): (Option<WireValue<'a>>, &&Self)| {
            Some(match shown(value?, path.kind)? {
                Cow::Borrowed(address) if path.without_port => Cow::Borrowed(without_port(address)),
                value => value,
            })
        };
        values.map(told).collect()
    }
}

/// The address without its port: `10.1.2.3` of `10.1.2.3:22`, `fd00::1` of `[fd00::1]:22`.
fn without_port(address: &[u8]) -> &[u8] {
    let Some(colon) = address.iter().rposition(|byte| *byte == b':') else { return address };
    let (host, port) = address.split_at(colon);
    let is_port = port.len() > 1 && port.iter().skip(1).all(u8::is_ascii_digit);
    match host {
        _ if !is_port => address,
        [b'[', inner @ .., b']'] => inner,
        // An IPv6 address without a port has several colons.
        host if host.contains(&b':') => address,
        host => host,
    }
}

/// The rest of a path, and the position of its value in the result.
struct PathRest<'p> {
    place: usize,
    numbers: &'p [u32],
}

/// Whether events of a type have the payload of this name.
fn is_payload_of(payload: &str, type_name: &str) -> bool {
    if payload == crate::catalog::CUSTOM {
        return type_name.starts_with(crate::catalog::CUSTOM);
    }
    type_name.len() == payload.len()
        && type_name
            .bytes()
            .zip(payload.bytes())
            .all(|(own, other)| own == other || (matches!(own, b'.' | b'-') && other == b'_'))
}

fn find<'a>(message: &'a [u8], wanted: &[PathRest<'_>], found: &mut [Option<WireValue<'a>>]) {
    if wanted.is_empty() {
        return;
    }
    for (number, value) in wire::trusted(message) {
        if !wanted.iter().any(|one| one.numbers.first() == Some(&number)) {
            continue;
        }
        let mut inner = Vec::new();
        for PathRest { place, numbers } in wanted {
            match numbers.split_first() {
                Some((own, rest)) if *own == number && !rest.is_empty() => {
                    inner.push(PathRest { place: *place, numbers: rest });
                }
                Some((own, _)) if *own == number => {
                    if let Some(found) = found.get_mut(*place) {
                        *found = Some(value);
                    }
                }
                _ => {}
            }
        }
        if let Some(message) = value.bytes() {
            find(message, &inner, found);
        }
    }
}

/// A value as text for people.
fn shown(value: WireValue<'_>, kind: FieldKind) -> Option<Cow<'_, [u8]>> {
    let text = match (kind, value) {
        (FieldKind::String, WireValue::Bytes(bytes)) => return Some(Cow::Borrowed(bytes)),
        (FieldKind::Message(_), WireValue::Bytes(bytes)) => {
            let (seconds, nanos) = wire::seconds_and_nanos(bytes);
            Time::from_parts(seconds, nanos)?.to_string()
        }
        (FieldKind::Bool, WireValue::Varint(number)) => (number != 0).to_string(),
        (FieldKind::Int32, WireValue::Varint(number)) => (number as i32).to_string(),
        (FieldKind::Int64, WireValue::Varint(number)) => (number as i64).to_string(),
        (FieldKind::Uint32, WireValue::Varint(number)) => (number as u32).to_string(),
        (FieldKind::Uint64, WireValue::Varint(number)) => number.to_string(),
        (FieldKind::Sint32 | FieldKind::Sint64, WireValue::Varint(number)) => {
            ((number >> 1) as i64 ^ -((number & 1) as i64)).to_string()
        }
        (FieldKind::Enum(id), WireValue::Varint(number)) => {
            let number = number as i32;
            let values = id.get().values;
            let named = values.iter().find(|(own, _)| *own == number).map(|(_, name)| *name);
            // The value 0 is PREFIX_UNSPECIFIED.
            let zero = values.first().map_or("", |(_, name)| *name);
            let prefix = zero.strip_suffix("UNSPECIFIED").unwrap_or_default();
            named.map_or_else(
                || number.to_string(),
                |name| name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase(),
            )
        }
        (FieldKind::Fixed32, WireValue::Fixed32(number)) => number.to_string(),
        (FieldKind::Sfixed32, WireValue::Fixed32(number)) => (number as i32).to_string(),
        (FieldKind::Float, WireValue::Fixed32(number)) => f32::from_bits(number).to_string(),
        (FieldKind::Fixed64, WireValue::Fixed64(number)) => number.to_string(),
        (FieldKind::Sfixed64, WireValue::Fixed64(number)) => (number as i64).to_string(),
        (FieldKind::Double, WireValue::Fixed64(number)) => f64::from_bits(number).to_string(),
        _ => return None,
    };
    Some(Cow::Owned(text.into_bytes()))
}

/// The field with the most similar name.
fn nearest(fields: &'static [Field], name: &str) -> Option<&'static str> {
    let name: String = name.chars().take(64).collect();
    let near = fields.iter().map(|field| (strsim::jaro_winkler(&name, field.name), field.name));
    let best = near.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (best.0 > 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests;
