//! Pictures of a network's intermediate values: its first filters, its activation maps, and the photos that
//! excite its channels.

use crate::draw::picture::picture;
use crate::error::Result;
use crate::measure::depth::Depth;
use crate::measure::excite::{Peaks, crop, frame, weight_of_pixels};
use frostline_charts::grid::{self, Grid, Row, Tile, heat};
use frostline_loader::ImageSet;
use frostline_trainer::{Learner, Map, Unit};
use image::{Rgb, RgbImage};
use std::ops::Range;
use std::path::Path;

/// Pictures in a row.
const COLUMNS: usize = 8;

/// The figures of [`draw`], with their captions.
pub const FIGURES: [(&str, &str); 3] = [
    ("filters.png", "The filters of the first convolution."),
    ("activations.png", "What the stages of the network make of a photo."),
    ("patches.png", "What excites channels of the network, and with which pixels."),
];

/// The largest value of every channel in every image of `set`, for each of `stages`.
///
/// # Errors
/// As [`Learner::walk`].
pub fn peaks(learner: &mut Learner, set: &ImageSet, stages: &[String]) -> Result<Vec<Peaks>> {
    let mut peaks = vec![Peaks::default(); stages.len()];
    learner.walk(set, stages, |map| peaks[map.stage].images.push(map.peaks().collect()))?;
    Ok(peaks)
}

/// Draws [`FIGURES`], the second of image `photo` of `set`, into `folder`.
///
/// # Errors
/// If a figure cannot be written; the trainer's errors.
///
/// # Panics
/// If there is no image `photo`, as indexing does.
pub fn draw(folder: &Path, learner: &mut Learner, set: &ImageSet, depth: &Depth, photo: usize) -> Result<()> {
    let show =
        |file: &str, title: String, note: &str, side: u32, rows: Vec<Row>, scale: Option<[&str; 2]>| {
            let scale = scale.map(|ends| ends.map(str::to_owned));
            grid::draw(&folder.join(file), &Grid { title, note: note.to_owned(), side, rows, scale })
                .map(|_| ())
        };
    let note = "Grey is weight 0; each filter has its own scale.";
    show(
        "filters.png",
        format!("Filters of the first convolution of {}", depth.network),
        note,
        64,
        filters(learner)?,
        None,
    )?;

    let peaks = peaks(learner, set, &depth.stages)?;
    let mut rows =
        vec![Row { label: "the photo".to_owned(), tiles: vec![Tile::new("", picture(set, photo))] }];
    learner
        .walk(&set.subset(&[photo])?, &depth.stages, |map| rows.push(maps(&depth.stages[map.stage], map)))?;
    let note = "The eight channels of every stage with the highest peaks, each map on its own scale.";
    let title = format!("What the stages of {} make of a photo", depth.network);
    show("activations.png", title, note, 84, rows, Some(["0 and below", "peak of the map"]))?;

    let mut rows = vec![];
    for (i, stage) in depth.stages.iter().enumerate() {
        // Only every other stage, to limit the size of the picture.
        if i % 2 == 0 {
            rows.extend(patches(learner, set, stage, &peaks[i], [2, 4])?);
        }
    }
    let note = "Of the four photos that excite a channel most: the part with nine tenths of the gradient along either axis, enlarged,\n\
                and beside it how much each pixel there counts: the sum of |gradient| over its colours.";
    show(
        "patches.png",
        format!("What excites channels of {}, and with which pixels", depth.network),
        note,
        84,
        rows,
        Some(["0", "the hundredth that counts most"]),
    )?;
    Ok(())
}

/// The filters of the first convolution: RGB ones in colour, grey ones in grey. Weight 0 is middle
/// grey; each filter has its own scale.
///
/// # Errors
/// If the weights cannot be read from the device.
fn filters(learner: &Learner) -> Result<Vec<Row>> {
    let first = learner.params().tensors().next().map(|(name, shape)| (name.to_owned(), shape.torch()));
    let Some((name, [_, channels, height, width])) =
        first.and_then(|(name, shape)| Some((name, <[usize; 4]>::try_from(shape).ok()?)))
    else {
        return Ok(vec![]);
    };
    let weights = learner.params().get(&name).map_err(frostline_trainer::Error::from)?;
    let filter = |weights: &[f32]| {
        let largest = weights.iter().fold(f32::MIN_POSITIVE, |largest, weight| largest.max(weight.abs()));
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let byte = |channel: usize| {
                let weight = weights[(channel * height + y as usize) * width + x as usize];
                (127.5 + 127.5 * weight / largest).round() as u8
            };
            Rgb(if channels == 3 { [byte(0), byte(1), byte(2)] } else { [byte(0); 3] })
        })
    };
    let tiles: Vec<Tile> = weights
        .chunks_exact(channels * height * width)
        .map(|weights| Tile::new("", filter(weights)))
        .collect();
    let label = format!("{}\n{name}\n{height}×{width}", learner.model().name());
    let rows = tiles.chunks(COLUMNS).enumerate();
    Ok(rows
        .map(|(i, tiles)| Row {
            label: if i == 0 { label.clone() } else { String::new() },
            tiles: tiles.to_vec(),
        })
        .collect())
}

/// The maps of the channels with the highest peaks.
fn maps(stage: &str, map: Map<'_>) -> Row {
    let [height, width, channels] = map.shape;
    let mut peaks: Vec<(f32, Unit)> = map.peaks().collect();
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.channel.cmp(&b.1.channel)));
    let tile = |&(peak, unit): &(f32, Unit)| {
        let values: Vec<f32> = map.channel(unit.channel).collect();
        Tile::new(
            format!("channel {}", unit.channel),
            heat(&values, width, [0.0, peak.max(f32::MIN_POSITIVE)]),
        )
    };
    Row {
        label: format!("{stage}\n{channels} channels\n{height}×{width}"),
        tiles: peaks.iter().take(COLUMNS).map(tile).collect(),
    }
}

/// The `channels` channels of `stage` whose best images stand out most: one row per channel. For each of its
/// `best` best images, the row shows the part that the channel depends on, and in it the pixels that
/// contribute. Channels that are saturated there (relu6 ends at 6) have no gradient and are skipped.
///
/// # Errors
/// As [`Learner::input_gradients`].
fn patches(
    learner: &mut Learner,
    set: &ImageSet,
    stage: &str,
    peaks: &Peaks,
    [channels, best]: [usize; 2],
) -> Result<Vec<Row>> {
    let all: Vec<usize> = (0..set.len()).collect();
    let chosen = peaks.standing_out(2 * channels, best);
    let of = |&channel: &usize| -> Vec<(usize, Unit)> {
        peaks
            .best(channel, &all, best)
            .into_iter()
            .map(|image| (image, peaks.images[image][channel].1))
            .collect()
    };
    let units: Vec<(usize, Unit)> = chosen.iter().flat_map(of).collect();
    let gradients = learner.input_gradients(set, stage, &units)?;
    let mut rows: Vec<Row> = vec![];
    for (units, gradients) in units.chunks(best.max(1)).zip(gradients.chunks(best.max(1))) {
        if rows.len() == channels
            || gradients.iter().any(|gradient| gradient.iter().all(|&value| value == 0.0))
        {
            continue;
        }
        let mut tiles = vec![];
        for ((image, _), gradient) in units.iter().zip(gradients) {
            let weights = weight_of_pixels(gradient, set.channels);
            let part = frame(&weights, set.width);
            tiles.push(Tile::new(
                &set.classes[set.labels[*image] as usize],
                crop(&picture(set, *image), &part),
            ));
            tiles.push(Tile::new(
                "its pixels",
                crop(&heat(&weights, set.width, [0.0, brightest(&weights, set.width, &part)]), &part),
            ));
        }
        rows.push(Row { label: format!("{stage}\nchannel {}", units[0].1.channel), tiles });
    }
    Ok(rows)
}

/// The value that one percent of the values in the box `[columns, rows]` exceed. Scaled by the maximum, a
/// single bright pixel would make all others dark.
fn brightest(values: &[f32], width: usize, [columns, rows]: &[Range<usize>; 2]) -> f32 {
    let mut sorted: Vec<f32> =
        rows.clone().flat_map(|y| &values[y * width..][columns.clone()]).copied().collect();
    sorted.sort_by(f32::total_cmp);
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(0.0).max(f32::MIN_POSITIVE)
}
