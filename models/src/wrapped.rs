//! Weights of a wrapped network: with a prefix, or with another name for the head.

use frostline_loader::StateDict;

use crate::architecture::guess;
use crate::dialect::Dialect;

/// For each convention, the name of the first convolution and of its batch norm. Only a prefix of both is
/// accepted, because a block of a ResNet has a `conv1` as well.
const FIRST: [(&str, &[&str]); 4] = [
    ("conv1.weight", &["bn1.weight", "layer1.0.conv1.weight"]),
    ("_conv_stem.weight", &["_bn0.weight"]),
    ("conv_stem.weight", &["bn1.weight", "blocks.0.0.conv_dw.weight"]),
    ("embedder.embedder.convolution.weight", &["embedder.embedder.normalization.weight"]),
];
/// Hugging Face's prefix of the body is part of its names.
const HUGGING_FACE: &str = "resnet.";

/// `state` with the names that a known network has: without any prefix (such as `model.`, `backbone.` or
/// `module.net.`) behind which the rest is known; and with the usual name for a head that is called otherwise
/// (`linear`, `head`, `classifier`) and reads as many features as the network gives. Names outside the prefix
/// are unchanged, and so is a file without a prefix.
pub fn plain_names(state: StateDict) -> StateDict {
    let prefix = prefix(&state);
    let strip = |name: String| name.strip_prefix(&prefix).map(str::to_owned).unwrap_or(name);
    let taken =
        |name: &str| name.strip_prefix(&prefix).is_none() && state.contains_key(&format!("{prefix}{name}"));
    // If a name occurs both with and without the prefix, the choice would be ambiguous.
    let ambiguous = prefix.is_empty() || state.keys().any(|name| taken(name));
    let state: StateDict = if ambiguous {
        state
    } else {
        state.into_iter().map(|(name, tensor)| (strip(name), tensor)).collect()
    };
    match head(&state) {
        Some((theirs, ours)) => {
            let rename = |name: String| match name.strip_prefix(&theirs) {
                Some(leaf @ (".weight" | ".bias")) => format!("{ours}{leaf}"),
                _ => name,
            };
            state.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
        }
        None => state,
    }
}

fn prefix(state: &StateDict) -> String {
    let of = |(first, others): &(&str, &[&str])| {
        let prefixes = state.keys().filter_map(|name| name.strip_suffix(first));
        let whole = |prefix: &&str| {
            (prefix.is_empty() || prefix.ends_with('.'))
                && others.iter().all(|other| state.contains_key(&format!("{prefix}{other}")))
        };
        prefixes.filter(whole).min_by_key(|prefix| prefix.len()).map(str::to_owned)
    };
    let prefix = FIRST.iter().find_map(of).unwrap_or_default();
    match prefix.strip_suffix(HUGGING_FACE) {
        Some(outer) if outer.is_empty() || outer.ends_with('.') => outer.to_owned(),
        _ => prefix,
    }
}

/// Their name of the head and ours, if the head is unrecognised only because of its name.
fn head(state: &StateDict) -> Option<(String, &'static str)> {
    let model = guess(state).filter(|model| model.class_count().is_none())?;
    let ours = match Dialect::detect(state.keys().map(String::as_str)) {
        Dialect::HuggingFace => "classifier.1",
        Dialect::Torchvision => "fc",
        _ => return None,
    };
    let mut found = state.iter().filter_map(|(name, tensor)| {
        let layer = name.strip_suffix(".weight")?;
        let [classes, features] = tensor.shape[..] else { return None };
        let bias = state.get(&format!("{layer}.bias"))?;
        (features == model.feature_count() && bias.shape == [classes]).then(|| layer.to_owned())
    });
    let only = found.next()?;
    found.next().is_none().then_some((only, ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use frostline_loader::HostTensor;

    fn state(names: &[(&str, &[usize])]) -> StateDict {
        let tensor =
            |shape: &[usize]| HostTensor { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] };
        names.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect()
    }

    /// A ResNet-10 of width 1 behind `prefix`, and a head called `head`.
    fn resnet(prefix: &str, head: &str) -> StateDict {
        let mut names =
            vec![("conv1.weight".to_owned(), vec![1, 3, 7, 7]), ("bn1.weight".to_owned(), vec![1])];
        for stage in 1..=4 {
            names.push((format!("layer{stage}.0.conv1.weight"), vec![1 << (stage - 1), 1, 3, 3]));
        }
        let mut names: Vec<(String, Vec<usize>)> =
            names.into_iter().map(|(name, shape)| (format!("{prefix}{name}"), shape)).collect();
        names.extend([(format!("{head}.weight"), vec![5, 8]), (format!("{head}.bias"), vec![5])]);
        let names: Vec<(&str, &[usize])> = names.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
        state(&names)
    }

    #[test]
    fn any_prefix_comes_off_and_heads_are_known_by_their_shape() {
        let plain = resnet("", "fc");
        for prefix in ["", "model.", "backbone.", "net.", "encoder.", "module.model.", "a.b.c."] {
            for head in ["fc", "linear", "classifier", "head.fc"] {
                assert_eq!(plain_names(resnet(prefix, &format!("{prefix}{head}"))), plain, "{prefix} {head}");
                assert_eq!(plain_names(resnet(prefix, head)), plain, "{prefix} {head} outside");
            }
        }
    }

    #[test]
    fn what_is_not_sure_stays() {
        let mut two = resnet("", "linear");
        two.extend(resnet("", "other"));
        assert_eq!(plain_names(two.clone()), two, "two heads");
        let mut both = resnet("model.", "model.fc");
        both.extend(resnet("", "fc"));
        assert_eq!(plain_names(both.clone()), both, "with and without");
        let strange = state(&[("x.conv1.weight", &[1, 3, 7, 7]), ("", &[1])]);
        assert_eq!(plain_names(strange.clone()), strange);
        assert_eq!(plain_names(StateDict::new()), StateDict::new());
    }
}
