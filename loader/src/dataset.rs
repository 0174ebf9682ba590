//! Many small images of one size, packed in memory.
//!
//! # Sheets
//!
//! On disk such a set is a *sheet*: one PNG with all images side by side, which compresses well, opens in any
//! viewer, and is a common format; and a JSON text beside it. Image i is in row i / cols and column i % cols;
//! places after the last image are unused. A grey PNG gives one channel, an RGB PNG gives three.
//!
//! ```json
//! {"height": 28, "width": 28, "cols": 50, "classes": ["shirt", "boot"], "labels": [0, 1, 1]}
//! ```

use std::io::Cursor;
use std::path::Path;

use ::image::{DynamicImage, ExtendedColorType, ImageEncoder, codecs::png};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::clip;
use crate::image::{Limits, decode_dynamic};

/// Images of one size with their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSet {
    /// Rows of an image.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Bytes per pixel: 1 for grey, 3 for RGB.
    pub channels: usize,
    /// (N, height, width, channels) bytes.
    pub images: Vec<u8>,
    /// The class of each image, an index into `classes`.
    pub labels: Vec<u32>,
    /// Names of the classes.
    pub classes: Vec<String>,
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The bytes of image `i`: (height, width, channels).
    ///
    /// # Panics
    /// If `i` is not below [`ImageSet::len`], as indexing a slice does.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * self.image_len()..][..self.image_len()]
    }

    /// The labels as indices, as [`crate::split`] takes them.
    pub fn label_indices(&self) -> Vec<usize> {
        self.labels.iter().map(|&label| label as usize).collect()
    }

    /// The set of these images, in this order; an index may occur more than once.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`].
    pub fn subset(&self, indices: &[usize]) -> Result<Self, Error> {
        self.check_indices(indices)?;
        let images = indices.iter().flat_map(|&i| self.image(i));
        Ok(Self {
            images: images.copied().collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
            ..*self
        })
    }

    /// Only the images of `classes`, in their present order; `classes[k]` becomes class k.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`].
    pub fn of_classes(&self, classes: &[usize]) -> Result<Self, Error> {
        if let Some(&class) = classes.iter().find(|class| **class >= self.classes.len()) {
            return Err(Error::ClassOutOfRange { class, classes: self.classes.len() });
        }
        let place = |label: u32| classes.iter().position(|class| *class == label as usize);
        let kept: Vec<usize> = (0..self.len()).filter(|&i| place(self.labels[i]).is_some()).collect();
        let mut set = self.subset(&kept)?;
        set.labels = set.labels.iter().filter_map(|&label| place(label)).map(|class| class as u32).collect();
        set.classes = classes.iter().map(|&class| self.classes[class].clone()).collect();
        Ok(set)
    }

    /// Fills `out` with a batch: (indices, height, width, channels) bytes. The earlier contents of `out` are
    /// replaced; its memory is reused.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`].
    pub fn gather(&self, indices: &[usize], out: &mut Vec<u8>) -> Result<(), Error> {
        self.check_indices(indices)?;
        out.clear();
        out.reserve(indices.len() * self.image_len());
        for &i in indices {
            out.extend_from_slice(self.image(i));
        }
        Ok(())
    }

    /// The labels of a batch.
    ///
    /// # Errors
    /// [`Error::IndexOutOfRange`].
    pub fn gather_labels(&self, indices: &[usize]) -> Result<Vec<u32>, Error> {
        self.check_indices(indices)?;
        Ok(indices.iter().map(|&i| self.labels[i]).collect())
    }

    /// Unpacks a sheet (see the [module](self)).
    ///
    /// # Errors
    /// [`Error::Sheet`] if picture and text do not match; [`Error::CorruptImage`] and
    /// [`Error::ImageTooLarge`] if the picture is unusable.
    pub fn from_sheet(png_bytes: &[u8], json_bytes: &[u8]) -> Result<Self, Error> {
        let sidecar: Sidecar = serde_json::from_slice(json_bytes)
            .map_err(|error| wrong(format!("the JSON text: {}", clip(error))))?;
        let sheet = decode_dynamic(png_bytes, Path::new("image sheet"), Limits::default())?;
        let (sheet_width, sheet_height) = (sheet.width() as usize, sheet.height() as usize);
        let (channels, pixels) = match sheet {
            DynamicImage::ImageLuma8(grey) => (1, grey.into_raw()),
            DynamicImage::ImageRgb8(rgb) => (3, rgb.into_raw()),
            other => {
                return Err(wrong(format!("{:?} pixels, expected 8-bit grey or RGB", other.color())));
            }
        };
        let (columns, rows) = sidecar.check(sheet_width, sheet_height)?;

        let mut set = Self {
            height: sidecar.height,
            width: sidecar.width,
            channels,
            images: Vec::with_capacity(pixels.len()),
            labels: sidecar.labels,
            classes: sidecar.classes,
        };
        let row_len = set.width * channels;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        for (row, column) in places.take(set.len()) {
            for y in 0..set.height {
                let begin = (row * set.height + y) * sheet_width * channels + column * row_len;
                set.images.extend(&pixels[begin..begin + row_len]);
            }
        }
        Ok(set)
    }

    /// Packs the set into a sheet `cols` images wide: the PNG and the JSON text.
    ///
    /// # Errors
    /// [`Error::Sheet`] if there is nothing to pack, or the fields of the set contradict each other.
    pub fn to_sheet(&self, cols: usize) -> Result<(Vec<u8>, String), Error> {
        let color = match self.channels {
            1 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            other => return Err(wrong(format!("{other} channels, expected 1 or 3"))),
        };
        if self.images.len() != self.len() * self.image_len() || self.images.is_empty() || cols == 0 {
            return Err(wrong(format!(
                "cannot pack {} bytes as {} images of {}x{} in {cols} columns",
                self.images.len(),
                self.len(),
                self.width,
                self.height,
            )));
        }
        let cols = cols.min(self.len());
        let rows = self.len().div_ceil(cols);
        let limits = Limits::default();
        let (sheet_width, sheet_height) = (cols * self.width, rows * self.height);
        if sheet_width.max(sheet_height) > limits.max_side as usize
            || (sheet_width * sheet_height) as u64 > limits.max_pixels
        {
            return Err(wrong(format!(
                "a sheet of {sheet_width}x{sheet_height} is too large to be read back; choose another number of columns or fewer images"
            )));
        }
        let row_len = self.width * self.channels;
        let mut pixels = vec![0; rows * cols * self.image_len()];
        for i in 0..self.len() {
            for (y, line) in self.image(i).chunks_exact(row_len).enumerate() {
                let begin = ((i / cols * self.height + y) * cols + i % cols) * row_len;
                pixels[begin..begin + row_len].copy_from_slice(line);
            }
        }
        let mut bytes = Cursor::new(Vec::new());
        png::PngEncoder::new_with_quality(&mut bytes, png::CompressionType::Best, png::FilterType::Adaptive)
            .write_image(&pixels, sheet_width as u32, sheet_height as u32, color)
            .map_err(|error| wrong(clip(error)))?;
        let sidecar = Sidecar {
            height: self.height,
            width: self.width,
            cols,
            classes: self.classes.clone(),
            labels: self.labels.clone(),
        };
        let json = serde_json::to_string(&sidecar).map_err(|error| wrong(clip(error)))?;
        Ok((bytes.into_inner(), json))
    }

    fn check_indices(&self, indices: &[usize]) -> Result<(), Error> {
        match indices.iter().find(|&&i| i >= self.len()) {
            None => Ok(()),
            Some(&index) => Err(Error::IndexOutOfRange { index, len: self.len() }),
        }
    }
}

/// The JSON text beside a sheet.
#[derive(Serialize, Deserialize)]
struct Sidecar {
    height: usize,
    width: usize,
    cols: usize,
    classes: Vec<String>,
    labels: Vec<u32>,
}

impl Sidecar {
    /// The columns and rows of the sheet, if it is a whole grid with a place for every label.
    fn check(&self, sheet_width: usize, sheet_height: usize) -> Result<(usize, usize), Error> {
        let (height, width, columns) = (self.height, self.width, self.cols);
        let rows = sheet_height.checked_div(height).unwrap_or(0);
        if columns.checked_mul(width) != Some(sheet_width) || rows * height != sheet_height {
            return Err(wrong(format!(
                "the picture is {sheet_width}x{sheet_height}, not {columns} columns of {width}x{height} images"
            )));
        }
        if self.labels.len() > rows * columns {
            return Err(wrong(format!(
                "{} labels, but the picture has places for {} images",
                self.labels.len(),
                rows * columns
            )));
        }
        let classes = self.classes.len();
        match self.labels.iter().position(|&label| label as usize >= classes) {
            None => Ok((columns, rows)),
            Some(index) => Err(Error::LabelOutOfRange { index, label: self.labels[index] as usize, classes }),
        }
    }
}

fn wrong(reason: String) -> Error {
    Error::Sheet { reason }
}
