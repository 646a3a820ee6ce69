//! Collects the differences between a line and the fields of its event: the entries of
//! `Event.unmapped`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::teleport::json::Json;

/// The most differences below one key of the line that are noted individually; with more, the whole
/// value of the key is kept.
const DIFFERENCES_MAX: usize = 64;
/// The most bytes of their names: each contains the names of its enclosing values, which may be
/// long.
const NAME_BYTES_MAX: usize = 64 * 1024;

/// A step of the path to a value within a line.
#[derive(Debug, Clone, Copy)]
pub enum JsonStep<'j> {
    /// The member of an object.
    Key(&'j str),
    /// The element of an array.
    Index(usize),
}

/// The differences between the line and the fields.
#[derive(Debug, Default)]
pub struct Differences<'j> {
    found: Vec<(Cow<'j, str>, String)>,
    path: Vec<JsonStep<'j>>,
    /// The number of differences before the current key of the line.
    before_key: usize,
}

impl<'j> Differences<'j> {
    /// The names and texts found.
    pub fn entries(&self) -> &[(Cow<'j, str>, String)] {
        &self.found
    }

    /// Descends to a part of the value. Returns the number of differences so far.
    pub fn enter(&mut self, step: JsonStep<'j>) -> usize {
        if self.path.is_empty() {
            self.before_key = self.found.len();
        }
        self.path.push(step);
        self.found.len()
    }

    /// Returns to the enclosing value.
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// Drops the differences after the first `before`.
    pub fn forget_since(&mut self, before: usize) {
        self.found.truncate(before);
    }

    /// Whether there are more after the first `before` than are noted individually.
    pub fn are_many_since(&self, before: usize) -> bool {
        let found = self.found.get(before..).unwrap_or_default();
        found.len() > DIFFERENCES_MAX
            || found.iter().map(|(name, _)| name.len()).sum::<usize>() > NAME_BYTES_MAX
    }

    /// Keeps the value at the current path as text.
    pub fn note(&mut self, json: &Json<'_>) {
        // The whole value of the key will be kept instead.
        if !self.are_many_since(self.before_key) {
            let name = self.name();
            self.found.push((name, json.to_string()));
        }
    }

    /// Keeps the text of a key of the line; an empty text means that the line does not have it.
    pub fn note_key(&mut self, key: &'j str, text: String) {
        self.found.push((name_of_key(key), text));
    }

    /// Keeps the text of a key of the line instead of the differences in it.
    pub fn replace_key(&mut self, key: &'j str, text: String) {
        let below = format!("/{key}/");
        self.found.retain(|(name, _)| *name != key && !name.starts_with(&below));
        self.note_key(key, text);
    }

    /// The name of the current path.
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
