//! Gzipped IDX files, the format of MNIST and similar data sets: one file of images, one of labels.
//!
//! ```text
//! 2 bytes      0, 0
//! 1 byte       8: the values are unsigned bytes
//! 1 byte       rank: 3 for images (count, rows, columns), 1 for labels
//! rank × 4     the sizes, big-endian
//! the rest     the values, the last dimension fastest
//! ```
//!
//! Source: LeCun, Cortes and Burges, "The MNIST database", <http://yann.lecun.com/exdb/mnist/>.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::{Error, ImageSet, file};

/// MNIST's largest file has 47 MB of pixels. A file that unpacks to more than this is refused.
const LIMIT: u64 = 1 << 30;

/// The grey images of the file `images` with the classes that the file `labels` gives them, named
/// `classes` in the order of their numbers.
///
/// # Errors
/// [`Error::Io`] and [`Error::NotAFile`] if a file cannot be read; [`Error::Idx`] if it is not
/// gzipped IDX of the right rank, if the two do not match, or if a label has no name.
pub fn read(images: impl AsRef<Path>, labels: impl AsRef<Path>, classes: &[&str]) -> Result<ImageSet, Error> {
    let (images, labels) = (images.as_ref(), labels.as_ref());
    let ([count, height, width], pixels) = unpack(images)?;
    let ([labelled], numbers) = unpack(labels)?;
    let wrong = |reason: String| Error::Idx { path: labels.to_owned(), reason };
    if count != labelled {
        return Err(wrong(format!("{labelled} labels, but {} has {count} images", images.display())));
    }
    if let Some(number) = numbers.iter().find(|number| usize::from(**number) >= classes.len()) {
        return Err(wrong(format!(
            "label {number}, but there are {} classes (labels start at 0)",
            classes.len()
        )));
    }
    Ok(ImageSet {
        height,
        width,
        channels: 1,
        images: pixels,
        labels: numbers.into_iter().map(u32::from).collect(),
        classes: classes.iter().map(|&name| name.to_owned()).collect(),
    })
}

/// Sizes and values of a file with `RANK` dimensions.
fn unpack<const RANK: usize>(path: &Path) -> Result<([usize; RANK], Vec<u8>), Error> {
    let wrong = |reason: String| Error::Idx { path: path.to_owned(), reason };
    let (packed, _) = file::open(path)?;
    let mut content = vec![];
    let read = GzDecoder::new(packed).take(LIMIT).read_to_end(&mut content);
    read.map_err(|error| wrong(format!("cannot be unpacked: {error}")))?;
    let head = 4 + 4 * RANK;
    if content.len() < head || content[..3] != [0, 0, 8] || usize::from(content[3]) != RANK {
        return Err(wrong(format!("its header is not that of unsigned bytes in {RANK} dimensions")));
    }
    let mut sizes = [0; RANK];
    for (size, bytes) in sizes.iter_mut().zip(content[4..head].as_chunks().0) {
        *size = u32::from_be_bytes(*bytes) as usize;
    }
    let values = content.split_off(head);
    let announced = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if announced != Some(values.len()) {
        return Err(wrong(format!("its header gives {sizes:?} values, but it contains {}", values.len())));
    }
    Ok((sizes, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn pack(path: &Path, sizes: &[u32], values: &[u8]) {
        let mut file = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
        file.write_all(&[0, 0, 8, sizes.len() as u8]).unwrap();
        sizes.iter().for_each(|size| file.write_all(&size.to_be_bytes()).unwrap());
        file.write_all(values).unwrap();
        file.finish().unwrap();
    }

    #[test]
    fn images_and_labels_come_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let (images, labels) = (folder.path().join("images.gz"), folder.path().join("labels.gz"));
        pack(&images, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        pack(&labels, &[2], &[1, 0]);
        let set = read(&images, &labels, &["boot", "bag"]).unwrap();
        assert_eq!((set.len(), set.height, set.width, set.channels), (2, 2, 3, 1));
        assert_eq!(set.image(1), [6, 7, 8, 9, 10, 11]);
        assert_eq!((set.labels, set.classes), (vec![1, 0], vec!["boot".to_owned(), "bag".to_owned()]));
    }

    #[test]
    fn damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (images, labels) = (folder.path().join("images.gz"), folder.path().join("labels.gz"));
        pack(&images, &[1, 1, 1], &[7]);
        pack(&labels, &[1], &[0]);
        let refuse = |part: &str| {
            let text = read(&images, &labels, &["boot"]).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        };
        pack(&images, &[2, 1, 1], &[7]);
        refuse("its header gives [2, 1, 1] values, but it contains 1");
        pack(&images, &[u32::MAX, u32::MAX, u32::MAX], &[7]);
        refuse("but it contains 1");
        pack(&images, &[1], &[7]);
        refuse("3 dimensions");
        pack(&images, &[1, 1, 1], &[7]);
        pack(&labels, &[1], &[3]);
        refuse("label 3, but there are 1 classes");
        pack(&labels, &[2], &[0, 0]);
        refuse("2 labels");
        std::fs::write(&labels, "no gzip").unwrap();
        refuse("labels.gz: cannot be unpacked");
    }
}
