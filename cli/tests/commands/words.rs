//! The command line itself: help, completions, and who reads the output.

use std::io::Read;
use std::process::Stdio;

use crate::support::{TRAINED, command, frostline};

/// Every command there is, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = frostline(["--help"]).text();
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_has_a_help_that_explains_every_flag() {
    let commands = commands();
    for expected in [
        "predict",
        "serve",
        "evaluate",
        "features",
        "plan",
        "inspect",
        "convert",
        "doctor",
        "bench",
        "completions",
    ] {
        assert!(commands.iter().any(|name| name == expected), "{expected} is not in {commands:?}");
    }
    for name in commands.iter().filter(|name| *name != "help") {
        let help = frostline([name, "--help"]).text();
        assert!(help.contains("Usage: frostline"), "{help}");
        // A flag without a text would have nothing behind it on its line, nor on the next.
        let lines: Vec<&str> = help.lines().map(str::trim).collect();
        for (i, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| (line.starts_with('-') && !line.starts_with("- ")) || line.starts_with('<'))
        {
            let next = lines.get(i + 1).copied().unwrap_or_default();
            assert!(
                line.contains("  ") || (!next.is_empty() && !next.starts_with('-')),
                "{name}: {line:?} is not explained"
            );
        }
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["predict"],
        &["inspect", "--wings", "x"],
        &["convert", "a", "b", "--to", "keras"],
    ] {
        let ran = frostline(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.stderr.contains("Usage") || ran.stderr.contains("--help"), "{}", ran.stderr);
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = frostline(["completions", shell]).text();
        assert!(commands().iter().all(|name| script.contains(name.as_str())), "{shell}");
    }
    assert_eq!(frostline(["completions", "cmd"]).code, Some(2));
}

/// `| head`: the reader has seen enough and closes the pipe.
#[test]
fn a_closed_pipe_is_no_error() {
    for arguments in [
        &["inspect", &TRAINED.model()][..],
        &["completions", "zsh"],
        &["plan", "--model", "resnet50"],
        &["doctor", "--no-self-test"],
    ] {
        let mut child =
            command(arguments, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
