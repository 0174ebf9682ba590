//! The common parts of all runs of a chapter: flags, device, data and weights, each opened when it is first
//! needed.

use crate::data::assets::Assets;
use crate::data::track::{Task, Track};
use crate::error::{Error, Result};
use crate::outline::Flags;
use frostline_engine::Gpu;
use frostline_study::digest;
use frostline_trainer::Features;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Flags, device, data and weights of a chapter.
pub struct Lab {
    /// The chapter's flags.
    pub flags: Flags,
    /// The embedded data and weights.
    pub assets: Assets,
    gpu: OnceCell<Arc<Gpu>>,
    track: OnceCell<Track>,
    photos: OnceCell<Track>,
    features: RefCell<HashMap<String, Rc<Features>>>,
    shared: Cell<f64>,
}

impl Lab {
    /// A lab for `flags`. Nothing is opened yet: a report from finished runs needs no device.
    pub fn new(flags: Flags) -> Self {
        Self {
            flags,
            assets: Assets::default(),
            gpu: OnceCell::new(),
            track: OnceCell::new(),
            photos: OnceCell::new(),
            features: RefCell::default(),
            shared: Cell::new(0.0),
        }
    }

    /// The device.
    ///
    /// # Errors
    /// If there is none.
    pub fn gpu(&self) -> Result<&Arc<Gpu>> {
        once(&self.gpu, || {
            let gpu = Gpu::new()?;
            gpu.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
            Ok(Arc::new(gpu))
        })
    }

    /// The network that the flags name, with a similar and a different task: the embedded ResNet-10 of
    /// clothes, clothes and digits, unless the flags name others.
    ///
    /// # Errors
    /// If weights or data are missing or broken.
    pub fn track(&self) -> Result<&Track> {
        once(&self.track, || Track::open(&self.flags, &self.assets))
    }

    /// The embedded ResNet-10 of photos, with the embedded photos or those of `--data` as its task.
    ///
    /// # Errors
    /// If weights or photos are missing or broken.
    pub fn photo_track(&self) -> Result<&Track> {
        once(&self.photos, || Track::photos(&self.flags, &self.assets))
    }

    /// The task called `name`, and the track that it belongs to.
    ///
    /// # Errors
    /// As [`Lab::track`] and [`Lab::photo_track`].
    pub fn task(&self, name: &str) -> Result<(&Track, &Task)> {
        let track = self.track()?;
        for task in [Some(&track.similar), track.different.as_ref()].into_iter().flatten() {
            if task.name == name {
                return Ok((track, task));
            }
        }
        let track = self.photo_track()?;
        if track.similar.name != name {
            return Err(Error::Flags(format!("there is no task called {name}")));
        }
        Ok((track, &track.similar))
    }

    /// Identifies everything that a run on the task called `name` reads: its images and its network's
    /// weights; on photos also those of the feature extractor.
    ///
    /// # Errors
    /// As [`Lab::task`].
    pub fn inputs(&self, name: &str) -> Result<String> {
        let (track, task) = self.task(name)?;
        let mut parts = vec![track.identity(), task.identity()];
        if task.tests_vary() {
            parts.push(digest([&self.assets.bytes("efficientnet_lite0")?[..]]));
        }
        Ok(digest(parts.iter().map(String::as_bytes)))
    }

    /// The features called `name`, computed on first use: a body that many runs share is run only once on
    /// each image.
    ///
    /// # Errors
    /// The errors of `compute`.
    pub fn features(&self, name: &str, compute: impl FnOnce() -> Result<Features>) -> Result<Rc<Features>> {
        if let Some(found) = self.features.borrow().get(name) {
            return Ok(found.clone());
        }
        let computed = Rc::new(self.sharing(compute)?);
        self.features.borrow_mut().insert(name.to_owned(), computed.clone());
        Ok(computed)
    }

    /// Seconds of computing features so far, which later runs do not need again.
    pub(super) fn shared_seconds(&self) -> f64 {
        self.shared.get()
    }

    fn sharing<T>(&self, compute: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let computed = compute();
        self.shared.set(self.shared.get() + start.elapsed().as_secs_f64());
        computed
    }

    /// Number `at` of the features called `name`, of several stages, which are computed together.
    ///
    /// # Errors
    /// The errors of `compute`.
    pub fn features_by_depth(
        &self,
        name: &str,
        at: usize,
        compute: impl FnOnce() -> Result<Vec<Features>>,
    ) -> Result<Rc<Features>> {
        let key = |at: usize| format!("{name} {at}");
        let found = self.features.borrow().get(&key(at)).cloned();
        if let Some(found) = found {
            return Ok(found);
        }
        let all =
            self.sharing(compute)?.into_iter().enumerate().map(|(at, features)| (key(at), Rc::new(features)));
        self.features.borrow_mut().extend(all);
        self.features(&key(at), || Err(Error::Flags(format!("{name} has no stage {at}"))))
    }
}

/// The content of `cell`; if it is empty, `make` fills it first.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(found) = cell.get() {
        return Ok(found);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
