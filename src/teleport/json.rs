//! JSON that keeps the spelling of its values.
//!
//! Numbers stay text (`1.0` is not `1`, and no integer is too big), and an object that names a key
//! twice is refused, because one of its values would be lost silently. Parsed values borrow from
//! the text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{self, Write as _};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: usize = 128;

/// The members of an object.
pub type Object<'a> = BTreeMap<Cow<'a, str>, Json<'a>>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in its original spelling.
    Number(Cow<'a, str>),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// Why a text is not JSON, or cannot be kept without loss.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// An object has one key several times.
    #[error("an object has the key {0:?} twice")]
    KeyTwice(String),
    /// Arrays and objects are nested too deep.
    #[error("nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
}

impl<'a> Json<'a> {
    /// Reads a text that is one JSON value.
    ///
    /// # Errors
    /// Where the text is not JSON, is nested deeper than [`DEPTH_MAX`], or has
    /// an object that names a key twice.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        read(text, 0, false)
    }

    /// An owned copy.
    pub fn into_owned(self) -> Json<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Json::Null => Json::Null,
            Json::Bool(value) => Json::Bool(value),
            Json::Number(text) => Json::Number(owned(text)),
            Json::String(text) => Json::String(owned(text)),
            Json::Array(elements) => {
                Json::Array(elements.into_iter().map(Json::into_owned).collect())
            }
            Json::Object(members) => {
                let members = members.into_iter();
                Json::Object(members.map(|(key, value)| (owned(key), value.into_owned())).collect())
            }
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// Reads a value. Nested values were checked with the outer one.
fn read(text: &str, depth: usize, is_checked: bool) -> Result<Json<'_>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    let checked = || match is_checked {
        true => Ok(text),
        false => serde_json::from_str::<&RawValue>(text).map(RawValue::get),
    };
    let first = text.bytes().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    Ok(match first {
        Some(b'{') => {
            let ObjectMembers(members) = serde_json::from_str(text)?;
            let mut object = Object::new();
            for (JsonString(key), value) in members {
                match object.entry(key) {
                    Entry::Occupied(first) => {
                        return Err(Error::KeyTwice(first.key().clone().into_owned()));
                    }
                    Entry::Vacant(place) => {
                        place.insert(read(value.get(), depth + 1, true)?);
                    }
                }
            }
            Json::Object(object)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            let elements = elements.into_iter().map(|element| read(element.get(), depth + 1, true));
            Json::Array(elements.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Json::String(serde_json::from_str::<JsonString<'_>>(text)?.0),
        Some(b't') => checked().map(|_| Json::Bool(true))?,
        Some(b'f') => checked().map(|_| Json::Bool(false))?,
        Some(b'n') => checked().map(|_| Json::Null)?,
        _ => Json::Number(checked()?.into()),
    })
}

/// A string, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of one object, in the order in which they stand there.
struct ObjectMembers<'a>(Vec<(JsonString<'a>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = ObjectMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(ObjectMembers(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// JSON text on one line, without spaces.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self, f, &mut |text, f| f.write_str(text))
    }
}

/// The canonical form: equal for all spellings of one value. Keys are in order, there are
/// no spaces, and a number has one form.
pub struct CanonicalJson<'a>(pub &'a Json<'a>);

impl fmt::Display for CanonicalJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f, &mut canonical_number)
    }
}

fn write(
    json: &Json<'_>,
    f: &mut fmt::Formatter<'_>,
    number: &mut impl FnMut(&str, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    match json {
        Json::Null => f.write_str("null"),
        Json::Bool(value) => fmt::Display::fmt(value, f),
        Json::Number(text) => number(text, f),
        Json::String(text) => write_string(text, f),
        Json::Array(elements) => {
            f.write_char('[')?;
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    f.write_char(',')?;
                }
                write(element, f, number)?;
            }
            f.write_char(']')
        }
        Json::Object(members) => {
            f.write_char('{')?;
            for (position, (key, value)) in members.iter().enumerate() {
                if position > 0 {
                    f.write_char(',')?;
                }
                write_string(key, f)?;
                f.write_char(':')?;
                write(value, f, number)?;
            }
            f.write_char('}')
        }
    }
}

fn write_string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(is_plain) {
        f.write_char('"')?;
        f.write_str(text)?;
        return f.write_char('"');
    }
    f.write_str(&serde_json::to_string(text).expect("every string has a JSON form"))
}

/// A number as its significant digits and a power of ten: `15e-1` for `1.50`, `0` for
/// `-0.0`. One whose exponent has more than 15 digits stays as it is written.
fn canonical_number(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// Exponents of numbers that anybody writes have fewer digits.
    const EXPONENT_DIGITS_MAX: usize = 15;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(positive) => ("-", positive),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_short = exponent.trim_start_matches(['+', '-', '0']).len() <= EXPONENT_DIGITS_MAX;
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent).parse::<i64>();
    let Some(exponent) = exponent.ok().filter(|_| is_short) else { return f.write_str(text) };
    let fraction = fraction.trim_end_matches('0');
    let (digits, power) = if fraction.is_empty() {
        let whole = whole.trim_start_matches('0');
        let digits = whole.trim_end_matches('0');
        (digits.to_owned(), exponent + (whole.len() - digits.len()) as i64)
    } else {
        let digits = [whole, fraction].concat();
        (digits.trim_start_matches('0').to_owned(), exponent - fraction.len() as i64)
    };
    match (digits.is_empty(), power) {
        (true, _) => f.write_char('0'),
        (false, 0) => write!(f, "{sign}{digits}"),
        (false, power) => write!(f, "{sign}{digits}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_as_it_was() {
        for text in [
            "1.0",
            "1e3",
            "1E+3",
            "-0",
            "9007199254740993",
            "123456789012345678901234567890",
            r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"2"}"#,
            r#"{"":[],"a":{},"b":[null,true,false,"x"]}"#,
            r#""a\"\\\n\u0001é😀""#,
        ] {
            assert_eq!(Json::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn escapes_are_another_spelling_of_the_same_string() {
        let plain = Json::parse("\"é/😀\"").expect("JSON");
        assert_eq!(Json::parse(r#""\u00e9\/\ud83d\ude00""#).expect("JSON"), plain);
    }

    #[test]
    fn the_canonical_form_is_that_of_the_value() {
        let canonical = |text: &str| CanonicalJson(&Json::parse(text).expect(text)).to_string();
        for (form, texts) in [
            ("0", &["0", "-0", "0.0", "-0.00e7", "0e-3"][..]),
            ("15e-1", &["1.5", "1.50", "15e-1", "0.15E1", "0.0150e+2"]),
            ("-12e2", &["-1200", "-1.2e3", "-1200.0", "-12E+02"]),
            ("100000000000000000001", &["100000000000000000001", "100000000000000000001.0"]),
            ("1e400", &["1e400", "10e399", "1E+400", "1e0000000000000000000400"]),
            (r#"{"a":[1,"é"],"b":{}}"#, &[r#"{ "b" : {}, "a" : [ 1.0 , "\u00e9" ] }"#]),
        ] {
            for text in texts {
                assert_eq!(canonical(text), form, "{text}");
            }
        }
        // Neither an overflow nor two values with one form.
        for text in ["1e9223372036854775807", "1e99999999999999999999", "0e99999999999999999999"] {
            assert_eq!(canonical(text), text);
        }
        assert_ne!(canonical("\"1\""), canonical("1"));
        assert_ne!(canonical("9007199254740993"), canonical("9007199254740992"));
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        assert!(matches!(Json::parse(r#"{"a":1,"a":1}"#), Err(Error::KeyTwice(key)) if key == "a"));
        assert!(matches!(Json::parse(r#"[{"a":1,"\u0061":2}]"#), Err(Error::KeyTwice(_))));
        assert!(matches!(Json::parse(r#""\ud800""#), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse("{} {}"), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse("01"), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse("nul"), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse("true1"), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse(""), Err(Error::Syntax(_))));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(&nested(DEPTH_MAX + 1)).is_ok());
        assert!(matches!(Json::parse(&nested(DEPTH_MAX + 2)), Err(Error::TooDeep)));
        assert!(matches!(Json::parse(&nested(100_000)), Err(Error::TooDeep)));
    }
}
