//! Mirrored and shifted images: the usual augmentation of small pictures (He et al. 2016, section 4.2),
//! computed on the CPU.

use frostline_loader::shuffle::{below, generator};
use frostline_loader::{BatchState, Error, ImageSet};
use frostline_trainer::{Batch, Source};

/// Images that are mirrored and shifted at random in every training batch. Pixels from outside are black.
/// Evaluation uses unchanged images.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The unchanged images.
    pub images: ImageSet,
    /// Largest shift to each side, in pixels.
    pub shift: usize,
}

impl Source for Moved {
    fn shape(&self) -> [usize; 3] {
        Source::shape(&self.images)
    }

    fn classes(&self) -> &[String] {
        &self.images.classes
    }

    fn labels(&self) -> &[u32] {
        &self.images.labels
    }

    fn stochastic(&self) -> Option<&str> {
        Some("mirroring and shifting")
    }

    fn gather(&self, indices: &[usize], state: Option<BatchState>, out: &mut Batch) -> Result<(), Error> {
        self.images.gather(indices, out.bytes())?;
        let Some(BatchState { seed, epoch, position }) = state else { return Ok(()) };
        // The top bit separates these streams from those of the order of the images.
        let mut random = generator(seed, 1 << 63 | epoch << 32 | position as u64);
        let mut draw = |bound: usize| below(bound as u64, &mut random) as usize;
        let ImageSet { height, width, channels, .. } = self.images;
        for image in out.bytes().chunks_exact_mut(self.images.image_len()) {
            let (mirror, right, down) = (draw(2) == 1, draw(2 * self.shift + 1), draw(2 * self.shift + 1));
            // Drawn from 0 to 2·shift, where `shift` is in place.
            let offsets = [down, right].map(|offset| offset as isize - self.shift as isize);
            let moved = moved(image, [height, width, channels], mirror, offsets);
            image.copy_from_slice(&moved);
        }
        Ok(())
    }
}

/// The image whose pixel (y, x) is the old one at (y + down, x + right), after the mirror.
fn moved(
    old: &[u8],
    [height, width, channels]: [usize; 3],
    mirror: bool,
    [down, right]: [isize; 2],
) -> Vec<u8> {
    let inside = |place: usize, offset: isize, size: usize| {
        place.checked_add_signed(offset).filter(|place| *place < size)
    };
    let mut new = vec![0; old.len()];
    for (at, pixel) in new.chunks_exact_mut(channels).enumerate() {
        if let (Some(y), Some(x)) = (inside(at / width, down, height), inside(at % width, right, width)) {
            let x = if mirror { width - 1 - x } else { x };
            pixel.copy_from_slice(&old[(y * width + x) * channels..][..channels]);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_move_and_black_comes_in() {
        let old = [1, 2, 3, 4, 5, 6];
        assert_eq!(moved(&old, [2, 3, 1], false, [0, 0]), old);
        assert_eq!(moved(&old, [2, 3, 1], true, [0, 0]), [3, 2, 1, 6, 5, 4]);
        assert_eq!(moved(&old, [2, 3, 1], false, [1, -1]), [0, 4, 5, 0, 0, 0]);
        assert_eq!(moved(&old, [2, 3, 1], true, [0, 1]), [2, 1, 0, 5, 4, 0]);
        assert_eq!(moved(&old, [1, 2, 3], true, [0, 0]), [4, 5, 6, 1, 2, 3], "colours stay together");
    }

    #[test]
    fn a_batch_is_drawn_from_its_place_in_the_run_alone() {
        let images = (0..4 * 25).collect();
        let set = ImageSet {
            height: 5,
            width: 5,
            channels: 1,
            images,
            labels: vec![0; 4],
            classes: vec!["one".to_owned()],
        };
        let source = Moved { images: set.clone(), shift: 2 };
        let batch = |state| {
            let mut out = Batch::default();
            source.gather(&[2, 0, 2, 2], state, &mut out).unwrap();
            out
        };
        let at = |seed, epoch, position| batch(Some(BatchState { seed, epoch, position }));
        assert_eq!(at(1, 2, 3), at(1, 2, 3));
        for other in [at(2, 2, 3), at(1, 3, 3), at(1, 2, 4)] {
            assert_ne!(at(1, 2, 3), other);
        }
        let mut plain = vec![];
        set.gather(&[2, 0, 2, 2], &mut plain).unwrap();
        assert_eq!(batch(None), Batch::Bytes(plain));
    }
}
