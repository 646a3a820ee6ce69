//! JSON that keeps the spelling of its values.
//!
//! Numbers stay text (`1.0` is not `1`, and no integer is too big), and an
//! object that names a key twice is refused, since one of its values would be
//! lost without a word.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: usize = 128;

/// The members of an object.
pub type Object = BTreeMap<String, Json>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
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

impl Json {
    /// Reads a text that is one JSON value.
    ///
    /// # Errors
    /// Where the text is not JSON, is nested deeper than [`DEPTH_MAX`], or has
    /// an object that names a key twice.
    pub fn parse(text: &str) -> Result<Self, Error> {
        read(serde_json::from_str(text)?, 0)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }
}

fn read(raw: &RawValue, depth: usize) -> Result<Json, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let ObjectMembers(members) = serde_json::from_str(text)?;
            let mut object = Object::new();
            for (key, value) in members {
                if object.contains_key(&key) {
                    return Err(Error::KeyTwice(key));
                }
                object.insert(key, read(value, depth + 1)?);
            }
            Json::Object(object)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            Json::Array(
                elements
                    .into_iter()
                    .map(|element| read(element, depth + 1))
                    .collect::<Result<_, _>>()?,
            )
        }
        Some(b'"') => Json::String(serde_json::from_str(text)?),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        _ => Json::Number(text.to_owned()),
    })
}

/// The members of one object, in the order in which they stand there.
struct ObjectMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = ObjectMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
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
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => value.fmt(f),
            Json::Number(text) => f.write_str(text),
            Json::String(text) => write_string(text, f),
            Json::Array(elements) => {
                f.write_char('[')?;
                for (position, element) in elements.iter().enumerate() {
                    if position > 0 {
                        f.write_char(',')?;
                    }
                    element.fmt(f)?;
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
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn write_string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).expect("every string has a JSON form"))
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
    fn what_would_lose_something_is_refused() {
        assert!(matches!(Json::parse(r#"{"a":1,"a":1}"#), Err(Error::KeyTwice(key)) if key == "a"));
        assert!(matches!(Json::parse(r#"[{"a":1,"\u0061":2}]"#), Err(Error::KeyTwice(_))));
        assert!(matches!(Json::parse(r#""\ud800""#), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse("{} {}"), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse("01"), Err(Error::Syntax(_))));
        assert!(matches!(Json::parse(""), Err(Error::Syntax(_))));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(&nested(DEPTH_MAX + 1)).is_ok());
        assert!(matches!(Json::parse(&nested(DEPTH_MAX + 2)), Err(Error::TooDeep)));
        assert!(Json::parse(&nested(100_000)).is_err());
    }
}
