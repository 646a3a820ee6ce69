//! The command `auditgate`.

fn main() -> std::process::ExitCode {
    auditgate::cli::main()
}
