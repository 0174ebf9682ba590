//! The cases of the step benchmark: whole steps of a network, for each choice of layers that train.

use super::Outcome;
use frostline::bench::Workload;
use frostline::engine::Storage;
use frostline::models::Model;

/// ResNet-18 on photos, ResNet-20 on small images, the lesson's ResNet-10 on grey ones, and what `more` names:
/// `resnet50:8:224` is a model, a batch and a side, `resnet50:8:224:f16` the same with activations stored in 16
/// bits.
///
/// # Errors
/// If `more` is written otherwise or names no model.
pub fn workloads(more: &str) -> Outcome<Vec<Workload>> {
    let workload = |name: String, model: &str, batch, size, storage| -> Outcome<Workload> {
        Ok(Workload { name, model: Model::new(model)?, batch, size, storage })
    };
    let standard = |model: &str, batch, size| workload(model.to_owned(), model, batch, size, Storage::F32);
    let mut all =
        vec![standard("resnet18", 8, 224)?, standard("resnet20", 64, 32)?, standard("resnet10", 32, 28)?];
    for one in more.split_whitespace() {
        let wrong = || format!("`{one}` is no MODEL:BATCH:SIDE such as resnet50:8:224, with or without :f16");
        let (sizes, storage) =
            one.strip_suffix(":f16").map_or((one, Storage::F32), |sizes| (sizes, Storage::f16()));
        let [model, batch, size] = sizes.split(':').collect::<Vec<_>>()[..] else {
            return Err(wrong().into());
        };
        let number =
            |text: &str| text.parse().ok().filter(|number| (1..=1 << 14).contains(number)).ok_or_else(wrong);
        let name = format!("{model} {batch}x{size}{}", if storage == Storage::f16() { " f16" } else { "" });
        all.push(workload(name, model, number(batch)?, number(size)?, storage)?);
    }
    Ok(all)
}
