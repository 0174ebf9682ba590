use std::path::Path;

use frostline_loader::safetensors;
use frostline_trainer::{Features, held_out_probabilities, label_issues, regression};

/// cleanlab's answer: `tests/golden/label_issues.py`.
#[test]
fn the_issues_and_their_order_are_cleanlabs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/label_issues.safetensors");
    let tensors = safetensors::read(path).unwrap().tensors;
    let whole = |name: &str| tensors[name].data.iter().map(|&value| value as usize).collect::<Vec<_>>();
    let labels: Vec<u32> = whole("labels").into_iter().map(|label| label as u32).collect();
    let rows = tensors["probabilities"].data.chunks_exact(4);
    let probabilities: Vec<_> = rows.map(|row| Some(row.iter().copied().map(f64::from).collect())).collect();
    let issues = label_issues(&labels, &probabilities);
    let order: Vec<usize> = issues.iter().map(|issue| issue.image).collect();
    assert_eq!(order, whole("order"));
    assert!(order.len() > 10, "{}", order.len());
    // Only the most probable class is suggested here; the script states the reason.
    assert!(issues.iter().all(|issue| issue.margin == issue.p_label - issue.p_suggested));
}

/// Two overlapping classes; image 0 of class 1 has the values of class 0.
fn features() -> Features {
    let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let noise = |i: u32| ((i * 37 % 11) as f32 - 5.0) / 10.0;
    let place = |i: u32| if i == 1 { 0.0 } else { (i % 2) as f32 };
    let values = (0..40).flat_map(|i| [3.0 * place(i) + noise(i), noise(3 * i)]).collect();
    Features { width: 2, values, labels, classes: ["a", "b"].map(str::to_owned).to_vec() }
}

#[test]
fn an_image_is_judged_by_a_head_that_was_trained_without_it() {
    let features = features();
    let found = held_out_probabilities(&features, 1.0, 3).unwrap();
    assert_eq!(found, held_out_probabilities(&features, 1.0, 3).unwrap());
    let rows: Vec<&Vec<f64>> = found.iter().flatten().collect();
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-12));
    // A head on all images was trained on the wrong label.
    let head = regression(&features, 1.0).unwrap().head;
    let logits = head.logits(&features).unwrap();
    let p_seen = 1.0 / (1.0 + f64::from(logits[2] - logits[3]).exp());
    assert!(
        rows[1][1] < 0.8 * p_seen,
        "a head that saw the wrong label bends to it: {} {p_seen}",
        rows[1][1]
    );
    let issues = label_issues(&features.labels, &found);
    assert_eq!((issues[0].image, issues[0].suggested), (1, 0), "{issues:?}");
}
