//! augment: images moved and coloured differently in every batch, and normalised.
//!
//! Random values are drawn on the host: the kernel gets a [`Transform`] for every image, and applies
//! torchvision's functional transforms for float tensors in 0..1, in this order:
//!
//! | field of [`Transform`] | torchvision |
//! |---|---|
//! | `window` | `resized_crop(img, top, left, height, width, size, BILINEAR, antialias=True)` |
//! | `flip_horizontal`, `flip_vertical` | `hflip`, `vflip` |
//! | `angle`, `shift` | `rotate(img, angle, interpolation, fill=fill)`; with a shift `affine(img, -angle, shift, 1, [0, 0], …)` |
//! | `jitter`, in its order | `adjust_brightness`, `adjust_contrast`, `adjust_saturation`, `adjust_hue` |
//! | (of [`Augment`]) | `normalize(img, mean, std)` |

use super::normalize::is_sound;
use super::{Op, image};
use crate::context::{Backward, Forward};
use crate::dispatch::grid;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::request::Request;
use crate::shape::Shape;

static GREY_SUMS: Kernel = Kernel { file: "augment", entry: "grey_sums" };
static FORWARD: Kernel = Kernel { file: "augment", entry: "forward" };
const WORKGROUP: usize = 64;
/// Maximum number of pixels of a part of an image that a lane computes.
const PIXELS: usize = 16;
/// Maximum number of loop turns of a lane for its pixels, or those of one pixel.
const TURNS: usize = 32_768;

/// Number of values in a packed [`Transform`].
const PACKED: usize = 20;

/// Inputs: x, grey or RGB images with values in 0..=1, and a packed [`Transform`] for each. No
/// gradient flows through it.
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// Height and width of the output.
    pub size: [usize; 2],
    /// The mean of each channel, which is subtracted.
    pub mean: Vec<f32>,
    /// The deviation of each channel, by which values are divided.
    pub std: Vec<f32>,
    /// Interpolation of rotated images.
    pub interpolation: Interpolation,
    /// The value, in 0..=1, of what was outside the image before it was rotated or shifted.
    pub fill: f32,
}

/// Interpolation between pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// A mean of the four pixels around.
    Bilinear,
}

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows above it.
    pub top: usize,
    /// Columns left of it.
    pub left: usize,
    /// Its rows.
    pub height: usize,
    /// Its columns.
    pub width: usize,
}

/// A change of colour; a result is clamped to 0..=1. Grey images keep saturation and hue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// Black at 0, as it was at 1.
    Brightness(f32),
    /// The image's mean grey at 0, as it was at 1.
    Contrast(f32),
    /// Grey at 0, as it was at 1.
    Saturation(f32),
    /// Hues turned by this fraction of a circle, −0.5 to 0.5.
    Hue(f32),
}

/// The changes of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// The crop, which is resized to the output's size.
    pub window: Window,
    /// Left and right exchanged.
    pub flip_horizontal: bool,
    /// Top and bottom exchanged.
    pub flip_vertical: bool,
    /// Rotation about the centre in degrees, counter-clockwise.
    pub angle: f32,
    /// Shift after the rotation in pixels, to the right and down.
    pub shift: [f32; 2],
    /// Changes of colour in their order: each kind at most once.
    pub jitter: Vec<Jitter>,
}

impl Transform {
    /// The whole of an image of `height` × `width` pixels, resized, and nothing else.
    pub fn identity(height: usize, width: usize) -> Self {
        Self {
            window: Window { top: 0, left: 0, height, width },
            flip_horizontal: false,
            flip_vertical: false,
            angle: 0.0,
            shift: [0.0; 2],
            jitter: vec![],
        }
    }

    /// Fails unless it is valid for an image of `height` × `width` pixels, because the kernel checks nothing.
    fn check(&self, [height, width]: [usize; 2]) -> std::result::Result<(), String> {
        let Window { top, left, height: rows, width: columns } = self.window;
        let fits = |start: usize, length: usize, whole: usize| {
            length > 0 && start <= whole && length <= whole - start
        };
        if !fits(top, rows, height) || !fits(left, columns, width) {
            return Err(format!("{:?}, which is not within the image", self.window));
        }
        if ![self.angle, self.shift[0], self.shift[1]].iter().all(|value| value.abs() < 1e6) {
            return Err(format!("a rotation by {} degrees and a shift by {:?}", self.angle, self.shift));
        }
        let mut kinds: Vec<u32> = self.jitter.iter().map(|jitter| jitter.packed().0).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let sound = |jitter: &Jitter| match *jitter {
            Jitter::Hue(turns) => turns.abs() <= 0.5,
            Jitter::Brightness(factor) | Jitter::Contrast(factor) | Jitter::Saturation(factor) => {
                (0.0..1e6).contains(&factor)
            }
        };
        if kinds.len() != self.jitter.len() || !self.jitter.iter().all(sound) {
            return Err(format!("{:?}: each kind once, factors from 0, hues from -0.5 to 0.5", self.jitter));
        }
        Ok(())
    }

    /// In the format that the kernel reads (`transform` in `augment.wgsl`).
    fn packed(&self) -> [f32; PACKED] {
        let Window { top, left, height, width } = self.window;
        let (sin, cos) = f64::from(self.angle).to_radians().sin_cos();
        let [right, down] = self.shift.map(f64::from);
        // From the output to the source: back by the shift, then back by the angle.
        let source_column = [cos, -sin, sin * down - cos * right].map(|value| value as f32);
        let source_row = [sin, cos, -sin * right - cos * down].map(|value| value as f32);
        let flip = |is: bool| f32::from(u8::from(is));
        let mut packed = [0.0; PACKED];
        packed[..4].copy_from_slice(&[top, left, height, width].map(|value| value as f32));
        packed[4..7].copy_from_slice(&source_column);
        packed[7] = flip(self.flip_horizontal);
        packed[8..11].copy_from_slice(&source_row);
        packed[11] = flip(self.flip_vertical);
        for (i, jitter) in self.jitter.iter().enumerate().take(4) {
            let (code, factor) = jitter.packed();
            (packed[12 + i], packed[16 + i]) = (code as f32, factor);
        }
        packed
    }
}

impl Jitter {
    fn packed(self) -> (u32, f32) {
        match self {
            Jitter::Brightness(factor) => (1, factor),
            Jitter::Contrast(factor) => (2, factor),
            Jitter::Saturation(factor) => (3, factor),
            Jitter::Hue(turns) => (4, turns),
        }
    }
}

/// The shape of the transforms of a batch.
pub(crate) fn transforms_shape(n: usize) -> Shape {
    Shape::Image { n, h: 1, w: 1, c: PACKED }
}

/// `transforms`, one for each of the `images`, in the format that the kernel reads.
pub(crate) fn pack(transforms: &[Transform], images: Shape) -> Result<Vec<f32>> {
    let [n, h, w, _] = image("augment", "transforms", images)?;
    let wrong =
        |expected: String, got: String| Error::Data { tensor: "transforms".to_owned(), expected, got };
    if transforms.len() != n {
        return Err(wrong(format!("one for each of {n} images"), transforms.len().to_string()));
    }
    for (i, transform) in transforms.iter().enumerate() {
        transform.check([h, w]).map_err(|got| {
            wrong(
                format!("a transform that is valid for images of {h}x{w} pixels"),
                format!(
                    "for image {i} \
                           {got}"
                ),
            )
        })?;
    }
    Ok(transforms.iter().flat_map(Transform::packed).collect())
}

impl Augment {
    /// Loop turns for one pixel of the largest window of an image of this size.
    fn turns_per_pixel(&self, image: [usize; 2]) -> usize {
        // A pixel is a mean over twice the scale, and one more if that begins between two pixels.
        let [rows, columns] = [0, 1].map(|i| (2 * image[i]).div_ceil(self.size[i]).max(2) + 1);
        let resized = rows * (1 + columns);
        let moved = if self.interpolation == Interpolation::Bilinear { 4 * (1 + resized) } else { resized };
        1 + moved + 4
    }
}

impl Op for Augment {
    fn name(&self) -> &'static str {
        "augment"
    }

    fn output_shape(&self, layer: &str, inputs: &[Shape]) -> Result<Shape> {
        let [n, _, _, c] = image("augment", layer, inputs[0])?;
        let wrong = |reason| Err(Error::shape("augment", layer, reason));
        if c != 1 && c != 3 {
            return wrong(format!("expects grey or RGB images, got {} with {c} channels", inputs[0]));
        }
        if inputs[1] != transforms_shape(n) {
            return wrong(format!(
                "images {} need one transform each, {}, got {}",
                inputs[0],
                transforms_shape(n),
                inputs[1]
            ));
        }
        let [h, w] = self.size;
        if h == 0 || w == 0 || h.max(w) > 1 << 20 {
            return wrong(format!("cannot make images of {h}x{w} pixels"));
        }
        if !is_sound(c, &self.mean, &self.std) {
            return wrong(format!(
                "{c} channels need as many means and positive deviations, got {:?} and {:?}",
                self.mean, self.std
            ));
        }
        if !(0.0..=1.0).contains(&self.fill) {
            return wrong(format!("fill {} is not in 0..=1", self.fill));
        }
        Ok(Shape::Image { n, h, w, c })
    }

    fn differentiable(&self, _input: usize) -> bool {
        false
    }

    /// f32, so that images are augmented without rounding to f16.
    fn reads_f32(&self, input: usize) -> bool {
        input == 0
    }

    fn keeps(&self, _wants: &[bool]) -> Vec<usize> {
        vec![]
    }

    fn forward(&self, f: &mut Forward<'_, '_>) -> Result<()> {
        let (Shape::Image { n, h, w, c }, [h_out, w_out]) = (f.shape(0), self.size) else {
            unreachable!("the shape check let images through only")
        };
        let channel = |values: &[f32], i: usize, absent: f32| values.get(i).copied().unwrap_or(absent);
        let sizes = [("n", n), ("h_in", h), ("w_in", w), ("h_out", h_out), ("w_out", w_out), ("channels", c)];
        let turns_per_pixel = self.turns_per_pixel([h, w]);
        let pixels_per_lane = (TURNS / turns_per_pixel).clamp(1, PIXELS);
        let parts = (h_out * w_out).div_ceil(pixels_per_lane * WORKGROUP);
        let (x, transforms) = (f.input(0), f.input(1));
        let request = |kernel| {
            let mut request = Request::new(kernel, grid(n * parts, 1))
                .bind(&[("x", x), ("transforms", transforms)])
                .params(&sizes)
                .params(&[("parts", parts), ("pixels_per_part", pixels_per_lane * WORKGROUP)])
                .params(&[("bilinear", usize::from(self.interpolation == Interpolation::Bilinear))])
                .float("fill", self.fill);
            let names = [("mean_0", "std_0"), ("mean_1", "std_1"), ("mean_2", "std_2")];
            for (i, (mean, std)) in names.into_iter().enumerate() {
                request =
                    request.float(mean, channel(&self.mean, i, 0.0)).float(std, channel(&self.std, i, 1.0));
            }
            request
        };
        let greys = f.scratch("sums of grey", 4 * (n * parts) as u64);
        // The changes before contrast; every lane sums those of all pixels.
        let turns = 4 + pixels_per_lane * turns_per_pixel + WORKGROUP;
        f.dispatch(request(GREY_SUMS).bind(&[("greys_out", greys)]).turns(turns))?;
        let turns = parts.div_ceil(WORKGROUP) + WORKGROUP + pixels_per_lane * turns_per_pixel;
        let y = f.output();
        f.dispatch(request(FORWARD).bind(&[("greys", greys), ("y", y)]).turns(turns))
    }

    /// Never called: the output needs no gradient.
    fn backward(&self, _b: &mut Backward<'_, '_>) -> Result<()> {
        Ok(())
    }
}
