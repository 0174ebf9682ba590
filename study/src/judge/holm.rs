/// What Holm's procedure makes of one test among several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// The p-value with the number of tests counted in: the test rejects where it is at most alpha.
    pub adjusted: f64,
    /// The level that the plain p-value is compared with: the test rejects where it is at most this.
    pub level: f64,
}

/// Holm's correction (1979): the smallest of k p-values is compared with alpha/k, the next with
/// alpha/(k − 1) and so on. The first that is too large stops all after it, which get its level.
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
