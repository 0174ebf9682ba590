//! `frostline completions`: a script for shell completion.

use crate::{CommandLine, Error, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

/// The flags.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn run(&self) -> Result<()> {
        let mut script = vec![];
        clap_complete::generate(self.shell, &mut CommandLine::command(), "frostline", &mut script);
        std::io::stdout().lock().write_all(&script).map_err(Error::Output)
    }
}
