//! The sources of a configuration: a file, the environment, and a flag for each key with a single
//! value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Error, client};
use crate::config::{ConfigKey, KeyKind, LoadedSettings, Overrides, SharedSettings, keys};

/// Name of the argument that names the file.
const FILE: &str = "config";
/// The environment variable that names the file.
const FILE_VARIABLE: &str = "AUDITGATE_CONFIG";

/// The file, and the flags that were given.
#[derive(Debug, Clone)]
pub struct ConfigSource {
    file: Option<PathBuf>,
    flags: BTreeMap<String, String>,
}

impl ConfigSource {
    /// Whether there is a file to read again.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Uses this file from now on.
    pub fn use_file(&mut self, file: PathBuf) {
        self.file = Some(file);
    }

    /// Reads the configuration; also again, while the gateway runs.
    pub fn load(&self) -> Result<LoadedSettings, Error> {
        let overlay = Overrides { flags: self.flags.clone(), environment: variables() };
        Ok(LoadedSettings::read(self.file.as_deref(), &overlay)?)
    }

    fn of<'k>(matches: &ArgMatches, keys: impl Iterator<Item = &'k ConfigKey>) -> Self {
        let text = |key: &ConfigKey| {
            let text = matches.get_one::<String>(&key.path)?;
            Some((key.path.clone(), text.clone()))
        };
        Self {
            file: matches.get_one::<PathBuf>(FILE).cloned(),
            flags: keys.filter_map(text).collect(),
        }
    }
}

/// The environment variables with the prefix of keys.
fn variables() -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    for client in client::VARIABLES.into_iter().chain([FILE_VARIABLE]) {
        environment.remove(client);
    }
    environment
}

impl clap::FromArgMatches for ConfigSource {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::of(matches, keys().iter().filter(|key| key.is_single())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for ConfigSource {
    fn augment_args(command: Command) -> Command {
        let flags = keys().iter().filter(|key| key.is_single()).map(argument);
        command.arg(file()).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The sources of the `shared` section alone, for commands that need no other part: the same file,
/// variables and flags as `serve`.
#[derive(Debug, Clone)]
pub struct SharedSource(ConfigSource);

impl SharedSource {
    /// Reads the section.
    pub fn load(&self) -> Result<SharedSettings, Error> {
        let ConfigSource { file, flags } = &self.0;
        let overlay = Overrides { flags: flags.clone(), environment: variables() };
        Ok(LoadedSettings::read_shared(file.as_deref(), &overlay)?.settings.shared)
    }

    fn keys() -> impl Iterator<Item = &'static ConfigKey> {
        keys().iter().filter(|key| key.is_single() && key.path.starts_with("shared."))
    }
}

impl clap::FromArgMatches for SharedSource {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(ConfigSource::of(matches, Self::keys())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for SharedSource {
    fn augment_args(command: Command) -> Command {
        command.arg(file()).args(Self::keys().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn file() -> Arg {
    Arg::new(FILE)
        .long(FILE)
        .value_name("FILE")
        .env(FILE_VARIABLE)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Read the configuration from this TOML file; flags and variables override it")
}

fn argument(key: &ConfigKey) -> Arg {
    let mut help = key.summary().to_owned();
    if !key.choices.is_empty() {
        let names: Vec<&str> = key.choices.iter().map(|(name, _)| name.as_str()).collect();
        help.push_str(&format!(": {}", names.join(", ")));
    }
    if let Some(default) = key.default.as_ref().filter(|_| key.kind != KeyKind::Truth) {
        help.push_str(&format!(" [default: {}]", default.trim_matches('"')));
    }
    help.push_str(&format!(" [env: {}]", key.variable()));
    let argument = Arg::new(&key.path)
        .long(key.flag())
        .action(ArgAction::Set)
        .overrides_with(&key.path)
        .help(help);
    let argument = match key.path.split_once('.') {
        Some((table, _)) => argument.help_heading(format!("[{table}]")),
        None => argument,
    };
    match key.kind {
        KeyKind::Truth => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false"),
        _ => argument.value_name(key.value_name.clone()),
    }
}
