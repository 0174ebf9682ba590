//! Thumbnails that are part of a page.

use std::path::Path;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frostline_loader::resize::resize_bilinear;
use frostline_loader::{Error, RgbImage8, image};

use super::Photo;

/// Maximum length of the longer side, in pixels.
const SIDE: usize = 160;
/// Quality of the JPEG, of 100: about 5 KB per photo.
const QUALITY: u8 = 70;

/// A thumbnail of each photo as a data address, upright and uncropped; or the reason why there is none.
pub fn all(photos: &[Photo]) -> Vec<Result<String, String>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let of = |photo: &Photo| of(&photo.path).map_err(|error| error.to_string());
    thread::scope(|scope| {
        let parts = photos.chunks(photos.len().div_ceil(threads).max(1));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(of).collect::<Vec<_>>())).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Vec<_>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().flat_map(join).collect()
    })
}

fn of(path: &Path) -> Result<String, Error> {
    let RgbImage8 { width, height, data } = image::read(path, small)?;
    let mut jpeg = vec![];
    let mut encoder = ::image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    let colors = ::image::ExtendedColorType::Rgb8;
    encoder
        .encode(&data, width as u32, height as u32, colors)
        .map_err(|error| Error::CorruptImage { path: path.to_owned(), reason: error.to_string() })?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

fn small(photo: &RgbImage8) -> Result<RgbImage8, Error> {
    let longer = photo.width.max(photo.height);
    if longer <= SIDE {
        return Ok(photo.clone());
    }
    let side = |side: usize| (side * SIDE / longer).max(1);
    resize_bilinear(photo, side(photo.width), side(photo.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_is_whole_and_small() {
        let folder = tempfile::tempdir().unwrap();
        let photo = |width, height| {
            let path = folder.path().join(format!("{width}.png"));
            ::image::RgbImage::from_fn(width, height, |x, _| ::image::Rgb([(x % 256) as u8, 90, 30]))
                .save(&path)
                .unwrap();
            Photo { path, name: String::new(), claim: String::new(), figures: String::new() }
        };
        let photos = [photo(400, 300), photo(20, 30), photo(900, 2)];
        for (thumbnail, size) in all(&photos).into_iter().zip([(160, 120), (20, 30), (160, 1)]) {
            let data = thumbnail.unwrap();
            let jpeg = STANDARD.decode(data.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
            let picture = ::image::load_from_memory(&jpeg).unwrap();
            assert_eq!((picture.width(), picture.height()), size);
        }
        assert!(all(&[]).is_empty());
    }
}
