//! The report of a chapter: tables, figures, verdicts and a quiz, all from finished runs.

use super::lab::Lab;
use super::plan::{Plan, sizes, unique};
use super::trial::VALIDATION_AFTER;
use crate::data::track::Task;
use crate::error::Result;
use crate::outline::Outline;
use crate::results::write_json;
use frostline_charts::bars::{self, Bar, Bars, Row};
use frostline_charts::figure::{Curve, Panel};
use frostline_charts::forest::{self, Forest};
use frostline_charts::heatmap::{self, HeatMap, Place};
use frostline_charts::{Cell as Entry, Spread, Table};
use frostline_study::{Cell, Finding, MARGIN, POINTS, Run, Runs, as_written};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Verdicts in the order of the colours that they have in figures.
const VERDICTS: [&str; 4] = ["inconclusive", "contradicted", "supported", "equivalent"];

/// The report of a chapter.
pub struct Report<'a> {
    /// Flags, data and weights. A report from finished runs opens no device.
    pub lab: &'a Lab,
    /// The finished runs of the chapter's plan.
    pub runs: Runs,
    /// The findings about the chapter's claims, in the claims' order.
    pub findings: Vec<Finding>,
    outline: &'a Outline,
    rehearsal: bool,
    missing: usize,
    cells: Vec<Cell>,
    tables: Vec<Table>,
    figures: Vec<Value>,
    quiz: Option<Value>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        plan: &Plan<'a>,
        outline: &'a Outline,
        runs: Runs,
        missing: usize,
        findings: Vec<Finding>,
        rehearsal: bool,
    ) -> Self {
        Self {
            lab: plan.lab,
            runs,
            findings,
            outline,
            rehearsal,
            missing,
            cells: plan.cells(),
            tables: vec![],
            figures: vec![],
            quiz: None,
        }
    }

    /// Prints a line, unless the output is JSON.
    pub fn say(&self, line: impl std::fmt::Display) {
        if !self.lab.flags.json {
            println!("{line}");
        }
    }

    /// Prints and keeps a table.
    pub fn table(&mut self, table: Table) {
        self.say(&table);
        self.tables.push(table);
    }

    /// The cells of the plan, in its order.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Accuracy of `cell` in `test`, in %, mean and deviation over seeds, for a table. A star marks runs that
    /// have not converged.
    pub fn accuracy(&self, cell: &Cell, test: &str) -> Entry {
        let Some(spread) = Spread::of(&self.runs.accuracies(cell, test)) else { return Entry::Empty };
        if self.runs.cell(cell).iter().all(|run| run.converged()) {
            Entry::Spread(spread)
        } else {
            format!("{spread}*").into()
        }
    }

    /// A number that runs keep, mean and deviation over seeds, for a table.
    pub fn number(&self, cell: &Cell, name: &str) -> Entry {
        Entry::spread(&self.runs.numbers(cell, name))
    }

    /// Seconds of training, mean and deviation over seeds, for a table.
    pub fn seconds(&self, cell: &Cell) -> Entry {
        Entry::spread(&self.runs.cell(cell).iter().map(|run| run.seconds).collect::<Vec<_>>())
    }

    /// Mean accuracy of `cell` in `test`, in %; not a number without runs.
    pub fn mean(&self, cell: &Cell, test: &str) -> f64 {
        Spread::of(&self.runs.accuracies(cell, test)).map_or(f64::NAN, |spread| spread.mean)
    }

    /// Mean accuracy of `cell` in `test` in words: `61.3%`, or that it was not measured.
    pub fn percent(&self, cell: &Cell, test: &str) -> String {
        let spread = Spread::of(&self.runs.accuracies(cell, test));
        spread.map_or("not measured yet".to_owned(), |spread| format!("{:.1}%", spread.mean))
    }

    /// Prints and keeps a table of the accuracies in `test` for each task: one row for each condition and one
    /// column for each number of images that have this test.
    pub fn accuracies(&mut self, test: &str) {
        for task in self.tasks() {
            let tested = |cell: &&Cell| cell.task == task && !self.runs.accuracies(cell, test).is_empty();
            let cells: Vec<&Cell> = self.cells.iter().filter(tested).collect();
            let conditions = unique(cells.iter().map(|cell| cell.condition.as_str()));
            let mut sizes = unique(cells.iter().map(|cell| cell.images));
            sizes.sort_unstable();
            if sizes.is_empty() {
                continue;
            }
            let names: Vec<String> = sizes.iter().map(|n| format!("{n} images")).collect();
            let title = format!("{task}: accuracy in %, {test}, mean ± standard deviation over seeds");
            let mut table = Table::new(title, &names.iter().map(String::as_str).collect::<Vec<_>>());
            for condition in conditions {
                let entry = |&n: &usize| self.accuracy(&Cell::new(&task, condition, n), test);
                table.row(condition, sizes.iter().map(entry));
            }
            self.table(table);
        }
    }

    /// Prints and keeps a table of numbers that runs keep, means and deviations over seeds: a column for each of
    /// `names`, a row for each cell that has them.
    pub fn numbers(&mut self, title: &str, names: &[&str]) {
        let mut table = Table::new(title, names);
        for cell in &self.cells {
            if names.iter().any(|name| !self.runs.numbers(cell, name).is_empty()) {
                table.row(cell.to_string(), names.iter().map(|name| self.number(cell, name)));
            }
        }
        self.table(table);
    }

    /// Prints and keeps a table of the test accuracies of `task` on images of `classes` alone.
    pub fn by_class(&mut self, task: &Task, classes: &[&str]) {
        let labels = &task.test().labels;
        let mut table = Table::new(format!("{}: test accuracy in % by class", task.name), classes);
        for cell in self.cells.iter().filter(|cell| cell.task == task.name) {
            let entry = |name: &&str| {
                let class = task.pool.classes.iter().position(|class| class == name);
                let share = |run: &&Run| {
                    let answers = run.answers.get("test").filter(|answers| answers.len() == labels.len())?;
                    answers.per_class(labels, task.pool.classes.len()).get(class?).copied().flatten()
                };
                let shares: Vec<f64> = self.runs.cell(cell).iter().filter_map(share).collect();
                Entry::spread(&shares.iter().map(|share| 100.0 * share).collect::<Vec<_>>())
            };
            table.row(cell.to_string(), classes.iter().map(entry));
        }
        self.table(table);
    }

    /// Prints and keeps a table of the cost of a training step of each cell, with its accuracy. Prints the
    /// seconds of a run as well, but does not keep them: they are in the last entry of `results.json`.
    pub fn costs(&mut self) {
        let columns = ["accuracy", "million MACs", "dispatches", "kept, KiB"];
        let mut table = Table::new("test accuracy in %, and what a step costs", &columns);
        let mut seconds = Table::new("seconds of a run", &["s"]);
        for cell in &self.cells {
            let Some(cost) = self.runs.cell(cell).first().map(|run| run.cost) else { continue };
            let (macs, kept) = (cost.macs as f64 / 1e6, cost.kept_bytes as f64 / 1024.0);
            let cost =
                [Entry::Number(macs, 1), Entry::Number(cost.dispatches as f64, 0), Entry::Number(kept, 0)];
            table.row(cell.to_string(), std::iter::once(self.accuracy(cell, "test")).chain(cost));
            seconds.row(cell.to_string(), [self.seconds(cell)]);
        }
        self.table(table);
        self.say(&seconds);
    }

    /// A panel of test accuracies by the cost of a training step, one curve for each task and number of
    /// images.
    pub fn by_cost(&self) -> Panel {
        let columns = unique(self.cells.iter().map(|cell| (cell.task.clone(), cell.images)));
        let curve = |(color, (task, n)): (usize, &(String, usize))| {
            let cells = self.cells.iter().filter(|cell| cell.task == *task && cell.images == *n);
            let macs = |cell: &Cell| Some(self.runs.cell(cell).first()?.cost.macs as f64 / 1e6);
            let points = cells.filter_map(|cell| Some((macs(cell)?, self.runs.accuracies(cell, "test"))));
            let mut points: Vec<(f64, Vec<f64>)> = points.collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Curve::of_spreads(format!("{task}, {n} images"), color, points)
        };
        let curves = columns.iter().enumerate().map(curve).collect();
        let title = "accuracy against cost: from the head alone to everything".to_owned();
        percents(title, "cost of a step, 10⁶ multiply-accumulates", "test accuracy, %", false, curves)
    }

    /// The tasks of the plan, in its order.
    pub fn tasks(&self) -> Vec<String> {
        unique(self.cells.iter().map(|cell| cell.task.clone()))
    }

    /// The conditions of `task`, in the plan's order.
    pub fn conditions(&self, task: &str) -> Vec<String> {
        unique(self.cells.iter().filter(|cell| cell.task == task).map(|cell| cell.condition.clone()))
    }

    /// The numbers of images of `task`, from few to many.
    pub fn sizes(&self, task: &str) -> Vec<usize> {
        sizes(&self.cells, task)
    }

    /// A panel of the test accuracies of `task` by number of images, a curve for each condition.
    pub fn by_size(&self, task: &str) -> Panel {
        let curve = |(color, name): (usize, &String)| {
            let cells = self.sizes(task).into_iter().map(|n| (n as f64, Cell::new(task, name, n)));
            self.curve(name, color, cells, "test")
        };
        let title = format!("{task}: accuracy by number of labelled images");
        let curves = self.conditions(task).iter().enumerate().map(curve).collect();
        percents(title, "labelled images (logarithmic)", "test accuracy, %", true, curves)
    }

    /// A panel of the accuracies of `condition` on `n` images of `task` by rate, a curve for each of `tests`; for
    /// cells that [`Plan::add_rates`] added.
    pub fn by_rate(&self, task: &str, condition: &str, n: usize, tests: &[&str]) -> Panel {
        let rate = |name: &String| name.strip_prefix(condition)?.strip_prefix(" at ")?.parse().ok();
        let conditions = self.conditions(task);
        let curve = |(color, test): (usize, &&str)| {
            let cells = conditions.iter().filter_map(|name| Some((rate(name)?, Cell::new(task, name, n))));
            self.curve(test, color, cells, test)
        };
        let title = format!("{task}, {n} images: {condition}");
        let curves = tests.iter().enumerate().map(curve).collect();
        percents(title, "learning rate (logarithmic)", "accuracy, %", true, curves)
    }

    /// What `condition` is called at `factor` times the flags' rate, as [`Plan::at`].
    pub fn at(&self, condition: &str, factor: f32) -> String {
        self.lab.flags.at(condition, factor)
    }

    /// Draws numbers that runs keep as bars, means over seeds: a row for each of `rows` (its label and the name of
    /// the number), a bar for each of `conditions` on `n` images of `task`.
    ///
    /// # Errors
    /// If the figure cannot be written.
    pub fn bars(
        &mut self,
        [file, title, axis]: [&str; 3],
        (task, n): (&str, usize),
        conditions: &[String],
        rows: &[(String, String)],
    ) -> Result<()> {
        let row = |(label, number): &(String, String)| {
            let bar = |(series, condition): (usize, &String)| {
                let value = Spread::of(&self.runs.numbers(&Cell::new(task, condition, n), number))?.mean;
                Some(Bar { series, value, text: format!("{value:.2}") })
            };
            Row { label: label.clone(), bars: conditions.iter().enumerate().filter_map(bar).collect() }
        };
        let chart = Bars {
            title: title.to_owned(),
            note: format!("{task}, {n} images; mean over seeds"),
            axis: axis.to_owned(),
            series: conditions.to_vec(),
            rows: rows.iter().map(row).collect(),
        };
        bars::draw(&self.figure(file, title), &chart)?;
        Ok(())
    }

    /// A panel of the accuracies of `conditions` on `n` images of `task` in several `tests`, each at its x.
    pub fn by_test(
        &self,
        title: &str,
        x: &str,
        (task, n): (&str, usize),
        conditions: &[&str],
        tests: &[(f64, &str)],
    ) -> Panel {
        let curve = |(color, condition): (usize, &&str)| {
            let cell = Cell::new(task, *condition, n);
            Curve::of_spreads(
                *condition,
                color,
                tests.iter().map(|(x, test)| (*x, self.runs.accuracies(&cell, test))),
            )
        };
        let curves = conditions.iter().enumerate().map(curve).collect();
        percents(format!("{task}, {n} images, {title}"), x, "accuracy, %", false, curves)
    }

    /// A panel of the accuracies on validation images during the runs on `n` images of `task`, a curve for each
    /// condition; for runs of [`Trial::fit_watched`](super::Trial::fit_watched).
    pub fn by_step(&self, task: &str, n: usize) -> Panel {
        let curve = |(color, name): (usize, &String)| {
            Curve::of_spreads(name, color, self.by_step_of(&Cell::new(task, name, n)))
        };
        let curves = self.conditions(task).iter().enumerate().map(curve).collect();
        let title = format!("{task}, {n} images: while they train");
        percents(title, "step", "validation accuracy, %", false, curves)
    }

    /// Draws the judged claims as means with their intervals; nothing if there are none. Claims that are not
    /// about accuracy have other units, and are only in the text.
    ///
    /// # Errors
    /// If the figure cannot be written.
    pub(super) fn forest(&mut self) -> Result<()> {
        let row = |found: &Finding| {
            let (low, high) = found.interval.filter(|_| found.unit == POINTS)?;
            let color = VERDICTS.iter().position(|verdict| *verdict == found.verdict)?;
            let (label, verdict) = (found.claim.clone(), found.verdict.clone());
            Some(forest::Row { label, mean: found.mean?, low, high, verdict, color })
        };
        let rows: Vec<forest::Row> = self.findings.iter().filter_map(row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let chart = Forest {
            title: format!("Chapter {}: what the runs say", self.outline.number),
            note: "mean difference with its interval, from which the verdict can be read; grey: the margin"
                .to_owned(),
            axis: "difference, points".to_owned(),
            margin: MARGIN,
            digits: 1,
            rows,
        };
        forest::draw(
            &self.figure("verdicts.png", "The claims: mean differences with their intervals."),
            &chart,
        )?;
        Ok(())
    }

    /// Draws the test accuracies of `conditions` as a heat map: a column for each task and number of images, in
    /// points below its best row, which is framed.
    ///
    /// # Errors
    /// If the figure cannot be written.
    pub fn grid(&mut self, file: &str, title: &str, conditions: &[String]) -> Result<()> {
        let columns = unique(self.cells.iter().map(|cell| (cell.task.clone(), cell.images)));
        let place = |condition: &String, (task, n): &(String, usize)| {
            let value = |condition: &String| self.mean(&Cell::new(task, condition, *n), "test");
            let best = conditions.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
            let text = self.accuracy(&Cell::new(task, condition, *n), "test").to_string();
            Place { text, value: value(condition) - best, framed: value(condition) >= best, dotted: false }
        };
        let row = |condition| columns.iter().map(|column| place(condition, column)).collect();
        let map = HeatMap {
            title: title.to_owned(),
            note: "test accuracy in %, mean ± standard deviation over seeds".to_owned(),
            row_axis: "what trains".to_owned(),
            column_axis: "task and number of images".to_owned(),
            rows: conditions.to_vec(),
            columns: columns.iter().map(|(task, n)| (format!("{task}: {n}"), "images".to_owned())).collect(),
            places: conditions.iter().map(row).collect(),
            scale: "points off the best".to_owned(),
            range: (-12.0, 0.0),
            marks: ("best measured".to_owned(), String::new()),
        };
        heatmap::draw(&self.figure(file, &format!("{title} (framed: the best of a column).")), &map)?;
        Ok(())
    }

    /// A curve of the accuracies in `test`: mean and deviation of each cell, by its x.
    pub fn curve(
        &self,
        name: &str,
        color: usize,
        cells: impl IntoIterator<Item = (f64, Cell)>,
        test: &str,
    ) -> Curve {
        let points = cells.into_iter().map(|(x, cell)| (x, self.runs.accuracies(&cell, test)));
        Curve::of_spreads(name, color, points)
    }

    /// Accuracies on validation images during the runs of `cell`: by step, one for each seed.
    fn by_step_of(&self, cell: &Cell) -> Vec<(f64, Vec<f64>)> {
        let mut found: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for run in self.runs.cell(cell) {
            for (name, value) in &run.numbers {
                let step =
                    name.strip_prefix(VALIDATION_AFTER).and_then(|rest| rest.split(' ').next()?.parse().ok());
                step.into_iter().for_each(|step| found.entry(step).or_default().push(*value));
            }
        }
        found.into_iter().map(|(step, values)| (step as f64, values)).collect()
    }

    /// The path for a figure named `file` (`curves.png`), which is listed with its caption.
    pub fn figure(&mut self, file: &str, caption: &str) -> PathBuf {
        self.figures.push(json!({ "file": file, "caption": caption }));
        self.lab.flags.out.join(file)
    }

    /// A figure that is computed each time, not from runs: `draw` gets its path. See [`Report::pictures`].
    ///
    /// # Errors
    /// The errors of `draw`.
    pub fn picture(
        &mut self,
        file: &str,
        caption: &str,
        draw: impl FnOnce(&Lab, &Path) -> Result<()>,
    ) -> Result<()> {
        self.pictures(&[(file, caption)], |lab, folder| draw(lab, &folder.join(file)))
    }

    /// Figures with their captions that are computed each time, not from runs: `draw` gets the folder. A
    /// report from finished runs only, and every report without a device, keeps the existing figures.
    ///
    ///
    /// # Errors
    /// The errors of `draw`.
    pub fn pictures(
        &mut self,
        figures: &[(&str, &str)],
        draw: impl FnOnce(&Lab, &Path) -> Result<()>,
    ) -> Result<()> {
        let folder = &self.lab.flags.out;
        if !self.lab.flags.report_only {
            match self.lab.gpu() {
                Ok(_) => draw(self.lab, folder)?,
                Err(error) => {
                    let files: Vec<&str> = figures.iter().map(|(file, _)| *file).collect();
                    eprintln!("warning: not drawn: {}: {error}", files.join(", "));
                }
            }
        }
        for (file, caption) in figures.iter().filter(|(file, _)| folder.join(file).exists()) {
            self.figure(file, caption);
        }
        Ok(())
    }

    /// All claims with their verdicts, in a line.
    pub fn verdicts(&self) -> String {
        let words = self.findings.iter().map(|found| format!("{}: {}", found.claim, found.verdict));
        words.collect::<Vec<_>>().join("; ")
    }

    /// The quiz question, and its answer from the runs' own numbers.
    pub fn quiz(&mut self, question: impl Into<String>, answer: impl Into<String>) {
        self.quiz = Some(json!({ "question": question.into(), "answer": answer.into() }));
    }

    /// Prints verdicts and quiz, and writes `results.json`. Seconds, which differ between executions, are
    /// only in its last entry; everything before it is the same for the same runs.
    pub(super) fn close(self) -> Result<()> {
        let flags = &self.lab.flags;
        let mut adapters: Vec<&str> = self.runs.all().iter().map(|run| run.adapter.as_str()).collect();
        adapters.sort_unstable();
        adapters.dedup();
        let run = |run: &Run| {
            let accuracy: Map<String, Value> = run
                .answers
                .iter()
                .map(|(name, answers)| (name.clone(), round(100.0 * answers.accuracy()).into()))
                .collect();
            json!({
                "setting": run.setting, "accuracy": accuracy, "converged": run.converged(), "diverged": run.diverged,
            })
        };
        let seconds: Vec<f64> = self.runs.all().iter().map(|run| round(run.seconds)).collect();
        let mut results = json!({
            "chapter": self.outline.number, "title": self.outline.title, "claim": self.outline.claim,
            "version": self.outline.version, "adapters": adapters, "rehearsal": self.rehearsal, "missing_runs": self.missing,
            "settings": {
                "model": flags.model, "images": flags.images, "seeds": flags.seeds, "steps": flags.steps,
                "epochs": flags.epochs, "batch": flags.batch, "lr": as_written(flags.lr), "quick": flags.quick,
            },
            "claims": self.findings, "tables": self.tables, "figures": self.figures, "quiz": self.quiz,
        });
        if let Value::Object(results) = &mut results {
            results.insert("runs".to_owned(), self.runs.all().iter().map(run).collect());
            results.insert("seconds".to_owned(), json!(seconds));
        }
        write_json(&flags.out.join("results.json"), &results)?;
        if flags.json {
            println!("{results:#}");
            return Ok(());
        }
        for Finding { claim, verdict, evidence, .. } in &self.findings {
            println!("\n{claim}\n  {verdict}: {evidence}");
        }
        if let Some(quiz) = &self.quiz {
            let text = |key: &str| quiz[key].as_str().unwrap_or_default().to_owned();
            println!("\nQuiz: {}\n  {}", text("question"), text("answer"));
        }
        if self.runs.all().iter().any(|run| !run.converged()) {
            println!(
                "\n* Not converged: too few passes, or a loss that still falls. Nothing is concluded from such runs."
            );
        }
        println!("\nFigures and numbers are in {}.", flags.out.display());
        Ok(())
    }
}

/// A panel of percentages up to 100, from the tens below the lowest on; curves without a point are left out.
fn percents(title: String, x: &str, y: &str, log_x: bool, mut curves: Vec<Curve>) -> Panel {
    curves.retain(|curve| !curve.points.is_empty());
    let lowest = curves.iter().flat_map(|curve| &curve.points).map(|point| point.low).fold(100.0, f64::min);
    let range = ((lowest / 10.0 - 0.2).floor().clamp(0.0, 9.0) * 10.0, 100.0);
    Panel { title, x: x.to_owned(), y: y.to_owned(), log_x, range, curves }
}

/// To two decimals.
fn round(value: f64) -> f64 {
    (100.0 * value).round() / 100.0
}
