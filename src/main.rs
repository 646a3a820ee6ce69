//! The `auditgate` command.

fn main() {}
