//! Where a line differs from what the fields of its event say: the entries of
//! `Event.unmapped`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::teleport::json::Json;

/// How many differences below one key of the line are told one by one; where
/// there are more, the whole value of the key is kept.
const DIFFERENCES_MAX: usize = 64;
/// The most bytes of their names: each has the names of all that it lies in, which a line
/// may make long.
const NAME_BYTES_MAX: usize = 64 * 1024;

/// A step of the way to a value within a line.
#[derive(Debug, Clone, Copy)]
pub enum JsonStep<'j> {
    /// To the member of an object.
    Key(&'j str),
    /// To the element of an array.
    Index(usize),
}

/// The entries of `Event.unmapped`: where the line differs from the fields.
#[derive(Debug, Default)]
pub struct Differences<'j> {
    found: Vec<(Cow<'j, str>, String)>,
    path: Vec<JsonStep<'j>>,
    /// How many there were before the present key of the line.
    before_key: usize,
}

impl<'j> Differences<'j> {
    /// The names and texts found.
    pub fn entries(&self) -> &[(Cow<'j, str>, String)] {
        &self.found
    }

    /// Goes on to a part of the value. Returns how many differences there were before.
    pub fn enter(&mut self, step: JsonStep<'j>) -> usize {
        if self.path.is_empty() {
            self.before_key = self.found.len();
        }
        self.path.push(step);
        self.found.len()
    }

    /// Goes back to the value that has the part.
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// Forgets the differences behind the first `before`.
    pub fn forget_since(&mut self, before: usize) {
        self.found.truncate(before);
    }

    /// Whether there are more behind the first `before` than are told one by one.
    pub fn are_many_since(&self, before: usize) -> bool {
        let found = self.found.get(before..).unwrap_or_default();
        found.len() > DIFFERENCES_MAX
            || found.iter().map(|(name, _)| name.len()).sum::<usize>() > NAME_BYTES_MAX
    }

    /// Notes that the value at the present path is kept as text.
    pub fn note(&mut self, json: &Json<'_>) {
        // Then the whole value of the key is kept instead.
        if !self.are_many_since(self.before_key) {
            let name = self.name();
            self.found.push((name, json.to_string()));
        }
    }

    /// Notes the text of a key of the line; an empty one says that the line does not have it.
    pub fn note_key(&mut self, key: &'j str, text: String) {
        self.found.push((name_of_key(key), text));
    }

    /// Notes the text of a key of the line instead of what was noted of it and below it.
    pub fn replace_key(&mut self, key: &'j str, text: String) {
        let below = format!("/{key}/");
        self.found.retain(|(name, _)| *name != key && !name.starts_with(&below));
        self.note_key(key, text);
    }

    /// The name of the present path.
    fn name(&self) -> Cow<'j, str> {
        if let [JsonStep::Key(key)] = self.path.as_slice() {
            return name_of_key(key);
        }
        let mut name = String::new();
        for step in &self.path {
            name.push('/');
            match step {
                JsonStep::Key(key) => push_escaped(&mut name, key),
                JsonStep::Index(index) => write!(name, "{index}").expect("a string takes all"),
            }
        }
        Cow::Owned(name)
    }
}

/// The name of a key of the line itself.
fn name_of_key(key: &str) -> Cow<'_, str> {
    if !key.starts_with('/') {
        return Cow::Borrowed(key);
    }
    let mut name = String::from("/");
    push_escaped(&mut name, key);
    Cow::Owned(name)
}

fn push_escaped(name: &mut String, key: &str) {
    for c in key.chars() {
        match c {
            '~' => name.push_str("~0"),
            '/' => name.push_str("~1"),
            c => name.push(c),
        }
    }
}
