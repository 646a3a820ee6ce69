//! cli (temporary)
#[cfg(feature = "server")]
mod serve;
use clap::{Parser, Subcommand};
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    c: Cmd,
}
#[derive(Subcommand)]
enum Cmd {
    #[cfg(feature = "server")]
    Serve(serve::Serve),
}
/// main
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let rt = tokio::runtime::Runtime::new().expect("rt");
    match cli.c {
        #[cfg(feature = "server")]
        Cmd::Serve(s) => rt.block_on(s.run()),
    }
}
