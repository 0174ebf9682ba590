//! A simple change of domain: the same images, shifted from the middle.

use frostline_loader::ImageSet;

/// `images` moved by `pixels`: one to the right, one to the left, one down, one up, and so on. Pixels from
/// outside are black.
pub fn shifted(images: &ImageSet, pixels: usize) -> ImageSet {
    let (height, width, channels) = (images.height, images.width, images.channels);
    let mut moved = vec![];
    for i in 0..images.len() {
        let image = images.image(i);
        let (dx, dy) = [(1, 0), (-1, 0), (0, 1), (0, -1)][i % 4];
        let from = |at: usize, direction: isize, side: usize| {
            at.checked_add_signed(-direction * pixels as isize).filter(|&at| at < side)
        };
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let place = from(y, dy, height).zip(from(x, dx, width)).map(|(y, x)| (y * width + x) * channels);
            moved.extend((0..channels).map(|c| place.map_or(0, |place| image[place + c])));
        }
    }
    ImageSet { images: moved, ..images.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_images_go_four_ways() {
        let image: Vec<u8> = (1..=9).collect();
        let set = ImageSet {
            height: 3,
            width: 3,
            channels: 1,
            images: image.repeat(4),
            labels: vec![0; 4],
            classes: vec!["a".to_owned()],
        };
        let moved = shifted(&set, 1);
        assert_eq!(moved.image(0), [0, 1, 2, 0, 4, 5, 0, 7, 8]);
        assert_eq!(moved.image(1), [2, 3, 0, 5, 6, 0, 8, 9, 0]);
        assert_eq!(moved.image(2), [0, 0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(moved.image(3), [4, 5, 6, 7, 8, 9, 0, 0, 0]);
        assert_eq!(shifted(&set, 0), set);
        assert!(shifted(&set, 9).images.iter().all(|&value| value == 0));
    }
}
