//! A chapter that runs: what it found, told on the terminal and kept in `results.json`.

use crate::assets::Assets;
use crate::error::Result;
use crate::outline::{Flags, Outline};
use crate::results::write_json;
use crate::verdict::{Claim, Verdict};
use clap::Args;
use frostline_charts::Table;
use frostline_engine::Gpu;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// A chapter that runs.
pub struct Chapter {
    /// What it says of itself.
    pub outline: Outline,
    /// Its flags.
    pub flags: Flags,
    /// The device.
    pub gpu: Arc<Gpu>,
    /// The embedded data and weights.
    pub assets: Assets,
    start: Instant,
    tables: Vec<Table>,
    claims: Vec<Claim>,
    figures: Vec<Value>,
    quiz: Option<Value>,
    extra: Map<String, Value>,
}

/// Runs the chapter: reads the flags, opens the device, calls `body`, and writes `results.json` with
/// what `body` told. For `main`.
pub fn run<E: Args>(outline: &Outline, body: impl FnOnce(&mut Chapter, E) -> Result<()>) -> ExitCode {
    let (flags, own) = match outline.read::<E>(std::env::args_os()) {
        Ok(read) => read,
        // Prints to the right stream, with the right code: `--help` is one of these errors.
        Err(error) => error.exit(),
    };
    match Chapter::open(outline, flags).and_then(|mut chapter| {
        body(&mut chapter, own)?;
        chapter.close()
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Chapter {
    /// A chapter with `flags`, on the best device there is; [`run`] does the rest as well.
    ///
    /// # Errors
    /// If there is no device.
    pub fn open(outline: &Outline, flags: Flags) -> Result<Self> {
        let gpu = Arc::new(Gpu::new()?);
        for warning in gpu.warnings() {
            eprintln!("warning: {warning}");
        }
        let chapter = Self {
            outline: *outline,
            flags,
            gpu,
            assets: Assets::default(),
            start: Instant::now(),
            tables: vec![],
            claims: vec![],
            figures: vec![],
            quiz: None,
            extra: Map::new(),
        };
        chapter.say(format!("Chapter {}: {}   on {}\n", outline.number, outline.title, chapter.gpu.describe()));
        Ok(chapter)
    }

    /// Prints a line, unless the terminal is for JSON.
    pub fn say(&self, line: impl std::fmt::Display) {
        if !self.flags.json {
            println!("{line}");
        }
    }

    /// Prints and keeps a table.
    pub fn table(&mut self, table: Table) {
        self.say(&table);
        self.tables.push(table);
    }

    /// Keeps a claim with its verdict; all are printed at the end.
    pub fn claim(&mut self, claim: impl Into<String>, verdict: Verdict, evidence: impl Into<String>) {
        self.claims.push(Claim { claim: claim.into(), verdict, evidence: evidence.into() });
    }

    /// The path for a figure named `file` (`curves.png`), which is listed with its caption.
    pub fn figure(&mut self, file: &str, caption: &str) -> PathBuf {
        self.figures.push(json!({ "file": file, "caption": caption }));
        self.flags.out.join(file)
    }

    /// The quiz question, and its answer from the run's own numbers.
    pub fn quiz(&mut self, question: impl Into<String>, answer: impl Into<String>) {
        self.quiz = Some(json!({ "question": question.into(), "answer": answer.into() }));
    }

    /// Keeps `value` in `results.json` under `name`.
    pub fn keep(&mut self, name: &str, value: Value) {
        self.extra.insert(name.to_owned(), value);
    }

    fn close(self) -> Result<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        let Flags { model, images, seeds, steps, epochs, batch, lr, quick, .. } = &self.flags;
        let mut results = json!({
            "chapter": self.outline.number, "title": self.outline.title, "claim": self.outline.claim,
            "adapter": self.gpu.describe(), "seconds": seconds,
            "settings": {
                "model": model, "images": images, "seeds": seeds, "steps": steps, "epochs": epochs, "batch": batch, "lr": lr, "quick": quick,
            },
            "claims": self.claims, "tables": self.tables, "figures": self.figures, "quiz": self.quiz,
        });
        if let Value::Object(results) = &mut results {
            results.extend(self.extra.clone());
        }
        let path = self.flags.out.join("results.json");
        write_json(&path, &results)?;
        if self.flags.json {
            println!("{results:#}");
            return Ok(());
        }
        for Claim { claim, verdict, evidence } in &self.claims {
            println!("\n{claim}\n  {verdict}: {evidence}");
        }
        if let Some(quiz) = &self.quiz {
            let text = |key: &str| quiz[key].as_str().unwrap_or_default().to_owned();
            println!("\nQuiz: {}\n  {}", text("question"), text("answer"));
        }
        println!("\n{seconds:.0} s; figures and numbers in {}", self.flags.out.display());
        Ok(())
    }
}
