use std::ops::ControlFlow;
use std::path::Path;

use frostline_engine::BatchNormMode;
use frostline_loader::ImageSet;
use frostline_trainer::{Best, Error, Evaluation, FitOptions, History, Learner, Progress, Schedule};

use crate::setup::{bits, go_on, gpu, images, learner, options};

/// Images of which a third have a wrong label: accuracy on them goes up and down.
fn doubtful() -> ImageSet {
    let mut set = images(30);
    set.labels.iter_mut().step_by(3).for_each(|label| *label = (*label + 1) % 3);
    set
}

/// A run that is validated every 2 steps and gets worse at its end: its rate rises.
fn rising<'a>(set: &'a ImageSet, best: &Path) -> FitOptions<'a> {
    options(24).lr(1.0).schedule(Schedule::exponential(1e-3)).validate(set, 2).keep_best(best)
}

fn evaluation_of(history: &History, best: Best) -> &Evaluation {
    &history.evaluations.iter().find(|(step, _)| *step == best.step).unwrap().1
}

fn stop_at(at: u64) -> impl FnMut(&Progress<'_>) -> ControlFlow<()> {
    move |progress| if progress.step == at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[test]
fn the_best_weights_are_in_the_file_and_can_be_restored() {
    let (set, test) = (images(18), doubtful());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    let mut learner = learner(1);
    assert!(matches!(learner.restore_best(), Err(Error::NoBest)));
    let mut improved = vec![];
    let history = learner
        .fit(&set, &rising(&test, &path), |progress| {
            improved.extend(progress.best.filter(|best| best.step == progress.step));
            ControlFlow::Continue(())
        })
        .unwrap();
    let best = history.best.unwrap();
    assert_eq!(improved.last(), Some(&best));
    assert!(improved.len() > 1 && best.step < 24, "it got better, then worse: {improved:?}");
    for (step, evaluation) in &history.evaluations {
        let beaten = (evaluation.accuracy, -evaluation.loss) < (best.accuracy, -best.loss);
        assert!(beaten || *step == best.step, "step {step} is better than {best:?}");
    }

    let last = bits(&learner);
    let mut saved = Learner::resume(gpu(), &path).unwrap();
    assert_eq!(saved.evaluate(&test).unwrap(), *evaluation_of(&history, best));
    assert_eq!(learner.restore_best().unwrap(), best);
    assert_eq!(bits(&learner), bits(&saved));
    assert_ne!(bits(&learner), last);
    assert!(matches!(learner.continue_fit(&set, &rising(&test, &path), go_on), Err(Error::NoRun)));

    // The file is a normal checkpoint: the same run continues from it.
    let rest = saved.continue_fit(&set, &rising(&test, &path), go_on).unwrap();
    assert_eq!((rest.best, bits(&saved)), (Some(best), last));

    // A fit that keeps nothing has no best weights.
    learner.fit(&set, &options(1).validate(&test, 1), go_on).unwrap();
    assert!(matches!(learner.restore_best(), Err(Error::NoBest)));
}

/// Nothing changes, so nothing improves: the first validation is the best, and the run ends after two more.
#[test]
fn what_a_run_must_beat_may_be_of_no_run_yet() {
    let (set, test) = (images(18), doubtful());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    let mut learner = learner(1);
    let before = bits(&learner);
    learner.save(&path).unwrap();
    let unbeaten = Best { step: 0, accuracy: 1.0, loss: 0.0 };
    let history = learner.fit(&set, &rising(&test, &path).better_than(unbeaten), go_on).unwrap();
    assert_eq!(history.best, Some(unbeaten));
    assert_ne!(bits(&learner), before);
    assert_eq!(learner.restore_best().unwrap(), unbeaten);
    assert_eq!(bits(&learner), before);
    assert_eq!(bits(&Learner::resume(gpu(), &path).unwrap()), before);
}

#[test]
fn a_run_that_no_longer_gets_better_ends() {
    let (set, folder) = (images(18), tempfile::tempdir().unwrap());
    let path = folder.path().join("last.safetensors");
    let mut learner = learner(1);
    learner.set_batch_norm(BatchNormMode::Running);
    let options = options(50).lr(1e-30).validate(&set, 3).stop_early(2).checkpoint(&path, 50);
    let history = learner.fit(&set, &options, go_on).unwrap();
    assert_eq!(history.records.len(), 9);
    assert_eq!(history.best.unwrap().step, 3);
    assert!(history.stopped_early && history.finished);

    // Saved where it ended, and at its end: it goes no further.
    let mut resumed = Learner::resume(gpu(), &path).unwrap();
    let rest = resumed.continue_fit(&set, &options, go_on).unwrap();
    assert!(rest.records.is_empty() && rest.finished && rest.stopped_early);
    assert_eq!(rest.best, history.best);
    assert_eq!(bits(&resumed), bits(&learner));

    let last_step = options.clone().stop_early(17);
    let history = learner.fit(&set, &last_step, go_on).unwrap();
    assert!(!history.stopped_early && history.finished && history.records.len() == 50);
}

/// Interrupted after every second step in turn, it ends at the same step with the same best weights.
#[test]
fn a_resumed_run_has_the_same_best_weights_and_ends_as_early() {
    let (set, test) = (images(18), doubtful());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let options = |best: &str| rising(&test, &file(best)).stop_early(4);
    let mut whole = learner(1);
    let history = whole.fit(&set, &options("best"), go_on).unwrap();
    let best = history.best.unwrap();
    let (ended, held) = (history.records.len() as u64, std::fs::read(file("best")).unwrap());
    assert!(history.stopped_early && best.step > 2, "{best:?}");

    for at in (1..ended).step_by(2) {
        let name = format!("best {at}");
        let mut first = learner(1);
        first.fit(&set, &options(&name), stop_at(at)).unwrap();
        first.save(file("last")).unwrap();
        drop(first);
        let mut resumed = Learner::resume(gpu(), file("last")).unwrap();
        let rest = resumed.continue_fit(&set, &options(&name), go_on).unwrap();
        assert_eq!(rest.records.last(), history.records.last(), "stopped at {at}");
        assert_eq!((rest.best, rest.stopped_early), (history.best, true));
        assert!(std::fs::read(file(&name)).unwrap() == held, "stopped at {at}: another best file");
        assert_eq!(resumed.restore_best().unwrap(), best);
        assert_eq!(bits(&resumed), bits(&Learner::resume(gpu(), file("best")).unwrap()));
    }
}

/// Killed after it wrote its best weights and before it wrote its next checkpoint, a run is resumed
/// from a place before them.
#[test]
fn a_best_file_may_be_ahead_of_the_checkpoint_but_not_behind() {
    let (set, test) = (images(18), doubtful());
    let folder = tempfile::tempdir().unwrap();
    let [path, early] = ["best", "early"].map(|name| folder.path().join(name));
    let options = rising(&test, &path);
    let mut first = learner(1);
    first.fit(&set, &options, stop_at(3)).unwrap();
    first.save(&early).unwrap();
    let after_3 = std::fs::read(&path).unwrap();
    let history = first.continue_fit(&set, &options, go_on).unwrap();
    assert!(history.best.unwrap().step > 3, "{:?}", history.best);
    let held = std::fs::read(&path).unwrap();

    let mut resumed = Learner::resume(gpu(), &early).unwrap();
    assert_eq!(resumed.continue_fit(&set, &options, go_on).unwrap().best, history.best);
    assert!(std::fs::read(&path).unwrap() == held);

    // In the opposite case the best weights are lost, which is reported before anything runs.
    let mut late = learner(1);
    late.fit(&set, &options, stop_at(23)).unwrap();
    late.save(&early).unwrap();
    let refused = |contents: Option<&[u8]>| {
        match contents {
            Some(contents) => std::fs::write(&path, contents).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let text = Learner::resume(gpu(), &early)
            .unwrap()
            .continue_fit(&set, &options, go_on)
            .unwrap_err()
            .to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        text
    };
    let text = refused(Some(&after_3));
    let step = format!("step {}", history.best.unwrap().step);
    assert!(text.contains("step 2") && text.contains(&step), "{text}");
    refused(None);
}

#[test]
fn what_decides_which_weights_are_best_belongs_to_the_run() {
    let (set, test, folder) = (images(18), doubtful(), tempfile::tempdir().unwrap());
    let path = folder.path().join("best");
    let kept = rising(&test, &path).stop_early(9);
    let mut learner = learner(1);
    learner.fit(&set, &kept, stop_at(2)).unwrap();
    let mut refused = |options| match learner.continue_fit(&set, &options, go_on) {
        Err(Error::OtherRun { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(kept.clone().stop_early(8)), "early stopping");
    assert_eq!(refused(kept.clone().validate(&set, 2)), "validation");
    assert_eq!(refused(kept.clone().validate(&test, 3)), "validation");
    // The path of the file is not a part of it.
    assert!(learner.continue_fit(&set, &kept.keep_best(folder.path().join("elsewhere")), go_on).is_ok());
}

#[test]
fn best_weights_need_a_validation() {
    let set = images(18);
    let fit = |options| learner(1).fit(&set, &options, go_on).unwrap_err().to_string();
    assert!(fit(options(2).stop_early(3)).contains("validat"));
    assert!(fit(options(2).keep_best("nowhere/best")).contains("nowhere/best"));
    assert!(fit(options(2).validate(&set, 1).stop_early(0)).contains("at least 1"));
}

#[test]
fn a_run_that_goes_wrong_leaves_its_best_weights() {
    let (set, test, folder) = (images(18), doubtful(), tempfile::tempdir().unwrap());
    let path = folder.path().join("best");
    let options = rising(&test, &path).lr(1e36).schedule(Schedule::exponential(1e-38));
    let mut learner = learner(1);
    let mut last = None;
    let error = learner.fit(&set, &options, |progress| {
        last = progress.best;
        ControlFlow::Continue(())
    });
    assert!(matches!(error, Err(Error::Diverged { .. })), "{error:?}");
    assert_eq!(Some(learner.restore_best().unwrap()), last);
    assert_eq!(learner.evaluate(&test).unwrap().loss, last.unwrap().loss);
    assert_eq!(bits(&Learner::resume(gpu(), &path).unwrap()), bits(&learner));
}

/// The second phase has only rates that ruin the result of the first.
#[test]
fn phases_keep_the_best_of_all() {
    let (set, folder) = (images(18), tempfile::tempdir().unwrap());
    let path = folder.path().join("best");
    let mut learner = learner(1);
    let options = rising(&set, &path).lr(100.0).schedule(Schedule::exponential(1e-4));
    let phases =
        learner.fit_gradually(&set, &options, &["fc", "layer4"], |_, _| ControlFlow::Continue(())).unwrap();
    let accuracy =
        |phase: usize| phases[phase].history.evaluations.iter().map(|(_, e)| e.accuracy).fold(0.0, f64::max);
    let best = phases[1].history.best.unwrap();
    assert_eq!(best.accuracy, accuracy(0).max(accuracy(1)), "{best:?}");
    assert_eq!(Learner::resume(gpu(), &path).unwrap().evaluate(&set).unwrap().loss, best.loss);
    assert_eq!(learner.restore_best().unwrap(), best);
}
