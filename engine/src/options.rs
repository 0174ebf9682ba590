//! Options for choosing a device, in code or by environment variables.

use crate::cache::CacheFile;
use crate::error::{Error, Result};
use std::time::Duration;

/// The class of kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// The one that fits the adapter.
    #[default]
    Fitting,
    /// Kernels without subgroups, textures and workgroup memory: any adapter runs them.
    Portable,
    /// Kernels with subgroups and textures: on adapters whose subgroups have one size of 4 to 32.
    Subgroup,
    /// Kernels that share operands through workgroup memory.
    Gpu,
    /// The same, with subgroups that multiply matrices ("tensor cores"). Experimental in wgpu.
    Cooperative,
}

/// Options for opening a [`crate::Gpu`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// The class of kernels. An adapter that cannot run it is an error.
    pub kernels: Kernels,
    /// Choices measured by `make tune`, instead of the committed table's. A file that is missing or was
    /// measured elsewhere is an error. Off by default: results then differ in rounding.
    pub measured: CacheFile,
    /// The file of compiled pipelines, for drivers that do not store them: none on software adapters, unless
    /// a path is given. It changes no result; if it cannot be read or written, pipelines are compiled again.
    pub pipelines: CacheFile,
    /// The adapter: its index in the order of [`crate::adapters()`], a part of its name, driver or backend,
    /// `gpu` or `software`. None: the best one.
    pub adapter: Option<String>,
    /// Time limit of one submission; then waiting for it returns [`Error::Deadline`]. `None`: 120 s on a GPU,
    /// no limit on a software adapter. [`Duration::MAX`] is no limit.
    pub deadline: Option<Duration>,
    /// Detects accesses past the end of a buffer, for tests: every buffer has a tail of NaN that kernels can
    /// reach, so that a read past the end gives NaN; a write there is [`Error::OutOfBounds`]. Tensors share
    /// no memory then, and every dispatch is a submission.
    pub guard: bool,
    /// Checked mode, to look for the cause of wrong results: the checks of [`GpuOptions::guard`]; kernels
    /// with naga's checks of indices, divisors and endless loops; and loop turns counted on the device, where
    /// a larger number than the plan declares is [`Error::Turns`]. Slow.
    pub checked: bool,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            kernels: Kernels::Fitting,
            measured: CacheFile::Off,
            pipelines: CacheFile::Default,
            adapter: None,
            deadline: None,
            guard: false,
            checked: false,
        }
    }
}

impl GpuOptions {
    /// The options that the environment sets:
    ///
    /// - `FROSTLINE_TUNING`: `portable`, `subgroup`, `gpu` or `cooperative` is the class of kernels; `tuned`
    ///   uses the choices that `make tune` measured. The two can be joined by a comma.
    /// - `FROSTLINE_TUNING_FILE`: the file of those choices.
    /// - `FROSTLINE_PIPELINE_CACHE=off`: stores no pipelines.
    /// - `FROSTLINE_ADAPTER`: index, part of the name, `gpu` or `software`: [`GpuOptions::adapter`].
    /// - `FROSTLINE_DEADLINE`: seconds, or `off`: [`GpuOptions::deadline`].
    /// - `FROSTLINE_CHECKED=1`: [`GpuOptions::checked`].
    pub fn from_env() -> Result<Self> {
        Self::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut options = Self::default();
        let tuning = variable("FROSTLINE_TUNING").unwrap_or_default();
        for word in tuning.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "portable" => options.kernels = Kernels::Portable,
                "subgroup" => options.kernels = Kernels::Subgroup,
                "gpu" => options.kernels = Kernels::Gpu,
                "cooperative" => options.kernels = Kernels::Cooperative,
                "tuned" => options.measured = tuning_file(&variable),
                _ => {
                    return wrong(
                        "FROSTLINE_TUNING",
                        word,
                        "it can be portable, subgroup, gpu, cooperative or tuned",
                    );
                }
            }
        }
        match variable("FROSTLINE_PIPELINE_CACHE").as_deref() {
            None | Some("" | "on") => {}
            Some("off") => options.pipelines = CacheFile::Off,
            Some(value) => return wrong("FROSTLINE_PIPELINE_CACHE", value, "it can be on or off"),
        }
        options.adapter = variable("FROSTLINE_ADAPTER").filter(|adapter| !adapter.is_empty());
        options.deadline = match variable("FROSTLINE_DEADLINE").as_deref() {
            None | Some("") => None,
            Some("off") => Some(Duration::MAX),
            Some(value) => {
                match value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
                    Some(deadline) if !deadline.is_zero() => Some(deadline),
                    _ => {
                        return wrong(
                            "FROSTLINE_DEADLINE",
                            value,
                            "it can be a number of seconds above 0, or off",
                        );
                    }
                }
            }
        };
        options.checked = match variable("FROSTLINE_CHECKED").as_deref() {
            None | Some("" | "0") => false,
            Some("1") => true,
            Some(value) => return wrong("FROSTLINE_CHECKED", value, "it can be 1 or 0"),
        };
        Ok(options)
    }
}

/// The file of measured choices, from the environment.
fn tuning_file(variable: &impl Fn(&str) -> Option<String>) -> CacheFile {
    variable("FROSTLINE_TUNING_FILE")
        .filter(|path| !path.is_empty())
        .map_or(CacheFile::Default, |path| CacheFile::At(path.into()))
}

fn wrong<T>(name: &'static str, value: &str, reason: &'static str) -> Result<T> {
    Err(Error::Setting { name, value: value.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<GpuOptions> {
        GpuOptions::from(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_is_read() {
        assert_eq!(from(&[]).unwrap(), GpuOptions::default());
        assert_eq!(from(&[("FROSTLINE_TUNING", "")]).unwrap(), GpuOptions::default());
        assert_eq!(from(&[("FROSTLINE_TUNING", "gpu")]).unwrap().kernels, Kernels::Gpu);
        let both =
            from(&[("FROSTLINE_TUNING", "portable, tuned"), ("FROSTLINE_TUNING_FILE", "a/b.json")]).unwrap();
        assert_eq!((both.kernels, both.measured), (Kernels::Portable, CacheFile::At("a/b.json".into())));
        assert_eq!(
            from(&[("FROSTLINE_TUNING_FILE", "a/b.json")]).unwrap().measured,
            CacheFile::Off,
            "only an explicit request enables it"
        );
        assert_eq!(from(&[("FROSTLINE_PIPELINE_CACHE", "off")]).unwrap().pipelines, CacheFile::Off);
        assert_eq!(from(&[("FROSTLINE_ADAPTER", "")]).unwrap().adapter, None);
        assert_eq!(from(&[("FROSTLINE_ADAPTER", "gpu")]).unwrap().adapter.as_deref(), Some("gpu"));
        assert_eq!(
            from(&[("FROSTLINE_DEADLINE", "0.5")]).unwrap().deadline,
            Some(Duration::from_millis(500))
        );
        assert_eq!(from(&[("FROSTLINE_DEADLINE", "off")]).unwrap().deadline, Some(Duration::MAX));
        assert!(from(&[("FROSTLINE_CHECKED", "1")]).unwrap().checked);
    }

    #[test]
    fn a_word_that_means_nothing_is_named() {
        for (name, value) in [
            ("FROSTLINE_TUNING", "fast"),
            ("FROSTLINE_PIPELINE_CACHE", "maybe"),
            ("FROSTLINE_DEADLINE", "soon"),
            ("FROSTLINE_DEADLINE", "-1"),
            ("FROSTLINE_DEADLINE", "NaN"),
            ("FROSTLINE_CHECKED", "yes"),
        ] {
            let error = from(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
    }
}
