//! What a learner freezes, and which parameters a name stands for: a stage (`stem`, `layer4`, `fc`), or a layer
//! or parameter.

use frostline_engine::freeze::in_group;
use frostline_engine::{BatchNormMode, Freeze, Graph};
use frostline_models::Model;

use crate::error::{Error, Result};
use crate::learner::Learner;

impl Learner {
    /// Freezes everything below the stage or group `name` (`layer4`, `fc`), and nothing else: everything from
    /// `name` on trains. There is nothing below `stem`.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn freeze_below(&mut self, name: &str) -> Result<()> {
        let frozen = below(&self.model, &self.outline, name)?;
        self.set_frozen(&frozen);
        Ok(())
    }

    /// Freezes the stage or group `name` (`stem`, `layer1`, `layer2.0.bn1`) as well.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn freeze(&mut self, name: &str) -> Result<()> {
        let more = self.members(name)?;
        let frozen: Vec<String> = self.frozen().map(str::to_owned).chain(more).collect();
        self.set_frozen(&frozen);
        Ok(())
    }

    /// Lets everything train.
    pub fn unfreeze_all(&mut self) {
        self.set_frozen(&[]);
    }

    /// Lets the stage or group `name` train again: surgical fine-tuning is
    /// `freeze_below("fc")`, `freeze("fc")`, then `unfreeze("layer2")`.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn unfreeze(&mut self, name: &str) -> Result<()> {
        let open = self.members(name)?;
        let rest = self.frozen().filter(|frozen| !open.iter().any(|name| name == frozen));
        let frozen: Vec<String> = rest.map(str::to_owned).collect();
        self.set_frozen(&frozen);
        Ok(())
    }

    /// Sets which statistics batch norm layers use while training.
    pub fn set_batch_norm(&mut self, mode: BatchNormMode) {
        self.freeze.batch_norm = mode;
    }

    pub(crate) fn set_frozen(&mut self, names: &[String]) {
        let batch_norm = self.freeze.batch_norm;
        self.freeze = Freeze::names(names.iter().map(String::as_str));
        self.freeze.batch_norm = batch_norm;
    }

    /// Names of the frozen parameters.
    pub fn frozen(&self) -> impl Iterator<Item = &str> {
        self.freeze.frozen_names()
    }

    /// Names of the parameters of the stage or group `name`, for an optimiser's groups.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`].
    pub fn members(&self, name: &str) -> Result<Vec<String>> {
        members(&self.model, &self.outline, name)
    }
}

/// Names of the parameters of stage, layer or parameter `name`, in model order.
pub(crate) fn members(model: &Model, graph: &Graph, name: &str) -> Result<Vec<String>> {
    // A stage may be several layers: a ResNet's stem is `conv1` and `bn1`.
    let groups = model.members(name).unwrap_or_else(|_| vec![name.to_owned()]);
    let names = graph.parameter_names().into_iter();
    let members = names.filter(|parameter| groups.iter().any(|group| in_group(parameter, group)));
    let members: Vec<String> = members.map(str::to_owned).collect();
    if members.is_empty() {
        let known = model.stages().join(", ");
        return Err(Error::UnknownGroup { name: name.to_owned(), known });
    }
    Ok(members)
}

/// Names of all parameters that come before `name` in the model.
pub(crate) fn below(model: &Model, graph: &Graph, name: &str) -> Result<Vec<String>> {
    let members = members(model, graph, name)?;
    let names = graph.parameter_names().into_iter();
    Ok(names.take_while(|parameter| *parameter != members[0]).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resnet10() -> (Model, Graph) {
        let model = Model::new("resnet10").unwrap().width(4);
        let mut graph = Graph::new();
        let x = graph.input(1, 8, 8, 1);
        model.record(&mut graph, x).unwrap();
        (model, graph)
    }

    #[test]
    fn a_stage_is_all_its_layers() {
        let (model, graph) = resnet10();
        let stem = members(&model, &graph, "stem").unwrap();
        assert_eq!(stem, ["conv1.weight", "bn1.weight", "bn1.bias"]);
        let layer = members(&model, &graph, "layer1.0.bn1").unwrap();
        assert_eq!(layer, ["layer1.0.bn1.weight", "layer1.0.bn1.bias"]);
        let parameter = members(&model, &graph, "fc.bias").unwrap();
        assert_eq!(parameter, ["fc.bias"]);
    }

    #[test]
    fn below_ends_where_the_stage_begins() {
        let (model, graph) = resnet10();
        assert!(below(&model, &graph, "stem").unwrap().is_empty());
        assert_eq!(below(&model, &graph, "layer1").unwrap().len(), 3);
        let all = graph.parameter_names().len();
        assert_eq!(below(&model, &graph, "fc").unwrap().len(), all - 2);
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let (model, graph) = resnet10();
        let text = below(&model, &graph, "layer9").unwrap_err().to_string();
        assert!(text.contains("layer9") && text.contains("stem, layer1"), "{text}");
    }
}
