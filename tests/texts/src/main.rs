//! Writes every text as JSON: `frostline-texts FILE`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: frostline-texts FILE");
        return ExitCode::FAILURE;
    };
    let texts = frostline_texts::texts(&frostline_texts::tunings());
    let folder = std::path::Path::new(&path).parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(Err(error)) = folder.map(std::fs::create_dir_all) {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    let json = serde_json::to_string(&texts).expect("texts are plain data");
    if let Err(error) = std::fs::write(&path, json) {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    println!("{path}: {} texts", texts.len());
    ExitCode::SUCCESS
}
