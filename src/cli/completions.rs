//! `auditgate completions`: prints a completion script for a shell.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Error, ExitKind, count, print};
use crate::catalog;

/// The ids of arguments that are names of event types.
const OF_TYPES: [&str; 3] = ["types", "exclude_types", "event_type"];

/// Print a completion script for a shell
///
/// The script completes commands, flags and their values, event types among them. Print it
/// again after an update, which may bring new types.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  auditgate completions bash > ~/.local/share/bash-completion/completions/auditgate
  auditgate completions zsh > ~/.zfunc/_auditgate
  auditgate completions fish > ~/.config/fish/completions/auditgate.fish

Exit status: 0.")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitKind, Error> {
    let mut script = Vec::new();
    let mut command = with_values(Cli::command());
    clap_complete::generate(args.shell, &mut command, "auditgate", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Adds values to offer to arguments that accept other values, too.
fn with_values(command: Command) -> Command {
    command.mut_args(values).mut_subcommands(with_values)
}

fn values(arg: Arg) -> Arg {
    let offered: Vec<&str> = match arg.get_id().as_str() {
        id if OF_TYPES.contains(&id) => catalog::all().map(|(_, own)| own.name).collect(),
        "by" => count::NAMES.to_vec(),
        _ => return arg,
    };
    arg.value_parser(PossibleValuesParser::new(offered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_are_offered_wherever_they_are_accepted() {
        let script = |shell| {
            let mut script = Vec::new();
            let mut command = with_values(Cli::command());
            clap_complete::generate(shell, &mut command, "auditgate", &mut script);
            String::from_utf8(script).expect("a script is text")
        };
        // tail, search, count and export have --type and --not-type.
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            let offers = script.matches("db.session.sqlserver.rpc_request").count();
            assert!(offers >= 8, "{shell}: {offers}");
            assert!(script.contains("source") && script.contains("doctor"), "{shell}");
        }
    }
}
