//! Reads a configuration, and remembers where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

use super::keys::VARIABLE_PREFIX;
use super::{ConfigKey, Error, KeyKind, Settings, keys, value_check};
use crate::text;

/// The similarity from which a name is suggested; 1 is equality.
const SIMILARITY_MIN: f64 = 0.6;

/// Values that override the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Path of a key, and its text on the command line.
    pub flags: BTreeMap<String, String>,
    /// Name of a variable, and its text. A name that is similar to that of a key is an error;
    /// others are ignored, because container runtimes set variables of their own.
    pub environment: BTreeMap<String, String>,
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => path.display().fmt(f),
            Origin::Variable(name) => name.fmt(f),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A configuration, with the origin of each value that is not the default.
#[derive(Debug, Clone)]
pub struct LoadedSettings {
    /// The validated configuration.
    pub settings: Settings,
    /// Origins by path; a list has one.
    pub origins: BTreeMap<String, Origin>,
}

impl LoadedSettings {
    /// Reads the file, if there is one. The environment overrides it, and flags override both.
    ///
    /// # Errors
    /// If the file cannot be read, has an unknown key, or has a value that is not valid: the
    /// first fault, with its key and origin.
    pub fn read(file: Option<&Path>, overlay: &Overrides) -> Result<Self, Error> {
        Self::read_with(file, overlay, Settings::check)
    }

    /// Reads the settings that reach the stream of a shared log; the others may be missing.
    ///
    /// # Errors
    /// The errors of [`LoadedSettings::read`].
    pub fn read_shared(file: Option<&Path>, overlay: &Overrides) -> Result<Self, Error> {
        Self::read_with(file, overlay, |settings| settings.shared.check_reachable())
    }

    fn read_with(
        file: Option<&Path>,
        overlay: &Overrides,
        check: impl FnOnce(&Settings) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut origins = BTreeMap::new();
        let mut table = Table::new();
        if let Some(file) = file {
            table = parse(file)?;
            check_names(file, "", &table)?;
            note(file, "", &table, &mut origins);
            resolve(file.parent().unwrap_or(Path::new("")), "", &mut table);
        }
        for name in
            overlay.environment.iter().filter(|(_, text)| !text.is_empty()).map(|(name, _)| name)
        {
            check_variable(name)?;
        }
        for key in keys().iter().filter(|key| key.is_single()) {
            let variable = key.variable();
            // An empty variable counts as unset, as container tools expect.
            let of_environment = overlay.environment.get(&variable).filter(|text| !text.is_empty());
            let (text, origin) = match (overlay.flags.get(&key.path), of_environment) {
                (Some(text), _) => (text, Origin::Flag(key.flag())),
                (None, Some(text)) => (text, Origin::Variable(variable)),
                (None, None) => continue,
            };
            let value = key.parse(text).map_err(|what| Error::Value {
                key: key.path.clone(),
                origin: Some(origin.to_string()),
                what,
            })?;
            put(&mut table, &key.path, value);
            origins.insert(key.path.clone(), origin);
        }
        let settings = value_check::check(&table)
            .map(|()| value_check::resolve_addresses(&mut table))
            .and_then(|()| settings(table))
            .and_then(|settings| check(&settings).map(|()| settings));
        match settings {
            Ok(settings) => Ok(Self { settings, origins }),
            Err(error) => Err(located(error, &origins)),
        }
    }
}

fn parse(file: &Path) -> Result<Table, Error> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::Unreadable { file: file.to_owned(), error })?;
    text.parse().map_err(|error| Error::Malformed { file: file.to_owned(), error: Box::new(error) })
}

fn settings(table: Table) -> Result<Settings, Error> {
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(Value::Table(table), &mut track);
    Settings::deserialize(deserializer).map_err(|error| {
        // Only the first line: the others quote a text that the operator did not write.
        let what = error.to_string();
        Error::value(track.path().to_string(), what.lines().next().unwrap_or_default())
    })
}

/// The error with the origin of its value.
fn located(error: Error, origins: &BTreeMap<String, Origin>) -> Error {
    let Error::Value { key, origin: None, what } = error else { return error };
    let path = key.split('[').next().unwrap_or_default();
    let origin = origins
        .iter()
        .find(|(known, _)| *known == path || path.starts_with(&format!("{known}.")))
        .map(|(_, origin)| origin.to_string());
    Error::Value { key, origin, what }
}

fn put(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// Records the file as the origin of its values.
fn note(file: &Path, prefix: &str, table: &Table, origins: &mut BTreeMap<String, Origin>) {
    for (name, value) in table {
        let path = join(prefix, name);
        match value {
            Value::Table(inner) => note(file, &path, inner, origins),
            _ => {
                origins.insert(path, Origin::File(file.to_owned()));
            }
        }
    }
}

/// Makes paths in a file, which are relative to its directory, relative to the working directory.
fn resolve(folder: &Path, prefix: &str, table: &mut Table) {
    for (name, value) in table {
        let path = join(prefix, name);
        match value {
            Value::Table(inner) => resolve(folder, &path, inner),
            Value::Array(entries) => {
                for entry in entries.iter_mut().filter_map(Value::as_table_mut) {
                    resolve(folder, &format!("{path}[]"), entry);
                }
            }
            Value::String(text) if find(&path).is_some_and(ConfigKey::is_path) => {
                if let Some(joined) = folder.join(&*text).to_str() {
                    *text = joined.to_owned();
                }
            }
            _ => {}
        }
    }
}

/// Checks that every key exists.
fn check_names(file: &Path, prefix: &str, table: &Table) -> Result<(), Error> {
    for (name, value) in table {
        let path = join(prefix, name);
        let Some(key) = find(&path) else {
            let nearest = nearest(&path);
            return Err(Error::KeyUnknown { file: file.to_owned(), key: path, nearest });
        };
        match (key.kind, value) {
            (KeyKind::Table, Value::Table(inner)) => check_names(file, &path, inner)?,
            (KeyKind::Tables, Value::Array(entries)) => {
                for entry in entries.iter().filter_map(Value::as_table) {
                    check_names(file, &format!("{path}[]"), entry)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a variable is not a misspelt variable of a key.
fn check_variable(name: &str) -> Result<(), Error> {
    let Some(own) = name.strip_prefix(VARIABLE_PREFIX) else { return Ok(()) };
    let known = keys().iter().filter(|key| key.is_single()).map(ConfigKey::variable);
    let similarity = |known: &str| {
        let known = known.trim_start_matches(VARIABLE_PREFIX);
        text::similarity(own, known)
    };
    let scored = known.map(|known| (similarity(&known), known));
    match scored.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((similarity, nearest)) if similarity >= SIMILARITY_MIN && nearest != name => {
            Err(Error::VariableUnknown { name: name.to_owned(), nearest })
        }
        _ => Ok(()),
    }
}

fn find(path: &str) -> Option<&'static ConfigKey> {
    keys().iter().find(|key| key.path == path)
}

/// The key most similar to a path, or to its last name, so that a key in the wrong table is found.
fn nearest(path: &str) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let similarity = |key: &&ConfigKey| {
        let whole = text::similarity(path, &key.path);
        let name = text::similarity(&last(path), &last(&key.path));
        whole.max(name * 0.95)
    };
    let scored = keys().iter().map(|key| (similarity(&key), key));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN).map(|(_, key)| key.path.clone())
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
