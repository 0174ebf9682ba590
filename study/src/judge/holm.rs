/// The result of Holm's procedure for one test among several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// The p-value, corrected for the number of tests: the test rejects if this is at most alpha.
    pub adjusted: f64,
    /// The level for the uncorrected p-value: the test rejects if the p-value is at most this.
    pub level: f64,
}

/// Holm's correction (1979): the smallest of k p-values is compared with alpha/k, the next with
/// alpha/(k − 1) and so on. The first that is too large stops the procedure; all later ones get its level.
/// The chance of one false rejection or more is at most alpha, however the tests depend on each other.
pub(super) fn holm(p: &[f64], alpha: f64) -> Vec<Step> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut steps = vec![Step { adjusted: 1.0, level: alpha }; p.len()];
    let (mut adjusted, mut stopped) = (0.0_f64, None);
    for (rank, &index) in order.iter().enumerate() {
        let left = (p.len() - rank) as f64;
        adjusted = adjusted.max((p[index] * left).min(1.0));
        let level = stopped.unwrap_or(alpha / left);
        if adjusted > alpha {
            stopped = Some(level);
        }
        steps[index] = Step { adjusted, level };
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    /// The example of Wikipedia's "Holm–Bonferroni method": the fourth and the first are rejected, the
    /// third is compared with 0.025 and stops the rest. Adjusted as by R 4.4: `p.adjust(c(0.01, 0.04,
    /// 0.03, 0.005), "holm")`.
    #[test]
    fn four_tests_are_as_in_the_worked_example() {
        let steps = holm(&[0.01, 0.04, 0.03, 0.005], 0.05);
        for (step, (adjusted, level)) in
            steps.iter().zip([(0.03, 0.05 / 3.0), (0.06, 0.025), (0.06, 0.025), (0.02, 0.0125)])
        {
            close(step.adjusted, adjusted);
            close(step.level, level);
        }
    }

    #[test]
    fn after_the_first_that_is_kept_all_are() {
        // 0.04 alone would pass the last step, but the step before it fails.
        let steps = holm(&[0.04, 0.03], 0.05);
        assert!(steps.iter().all(|step| step.adjusted > 0.05));
        assert_eq!(holm(&[0.04], 0.05), [Step { adjusted: 0.04, level: 0.05 }]);
        assert_eq!(holm(&[], 0.05), []);
        close(holm(&[0.9, 0.8], 0.05)[0].adjusted, 1.0);
    }
}
