//! Augmentation: training images are changed at random, so that a network learns more from few of them.
//!
//! This module draws the random numbers, as torchvision's `RandomResizedCrop`, `RandomHorizontalFlip`,
//! `RandomVerticalFlip`, `RandomRotation` (with a shift: `RandomAffine`) and `ColorJitter` do, in that order;
//! the device changes the images ([`frostline_engine::ops::Augment`]). They depend only on the seed, the
//! epoch and the image, so a resumed run uses the same images as an uninterrupted run.

use frostline_engine::ops::{self, Interpolation, Jitter, Transform, Window};
use frostline_loader::shuffle::{item_generator, shuffle, uniform};
use frostline_loader::{BatchState, Preprocessing};

use crate::error::{Error, Result};

/// The random changes of a training image. Made by [`Augment::none`]; the other methods add one change each.
/// The label must be right for every image that can result.
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// The crop, which is resized to the full size.
    pub crop: Option<ResizedCrop>,
    /// Probability that left and right are exchanged.
    pub horizontal_flip: f64,
    /// Probability that top and bottom are exchanged.
    pub vertical_flip: f64,
    /// Images are rotated by up to this many degrees, either way.
    pub degrees: f64,
    /// Images are shifted by up to this fraction of their sides, each way, by whole pixels.
    pub translate: f64,
    /// Interpolation of rotated images.
    pub interpolation: Interpolation,
    /// The value, in 0..=1, of what was outside the image.
    pub fill: f32,
    /// Changes of colour.
    pub jitter: ColorJitter,
}

/// The crop of torchvision's `RandomResizedCrop`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    /// Least and greatest area, as a fraction of the image's area.
    pub scale: [f64; 2],
    /// Least and greatest ratio of width to height.
    pub ratio: [f64; 2],
}

/// How far torchvision's `ColorJitter` goes: factors are drawn from max(0, 1 − b) to 1 + b, the hue from −h
/// to h, and the order again for every image. 0 leaves the image unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// Of the brightness.
    pub brightness: f64,
    /// Of the contrast.
    pub contrast: f64,
    /// Of the saturation.
    pub saturation: f64,
    /// Change of the hue in turns, at most 0.5.
    pub hue: f64,
}

impl Augment {
    /// Nothing yet.
    pub fn none() -> Self {
        Self {
            crop: None,
            horizontal_flip: 0.0,
            vertical_flip: 0.0,
            degrees: 0.0,
            translate: 0.0,
            interpolation: Interpolation::Nearest,
            fill: 0.0,
            jitter: ColorJitter::default(),
        }
    }

    /// Cuts out a part of between `scale[0]` and `scale[1]` of the area, three quarters to four thirds
    /// as wide as high.
    pub fn resized_crop(mut self, scale: [f64; 2]) -> Self {
        self.crop = Some(ResizedCrop { scale, ratio: [3.0 / 4.0, 4.0 / 3.0] });
        self
    }

    /// Exchanges left and right in this fraction of the images.
    pub fn horizontal_flip(mut self, probability: f64) -> Self {
        self.horizontal_flip = probability;
        self
    }

    /// Exchanges top and bottom in this fraction of the images.
    pub fn vertical_flip(mut self, probability: f64) -> Self {
        self.vertical_flip = probability;
        self
    }

    /// Rotates by up to this many degrees, either way.
    pub fn rotation(mut self, degrees: f64) -> Self {
        self.degrees = degrees;
        self
    }

    /// Shifts by up to this fraction of the sides, each way.
    pub fn translate(mut self, part: f64) -> Self {
        self.translate = part;
        self
    }

    /// Interpolates rotated images from four pixels instead of the nearest one.
    pub fn bilinear(mut self) -> Self {
        self.interpolation = Interpolation::Bilinear;
        self
    }

    /// Sets the value, in 0..=1, of what was outside the image.
    pub fn fill(mut self, value: f32) -> Self {
        self.fill = value;
        self
    }

    /// Changes colours.
    pub fn color_jitter(mut self, brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Self {
        self.jitter = ColorJitter { brightness, contrast, saturation, hue };
        self
    }

    /// Fails if a setting is invalid.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        let refuse = |name, value: &dyn std::fmt::Debug, reason| {
            Err(Error::Setting { name, value: format!("{value:?}"), reason })
        };
        if let Some(ResizedCrop { scale, ratio }) = &self.crop {
            if !(0.0 < scale[0] && scale[0] <= scale[1] && scale[1] <= 1.0) {
                return refuse(
                    "resized crop, scale",
                    scale,
                    "expected fractions of the area, above 0 and up to 1, the smaller first",
                );
            }
            if !(0.0 < ratio[0] && ratio[0] <= ratio[1] && ratio[1].is_finite()) {
                return refuse(
                    "resized crop, ratio",
                    ratio,
                    "expected two ratios of width to height above 0, the smaller first",
                );
            }
        }
        let ColorJitter { brightness, contrast, saturation, hue } = self.jitter;
        let unit = "expected a number from 0 to 1";
        let bounds = [
            ("horizontal flip", self.horizontal_flip, 1.0, unit),
            ("vertical flip", self.vertical_flip, 1.0, unit),
            ("rotation", self.degrees, 360.0, "expected degrees from 0 to 360"),
            ("translate", self.translate, 1.0, unit),
            ("fill", f64::from(self.fill), 1.0, unit),
            ("brightness", brightness, 100.0, "expected a number from 0 to 100"),
            ("contrast", contrast, 100.0, "expected a number from 0 to 100"),
            ("saturation", saturation, 100.0, "expected a number from 0 to 100"),
            ("hue", hue, 0.5, "expected a number from 0 to 0.5"),
        ];
        match bounds.into_iter().find(|&(_, value, most, _)| !(0.0..=most).contains(&value)) {
            Some((name, value, _, reason)) => refuse(name, &value, reason),
            None => Ok(()),
        }
    }

    /// The op that changes images, and normalises them as in `input`.
    pub(crate) fn op(&self, input: &Preprocessing) -> ops::Augment {
        ops::Augment {
            size: [input.crop; 2],
            mean: input.mean.clone(),
            std: input.std.clone(),
            interpolation: self.interpolation,
            fill: self.fill,
        }
    }

    /// The changes of the images `indices` of a batch at `state`; images have `size` (height, width).
    pub fn draw(&self, state: BatchState, indices: &[usize], size: [usize; 2]) -> Vec<Transform> {
        let one = |&image: &usize| {
            let mut rng = item_generator(state.seed, state.epoch, image as u64);
            let order = {
                let mut order = [0, 1, 2, 3];
                shuffle(&mut order, &mut rng);
                order
            };
            self.transform(size, order, &mut |low, high| uniform(low, high, &mut rng))
        };
        indices.iter().map(one).collect()
    }

    /// The changes of one image: `order` is that of the changes of colour, all other numbers come from
    /// `uniform(low, high)`.
    fn transform(
        &self,
        [height, width]: [usize; 2],
        order: [usize; 4],
        uniform: &mut impl FnMut(f64, f64) -> f64,
    ) -> Transform {
        let mut transform = Transform::identity(height, width);
        if let Some(crop) = &self.crop {
            transform.window = crop.window([height, width], uniform);
        }
        transform.flip_horizontal = uniform(0.0, 1.0) < self.horizontal_flip;
        transform.flip_vertical = uniform(0.0, 1.0) < self.vertical_flip;
        transform.angle = uniform(-self.degrees, self.degrees) as f32;
        transform.shift = [width, height].map(|side| {
            let most = self.translate * side as f64;
            uniform(-most, most).round_ties_even() as f32
        });
        let ColorJitter { brightness, contrast, saturation, hue } = self.jitter;
        let mut factor = |strength: f64| uniform((1.0 - strength).max(0.0), 1.0 + strength) as f32;
        let factors = [brightness, contrast, saturation].map(&mut factor);
        let turns = uniform(-hue, hue) as f32;
        let all = [
            (brightness, Jitter::Brightness(factors[0])),
            (contrast, Jitter::Contrast(factors[1])),
            (saturation, Jitter::Saturation(factors[2])),
            (hue, Jitter::Hue(turns)),
        ];
        transform.jitter = order
            .into_iter()
            .map(|kind| all[kind])
            .filter(|(strength, _)| *strength > 0.0)
            .map(|(_, jitter)| jitter)
            .collect();
        transform
    }
}

impl ResizedCrop {
    /// torchvision's `RandomResizedCrop.get_params`: ten tries, then the largest window in the middle
    /// whose ratio is allowed.
    fn window(&self, [height, width]: [usize; 2], uniform: &mut impl FnMut(f64, f64) -> f64) -> Window {
        let area = (height * width) as f64;
        let [least, greatest] = self.ratio;
        for _ in 0..10 {
            let target = area * uniform(self.scale[0], self.scale[1]);
            // Uniform in the logarithm: 3:4 is as likely as 4:3.
            let ratio = uniform(least.ln(), greatest.ln()).exp();
            let columns = (target * ratio).sqrt().round_ties_even() as usize;
            let rows = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&columns) && (1..=height).contains(&rows) {
                let mut below = |bound: usize| (uniform(0.0, bound as f64) as usize).min(bound - 1);
                let (top, left) = (below(height - rows + 1), below(width - columns + 1));
                return Window { top, left, height: rows, width: columns };
            }
        }
        let ratio = width as f64 / height as f64;
        let (rows, columns) = if ratio < least {
            ((width as f64 / least).round_ties_even() as usize, width)
        } else if ratio > greatest {
            (height, (height as f64 * greatest).round_ties_even() as usize)
        } else {
            (height, width)
        };
        let (rows, columns) = (rows.clamp(1, height), columns.clamp(1, width));
        Window { top: (height - rows) / 2, left: (width - columns) / 2, height: rows, width: columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Augment {
        Augment::none()
            .resized_crop([0.2, 1.0])
            .horizontal_flip(0.5)
            .vertical_flip(0.25)
            .rotation(30.0)
            .translate(0.2)
            .color_jitter(0.4, 0.4, 1.5, 0.1)
    }

    fn state(seed: u64, epoch: u64, position: usize) -> BatchState {
        BatchState { seed, epoch, position }
    }

    /// Returns these numbers of 0..1 in turn, scaled as by torch's `uniform_` and `randint`.
    fn script(units: &[f64]) -> impl FnMut(f64, f64) -> f64 {
        let mut units = units.iter().copied();
        move |low, high| low + units.next().expect("no more numbers are drawn") * (high - low)
    }

    /// By hand from `RandomResizedCrop.get_params`: area 0.5·1200 and ratio 1 give 24.49, so 24 rows
    /// and columns; the corner is the middle of 0..=6 and 0..=16.
    #[test]
    fn a_window_is_torchvisions() {
        let crop = ResizedCrop { scale: [0.0, 1.0], ratio: [0.75, 4.0 / 3.0] };
        let window = crop.window([30, 40], &mut script(&[0.5, 0.5, 0.5, 0.5]));
        assert_eq!(window, Window { top: 3, left: 8, height: 24, width: 24 });
        // Ratio 4:3 of the whole area is the image itself.
        let window = crop.window([30, 40], &mut script(&[1.0, 1.0, 0.9, 0.9]));
        assert_eq!(window, Window { top: 0, left: 0, height: 30, width: 40 });
        // The first try, 3:4 of the whole, is too high; the second fits.
        let window = crop.window([30, 40], &mut script(&[1.0, 0.0, 0.25, 1.0, 0.0, 0.0]));
        assert_eq!(window, Window { top: 0, left: 0, height: 15, width: 20 });
    }

    #[test]
    fn after_ten_tries_the_middle_is_taken() {
        let crop = ResizedCrop { scale: [0.9, 1.0], ratio: [0.75, 4.0 / 3.0] };
        let mut tries = 0;
        let mut middle = |size| {
            crop.window(size, &mut |low, high| {
                tries += 1;
                (low + high) / 2.0
            })
        };
        assert_eq!(middle([10, 100]), Window { top: 0, left: 43, height: 10, width: 13 });
        assert_eq!(middle([100, 10]), Window { top: 43, left: 0, height: 13, width: 10 });
        assert_eq!(tries, 2 * 10 * 2);
    }

    #[test]
    fn what_is_drawn_depends_on_seed_epoch_and_image_alone() {
        let augment = everything();
        let drawn = augment.draw(state(1, 2, 0), &[5, 6, 7], [28, 28]);
        assert_eq!(augment.draw(state(1, 2, 9), &[7, 5], [28, 28]), [drawn[2].clone(), drawn[0].clone()]);
        for other in [state(1, 3, 0), state(2, 2, 0)] {
            assert_ne!(augment.draw(other, &[5], [28, 28])[0], drawn[0]);
        }
        assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2]);
    }

    #[test]
    fn what_is_drawn_keeps_its_bounds_and_its_shares() {
        let all = everything().draw(state(3, 0, 0), &(0..4000).collect::<Vec<_>>(), [20, 30]);
        let share = |of: &dyn Fn(&Transform) -> bool| all.iter().filter(|t| of(t)).count() as f64 / 4000.0;
        // Deviations of these shares are below 0.008.
        assert!((share(&|t| t.flip_horizontal) - 0.5).abs() < 0.04);
        assert!((share(&|t| t.flip_vertical) - 0.25).abs() < 0.04);
        assert!((share(&|t| matches!(t.jitter[0], Jitter::Hue(_))) - 0.25).abs() < 0.04);
        assert!((share(&|t| t.angle < -15.0) - 0.25).abs() < 0.04);
        for t in &all {
            let Window { top, left, height, width } = t.window;
            assert!(top + height <= 20 && left + width <= 30 && height * width >= 105, "{:?}", t.window);
            assert!(t.angle.abs() <= 30.0 && t.shift[0].abs() <= 6.0 && t.shift[1].abs() <= 4.0);
            assert!(t.shift.iter().all(|shift| shift.fract() == 0.0));
            assert_eq!(t.jitter.len(), 4);
            for jitter in &t.jitter {
                match *jitter {
                    Jitter::Brightness(f) | Jitter::Contrast(f) => assert!((0.6..=1.4).contains(&f)),
                    Jitter::Saturation(f) => assert!((0.0..=2.5).contains(&f)),
                    Jitter::Hue(f) => assert!((-0.1..=0.1).contains(&f)),
                }
            }
        }
        let none = Augment::none().draw(state(3, 0, 0), &[1, 2], [20, 30]);
        assert_eq!(none, vec![Transform::identity(20, 30); 2]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        everything().check().unwrap();
        for (augment, name) in [
            (Augment::none().resized_crop([0.5, 1.5]), "scale"),
            (Augment::none().resized_crop([0.0, 1.0]), "scale"),
            (
                Augment {
                    crop: Some(ResizedCrop { scale: [0.5, 1.0], ratio: [2.0, 1.0] }),
                    ..Augment::none()
                },
                "ratio",
            ),
            (Augment::none().horizontal_flip(1.1), "horizontal flip"),
            (Augment::none().vertical_flip(-0.1), "vertical flip"),
            (Augment::none().rotation(f64::NAN), "rotation"),
            (Augment::none().translate(2.0), "translate"),
            (Augment::none().fill(-1.0), "fill"),
            (Augment::none().color_jitter(-1.0, 0.0, 0.0, 0.0), "brightness"),
            (Augment::none().color_jitter(0.0, 0.0, 0.0, 0.6), "hue"),
        ] {
            let error = augment.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
