//! A folder of photos as batches, decoded on worker threads ahead of the consumer.
//!
//! [`ImageFolder::load_all`] puts a whole set into memory. This suits hundreds of photos, but not a hundred
//! thousand. An [`ImageStream`] gives the same pixels, bit for bit, and holds at any time
//!
//! - the images that will be needed next, [`StreamOptions::ahead`] of them;
//! - one photo in full size for each worker;
//! - the pixels of images seen before, as long as they fit into [`StreamOptions::cache_bytes`]: a small set
//!   is decoded once and not once per epoch.
//!
//! The cache keeps the images that come first and never replaces them. Every epoch needs every image once. A
//! "least recently used" order would remove each image just before it is needed again.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::prefetch::Prefetch;
use crate::{Error, ImageFolder, OnCorrupt, Preprocessing, image};

/// Limits of a stream's memory and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Threads that decode. With 0 the consumer decodes an image when it needs it.
    pub workers: usize,
    /// Maximum number of images that are decoded ahead.
    pub ahead: usize,
    /// Bytes of preprocessed pixels to keep for the next epoch. An image of 224x224 takes 150,528.
    pub cache_bytes: usize,
}

impl Default for StreamOptions {
    /// One worker per core and at most eight, 256 images ahead (39 MB at 224x224), 512 MiB of cache.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { workers: cores.min(8), ahead: 256, cache_bytes: 512 << 20 }
    }
}

type Pixels = Arc<[u8]>;

/// The images of a folder, decoded as they are needed. Made by [`ImageStream::new`].
pub struct ImageStream {
    decoder: Arc<Decoder>,
    prefetch: Prefetch<Result<Pixels, Error>>,
    options: StreamOptions,
    on_corrupt: OnCorrupt,
    classes: Vec<String>,
    /// For each image of the stream, its number among the decoder's files.
    files: Vec<usize>,
    labels: Vec<u32>,
}

/// The parts that streams of the same folder share.
struct Decoder {
    paths: Vec<PathBuf>,
    preprocessing: Preprocessing,
    cache: Mutex<Cache>,
    decoded: AtomicUsize,
}

#[derive(Default)]
struct Cache {
    pixels: HashMap<usize, Pixels>,
    bytes: usize,
}

impl ImageStream {
    /// The images of `folder` in its order, scaled and cropped by `preprocessing`. Nothing is decoded
    /// yet.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] for invalid settings.
    pub fn new(
        folder: &ImageFolder,
        preprocessing: &Preprocessing,
        options: StreamOptions,
    ) -> Result<Self, Error> {
        preprocessing.check()?;
        let decoder = Arc::new(Decoder {
            paths: folder.paths.clone(),
            preprocessing: preprocessing.clone(),
            cache: Mutex::default(),
            decoded: AtomicUsize::new(0),
        });
        let labels = folder.labels.iter().map(|&label| label as u32).collect();
        let files = (0..folder.len()).collect();
        Ok(Self::over(decoder, files, labels, folder.classes.clone(), folder.on_corrupt(), options))
    }

    fn over(
        decoder: Arc<Decoder>,
        files: Vec<usize>,
        labels: Vec<u32>,
        classes: Vec<String>,
        on_corrupt: OnCorrupt,
        options: StreamOptions,
    ) -> Self {
        let load = {
            let decoder = Arc::clone(&decoder);
            move |file| decoder.load(file, options.cache_bytes)
        };
        let prefetch = Prefetch::new(options.workers, options.ahead, load);
        Self { decoder, prefetch, options, on_corrupt, classes, files, labels }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Names of the classes; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The labels as indices, as [`crate::split`] takes them.
    pub fn label_indices(&self) -> Vec<usize> {
        self.labels.iter().map(|&label| label as usize).collect()
    }

    /// The file of image `i`; `None` if there is no such image.
    pub fn path(&self, i: usize) -> Option<&Path> {
        self.files.get(i).map(|&file| self.decoder.paths[file].as_path())
    }

    /// How images are scaled and cropped.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.decoder.preprocessing
    }

    /// Height, width and channels of every image.
    pub fn shape(&self) -> [usize; 3] {
        let Preprocessing { crop, channels, .. } = self.decoder.preprocessing;
        [crop, crop, channels]
    }

    /// Number of images decoded so far, by this stream and those that share its files. It equals the number
    /// of images if all fit into the cache.
    pub fn decoded(&self) -> usize {
        self.decoder.decoded.load(Ordering::Relaxed)
    }

    /// The stream of these images, in this order. Both share one cache, so that an image that one stream has
    /// decoded need not be decoded again by the other.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`].
    pub fn subset(&self, indices: &[usize]) -> Result<Self, Error> {
        self.check_indices(indices)?;
        let files = indices.iter().map(|&i| self.files[i]).collect();
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Ok(Self::over(
            Arc::clone(&self.decoder),
            files,
            labels,
            self.classes.clone(),
            self.on_corrupt,
            self.options,
        ))
    }

    /// Decodes every image once, and leaves out those that cannot be decoded, whose errors it returns, so
    /// that they do not occur in the middle of a run. It calls `seen` with the number of images that are
    /// done. Images that fit into the cache need not be decoded again.
    ///
    /// # Errors
    /// The first image's error for a folder opened with [`OnCorrupt::Fail`]; [`Error::EmptyClass`] if
    /// a class that had images has none left.
    pub fn check(&mut self, mut seen: impl FnMut(usize)) -> Result<Vec<Error>, Error> {
        let mut errors = Vec::new();
        let mut usable = vec![true; self.len()];
        for (i, &file) in self.files.iter().enumerate() {
            if i.is_multiple_of(self.prefetch.ahead().div_ceil(2)) {
                self.expect_files(self.files[i..].iter().copied());
            }
            match self.pixels(file) {
                Ok(_) => {}
                Err(error) if self.on_corrupt == OnCorrupt::Fail => return Err(error),
                Err(error) => {
                    usable[i] = false;
                    errors.push(error);
                }
            }
            seen(i + 1);
        }
        self.prefetch.expect([]);
        let kept: Vec<usize> = (0..self.len()).filter(|&i| usable[i]).collect();
        let labels: Vec<u32> = kept.iter().map(|&i| self.labels[i]).collect();
        if let Some(i) = (0..self.len()).find(|&i| !labels.contains(&self.labels[i])) {
            let path = self.decoder.paths[self.files[i]].parent().unwrap_or(Path::new(".")).to_owned();
            return Err(Error::EmptyClass { path });
        }
        self.files = kept.iter().map(|&i| self.files[i]).collect();
        self.labels = labels;
        Ok(errors)
    }

    /// Sets which images will be needed next, in their order; it replaces earlier calls. The workers begin
    /// with the first [`StreamOptions::ahead`] of them. [`ImageStream::gather`] refuses indices that do not
    /// exist.
    pub fn expect(&self, indices: &[usize]) {
        self.expect_files(indices.iter().filter_map(|&i| self.files.get(i).copied()));
    }

    fn expect_files(&self, files: impl Iterator<Item = usize>) {
        self.prefetch.expect(files.filter(|&file| self.decoder.cached(file).is_none()));
    }

    /// Fills `out` with a batch, as [`ImageSet::gather`](crate::ImageSet::gather) does: (indices,
    /// crop, crop, channels) bytes. Waits for images that are not decoded yet.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`]; as [`image::decode`] for an image that cannot be decoded
    /// ([`ImageStream::check`] finds them beforehand).
    pub fn gather(&self, indices: &[usize], out: &mut Vec<u8>) -> Result<(), Error> {
        self.check_indices(indices)?;
        let each = self.shape().iter().product::<usize>();
        out.clear();
        out.reserve(indices.len() * each);
        // A batch larger than this limit is decoded piece by piece.
        for piece in indices.chunks(self.prefetch.ahead()) {
            let files = piece.iter().map(|&i| self.files[i]);
            self.prefetch.hurry(files.filter(|&file| self.decoder.cached(file).is_none()));
            for &i in piece {
                let place = out.len() / each;
                // The last batch of an evaluation is filled up with its last image.
                match indices[..place].last() {
                    Some(&last) if last == i => out.extend_from_within((place - 1) * each..),
                    _ => {
                        // A caller that continues after an error needs other images.
                        let pixels = self.pixels(self.files[i]).inspect_err(|_| self.prefetch.expect([]))?;
                        out.extend_from_slice(&pixels);
                    }
                }
            }
        }
        Ok(())
    }

    fn pixels(&self, file: usize) -> Result<Pixels, Error> {
        self.decoder.cached(file).map_or_else(|| self.prefetch.take(file), Ok)
    }

    fn check_indices(&self, indices: &[usize]) -> Result<(), Error> {
        match indices.iter().find(|&&i| i >= self.len()) {
            None => Ok(()),
            Some(&index) => Err(Error::IndexOutOfRange { index, len: self.len() }),
        }
    }
}

impl Decoder {
    fn cached(&self, file: usize) -> Option<Pixels> {
        self.lock().pixels.get(&file).cloned()
    }

    /// Decodes a file and keeps its pixels if they fit into the cache.
    fn load(&self, file: usize, cache_bytes: usize) -> Result<Pixels, Error> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let pixels: Pixels = image::read(&self.paths[file], |image| self.preprocessing.pixels(image))?.into();
        let mut cache = self.lock();
        if cache.bytes + pixels.len() <= cache_bytes && !cache.pixels.contains_key(&file) {
            cache.bytes += pixels.len();
            cache.pixels.insert(file, Arc::clone(&pixels));
        }
        Ok(pixels)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ImageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, classes, .. } = self;
        write!(f, "ImageStream({} images of {} classes, {options:?})", self.len(), classes.len())
    }
}
