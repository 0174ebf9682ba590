use frostline_trainer::{Error, Unit};

use crate::setup::{go_on, images, learner, options};

#[test]
fn a_walk_shows_what_each_stage_alone_gives() {
    let set = images(5);
    let mut learner = learner(1);
    learner.fit(&images(18), &options(6), go_on).unwrap();
    learner.set_evaluation_batch(2);
    let stages = ["stem", "layer2", "layer4"];
    let sides = [8, 4, 1];
    let mut seen = vec![];
    let mut peaks = vec![];
    learner
        .walk(&set, &stages, |map| {
            seen.push((map.stage, map.image, map.values.to_vec()));
            peaks.extend(map.peaks().map(|(value, unit)| (map.stage, map.image, value, unit)));
        })
        .unwrap();
    let pooled = learner.features_by_depth(&set, &stages).unwrap();
    let alike = |a: &[f32], b: &[f32]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0))
    };
    for (stage, name) in stages.iter().enumerate() {
        let whole = learner.features(&set, name, sides[stage]).unwrap();
        let means = learner.features(&set, name, 1).unwrap();
        for image in 0..5 {
            let (_, _, values) = seen.iter().find(|(s, i, _)| (*s, *i) == (stage, image)).unwrap();
            let channels = values.len() / (sides[stage] * sides[stage]);
            let planes: Vec<f32> =
                (0..channels).flat_map(|c| values.iter().skip(c).step_by(channels).copied()).collect();
            assert!(alike(&planes, whole.row(image)), "{name}, image {image}");
            assert!(alike(pooled[stage].row(image), means.row(image)), "{name}, image {image}");
        }
    }
    assert_eq!(seen.len(), 15, "three stages of five images");
    for (stage, image, value, Unit { channel, y, x }) in peaks {
        let values = &seen[stage * 5 + image].2;
        let values: Vec<f32> = values
            .iter()
            .skip(channel)
            .step_by(values.len() / (sides[stage] * sides[stage]))
            .copied()
            .collect();
        assert_eq!(value, values[y * sides[stage] + x]);
        assert!(values.iter().all(|other| *other <= value));
    }
    assert!(matches!(learner.walk(&set, &["layer4", "stem"], |_| ()), Err(Error::UnknownGroup { .. })));
}

#[test]
fn a_pixel_out_of_a_units_reach_has_no_gradient() {
    let set = images(6);
    let mut learner = learner(1);
    learner.set_evaluation_batch(2);
    // At the brightest position of an image its ReLU has slope one.
    let mut peaks = vec![];
    learner
        .walk(&set, &["stem"], |map| {
            peaks.push((map.image, map.peaks().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1))
        })
        .unwrap();
    let units: Vec<(usize, Unit)> = peaks[..3].to_vec();
    let gradients = learner.input_gradients(&set, "stem", &units).unwrap();
    assert_eq!(gradients.len(), 3);
    for ((_, unit), gradient) in units.iter().zip(&gradients) {
        for (y, x) in (0..8_usize).flat_map(|y| (0..8_usize).map(move |x| (y, x))) {
            let near = y.abs_diff(unit.y) <= 1 && x.abs_diff(unit.x) <= 1;
            assert_eq!(gradient[y * 8 + x] != 0.0, near, "the stem is 3x3: pixel {y}, {x} of {unit:?}");
        }
    }
    learner.set_evaluation_batch(1);
    assert_eq!(
        learner.input_gradients(&set, "stem", &units).unwrap(),
        gradients,
        "in another batch the same"
    );

    let wrong = learner.input_gradients(&set, "stem", &[(0, Unit { channel: 0, y: 8, x: 0 })]);
    assert!(matches!(wrong, Err(Error::Setting { name: "unit", .. })));
    assert!(matches!(learner.input_gradients(&set, "stem", &[]), Err(Error::NoImages { .. })));
}
