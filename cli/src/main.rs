//! The command `frostline`.

use std::process::ExitCode;

fn main() -> ExitCode {
    frostline_cli::main()
}
