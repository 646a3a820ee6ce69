//! Environment variables of arguments.

use clap::builder::Resettable;
use clap::{Arg, Command};

/// Ignores empty environment variables of arguments, as container tools expect. Keys of the
/// configuration do the same.
pub fn without_empty(command: Command) -> Command {
    without(command, &|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
}

fn without(command: Command, is_empty: &impl Fn(&std::ffi::OsStr) -> bool) -> Command {
    let argument = |argument: Arg| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(Resettable::Reset),
        _ => argument,
    };
    command.mut_args(argument).mut_subcommands(|inner| without(inner, is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_lose_the_variables_that_are_empty() {
        let given = |name: &'static str| Arg::new(name).long(name).env(name);
        let command = Command::new("main")
            .subcommand(Command::new("inner").args([given("EMPTY"), given("OTHER")]));
        let command = without(command, &|name| name == "EMPTY");
        let inner = command.find_subcommand("inner").expect("it is there");
        let names: Vec<_> = inner.get_arguments().filter_map(Arg::get_env).collect();
        assert_eq!(names, ["OTHER"]);
    }
}
