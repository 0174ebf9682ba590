//! Invalid settings, and checkpoints that were cut off.

use std::fs;

use serde_json::Value;

use crate::claims::{start, wait_until};
use crate::{Place, SHORT, bytes, text};

/// Reported before the photos are read: there are none.
#[test]
fn wrong_settings_are_refused_before_any_work() {
    let place = Place::new(1);
    for (words, says) in [
        ("train nowhere --slice 1e-3..1e-5", "the first must not be larger: 1e-5..1e-3"),
        ("train nowhere --lr 1e30 --freeze-below fc", "a rate above 1000 trains nothing"),
        ("train nowhere --label-smoothing 1", "from 0 to below 1"),
        ("train nowhere --val-fraction 0", "between 0 and 1"),
        ("find-lr nowhere --start 0", "rates must rise"),
        ("find-lr nowhere --start 1 --end 0.1", "rates must rise"),
        ("find-lr nowhere --start NaN", "rates must rise"),
        ("find-lr nowhere --steps 2", "10..=100000"),
    ] {
        let said = place.bad(2, words);
        assert!(said.contains(says), "{words}: {says:?} is not in {said}");
    }
    fs::write(place.path("file"), "").unwrap();
    for out in ["photos", "file/curve.png"] {
        let said = place.bad(1, &format!("find-lr nowhere --out {out}"));
        assert!(said.contains(out) && !said.contains("nowhere"), "{said}");
    }
}

#[test]
fn a_warm_up_that_does_not_end_is_refused() {
    let place = Place::new(6);
    place.weights();
    let said = place.bad(1, &format!("train photos {SHORT} --epochs 2 --warm-up 6"));
    assert!(said.contains("--warm-up 6: the run has 6 steps"), "{said}");
    place.good(&format!("train photos {SHORT} --epochs 2 --warm-up 5"));
}

/// PyTorch: "Expected more than 1 value per channel when training".
#[test]
fn batch_norms_train_on_more_than_one_value() {
    let place = Place::new(2);
    let network = "train photos --weights none --model resnet10 --size 8 --epochs 1 --lr 0.01";
    let told = place.good(&format!("{network} --json"));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["chosen"]["batch"], 2, "three photos would have made batches of one");
    let said = place.bad(1, &format!("{network} --batch 1"));
    for word in ["--batch 1", "layer4", "one value per channel", "--bn running", "--size"] {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    place.good(&format!("{network} --batch 1 --bn running"));
    let larger = network.replace("--size 8", "--size 16");
    place.good(&format!("{larger} --batch 1"));
}

#[test]
fn a_checkpoint_that_was_cut_off_is_told_with_what_is_left() {
    let place = Place::new(10);
    place.weights();
    let mut child = start(&place, &format!("train photos {SHORT} --epochs 60 --no-probe --out run"));
    wait_until("second checkpoint", || {
        fs::read_to_string(place.path("run/metrics.jsonl"))
            .is_ok_and(|text| text.matches("val_loss").count() > 2)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let last = place.path("run/last.safetensors");
    let whole = bytes(&last);
    fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    let said = place.bad(1, "train --resume run");
    assert!(said.contains("run/last.safetensors: ") && said.contains("cut short"), "{said}");
    assert!(said.contains("cp run/best.safetensors run/last.safetensors"), "{said}");
    // As advised.
    fs::copy(place.path("run/best.safetensors"), &last).unwrap();
    place.good("train --resume run");
    let metrics = text(&bytes(&place.path("run/metrics.jsonl")));
    let steps: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["loss"].is_f64())
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, (1..=360).collect::<Vec<_>>(), "24 photos in batches of 4, sixty times");

    fs::remove_file(place.path("run/report.json")).unwrap();
    for file in ["last.safetensors", "best.safetensors"] {
        fs::write(place.path("run").join(file), "cut").unwrap();
    }
    let said = place.bad(1, "train --resume run");
    assert!(said.contains("Begin again") && said.contains("train photos --weights"), "{said}");
}
