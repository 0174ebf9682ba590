//! What excites the channels of a network: which images, where in them, and which pixels.
//!
//! The question is Zeiler and Fergus's (2014, *Visualizing and Understanding Convolutional
//! Networks*); the pixels are found by the gradient with respect to the image, as Simonyan, Vedaldi
//! and Zisserman (2013) do.

use frostline_trainer::Unit;
use image::RgbImage;
use image::imageops::crop_imm;
use std::ops::Range;

/// The largest value of every channel of a stage in every image, with its position.
#[derive(Clone, Debug, Default)]
pub struct Peaks {
    /// For every image, the channels in order.
    pub images: Vec<Vec<(f32, Unit)>>,
}

impl Peaks {
    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.images.first().map_or(0, Vec::len)
    }

    /// Those `count` of the images `among` that excite `channel` most, the best first.
    pub fn best(&self, channel: usize, among: &[usize], count: usize) -> Vec<usize> {
        let mut order = among.to_vec();
        order.sort_by(|&a, &b| {
            self.images[b][channel].0.total_cmp(&self.images[a][channel].0).then(a.cmp(&b))
        });
        order.truncate(count);
        order
    }

    /// The `count` channels whose best `few` images stand out most from the rest: the distance of
    /// their mean peak from that of all images, in standard deviations.
    pub fn standing_out(&self, count: usize, few: usize) -> Vec<usize> {
        let all: Vec<usize> = (0..self.images.len()).collect();
        let mean = |images: &[usize], channel: usize| {
            images.iter().map(|&i| f64::from(self.images[i][channel].0)).sum::<f64>()
                / images.len().max(1) as f64
        };
        let score = |channel: usize| {
            let middle = mean(&all, channel);
            let squares = all.iter().map(|&i| (f64::from(self.images[i][channel].0) - middle).powi(2));
            let deviation = (squares.sum::<f64>() / all.len().max(1) as f64).sqrt();
            if deviation > 0.0 {
                (mean(&self.best(channel, &all, few), channel) - middle) / deviation
            } else {
                0.0
            }
        };
        let mut scored: Vec<(f64, usize)> =
            (0..self.channels()).map(|channel| (score(channel), channel)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(count).map(|(_, channel)| channel).collect()
    }

    /// Of the best `few` of the images `among`, the share of pairs with the same label, averaged
    /// over all channels: 1 if each channel is excited by one kind of image only.
    pub fn purity(&self, labels: &[u32], among: &[usize], few: usize) -> f64 {
        let of = |channel: usize| {
            let best = self.best(channel, among, few);
            let pairs = best.iter().enumerate().flat_map(|(at, a)| best[..at].iter().map(move |b| (*a, *b)));
            let same = pairs.filter(|&(a, b)| labels[a] == labels[b]).count();
            same as f64 / (best.len() * best.len().saturating_sub(1) / 2).max(1) as f64
        };
        (0..self.channels()).map(of).sum::<f64>() / self.channels().max(1) as f64
    }
}

/// Purity of random images: the probability that two of the images `among` have the same label.
pub fn chance_of_same(labels: &[u32], among: &[usize]) -> f64 {
    let pairs = among
        .iter()
        .enumerate()
        .flat_map(|(at, a)| among[..at].iter().map(move |b| labels[*a] == labels[*b]));
    let (same, all) = pairs.fold((0usize, 0usize), |(same, all), pair| (same + usize::from(pair), all + 1));
    same as f64 / all.max(1) as f64
}

/// The weight of each pixel: the sum of |gradient| over its channels. `gradient` is (height, width,
/// channels).
pub fn weight_of_pixels(gradient: &[f32], channels: usize) -> Vec<f32> {
    gradient.chunks_exact(channels.max(1)).map(|pixel| pixel.iter().map(|value| value.abs()).sum()).collect()
}

/// Columns and rows of the box that holds nine tenths of the pixels' weight along either axis: the effective
/// receptive field (Luo et al. 2016). The whole image if there is no weight.
///
pub fn frame(weights: &[f32], width: usize) -> [Range<usize>; 2] {
    let height = weights.len() / width.max(1);
    let columns = (0..width).map(|x| (0..height).map(|y| f64::from(weights[y * width + x])).sum()).collect();
    let rows =
        weights.chunks_exact(width.max(1)).map(|row| row.iter().map(|w| f64::from(*w)).sum()).collect();
    [columns, rows].map(middle)
}

/// From where a twentieth of the sum is reached to where all but a twentieth is.
fn middle(sums: Vec<f64>) -> Range<usize> {
    let total: f64 = sums.iter().sum();
    let reached = |share: f64| {
        let mut sum = 0.0;
        sums.iter().position(|value| {
            sum += value;
            sum >= share * total
        })
    };
    match (total > 0.0, reached(0.05), reached(0.95)) {
        (true, Some(from), Some(to)) => from..to + 1,
        _ => 0..sums.len(),
    }
}

/// The part of `image` in the box `[columns, rows]`.
pub fn crop(image: &RgbImage, [columns, rows]: &[Range<usize>; 2]) -> RgbImage {
    crop_imm(image, columns.start as u32, rows.start as u32, columns.len() as u32, rows.len() as u32)
        .to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images 2 and 3 excite channel 0 most, image 0 excites channel 1 most.
    fn peaks() -> Peaks {
        let unit = |channel| Unit { channel, y: 0, x: 0 };
        let values = [[0.0, 9.0], [1.0, 0.0], [5.0, 1.0], [4.0, 0.5]];
        Peaks { images: values.iter().map(|row| vec![(row[0], unit(0)), (row[1], unit(1))]).collect() }
    }

    #[test]
    fn the_best_images_of_a_channel_come_first() {
        assert_eq!(peaks().best(0, &[0, 1, 2, 3], 2), [2, 3]);
        assert_eq!(peaks().best(0, &[0, 1], 9), [1, 0]);
        assert_eq!(peaks().standing_out(1, 1), [1], "9 among ones stands out more than 5 beside 4");
    }

    #[test]
    fn channels_of_one_kind_are_pure() {
        let all = [0, 1, 2, 3];
        assert_eq!(peaks().purity(&[0, 1, 2, 2], &all, 2), 0.5, "channel 0 is pure, channel 1 is not");
        assert_eq!(peaks().purity(&[7; 4], &all, 3), 1.0);
        assert_eq!(chance_of_same(&[0, 0, 1, 1], &all), 2.0 / 6.0);
    }

    #[test]
    fn the_frame_holds_what_counts() {
        let mut weights = vec![0.0; 48]; // 6 rows of 8
        for (y, x) in [(2, 3), (2, 4), (3, 3), (3, 4)] {
            weights[y * 8 + x] = 1.0;
        }
        assert_eq!(frame(&weights, 8), [3..5, 2..4]);
        assert_eq!(frame(&[0.0; 48], 8), [0..8, 0..6]);
        assert_eq!(weight_of_pixels(&[1.0, -2.0, 0.0, 0.5], 2), [3.0, 0.5]);
        let image = RgbImage::from_fn(8, 6, |x, y| image::Rgb([x as u8, y as u8, 0]));
        assert_eq!(crop(&image, &[3..5, 2..4]).get_pixel(1, 0).0, [4, 2, 0]);
    }
}
