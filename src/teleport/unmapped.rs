//! `Event.unmapped`: the keys of a line without a field, as JSON text by key.
//!
//! A key is that of the line, or, where it begins with `/`, a JSON pointer (RFC
//! 6901) to a value further down: `/identity/traits/level`, `/resource_ids/0/x`.
//! A key of the line that itself begins with `/` is written as a pointer. The
//! value is the JSON text as the line had it; it takes the place of what the
//! fields of the event say. An empty value says that the line did not have the
//! key at all.

use std::collections::BTreeMap;

use super::json::{Json, Object};

/// The value that says that a key was not there.
pub const ABSENT: &str = "";
/// How many differences below one key of the line are told one by one; where
/// there are more, the whole value of the key is kept.
const DIFFERENCES_MAX: usize = 64;

/// Keys and texts.
pub type Unmapped = BTreeMap<String, String>;

/// What must be laid over `have` to make it `want`.
pub fn difference(want: &Object, have: &Object) -> Unmapped {
    let mut found = Unmapped::new();
    compare_members(want, have, &mut Vec::new(), &mut |path, json| {
        found.insert(name(path), text(json));
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for key in found.keys() {
        *counts.entry(top_key(key)).or_default() += 1;
    }
    for (key, count) in counts {
        if count > DIFFERENCES_MAX {
            found.retain(|name, _| top_key(name) != key);
            found.insert(name(&[&key]), text(want.get(&key)));
        }
    }
    found
}

/// Lays `unmapped` over a line. Returns the entries that have no place in it or
/// are not JSON, which no importer writes.
pub fn apply(unmapped: &Unmapped, line: &mut Object) -> Unmapped {
    let mut left = Unmapped::new();
    for (key, value) in unmapped {
        if apply_one(key, value, line).is_none() {
            left.insert(key.clone(), value.clone());
        }
    }
    left
}

fn apply_one(key: &str, value: &str, line: &mut Object) -> Option<()> {
    let json = if value == ABSENT { None } else { Some(Json::parse(value).ok()?) };
    let path = path(key);
    let (last, parents) = path.split_last()?;
    let Some((first, below)) = parents.split_first() else {
        put(line, last, json);
        return Some(());
    };
    let mut place = line.get_mut(first)?;
    for part in below {
        place = match place {
            Json::Object(members) => members.get_mut(part)?,
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

fn put(members: &mut Object, key: &str, json: Option<Json>) {
    match json {
        Some(json) => members.insert(key.to_owned(), json),
        None => members.remove(key),
    };
}

fn compare_members<'a>(
    want: &'a Object,
    have: &'a Object,
    path: &mut Vec<&'a str>,
    report: &mut impl FnMut(&[&str], Option<&Json>),
) {
    for (key, want) in want {
        path.push(key);
        match have.get(key) {
            Some(have) => compare(want, have, path, report),
            None => report(path, Some(want)),
        }
        path.pop();
    }
    for key in have.keys().filter(|key| !want.contains_key(*key)) {
        path.push(key);
        report(path, None);
        path.pop();
    }
}

fn compare<'a>(
    want: &'a Json,
    have: &'a Json,
    path: &mut Vec<&'a str>,
    report: &mut impl FnMut(&[&str], Option<&Json>),
) {
    match (want, have) {
        (Json::Object(want), Json::Object(have)) => compare_members(want, have, path, report),
        (Json::Array(elements), Json::Array(others)) if elements.len() == others.len() => {
            for (position, (want, have)) in elements.iter().zip(others).enumerate() {
                let position = position.to_string();
                // The position does not live as long as the keys, so it gets a
                // path of its own.
                let mut path = path.clone();
                path.push(&position);
                compare(want, have, &mut path, report);
            }
        }
        _ if want == have => {}
        _ => report(path, Some(want)),
    }
}

fn text(json: Option<&Json>) -> String {
    json.map_or_else(|| ABSENT.to_owned(), Json::to_string)
}

/// The key in `unmapped` of a path within a line.
fn name(path: &[&str]) -> String {
    match path {
        [key] if !key.starts_with('/') => (*key).to_owned(),
        _ => path
            .iter()
            .flat_map(|part| ["/".to_owned(), part.replace('~', "~0").replace('/', "~1")])
            .collect(),
    }
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

fn top_key(name: &str) -> String {
    path(name).swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        match Json::parse(text).expect(text) {
            Json::Object(members) => members,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn differences_are_told_by_their_place() {
        let want = object(
            r#"{"a":1.0,"b":{"c":[{"d":1},{"d":2}],"x/~y":null},"/s":"t","l":[1],"same":[1,{}]}"#,
        );
        let have =
            object(r#"{"a":1,"b":{"c":[{"d":1},{"d":3}],"e":5},"l":[],"same":[1,{}],"extra":0}"#);
        let found = difference(&want, &have);
        let expected = [
            ("a", "1.0"),
            ("/b/c/1/d", "2"),
            ("/b/x~1~0y", "null"),
            ("/b/e", ABSENT),
            ("/~1s", "\"t\""),
            ("l", "[1]"),
            ("extra", ABSENT),
        ];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let mut line = have;
        assert_eq!(apply(&found, &mut line), Unmapped::new());
        assert_eq!(line, want);
    }

    #[test]
    fn many_differences_are_told_as_a_whole() {
        let list = |value: &str, length| {
            object(&format!(r#"{{"l":[{}],"m":1}}"#, vec![value; length].join(",")))
        };
        let few = difference(&list("1.0", DIFFERENCES_MAX), &list("1", DIFFERENCES_MAX));
        assert_eq!(few.len(), DIFFERENCES_MAX);
        let (want, have) = (list("1.0", DIFFERENCES_MAX + 1), list("1", DIFFERENCES_MAX + 1));
        let many = difference(&want, &have);
        assert_eq!(many.keys().collect::<Vec<_>>(), ["l"]);
        let mut line = have;
        assert!(apply(&many, &mut line).is_empty());
        assert_eq!(line, want);
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
