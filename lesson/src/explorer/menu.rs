//! The choices that the page offers.

use crate::data::assets::Assets;
use crate::data::track::{Task, Track};
use crate::error::{Error, Result};
use crate::outline::{Flags, NoFlags, Outline, Settings};
use frostline_trainer::Length;
use serde::Serialize;

/// Rates on the slider, besides those of the flags.
const RATES: [f32; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// The choices of a page.
#[derive(Clone, Debug, Serialize)]
pub struct Menu {
    /// The device.
    pub adapter: String,
    /// The network.
    pub model: String,
    /// Groups of layers, from the image on: `stem+layer1`, `layer2` … `fc`.
    pub groups: Vec<String>,
    /// Targets.
    pub domains: Vec<Domain>,
    /// Numbers of training images, ascending.
    pub images: Vec<usize>,
    /// Learning rates, ascending.
    pub rates: Vec<f32>,
    /// The initial rate.
    pub lr: f32,
    /// Seeds are the numbers below this.
    pub seeds: u64,
    /// Length of a run in words.
    pub length: String,
    /// Steps of a run; `None` if its length is in epochs.
    pub steps: Option<u64>,
    /// Images in a step.
    pub batch: usize,
    /// The lesson's four cases.
    pub scenarios: Vec<Scenario>,
    /// How many runs the board keeps.
    pub kept_runs: usize,
}

/// A target.
#[derive(Clone, Debug, Serialize)]
pub struct Domain {
    /// `similar` to the network's pretraining, or `different` from it.
    pub key: String,
    /// Its name: `clothes`.
    pub task: String,
    /// How many classes it has.
    pub classes: usize,
    /// How many training images.
    pub most: usize,
    /// Accuracy of guessing, in %.
    pub chance: f64,
}

/// A case for which the lesson gives advice.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// `small + similar`.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// Its number of training images.
    pub images: usize,
    /// The groups that train according to the advice.
    pub trainable: Vec<String>,
    /// The advice.
    pub advice: String,
}

impl Menu {
    /// The choices on `track` that `flags` allow.
    ///
    /// # Errors
    /// [`Error::Flags`] for numbers of images that a task does not have.
    pub(super) fn new(adapter: String, track: &Track, flags: &Flags) -> Result<Self> {
        let domain = |key: &str, task: &Task| Domain {
            key: key.to_owned(),
            task: task.name.clone(),
            classes: task.pool.classes.len(),
            most: task.most(),
            chance: task.chance(),
        };
        let domains = vec![domain("similar", &track.similar), domain("different", track.different()?)];
        let mut images = flags.images.clone();
        images.sort_unstable();
        images.dedup();
        for domain in &domains {
            if let Some(n) = images.iter().find(|n| !(domain.classes..=domain.most).contains(n)) {
                let Domain { task, classes, most, .. } = domain;
                return Err(Error::Flags(format!(
                    "--images {n}: {task} has {most} training images, and needs at least {classes}"
                )));
            }
        }
        let mut rates = RATES.to_vec();
        if !rates.contains(&flags.lr) {
            rates.push(flags.lr);
            rates.sort_by(f32::total_cmp);
        }
        let groups = groups(track.model().stages());
        let (length, steps) = match flags.length() {
            Length::Steps(steps) => (format!("{steps} steps"), Some(steps)),
            Length::Epochs(epochs) => (format!("{epochs} passes over the images"), None),
        };
        Ok(Self {
            adapter,
            model: flags.model.clone(),
            scenarios: scenarios(&groups, &images),
            groups,
            domains,
            images,
            rates,
            lr: flags.lr,
            seeds: flags.seeds,
            length,
            steps,
            batch: flags.batch,
            kept_runs: super::KEPT_RUNS,
        })
    }

    /// The choices of the explorer whose engine is in the page: runs that a browser finishes soon.
    ///
    /// # Errors
    /// As [`Track::open`].
    pub fn for_page(assets: &Assets) -> Result<Self> {
        const SETTINGS: Settings =
            Settings { images: &[20, 50, 200], seeds: 3, steps: 60, batch: 16, lr: 0.02 };
        let outline =
            Outline::new(7, "the explorer", "Freeze layers and train, on a page.", [SETTINGS, SETTINGS]);
        let (flags, NoFlags {}) =
            outline.read(["explorer"]).map_err(|error| Error::Flags(error.to_string()))?;
        Self::new("this browser's device".to_owned(), &Track::open(&flags, assets)?, &flags)
    }

    /// The domain that `key` names.
    pub fn domain(&self, key: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.key == key)
    }

    /// The stages that group `name` consists of.
    pub(super) fn stages(name: &str) -> impl Iterator<Item = &str> {
        name.split('+')
    }
}

/// One stage each; only the stem, which is small, is grouped with the stage above it.
fn groups(stages: Vec<String>) -> Vec<String> {
    match &stages[..] {
        [stem, first, rest @ ..] if stem == "stem" && !rest.is_empty() => {
            std::iter::once(format!("{stem}+{first}")).chain(rest.iter().cloned()).collect()
        }
        _ => stages,
    }
}

/// The usual advice (Stanford's course CS231n, "Transfer Learning"): the more images there are, and the less
/// similar they are to the pretraining, the more of the network should train.
fn scenarios(groups: &[String], images: &[usize]) -> Vec<Scenario> {
    let (Some(&small), Some(&large)) = (images.first(), images.last()) else { return vec![] };
    let all = groups.len();
    let scenario = |name: &str, domain: &str, images, depth: usize, advice: &str| Scenario {
        name: name.to_owned(),
        domain: domain.to_owned(),
        images,
        trainable: groups[all.saturating_sub(depth)..].to_vec(),
        advice: advice.to_owned(),
    };
    vec![
        scenario(
            "small + similar",
            "similar",
            small,
            1,
            "The features fit, and few images would damage them: train only the head.",
        ),
        scenario(
            "large + similar",
            "similar",
            large,
            all,
            "There are enough images to train everything without overfitting.",
        ),
        scenario(
            "small + different",
            "different",
            small,
            3,
            "The late features do not fit: keep the early ones, and train from the middle on.",
        ),
        scenario(
            "large + different",
            "different",
            large,
            all,
            "Train everything; the pretrained weights are only a good start.",
        ),
    ]
}

#[cfg(test)]
impl Menu {
    /// That of the embedded ResNet-10.
    pub(super) fn example() -> Self {
        let domain = |key: &str, task: &str, classes, most| Domain {
            key: key.to_owned(),
            task: task.to_owned(),
            classes,
            most,
            chance: 100.0 / classes as f64,
        };
        let groups =
            groups(["stem", "layer1", "layer2", "layer3", "layer4", "fc"].map(str::to_owned).to_vec());
        Self {
            adapter: "none".to_owned(),
            model: "resnet10".to_owned(),
            scenarios: scenarios(&groups, &[20, 500]),
            groups,
            domains: vec![domain("similar", "clothes", 4, 1500), domain("different", "digits", 10, 1000)],
            images: vec![20, 500],
            rates: RATES.to_vec(),
            lr: 0.02,
            seeds: 3,
            length: "60 steps".to_owned(),
            steps: Some(60),
            batch: 32,
            kept_runs: super::KEPT_RUNS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_five_groups_and_the_stem_is_in_the_first() {
        let groups = Menu::example().groups;
        assert_eq!(groups, ["stem+layer1", "layer2", "layer3", "layer4", "fc"]);
        assert!(Menu::stages(&groups[0]).eq(["stem", "layer1"]));
        assert!(Menu::stages("fc").eq(["fc"]));
    }

    #[test]
    fn scenarios_are_wishes_that_can_be_granted() {
        let menu = Menu::example();
        assert_eq!(menu.scenarios.len(), 4);
        for Scenario { name, domain, images, trainable, .. } in menu.scenarios.clone() {
            let wish = super::super::Request { trainable, domain, images, lr: menu.lr, seed: 0 };
            assert_eq!(wish.clone().check(&menu), Ok(wish), "{name}");
        }
    }
}
