//! The verdicts on differences with known results.

use frostline_study::judge::{Fault, Images, Judgement, Kind, Options, Paired, Question, Verdict, judge};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn question(kind: Kind, margin: f64, images: Images, rows: Vec<Vec<f64>>) -> Question {
    Question { kind, margin, paired: Paired { rows, images } }
}

/// A value per seed.
fn values(kind: Kind, margin: f64, values: &[f64]) -> Question {
    question(kind, margin, Images::Own, values.iter().map(|&value| vec![value]).collect())
}

fn limit() -> Options {
    Options { resamples: None, ..Options::default() }
}

fn alone(question: Question) -> Judgement {
    judge(&[question], &limit()).unwrap()[0]
}

/// Rows of −1, 0 and 1: one in ten images differs, with enough more +1 than −1 that the mean is `mean`.
fn images(rng: &mut ChaCha8Rng, seeds: usize, count: usize, mean: f64) -> Vec<Vec<f64>> {
    let (up, down) = (0.05 + mean / 2.0, 0.05 - mean / 2.0);
    let mut draw = || match rng.random::<f64>() {
        u if u < up => 1.0,
        u if u > 1.0 - down => -1.0,
        _ => 0.0,
    };
    (0..seeds).map(|_| (0..count).map(|_| draw()).collect()).collect()
}

/// From SciPy 1.17.1, with x the values: `ttest_1samp(x, 0, alternative="greater")` and
/// `ttest_1samp(x, 0).confidence_interval(0.90)`; the error is `np.std(x, ddof=1) / 5 ** 0.5`.
#[test]
fn single_values_have_the_interval_of_the_textbook() {
    for images in [Images::Own, Images::Shared] {
        let rows = [1.2, -0.4, 2.5, 0.9, 1.6].map(|value| vec![value]).to_vec();
        let judged = alone(question(Kind::Better, 0.5, images, rows));
        let tested = judged.tested.unwrap();
        assert_eq!((judged.verdict, judged.seeds), (Verdict::Supported, 5));
        let found = [judged.mean, tested.error, tested.p, tested.interval.0, tested.interval.1, tested.level];
        let expected =
            [1.16, 0.47391982444291136, 0.03531107662083214, 0.1496755452848888, 2.170324454715111, 0.9];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
        assert_eq!(tested.share, 1.0);
    }
}

#[test]
fn every_kind_has_its_verdicts() {
    use Kind::{Better, NotWorse, Same};
    use Verdict::{Contradicted, Equivalent, Inconclusive, Supported};
    // Intervals of nine tenths: ±0.27 around the mean.
    let around = |mean: f64| [mean - 0.3, mean - 0.2, mean, mean + 0.2, mean + 0.3];
    for (kind, mean, verdict) in [
        (Better, 0.0, Equivalent),
        (Better, 0.5, Equivalent),
        (Better, 0.9, Supported),
        (Better, -0.9, Contradicted),
        (Better, 3.0, Supported),
        (Better, -3.0, Contradicted),
        (NotWorse, 0.0, Supported),
        (NotWorse, 5.0, Supported),
        (NotWorse, -0.6, Supported),
        (NotWorse, -0.9, Inconclusive),
        (NotWorse, -1.1, Inconclusive),
        (NotWorse, -1.4, Contradicted),
        (Same, 0.0, Equivalent),
        (Same, 0.6, Equivalent),
        (Same, 0.9, Inconclusive),
        (Same, 1.2, Inconclusive),
        (Same, 1.4, Contradicted),
        (Same, -1.4, Contradicted),
    ] {
        let judged = alone(values(kind, 1.0, &around(mean)));
        assert_eq!(judged.verdict, verdict, "{kind:?} {mean}: {judged:?}");
    }
    let wide = [-6.0, 5.0, -4.0, 6.0, 1.0];
    for kind in [Better, NotWorse, Same] {
        assert_eq!(alone(values(kind, 1.0, &wide)).verdict, Inconclusive);
    }
}

/// The shown interval agrees with the verdict, for any number of claims.
#[test]
fn intervals_agree_with_verdicts() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut seen = [0; 4];
    for _ in 0..300 {
        let mut claim = |_| {
            let kind = [Kind::Better, Kind::NotWorse, Kind::Same][rng.random_range(0..3)];
            let (mean, scale) = (rng.random_range(-3.0..3.0), rng.random_range(0.1..2.0));
            let rows: Vec<f64> = (0..5).map(|_| mean + scale * (rng.random::<f64>() - 0.5)).collect();
            values(kind, 1.0, &rows)
        };
        let chapter: Vec<Question> = (0..5).map(&mut claim).collect();
        for (question, judged) in chapter.iter().zip(judge(&chapter, &limit()).unwrap()) {
            let tested = judged.tested.unwrap();
            let (low, high) = tested.interval;
            let bound = if question.kind == Kind::NotWorse { -1.0 } else { 0.0 };
            let right = match (judged.verdict, question.kind) {
                (Verdict::Equivalent, _) => -1.0 < low && high < 1.0,
                (Verdict::Supported, _) => low > bound,
                (Verdict::Contradicted, Kind::Same) => high < -1.0 || low > 1.0,
                (Verdict::Contradicted, _) => high < bound,
                (Verdict::Inconclusive, Kind::Same) => low < 1.0 && high > -1.0 && (low < -1.0 || high > 1.0),
                (Verdict::Inconclusive, _) => low < bound && high > bound,
            };
            assert!(right, "{question:?} {judged:?}");
            assert_eq!(judged.verdict == Verdict::Inconclusive, tested.adjusted > 0.05);
            assert!(tested.adjusted >= tested.p && (0.9..0.9951).contains(&tested.level), "{judged:?}");
            seen[judged.verdict as usize] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
}

/// Alone, either claim has a p-value below 5%; of eight, only the clear one is left.
#[test]
fn more_claims_need_more_evidence() {
    let weak = values(Kind::Better, 0.5, &[1.2, -0.4, 2.5, 0.9, 1.6]);
    let clear = values(Kind::Better, 0.5, &[1.2, 1.4, 1.3, 1.5, 1.2]);
    assert_eq!(alone(weak.clone()).verdict, Verdict::Supported);
    let nothing = values(Kind::Better, 0.5, &[1.0, -1.0, 2.0, -2.0, 0.0]);
    let mut chapter = vec![weak, clear];
    chapter.extend(vec![nothing; 6]);
    let judged = judge(&chapter, &limit()).unwrap();
    assert_eq!([0, 1, 2].map(|claim| judged[claim].verdict), {
        [Verdict::Inconclusive, Verdict::Supported, Verdict::Inconclusive]
    });
    assert!((judged[1].tested.unwrap().level - (1.0 - 2.0 * 0.05 / 8.0)).abs() < 1e-12);
}

#[test]
fn claims_without_seeds_count_as_claims() {
    let some = values(Kind::Better, 0.1, &[1.2, -0.4, 2.5, 0.9, 1.6]);
    let judged = judge(&[some, values(Kind::Better, 0.1, &[4.0])], &limit()).unwrap();
    assert_eq!([judged[0].verdict, judged[1].verdict], [Verdict::Inconclusive; 2]);
    assert_eq!((judged[1].seeds, judged[1].mean, judged[1].tested), (1, 4.0, None));
}

#[test]
fn two_seeds_decide_nothing() {
    for kind in [Kind::Better, Kind::NotWorse, Kind::Same] {
        for rows in [vec![vec![0.0; 50]; 2], vec![vec![1.0; 50]; 2], vec![vec![-1.0; 50]; 1]] {
            for images in [Images::Own, Images::Shared] {
                let judged = alone(question(kind, 0.02, images, rows.clone()));
                assert_eq!((judged.verdict, judged.tested), (Verdict::Inconclusive, None));
            }
        }
    }
}

#[test]
fn identical_conditions_are_equivalent() {
    for options in [limit(), Options { resamples: Some(100), ..limit() }] {
        for (kind, verdict) in [
            (Kind::Better, Verdict::Equivalent),
            (Kind::Same, Verdict::Equivalent),
            (Kind::NotWorse, Verdict::Supported),
        ] {
            let same = question(kind, 0.02, Images::Shared, vec![vec![0.0; 300]; 10]);
            let judged = judge(&[same], &options).unwrap()[0];
            assert_eq!((judged.verdict, judged.tested.unwrap().interval), (verdict, (0.0, 0.0)));
        }
    }
}

/// All seeds have the same mean by chance; their images show the amount of chance.
#[test]
fn seeds_that_agree_by_chance_are_not_certain() {
    let mut row = vec![0.0; 20];
    row[0] = 1.0;
    let mut rows = vec![row.clone(), row.clone(), row];
    rows[1].swap(0, 1);
    rows[2].swap(0, 2);
    for images in [Images::Own, Images::Shared] {
        let judged = alone(question(Kind::Better, 0.01, images, rows.clone()));
        assert!(judged.tested.unwrap().error > 0.02);
        assert_eq!(judged.verdict, Verdict::Inconclusive, "{images:?}");
    }
}

#[test]
fn shared_luck_counts() {
    // All seeds agree on every image: with the images shared, they are one sample of 100 images and not five.
    let row: Vec<f64> = (0..100).map(|image| f64::from(image < 4)).collect();
    let shared = alone(question(Kind::Better, 0.01, Images::Shared, vec![row; 5])).tested.unwrap();
    assert!((shared.error - (0.04 * 0.96 / 99.0_f64).sqrt()).abs() < 1e-12, "{shared:?}");
    assert!(shared.share < 1e-9);
}

#[test]
fn the_bits_are_the_same_each_time_and_for_any_order_of_seeds() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let options = Options { resamples: Some(1000), seed: 3, ..Options::default() };
    for images_of in [Images::Shared, Images::Own] {
        for mean in [0.0, 0.01, 0.03, 0.05] {
            let rows = images(&mut rng, 5, 200, mean);
            let ask = |rows: Vec<Vec<f64>>| judge(&[question(Kind::Better, 0.02, images_of, rows)], &options);
            let first = ask(rows.clone()).unwrap();
            assert_eq!(first, ask(rows.clone()).unwrap());
            let mut turned = rows.clone();
            turned.rotate_left(2);
            turned.swap(0, 1);
            let turned = ask(turned).unwrap();
            assert_eq!(first[0].verdict, turned[0].verdict);
            assert_eq!(first[0].tested.unwrap().error, turned[0].tested.unwrap().error);
        }
    }
}

#[test]
fn the_opposite_of_supported_is_contradicted() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let options = Options { resamples: Some(200), ..Options::default() };
    let mut supported = 0;
    for trial in 0..60 {
        let mean = [0.0, 0.02, 0.04][trial % 3];
        let rows = images(&mut rng, 5, 300, mean);
        let against = rows.iter().map(|row| row.iter().map(|value| -value).collect()).collect();
        let ask = |rows| judge(&[question(Kind::Better, 0.02, Images::Shared, rows)], &options).unwrap()[0];
        let (forth, back): (Judgement, Judgement) = (ask(rows), ask(against));
        assert_eq!(back.mean, -forth.mean);
        let expected = match forth.verdict {
            Verdict::Supported => Verdict::Contradicted,
            Verdict::Contradicted => Verdict::Supported,
            other => other,
        };
        assert_eq!(back.verdict, expected);
        supported += usize::from(forth.verdict == Verdict::Supported);
    }
    assert!((10..60).contains(&supported), "{supported}");
}

#[test]
fn what_says_nothing_is_a_fault() {
    let fault = |question| judge(&[values(Kind::Same, 1.0, &[0.0; 3]), question], &limit()).unwrap_err();
    assert_eq!(fault(values(Kind::Better, 1.0, &[])), Fault::NoSeeds { question: 1 });
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let rows = vec![vec![0.0, 1.0], vec![1.0, bad]];
        for images in [Images::Own, Images::Shared] {
            let found = fault(question(Kind::Better, 1.0, images, rows.clone()));
            assert_eq!(found, Fault::NotFinite { question: 1, row: 1, column: 1 });
        }
        assert!(matches!(fault(values(Kind::Better, bad, &[1.0; 3])), Fault::Margin { question: 1, .. }));
    }
    assert!(matches!(fault(values(Kind::Same, 0.0, &[1.0; 3])), Fault::Margin { question: 1, .. }));

    let rows = vec![vec![0.0, 1.0, 0.5], vec![1.0, 1.0], vec![0.5; 3]];
    let ragged = fault(question(Kind::Better, 1.0, Images::Shared, rows.clone()));
    assert_eq!(ragged, Fault::Ragged { question: 1, row: 1, found: 2, expected: 3 });
    assert_eq!(
        ragged.to_string(),
        "question 1: seed 1 has 2 values, seed 0 has 3, but all share their images"
    );
    assert!(alone(question(Kind::Better, 1.0, Images::Own, rows)).tested.is_some());
    let empty = question(Kind::Better, 1.0, Images::Own, vec![vec![1.0], vec![]]);
    assert_eq!(fault(empty), Fault::EmptyRow { question: 1, row: 1 });

    for alpha in [0.0, 0.5, -0.1, f64::NAN] {
        assert!(matches!(judge(&[], &Options { alpha, ..limit() }), Err(Fault::Alpha(_))));
    }
    assert_eq!(judge(&[], &Options { resamples: Some(99), ..limit() }), Err(Fault::Resamples(99)));
    assert_eq!(judge(&[], &Options::default()), Ok(vec![]));
}

#[test]
fn verdicts_have_one_word() {
    use Verdict::{Contradicted, Equivalent, Inconclusive, Supported};
    for verdict in [Supported, Contradicted, Equivalent, Inconclusive] {
        let word = serde_json::to_string(&verdict).unwrap();
        assert_eq!(word, format!("\"{verdict}\""));
        assert_eq!(serde_json::from_str::<Verdict>(&word).unwrap(), verdict);
    }
    let judged = alone(values(Kind::Better, 0.5, &[1.2, -0.4, 2.5, 0.9, 1.6]));
    let text = serde_json::to_string(&judged).unwrap();
    assert!(text.starts_with(r#"{"verdict":"supported","mean":1.16"#), "{text}");
    assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap().verdict, judged.verdict);
}
