//! Freeze depths: how far down from the head a network trains.

use crate::data::track::Track;

/// Everything from one stage on trains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeDepth {
    /// That stage.
    pub from: String,
    /// In words: `head only`, `layer4 on`, `everything`.
    pub label: String,
}

impl FreezeDepth {
    /// All depths of the track's network, from the head down to the image.
    pub fn all(track: &Track) -> Vec<Self> {
        let body = track.body();
        let mut depths = vec![Self { from: "fc".to_owned(), label: "head only".to_owned() }];
        for (place, from) in body.iter().enumerate().rev() {
            let label = if place > 0 { format!("{from} on") } else { "everything".to_owned() };
            depths.push(Self { from: from.clone(), label });
        }
        depths
    }
}
