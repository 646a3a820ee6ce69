//! `Event.unmapped`: the keys of a line without a field, as JSON text by key.
//!
//! A key is that of the line or, if it begins with `/`, a JSON pointer (RFC 6901) to a nested
//! value: `/identity/traits/level`, `/resource_ids/0/x`. A key of the line that itself begins with
//! `/` is written as a pointer. The value is the JSON text of the line, which replaces that of the
//! event's fields. An empty value means that the line did not have the key.

use std::collections::BTreeMap;

use super::json::{Json, Object};

/// The value of a key that the line did not have.
pub const ABSENT: &str = "";
/// Keys and texts.
pub type Unmapped = BTreeMap<String, String>;

/// Applies `unmapped` to a line. Returns the entries that have no place in it or are not JSON,
/// which no importer writes.
pub fn apply(unmapped: &Unmapped, line: &mut Object<'static>) -> Unmapped {
    let mut left = Unmapped::new();
    for (key, value) in unmapped {
        if apply_one(key, value, line).is_none() {
            left.insert(key.clone(), value.clone());
        }
    }
    left
}

fn apply_one(key: &str, value: &str, line: &mut Object<'static>) -> Option<()> {
    let json = if value == ABSENT { None } else { Some(Json::parse(value).ok()?.into_owned()) };
    let path = path(key);
    let (last, parents) = path.split_last()?;
    let Some((first, below)) = parents.split_first() else {
        put(line, last, json);
        return Some(());
    };
    let mut place = line.get_mut(first.as_str())?;
    for part in below {
        place = match place {
            Json::Object(members) => members.get_mut(part.as_str())?,
            Json::Array(elements) => elements.get_mut(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match place {
        Json::Object(members) => put(members, last, json),
        Json::Array(elements) => *elements.get_mut(last.parse::<usize>().ok()?)? = json?,
        _ => return None,
    }
    Some(())
}

fn put(members: &mut Object<'static>, key: &str, json: Option<Json<'static>>) {
    match json {
        Some(json) => members.insert(key.to_owned().into(), json),
        None => members.remove(key),
    };
}

/// The path within a line of a key in `unmapped`.
fn path(name: &str) -> Vec<String> {
    match name.strip_prefix('/') {
        None => vec![name.to_owned()],
        Some(pointer) => {
            pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'static> {
        match Json::parse(text).expect(text).into_owned() {
            Json::Object(members) => members,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn what_has_no_place_is_handed_back() {
        let mut line = object(r#"{"a":[0],"s":"text"}"#);
        let before = line.clone();
        let unmapped: Unmapped =
            [("a", "not JSON"), ("/a/7", "1"), ("/a/0", ABSENT), ("/b/c", "1"), ("/s/x", "1")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        assert_eq!(apply(&unmapped, &mut line), unmapped);
        assert_eq!(line, before);
    }
}
