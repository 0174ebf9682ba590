//! Weights between files and the device.
//!
//! Loading is atomic: every name and shape is compared first, and all mismatches are reported in one error.
//!  Names may be torchvision's, timm's or Hugging Face's ([`Dialect`]), with any number of prefixes `module.`
//!  and `_orig_mod.`. PyTorch's counters `num_batches_tracked` are ignored, because they are not used with a
//!  fixed momentum, which every network here has.

use crate::architecture::{foreign_from, guess_from};
use crate::dialect::Dialect;
use crate::diff::{Diff, WrongShape, quoted};
use crate::error::{Error, Result};
use crate::model::Model;
use frostline_engine::blocking::block_on;
use frostline_engine::freeze::in_group;
use frostline_engine::layout::Layout;
use frostline_engine::{Graph, Params};
use frostline_loader::{HostTensor, StateDict};
use indexmap::IndexMap;
use std::fmt;

/// The name of the classifier in the models here.
const HEADS: [&str; 2] = ["fc", "_fc"];

/// Which tensors are required, and which are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether missing and extra tensors are errors. Tensors of another shape always are.
    pub strict: bool,
    /// Whether to keep the present classifier, even if the file contains one.
    pub skip_head: bool,
    /// Groups (`layer4`, `layer4.1.conv2`) to keep unchanged, even if the file contains them.
    pub skip: Vec<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { strict: true, skip_head: false, skip: vec![] }
    }
}

impl LoadOptions {
    /// Everything must fit.
    pub fn strict() -> Self {
        Self::default()
    }

    /// Everything except the classifier must fit: for the start of transfer learning, or for a file without a
    /// classifier.
    pub fn skip_head() -> Self {
        Self { skip_head: true, ..Self::default() }
    }

    /// Loads the tensors that fit; missing and extra ones are only reported.
    pub fn lenient(mut self) -> Self {
        self.strict = false;
        self
    }

    /// Also keeps `group` unchanged.
    pub fn skip(mut self, group: &str) -> Self {
        self.skip.push(group.to_owned());
        self
    }

    fn skips(&self, name: &str) -> bool {
        (self.skip_head && HEADS.iter().any(|head| in_group(name, head)))
            || self.skip.iter().any(|group| in_group(name, group))
    }
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The naming convention of the file.
    pub dialect: Dialect,
    /// The model's tensors that now have the file's values.
    pub loaded: Vec<String>,
    /// The model's tensors that the file did not have; they are unchanged.
    pub missing: Vec<String>,
    /// The file's tensors, by its own names, that the model does not have.
    pub extra: Vec<String>,
    /// Tensors of the model or the file that the options skip, by the model's names.
    pub skipped: Vec<String>,
}

impl fmt::Display for Report {
    /// One line, and the names of the tensors that were not loaded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loaded {} tensors ({} names)", self.loaded.len(), self.dialect)?;
        let extra: Vec<String> = self.extra.iter().map(|name| quoted(name)).collect();
        for (what, names) in [
            ("skipped", &self.skipped),
            ("missing from the file", &self.missing),
            ("not in the model", &extra),
        ] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Copies the tensors of `state` into `params`.
///
/// # Errors
/// [`Error::Mismatch`] with every tensor that does not fit, and nothing is written then;
/// [`Error::UnknownGroup`] if a group to skip is neither in the model nor in the file;
/// [`Error::Engine`] if the device is gone.
pub fn load(params: &Params, state: &StateDict, options: &LoadOptions) -> Result<Report> {
    let model = params.tensors().map(|(name, shape)| (name.to_owned(), shape.torch())).collect();
    let (report, given) = matched(&model, state, options)?;
    for name in &report.loaded {
        params.set(name, &given[name].1.data)?;
    }
    Ok(report)
}

/// The report that [`load`] would give for `state` and a `model`, without a device or its memory.
///
/// # Errors
/// As [`load`]; those of [`Model::record`] for a model that cannot be built.
pub fn compare(model: &Model, state: &StateDict, options: &LoadOptions) -> Result<Report> {
    let mut graph = Graph::new();
    let side = model.default_size();
    let x = graph.input(1, side, side, model.input_channels());
    model.record(&mut graph, x)?;
    let layouts = [Layout::parameters(&graph), Layout::statistics(&graph)];
    let tensors =
        layouts.iter().flat_map(Layout::iter).map(|(name, slice)| (name.to_owned(), slice.shape.torch()));
    matched(&tensors.collect(), state, options).map(|(report, _)| report)
}

/// By the model's names: the file's name and values.
type Given<'a> = IndexMap<String, (&'a str, &'a HostTensor)>;

/// Compares the tensors of `state` with the names and shapes of `model`.
fn matched<'a>(
    model: &IndexMap<String, Vec<usize>>,
    state: &'a StateDict,
    options: &LoadOptions,
) -> Result<(Report, Given<'a>)> {
    let dialect = Dialect::detect(state.keys().map(String::as_str));
    let mut ambiguous = vec![];
    let mut given = Given::with_capacity(state.len());
    for (theirs, tensor) in state {
        let name = dialect.to_model(theirs);
        if name.rsplit('.').next() == Some("num_batches_tracked") {
            continue;
        }
        if let Some((earlier, _)) = given.insert(name, (theirs, tensor)) {
            ambiguous.push([earlier.to_owned(), theirs.to_owned()]);
        }
    }
    check_groups(options, model, &given)?;

    let mut report = Report { dialect, loaded: vec![], missing: vec![], extra: vec![], skipped: vec![] };
    let mut wrong_shape = vec![];
    for (name, shape) in model {
        match given.get(name) {
            _ if options.skips(name) => report.skipped.push(name.clone()),
            None => report.missing.push(name.clone()),
            Some((_, tensor)) if fits(tensor, shape) => report.loaded.push(name.clone()),
            Some((_, tensor)) => wrong_shape.push(WrongShape {
                name: name.clone(),
                model: shape.clone(),
                file: tensor.shape.clone(),
                values: tensor.data.len(),
            }),
        }
    }
    for (name, (theirs, _)) in given.iter().filter(|(name, _)| !model.contains_key(*name)) {
        if options.skips(name) {
            report.skipped.push(name.clone());
        } else {
            report.extra.push((*theirs).to_owned());
        }
    }

    let strict = options.strict && !(report.missing.is_empty() && report.extra.is_empty());
    if strict || !wrong_shape.is_empty() || !ambiguous.is_empty() {
        let missing: Vec<_> =
            report.missing.into_iter().map(|name| (name.clone(), model[&name].clone())).collect();
        let extra: Vec<_> =
            report.extra.into_iter().map(|name| (name.clone(), state[&name].shape.clone())).collect();
        let mut diff = Diff { dialect, missing, extra, wrong_shape, ambiguous, advice: String::new() };
        diff.advice = advice(&diff, model, &given);
        return Err(Error::Mismatch(Box::new(diff)));
    }
    Ok((report, given))
}

/// All parameters and running statistics, in torchvision's order and PyTorch's shapes.
///
/// Without `num_batches_tracked`: PyTorch uses 0 for a missing counter, even when strict.
///
/// # Errors
/// [`Error::Engine`] if the device is gone.
pub fn save(params: &Params) -> Result<StateDict> {
    block_on(save_async(params))
}

/// [`save`] for callers that must not block.
///
/// # Errors
/// As [`save`].
pub async fn save_async(params: &Params) -> Result<StateDict> {
    let host = params.to_host_async().await?;
    let mut host: IndexMap<String, HostTensor> =
        host.into_iter().map(|(name, shape, data)| (name, HostTensor { shape, data })).collect();
    let mut state = StateDict::with_capacity(host.len());
    // The engine lists all parameters first; a statistic's place is after its layer's bias.
    let parameters: Vec<String> = host.keys().filter(|name| !is_statistic(name)).cloned().collect();
    for name in parameters {
        let layer = name.strip_suffix(".bias").map(str::to_owned);
        state.extend(host.shift_remove_entry(&name));
        for statistic in layer.iter().flat_map(|layer| STATISTICS.map(|leaf| format!("{layer}.{leaf}"))) {
            state.extend(host.shift_remove_entry(&statistic));
        }
    }
    state.extend(host);
    Ok(state)
}

const STATISTICS: [&str; 2] = ["running_mean", "running_var"];

fn is_statistic(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|leaf| STATISTICS.contains(&leaf))
}

fn fits(tensor: &HostTensor, shape: &[usize]) -> bool {
    tensor.shape == shape && tensor.data.len() == shape.iter().product::<usize>()
}

/// A group to skip that neither side has is a spelling mistake.
fn check_groups(
    options: &LoadOptions,
    model: &IndexMap<String, Vec<usize>>,
    given: &Given<'_>,
) -> Result<()> {
    let exists = |group: &str| model.keys().chain(given.keys()).any(|name| in_group(name, group));
    match options.skip.iter().find(|group| !exists(group)) {
        None => Ok(()),
        Some(group) => {
            let mut known: Vec<&str> = model.keys().filter_map(|name| name.split('.').next()).collect();
            known.sort_unstable();
            known.dedup();
            Err(Error::UnknownGroup { group: group.clone(), known: known.join(", ") })
        }
    }
}

/// What to do about `diff`.
fn advice(diff: &Diff, model: &IndexMap<String, Vec<usize>>, given: &Given<'_>) -> String {
    let shapes = given.iter().map(|(name, (_, tensor))| (name.clone(), tensor.shape.clone())).collect();
    if let Some(foreign) = foreign_from(&shapes) {
        return format!("The file is {foreign}, which is not supported: use the weights of another network.");
    }
    let ours = guess_from(&model.iter().map(|(name, shape)| (name.clone(), shape.clone())).collect());
    let theirs = guess_from(&shapes);
    if let (Some(ours), Some(theirs)) = (&ours, &theirs)
        && (ours.plain_name(), ours.resnet().map(|r| r.width))
            != (theirs.plain_name(), theirs.resnet().map(|r| r.width))
    {
        return format!(
            "The file is for {theirs}, the model is {ours}: build the model of the file, or use other \
             weights."
        );
    }
    let in_head = |name: &str| HEADS.iter().any(|head| in_group(name, head));
    let only_missing = diff.wrong_shape.is_empty() && diff.ambiguous.is_empty();
    let head_alone = diff
        .wrong_shape
        .iter()
        .map(|wrong| &wrong.name)
        .chain(diff.missing.iter().map(|(name, _)| name))
        .all(|name| in_head(name));
    if let (true, true, true, Some(ours)) =
        (head_alone, diff.ambiguous.is_empty(), diff.extra.is_empty(), &ours)
    {
        let classes = theirs.and_then(|theirs| theirs.class_count());
        let keep =
            classes.map_or(String::new(), |classes| format!(", or keep the file's by `.classes({classes})`"));
        let wanted = ours.class_count().unwrap_or(0);
        return format!(
            "Only the classifier differs: load with `LoadOptions::skip_head()` to start a new one of {wanted} classes{keep}."
        );
    }
    if let Some(wrong) = diff
        .wrong_shape
        .iter()
        .find(|wrong| wrong.name == "conv1.weight" || wrong.name == "_conv_stem.weight")
        && let (&[_, _, ..], &[_, channels, ..]) = (&wrong.model[..], &wrong.file[..])
        && wrong.model[1] != channels
    {
        return format!(
            "The file is for images of {channels} channels, the model for {}: use `.in_channels({channels})`.",
            wrong.model[1]
        );
    }
    if only_missing {
        return "If this is intended, load with `LoadOptions::strict().lenient()`, or `.skip(\"…\")` the \
                groups concerned; \
                missing tensors then keep their present values."
            .to_owned();
    }
    "Are these the weights of another network?".to_owned()
}
