//! Chapter 8: beyond. Pretrain once, fine-tune many; and when is scratch justified?
//!
//! *Pretraining pays as long as labelled images are few or the task is like the old one. With enough
//! images of something else, training from scratch catches up.* Four strategies meet growing data:
//!
//! | strategy | starts from | trains |
//! |---|---|---|
//! | scratch | random weights | everything |
//! | head only | pretrained | a softmax on features that the frozen body computed once |
//! | partial | pretrained | `layer4` and the head |
//! | full | pretrained | everything |
//!
//! on a task like what the network knows (clothes that it has not seen) and on one unlike it
//! (digits). Then one backbone serves several tasks: the base is stored once, and of every task only
//! the tensors that trained. A task loaded from base and delta must give the same logits, bit for bit.
//!
//! All strategies get the same steps; the default is short, and scratch gains most from more of them:
//!
//!     cargo run --release --example ch8_beyond -- --images 50,200,500,1500 --steps 300

use Strategy::{Full, HeadOnly, Partial, Scratch};
use frostline::charts::figure::draw;
use frostline::charts::{Cell, Table};
use frostline::lesson::{self, Chapter, Error, Growth, NoFlags, Outline, Result, Settings, Strategy, Task, Track, Verdict};
use frostline::loader::StateDict;
use frostline::trainer::Learner;
use serde_json::json;

const OUTLINE: Outline = Outline {
    number: 8,
    title: "pretrain once, fine-tune many; when is scratch justified?",
    claim: "Pretraining pays where labelled images are few or the task is like the old one; with enough images of something else, training \
            from scratch catches up. One backbone serves many tasks that share its frozen bytes.",
    defaults: Settings { images: &[50, 500], seeds: 3, steps: 28, batch: 16, lr: 0.05 },
    quick: Settings { images: &[50, 100], seeds: 1, steps: 6, batch: 16, lr: 0.05 },
};

/// A task as it is stored.
struct Stored {
    task: String,
    strategy: Strategy,
    /// Bytes of the file with all that changed, and of one with everything.
    bytes: [u64; 2],
    /// Whether base and delta together gave the same logits, bit for bit.
    same: bool,
}

fn main() -> std::process::ExitCode {
    lesson::run(&OUTLINE, |chapter, _: NoFlags| {
        let track = Track::open(chapter)?;
        let mut stored = vec![];
        let mut growths = vec![];
        for task in [&track.similar, &track.different] {
            let keep = |strategy, learner| {
                stored.push(store(chapter, &track, task, strategy, learner)?);
                Ok(())
            };
            growths.push(Growth::measure(chapter, &track, task, keep)?);
        }
        for half in track.similar.halves()? {
            let n = chapter.flags.images[0].min(half.pool.len());
            let (_, learner) = Partial.train(chapter, &track, &half, n, 0, &half.some_tests(50)?)?;
            stored.push(store(chapter, &track, &half, Partial, learner)?);
        }
        growths.iter().for_each(|growth| chapter.table(growth.table()));
        summary(chapter, &track, &growths, &stored)?;
        let [similar, different] = &growths[..] else { return Ok(()) };
        judge(chapter, similar, different);
        judge_bytes(chapter, &track, &stored);
        let caption = "Test accuracy of the four strategies by number of labelled images (bars: standard deviation over seeds).";
        let panels = [("a similar task", similar), ("a different task", different)];
        let panels = panels.map(|(kind, growth)| growth.panel(&format!("{kind}: {}", growth.task)));
        draw(&chapter.figure("strategies.png", caption), 2, &panels)?;
        Ok(())
    })
}

/// Writes what `learner` changed of the pretrained weights, and puts both together again.
fn store(chapter: &Chapter, track: &Track, task: &Task, strategy: Strategy, mut learner: Learner) -> Result<Stored> {
    let folder = chapter.flags.out.join("deltas");
    let fail = |error: std::io::Error| Error::Output { path: folder.clone(), reason: error.to_string() };
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let path = folder.join(format!("{} {}.safetensors", task.name, strategy.name()).replace(' ', "_"));
    let bytes = |base: &StateDict| {
        learner.save_delta(base, &path)?;
        Ok::<_, Error>(std::fs::metadata(&path).map_err(fail)?.len())
    };
    // Over an empty base everything changed. What stays in the folder is the delta.
    let [whole, delta] = [bytes(&StateDict::new())?, bytes(&track.weights.tensors)?];
    let mut loaded = Learner::load_delta(&chapter.gpu, &track.weights.tensors, &path)?;
    let test = task.some_tests(50)?;
    let mut logits = vec![];
    for learner in [&mut learner, &mut loaded] {
        logits.push(learner.features(&test, "fc", 1)?.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
    }
    Ok(Stored { task: task.name.clone(), strategy, bytes: [delta, whole], same: logits[0] == logits[1] })
}

/// The lesson in one table, and the bytes of many tasks.
fn summary(chapter: &mut Chapter, track: &Track, growths: &[Growth], stored: &[Stored]) -> Result<()> {
    let ends: Vec<_> =
        growths.iter().flat_map(|growth| [growth.rows.first(), growth.rows.last()].map(|row| Some((&growth.task, row?)))).collect();
    let mut columns: Vec<String> = ends.iter().flatten().map(|(task, row)| format!("{task} {}", row.images)).collect();
    columns.extend(["s a run", "kernels a step", "MMAC a step", "kept KiB", "KB a task"].map(str::to_owned));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let title = "the strategies: accuracy in %, and what they cost (head only: a step without its cache of features)";
    let mut table = Table::new(title, &columns);
    for strategy in [HeadOnly, Partial, Full, Scratch] {
        let mut cells: Vec<Cell> = ends.iter().flatten().map(|(_, row)| row.accuracy(strategy)).collect();
        let seconds: Vec<f64> = ends.iter().flatten().flat_map(|(_, row)| row.of(strategy)).map(|run| run.seconds).collect();
        let options = chapter.flags.fit_options(track.similar.pool.len(), 0);
        let plan = strategy.learner(track, &track.similar, 0)?.training_plan(&options)?;
        let ledger = plan.ledger();
        let bytes = stored.iter().find(|stored| stored.strategy == strategy).map_or(f64::NAN, |stored| stored.bytes[0] as f64);
        let cost = [
            (seconds.iter().sum::<f64>() / seconds.len() as f64, 2),
            ((ledger.forward_dispatches + ledger.backward_dispatches + ledger.update_dispatches) as f64, 0),
            ((ledger.forward_macs + ledger.backward_macs) as f64 / 1e6, 0),
            (ledger.kept_bytes as f64 / 1024.0, 1),
            (bytes / 1e3, 1),
        ];
        cells.extend(cost.map(|(value, digits)| Cell::Number(value, digits)));
        table.row(strategy.name(), cells);
    }
    chapter.table(table);

    let mut table = Table::new("one base, many tasks: bytes of a task's file", &["strategy", "delta", "whole", "logits of base + delta"]);
    for Stored { task, strategy, bytes, same } in stored {
        let [delta, whole] = bytes.map(|bytes| Cell::Number(bytes as f64, 0));
        table.row(task.as_str(), [strategy.name().into(), delta, whole, if *same { "the same bits" } else { "DIFFERENT" }.into()]);
    }
    chapter.table(table);
    Ok(())
}

fn judge(chapter: &mut Chapter, similar: &Growth, different: &Growth) {
    let Growth { task, rows, .. } = similar;
    if let [few, .., many] = &rows[..] {
        let claim = format!("{task}, a similar task, {} images: partial fine-tuning beats scratch", few.images);
        chapter.claim(claim, Verdict::of(&few.gains(Partial, Scratch)), few.told());
        let claim = format!("{task}: even with {} images scratch does not catch up with full fine-tuning", many.images);
        chapter.claim(claim, Verdict::of(&many.gains(Full, Scratch)), many.told());
    }
    let Growth { task, rows, .. } = different;
    if let Some(many) = rows.last() {
        // A point is a difference that such a test set cannot tell from none.
        let margins: Vec<f64> = many.gains(Scratch, Full).iter().map(|gain| gain + 1.0).collect();
        let each: Vec<String> = rows.iter().map(|row| format!("{:+.1} at {}", row.mean(Scratch) - row.mean(Full), row.images)).collect();
        let claim =
            format!("{task}, a different task: with {} images scratch is within a point of full fine-tuning, or above", many.images);
        chapter.claim(claim, Verdict::of(&margins), format!("scratch less full, in points: {}", each.join(", ")));
    }
    let answer = |growth: &Growth| match growth.rows.iter().find(|row| row.mean(Scratch) + 1.0 >= row.mean(Full)) {
        Some(row) => format!("on {} scratch is within a point of full fine-tuning from {} images on", growth.task, row.images),
        None => format!("on {} scratch stays more than a point behind full fine-tuning", growth.task),
    };
    chapter.quiz("When is training from scratch justified?", format!("In this run {}; {}.", answer(different), answer(similar)));
}

fn judge_bytes(chapter: &mut Chapter, track: &Track, stored: &[Stored]) {
    let weights = &track.weights;
    let base: u64 = weights.tensors.iter().map(|(name, tensor)| (tensor.data.len() * weights.dtypes[name].size()) as u64).sum();
    let partial: Vec<[u64; 2]> = stored.iter().filter(|stored| stored.strategy == Partial).map(|stored| stored.bytes).collect();
    let [deltas, whole] = [0, 1].map(|i| partial.iter().map(|bytes| bytes[i]).sum::<u64>());
    let saved: Vec<f64> = partial.iter().map(|[delta, whole]| *whole as f64 - *delta as f64).collect();
    let same = stored.iter().filter(|stored| stored.same).count();
    let pays = same == stored.len() && base + deltas < whole;
    let evidence = format!(
        "{} tasks with a layer4 and a head of their own: {} KB with one base of {} KB, {} KB as whole files; the same bits in {same} of {}",
        partial.len(),
        (base + deltas) / 1000,
        base / 1000,
        whole / 1000,
        stored.len()
    );
    let verdict = if pays { Verdict::of(&saved) } else { Verdict::DoesNotShow };
    chapter.claim("Tasks of one backbone share its frozen bytes, and their logits stay the same bits", verdict, evidence);
    let list =
        |stored: &Stored| json!({ "task": stored.task, "strategy": stored.strategy.name(), "bytes": stored.bytes, "same": stored.same });
    chapter.keep("stored", json!({ "base_bytes": base, "tasks": stored.iter().map(list).collect::<Vec<_>>() }));
}
