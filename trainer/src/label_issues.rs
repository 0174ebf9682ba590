//! Images whose label may be wrong, by confident learning (Northcutt, Jiang, Chuang 2021, "Confident Learning:
//! Estimating Uncertainty in Dataset Labels", section 3).

/// A value below a threshold by at most this much counts as equal: sums of floats depend on their order.
const SLACK: f64 = 1e-6;

/// An image that is probably of another class than its label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelIssue {
    /// The index of the image.
    pub image: usize,
    /// Its label.
    pub label: u32,
    /// The class that is predicted for it.
    pub suggested: u32,
    /// The probability of its label.
    pub p_label: f64,
    /// The probability of the predicted class.
    pub p_suggested: f64,
    /// The probability of its label minus that of the most probable other class, −1 to 0.
    pub margin: f64,
}

/// The images of `labels` whose `probabilities` contradict the label; the lowest margin first. An image without
/// probabilities is not judged. The probabilities must come from a model that was trained without the image:
/// [`held_out_probabilities()`](crate::held_out_probabilities).
///
/// A class's threshold is the mean of its probability over the images that have it as their label: what a
/// typical image of the class gets. An image counts as an image of the most probable class whose threshold it
/// reaches. It is listed if that is not its label, and if its label is not the most probable class.
///
/// # Panics
/// If a label is not below the number of probabilities, as indexing does.
pub fn label_issues(labels: &[u32], probabilities: &[Option<Vec<f64>>]) -> Vec<LabelIssue> {
    let judged = || {
        let pairs = labels.iter().zip(probabilities).enumerate();
        pairs.filter_map(|(image, (&label, row))| Some((image, label, row.as_deref()?)))
    };
    let thresholds = thresholds(judged().map(|(_, label, row)| (label, row)));
    let issue = |(image, label, row): (usize, u32, &[f64])| {
        let reached = (0..row.len()).filter(|&class| row[class] >= thresholds[class] - SLACK);
        let suggested = reached.max_by(|&a, &b| row[a].total_cmp(&row[b]))? as u32;
        let p_label = row[label as usize];
        let others = (0..row.len()).filter(|&class| class != label as usize).map(|class| row[class]);
        let margin = p_label - others.fold(0.0, f64::max);
        let wrong = suggested != label && margin < -SLACK;
        wrong.then(|| LabelIssue {
            image,
            label,
            suggested,
            p_label,
            p_suggested: row[suggested as usize],
            margin,
        })
    };
    let mut issues: Vec<LabelIssue> = judged().filter_map(issue).collect();
    issues.sort_by(|a, b| a.margin.total_cmp(&b.margin));
    issues
}

/// The mean probability of each class over the images that are labelled with it; infinite for a class without
/// images, so that no image reaches it.
fn thresholds<'a>(images: impl Iterator<Item = (u32, &'a [f64])>) -> Vec<f64> {
    let mut sums: Vec<(f64, f64)> = vec![];
    for (label, row) in images {
        sums.resize(row.len(), (0.0, 0.0));
        let sum = &mut sums[label as usize];
        *sum = (sum.0 + row[label as usize], sum.1 + 1.0);
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { f64::INFINITY }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_suggested_where_its_own_threshold_is_reached() {
        // Class 1 is hard: its images get 0.4 on average. 0.45 is enough for it, and 0.5 is not for class 0.
        let rows = [
            [0.9, 0.05, 0.05],
            [0.9, 0.1, 0.0],
            [0.4, 0.5, 0.1],
            [0.5, 0.3, 0.2],
            [0.5, 0.45, 0.05],
            [0.0, 0.1, 0.9],
        ];
        let probabilities: Vec<_> = rows.iter().map(|row| Some(row.to_vec())).collect();
        let issues = label_issues(&[0, 0, 1, 1, 2, 2], &probabilities);
        assert_eq!(issues.len(), 1, "{issues:?}");
        let issue = &issues[0];
        assert_eq!((issue.image, issue.label, issue.suggested), (4, 2, 1));
        assert!((issue.margin + 0.45).abs() < 1e-12 && issue.p_suggested == 0.45, "{issue:?}");
    }

    #[test]
    fn what_has_no_probabilities_is_neither_judged_nor_suggested() {
        let sure = |class: usize| Some((0..3).map(|i| if i == class { 0.9 } else { 0.05 }).collect());
        // The only image with label 2 is not judged.
        let issues = label_issues(&[0, 0, 1, 1, 2], &[sure(0), sure(2), sure(1), sure(1), None]);
        assert!(issues.is_empty(), "{issues:?}");
        assert!(label_issues(&[0, 1], &[None, None]).is_empty());
        assert!(label_issues(&[], &[]).is_empty());
    }
}
