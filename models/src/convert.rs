//! The same weights under another convention's names.

use crate::architecture::guess;
use crate::dialect::Dialect;
use crate::diff::quoted;
use crate::error::{Error, Result};
use crate::resnet::Stem;
use frostline_loader::StateDict;

/// `state` with the names of `to`, in the same order. Values and shapes are the same in all dialects.
/// Wrappers (`module.`, `_orig_mod.`) are removed.
///
/// # Errors
/// [`Error::Convert`] if `to` has no names for the network of the file, or no name for one of its tensors, or
/// if two tensors would get the same name.
pub fn convert(state: &StateDict, to: Dialect) -> Result<StateDict> {
    let from = Dialect::detect(state.keys().map(String::as_str));
    if from != to {
        check_network(state, from, to)?;
    }
    let mut converted = StateDict::with_capacity(state.len());
    for (theirs, tensor) in state {
        let name = to.from_model(&from.to_model(theirs));
        let name = name.ok_or_else(|| {
            wrong(to, format!("it has no name for {}; leave that tensor out", quoted(theirs)))
        })?;
        if converted.insert(name.clone(), tensor.clone()).is_some() {
            return Err(wrong(
                to,
                format!("two tensors would be {}; the file contains the same weights twice", quoted(&name)),
            ));
        }
    }
    Ok(converted)
}

/// Fails unless the dialects share this network.
fn check_network(state: &StateDict, from: Dialect, to: Dialect) -> Result<()> {
    let Some(model) = guess(state) else {
        return Err(wrong(
            to,
            format!(
                "they fit no network that this program supports ({from} names); `frostline inspect` lists \
                 them"
            ),
        ));
    };
    let efficientnet = matches!(to, Dialect::EfficientNet | Dialect::TimmEfficientNet);
    match model.resnet() {
        None if efficientnet => Ok(()),
        None => Err(wrong(
            to,
            format!("{model} is not a ResNet, and its names are those of timm or EfficientNet-PyTorch"),
        )),
        // Its first convolution is 7×7, with a max-pool after it, independent of its configuration.
        Some(resnet) if to == Dialect::HuggingFace && resnet.stem != Stem::Photo => Err(wrong(
            to,
            format!("{model} has a 3×3 stem without max-pool, which Hugging Face's ResNet does not have"),
        )),
        Some(_) if efficientnet => Err(wrong(to, format!("{model} is not an EfficientNet"))),
        Some(_) => Ok(()),
    }
}

fn wrong(to: Dialect, reason: String) -> Error {
    Error::Convert { to, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use frostline_engine::Graph;
    use frostline_engine::tensor::Role;
    use frostline_loader::HostTensor;

    /// A model's parameters and statistics, each filled with its own number.
    fn state(model: &Model) -> StateDict {
        let mut graph = Graph::new();
        let x = graph.input(1, 64, 64, model.input_channels());
        model.record(&mut graph, x).unwrap();
        let inputs = graph.nodes().iter().flat_map(|node| &node.inputs).map(|&id| graph.tensor(id));
        let stored = inputs.filter(|tensor| matches!(tensor.role, Role::Parameter(_) | Role::Statistic(_)));
        let filled = stored.enumerate().map(|(i, tensor)| {
            let shape = tensor.shape.torch();
            let data = vec![i as f32; shape.iter().product()];
            (tensor.name.clone(), HostTensor { shape, data })
        });
        filled.collect()
    }

    #[test]
    fn there_and_back_is_the_same() {
        for name in ["resnet18", "resnet50"] {
            let ours = state(&Model::new(name).unwrap().width(4).classes(5));
            let theirs = convert(&ours, Dialect::HuggingFace).unwrap();
            assert_eq!(Dialect::detect(theirs.keys().map(String::as_str)), Dialect::HuggingFace);
            assert!(theirs.keys().all(|name| !ours.contains_key(name)), "{:?}", theirs.keys());
            assert_eq!(guess(&theirs).unwrap(), guess(&ours).unwrap());
            assert_eq!(convert(&theirs, Dialect::Torchvision).unwrap(), ours);
        }
    }

    /// The names in timm's class are in its golden, `tests/golden/timm_lite0.py`.
    #[test]
    fn lite0_goes_to_timm_and_back() {
        let ours = state(&Model::new("efficientnet_lite0").unwrap().classes(5));
        let theirs = convert(&ours, Dialect::TimmEfficientNet).unwrap();
        assert_eq!(theirs.len(), ours.len());
        assert_eq!(Dialect::detect(theirs.keys().map(String::as_str)), Dialect::TimmEfficientNet);
        assert!(theirs.keys().all(|name| !ours.contains_key(name)), "{:?}", theirs.keys());
        assert_eq!(guess(&theirs).unwrap(), guess(&ours).unwrap());
        assert_eq!(convert(&theirs, Dialect::EfficientNet).unwrap(), ours);
        for name in ["blocks.7.0.conv_dw.weight", "blocks.0.1.conv_dw.weight", "blocks.0.0.conv_pwl.weight"] {
            assert_eq!(Dialect::TimmEfficientNet.to_model(name), name);
        }
        for name in
            ["_blocks.16._bn1.bias", "_blocks.0._expand_conv.weight", "_blocks.x._bn1.bias", "fc.bias"]
        {
            assert_eq!(Dialect::TimmEfficientNet.from_model(name), None);
        }
    }

    #[test]
    fn wrappers_come_off() {
        let ours = state(&Model::new("resnet10").unwrap().width(4));
        let wrapped: StateDict =
            ours.iter().map(|(name, tensor)| (format!("module.{name}"), tensor.clone())).collect();
        assert_eq!(convert(&wrapped, Dialect::Torchvision).unwrap(), ours);
        let twice: StateDict =
            ours.iter().chain(&wrapped).map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let error = convert(&twice, Dialect::Torchvision).unwrap_err().to_string();
        assert!(error.contains("conv1.weight") && error.contains("twice"), "{error}");
    }

    #[test]
    fn what_has_no_name_is_refused_with_a_reason() {
        let small = state(&Model::new("resnet10").unwrap().width(4));
        let lite = state(&Model::new("efficientnet_lite0").unwrap());
        let mut odd = state(&Model::new("resnet18").unwrap().width(4));
        odd.insert("layer1.0.attention.q.weight".to_owned(), HostTensor { shape: vec![1], data: vec![0.0] });
        let strange =
            StateDict::from_iter([("weight".to_owned(), HostTensor { shape: vec![1], data: vec![0.0] })]);
        for (state, word) in
            [(small, "3×3 stem"), (lite, "is not a ResNet"), (odd, "attention"), (strange, "no network")]
        {
            let error = convert(&state, Dialect::HuggingFace).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("Hugging Face"), "{error}");
        }
    }
}
