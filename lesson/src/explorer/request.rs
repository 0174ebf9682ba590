//! A page's requests, and the errors of invalid ones.

use super::menu::Menu;
use serde::{Deserialize, Serialize};

/// A request for a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Groups of layers that train, of [`Menu::groups`]; the others are frozen.
    pub trainable: Vec<String>,
    /// The target's [`Domain::key`](super::Domain::key): `similar` or `different`.
    pub domain: String,
    /// Number of training images.
    pub images: usize,
    /// Learning rate.
    #[serde(serialize_with = "frostline_study::serialize_as_written")]
    pub lr: f32,
    /// Determines the images, their order, and the head's first weights.
    #[serde(default)]
    pub seed: u64,
}

/// An error of a request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A name that is not a group of layers.
    #[error("there is no layer group named `{name}`; there are: {known}")]
    Group {
        /// The name.
        name: String,
        /// The right ones.
        known: String,
    },
    /// Everything is frozen.
    #[error("everything is frozen, so nothing would be learned: let at least one layer group train")]
    NothingTrains,
    /// An unknown domain.
    #[error("there is no domain named `{name}`; there are: {known}")]
    Domain {
        /// The name.
        name: String,
        /// The right ones.
        known: String,
    },
    /// Too few or too many images.
    #[error("{images} training images: {task} has {most}, and needs at least {least}")]
    Images {
        /// What was requested.
        images: usize,
        /// One image of each class.
        least: usize,
        /// All.
        most: usize,
        /// Of what.
        task: String,
    },
    /// No rate.
    #[error("a learning rate of {0}: it must be above 0 and at most 10")]
    Rate(f32),
    /// A seed that JavaScript would round.
    #[error("seed {0}: it must be below 2^53")]
    Seed(u64),
}

impl Problem {
    /// The field with the error.
    pub fn field(&self) -> &'static str {
        match self {
            Problem::Group { .. } | Problem::NothingTrains => "trainable",
            Problem::Domain { .. } => "domain",
            Problem::Images { .. } => "images",
            Problem::Rate(_) => "lr",
            Problem::Seed(_) => "seed",
        }
    }
}

impl Request {
    /// The same request, with groups in the model's order and without duplicates.
    ///
    /// # Errors
    /// The first [`Problem`] that it has.
    pub fn check(mut self, menu: &Menu) -> Result<Self, Problem> {
        if let Some(name) = self.trainable.iter().find(|name| !menu.groups.contains(name)) {
            return Err(Problem::Group { name: name.clone(), known: menu.groups.join(", ") });
        }
        let named = std::mem::take(&mut self.trainable);
        self.trainable = menu.groups.iter().filter(|group| named.contains(group)).cloned().collect();
        if self.trainable.is_empty() {
            return Err(Problem::NothingTrains);
        }
        let Some(domain) = menu.domain(&self.domain) else {
            let known: Vec<&str> = menu.domains.iter().map(|domain| domain.key.as_str()).collect();
            return Err(Problem::Domain { name: self.domain, known: known.join(", ") });
        };
        let (least, most) = (domain.classes, domain.most);
        if !(least..=most).contains(&self.images) {
            return Err(Problem::Images { images: self.images, least, most, task: domain.task.clone() });
        }
        if !(self.lr > 0.0 && self.lr <= 10.0) {
            return Err(Problem::Rate(self.lr));
        }
        if self.seed >= 1 << 53 {
            return Err(Problem::Seed(self.seed));
        }
        Ok(self)
    }

    /// A request that is valid for every menu of ResNets.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            trainable: vec!["layer4".into(), "fc".into()],
            domain: "similar".into(),
            images: 20,
            lr: 0.02,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_in_order_and_counted_once() {
        let wish =
            Request { trainable: vec!["fc".into(), "layer2".into(), "fc".into()], ..Request::example() };
        assert_eq!(wish.check(&Menu::example()).unwrap().trainable, ["layer2", "fc"]);
    }

    #[test]
    fn a_rate_is_told_as_it_was_written() {
        assert_eq!(serde_json::json!(Request::example())["lr"].to_string(), "0.02");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let example = Request::example;
        let cases = [
            (Request { trainable: vec!["layer9".into()], ..example() }, "trainable", "layer9"),
            (Request { trainable: vec![], ..example() }, "trainable", "frozen"),
            (Request { domain: "cats".into(), ..example() }, "domain", "similar, different"),
            (Request { images: 3, ..example() }, "images", "needs at least 4"),
            (Request { images: 1501, ..example() }, "images", "clothes has 1500"),
            (Request { lr: 0.0, ..example() }, "lr", "0"),
            (Request { lr: f32::NAN, ..example() }, "lr", "NaN"),
            (Request { lr: f32::INFINITY, ..example() }, "lr", "inf"),
            (Request { seed: u64::MAX, ..example() }, "seed", "2^53"),
        ];
        for (wish, field, text) in cases {
            let problem = wish.clone().check(&Menu::example()).unwrap_err();
            assert_eq!(problem.field(), field, "{wish:?}");
            assert!(problem.to_string().contains(text), "{problem}");
        }
    }
}
