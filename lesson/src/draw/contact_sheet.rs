//! A contact sheet: one image under several augmentations.

use crate::data::augmented::{augmented, plainly};
use crate::draw::picture::picture;
use crate::error::Result;
use crate::study::Lab;
use frostline_charts::grid::{Grid, Row, Tile, draw};
use frostline_engine::ops::{Augment as Kernel, Jitter, Transform, Window};
use frostline_loader::{BatchState, ImageSet, Preprocessing};
use frostline_trainer::Augment;
use std::path::Path;

/// A photo of many colours: the scarlet macaw.
const PHOTO: usize = 22;

/// Draws a photo after each transform, and a six and a nine of `digits` that change their class.
///
/// # Errors
/// If photos cannot be read or the figure cannot be written.
pub fn contact_sheet(lab: &Lab, digits: &ImageSet, path: &Path) -> Result<()> {
    let side = 128;
    let input = Preprocessing { resize: Some(side), ..Preprocessing::imagenet(side) };
    let (photos, gpu) = (lab.assets.photos(&input)?, lab.gpu()?);
    let row = |images: &ImageSet,
               i,
               kernel: Kernel,
               transforms: Vec<Transform>,
               labels: &[&str]|
     -> Result<Vec<Tile>> {
        let made = augmented(gpu, images, i, &transforms, kernel)?;
        Ok(labels.iter().enumerate().map(|(at, label)| Tile::new(*label, picture(&made, at))).collect())
    };
    let photo = |transforms, labels: &[&str]| row(&photos, PHOTO, plainly(&photos), transforms, labels);
    let same = Transform::identity(side, side);
    let crop = |top, left, size| Transform {
        window: Window { top, left, height: size, width: size },
        ..same.clone()
    };
    let flip = Transform { flip_horizontal: true, ..same.clone() };
    let moves =
        vec![same.clone(), crop(8, 30, 70), crop(40, 4, 84), flip, Transform { angle: 25.0, ..same.clone() }];
    let moves = photo(
        moves,
        &["the image", "RandomResizedCrop", "RandomResizedCrop", "horizontal flip", "rotation by 25°"],
    )?;
    let jitter = [
        Jitter::Brightness(1.5),
        Jitter::Contrast(0.4),
        Jitter::Saturation(2.0),
        Jitter::Hue(0.1),
        Jitter::Hue(-0.3),
    ];
    let colours = jitter.map(|jitter| Transform { jitter: vec![jitter], ..same.clone() }).to_vec();
    let mut colours =
        photo(colours, &["brightness × 1.5", "contrast × 0.4", "saturation × 2", "hue + 0.1", "hue − 0.3"])?;
    let recipe = Augment::none()
        .resized_crop([0.3, 1.0])
        .horizontal_flip(0.5)
        .rotation(15.0)
        .color_jitter(0.3, 0.3, 0.3, 0.05);
    let epoch =
        |epoch| recipe.draw(BatchState { seed: 0, epoch, position: 0 }, &[PHOTO], [side, side]).remove(0);
    let drawn = photo((0..5).map(epoch).collect(), &["epoch 1", "epoch 2", "epoch 3", "epoch 4", "epoch 5"])?;
    // −2.5 becomes black and 2.5 white.
    let mean = input.mean.iter().zip(&input.std).map(|(mean, std)| mean - 2.5 * std).collect();
    let normalize = Kernel { mean, std: input.std.iter().map(|std| 5.0 * std).collect(), ..plainly(&photos) };
    colours.extend(row(&photos, PHOTO, normalize, vec![same], &["Normalize (±2.5)"])?);

    let plain = Transform::identity(digits.height, digits.width);
    let upside_down = Transform { flip_vertical: true, ..plain.clone() };
    let views = vec![plain.clone(), upside_down, Transform { angle: 180.0, ..plain }];
    let mut turned = vec![];
    for (class, name) in [(6, "a six"), (9, "a nine")] {
        let i = digits.labels.iter().position(|&label| label == class).unwrap_or(0);
        turned.extend(row(
            digits,
            i,
            plainly(digits),
            views.clone(),
            &[name, "vertical flip", "turned by 180°"],
        )?);
    }
    let rows = [("moved", moves), ("colours", colours), ("at random", drawn), ("label\nbroken", turned)];
    let rows = rows.map(|(label, tiles)| Row { label: label.to_owned(), tiles }).to_vec();
    let title = "One image, augmented on the device".to_owned();
    let note = "Made by the kernel that training uses, as torchvision's transforms of the same names would."
        .to_owned();
    draw(path, &Grid { title, note, side: 128, rows, scale: None })?;
    Ok(())
}
