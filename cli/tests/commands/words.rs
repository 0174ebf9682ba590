//! The command line itself: help, completions, and readers of the output.

use std::fs;
use std::io::Read;
use std::path::Path;
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
        // A flag without a text would have nothing after it on its line, nor on the next.
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

/// Then every line of standard error is JSON, and standard output contains only results.
#[test]
fn errors_are_json_where_results_are() {
    for (code, arguments, word) in [
        (1, &["predict", "nowhere", "x.png"][..], "no model here"),
        (1, &["train", "nowhere"], "no such folder"),
        (1, &["evaluate", &TRAINED.model(), "nowhere"], "nowhere"),
        (2, &["train", "x", "--lr", "0"], "above 0"),
        (2, &["fly"], "unrecognized subcommand"),
        (2, &["train", "x", "--weights", "none"], "needs --model"),
    ] {
        let ran = frostline([arguments, &["--json"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{arguments:?}");
        let told = ran.told("error");
        assert!(matches!(&told[..], [one] if one.contains(word) && !one.starts_with("error")), "{told:?}");
        let text = frostline(arguments);
        assert_eq!(text.code, Some(code));
        assert!(text.stderr.starts_with("error: ") && text.stderr.contains(word), "{}", text.stderr);
    }
    // A warning, and results all the same.
    let folder = tempfile::tempdir().unwrap();
    for class in ["blue", "red"] {
        fs::create_dir(folder.path().join(class)).unwrap();
        let photo = format!("{class}/0.png");
        fs::copy(Path::new(&TRAINED.photos()).join(&photo), folder.path().join(&photo)).unwrap();
    }
    let ran = frostline(["evaluate", &TRAINED.model(), folder.path().to_str().unwrap(), "--json"]);
    let told = ran.told("warning");
    assert!(matches!(&told[..], [one] if one.contains("no photos of green")), "{told:?}");
    assert_eq!(ran.json()["photos"], 2);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = frostline(["completions", shell]).text();
        assert!(commands().iter().all(|name| script.contains(name.as_str())), "{shell}");
    }
    assert_eq!(frostline(["completions", "cmd"]).code, Some(2));
}

/// `| head`: the reader closes the pipe early.
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
