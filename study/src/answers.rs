//! The answers of a trained network on a set of test images.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The character for an image that was recognised.
const RIGHT: char = '.';
/// The character for an image without an answer: its logits were not numbers.
const NONE: char = '-';
/// The character for class 0; class 1 has the next one.
const FIRST: u32 = 'A' as u32;

/// An answer for every image of a test set, in its order.
///
/// In JSON there is one character per image: `.` if the answer is right, else the letter of the predicted
/// class (`A` is class 0), or `-` if the logits were not numbers. With the labels of the set, which
/// [`Answers::set`] identifies, every prediction can be recovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Identifies the images and their order; answers to one set can be compared image by image.
    pub set: String,
    marks: String,
}

impl Answers {
    /// Answers `predictions` to the images of `set`, whose classes are `labels`.
    ///
    /// # Panics
    /// If the two have different lengths.
    pub fn new(set: impl Into<String>, labels: &[u32], predictions: &[u32]) -> Self {
        assert_eq!(labels.len(), predictions.len(), "every test image has one prediction");
        let mark = |(label, class): (&u32, &u32)| if label == class { RIGHT } else { letter(*class) };
        Self { set: set.into(), marks: labels.iter().zip(predictions).map(mark).collect() }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.marks.chars().count()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// For every image, 1 if it was recognised, else 0.
    pub fn right(&self) -> impl Iterator<Item = f64> {
        self.marks.chars().map(|mark| f64::from(u8::from(mark == RIGHT)))
    }

    /// Share of the images that was recognised, 0..=1; not a number without images.
    pub fn accuracy(&self) -> f64 {
        self.right().sum::<f64>() / self.len() as f64
    }

    /// Share of each class that was recognised, by `labels` of the set; `None` for a class without images.
    pub fn per_class(&self, labels: &[u32], classes: usize) -> Vec<Option<f64>> {
        let mut counts = vec![(0.0, 0.0); classes];
        for (right, label) in self.right().zip(labels) {
            if let Some((found, all)) = counts.get_mut(*label as usize) {
                *found += right;
                *all += 1.0;
            }
        }
        counts.into_iter().map(|(found, all)| (all > 0.0).then_some(found / all)).collect()
    }
}

fn letter(class: u32) -> char {
    // Characters end at U+D800; no test set of the lesson has 55,000 classes.
    FIRST.checked_add(class).and_then(char::from_u32).unwrap_or(NONE)
}

/// A short name for `parts`: the first 16 digits of their SHA-256. The length of each part is included, so
/// that moving bytes from one part to the next changes the name.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_short_text_and_keep_every_prediction() {
        let answers = Answers::new("abc", &[0, 1, 2, 3], &[0, 2, 2, u32::MAX]);
        assert_eq!(serde_json::to_string(&answers).unwrap(), r#"{"set":"abc","marks":".C.-"}"#);
        assert_eq!(answers.right().collect::<Vec<_>>(), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!((answers.len(), answers.accuracy()), (4, 0.5));
        assert_eq!(answers.per_class(&[0, 1, 2, 3], 5), [Some(1.0), Some(0.0), Some(1.0), Some(0.0), None]);
    }

    #[test]
    fn many_classes_come_back_from_json() {
        let predictions: Vec<u32> = (0..1000).collect();
        let answers = Answers::new("s", &vec![0; 1000], &predictions);
        let back: Answers = serde_json::from_str(&serde_json::to_string(&answers).unwrap()).unwrap();
        assert_eq!((back.len(), &back), (1000, &answers));
        assert_eq!(answers.right().sum::<f64>(), 1.0);
    }

    #[test]
    fn a_digest_depends_on_bytes_and_borders() {
        let names = [vec![&b"ab"[..], b"c"], vec![b"a", b"bc"], vec![b"abc"], vec![b"abd"]].map(digest);
        for (i, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 16);
            assert!(!names[..i].contains(name));
        }
    }
}
