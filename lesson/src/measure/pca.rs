//! Principal components of features in two dimensions; and the nearest row.

use frostline_charts::scatter::Scatter;
use frostline_trainer::{Features, NO_CLASS, Standardization};

/// A map of features in two dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The position of each row: its two principal components, in the features' unit.
    pub points: Vec<(f64, f64)>,
    /// Share of all variance along each axis, 0..=1.
    pub shares: [f64; 2],
}

/// The plane on which the rows of `features` are spread most (Pearson 1901).
///
/// There are far fewer images than features, so the components come from the images' inner
/// products: if G = X·Xᵀ of the centred rows X has the eigenvector u with eigenvalue λ, √λ·u are the images'
/// positions along that component. The sign is chosen so that the position with the largest absolute value is
/// positive.
pub fn pca(features: &Features) -> Map {
    let rows = centred(features);
    let count = rows.len();
    let mut gram: Vec<Vec<f64>> = rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect();
    let total: f64 = (0..count).map(|i| gram[i][i]).sum();
    let axes = [(); 2].map(|()| {
        let (value, vector) = largest_eigenpair(&gram);
        for (row, &u) in gram.iter_mut().zip(&vector) {
            row.iter_mut().zip(&vector).for_each(|(entry, &v)| *entry -= value * u * v);
        }
        (value, vector)
    });
    let places = |(value, vector): &(f64, Vec<f64>)| -> Vec<f64> {
        let far = vector.iter().copied().fold(0.0, |far: f64, u| if u.abs() > far.abs() { u } else { far });
        vector.iter().map(|u| u * value.sqrt() * far.signum()).collect()
    };
    let [x, y] = [places(&axes[0]), places(&axes[1])];
    Map {
        points: x.into_iter().zip(y).collect(),
        shares: [axes[0].0, axes[1].0].map(|value| value / total.max(f64::MIN_POSITIVE)),
    }
}

/// The class of the row of `train` that is nearest to each row of `test`, by Euclidean distance.
pub fn nearest(train: &Features, test: &Features) -> Vec<u32> {
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let class = |row: &[f32]| {
        let all = (0..train.labels.len()).map(|j| (distance(row, train.row(j)), train.labels[j]));
        all.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(NO_CLASS, |(_, class)| class)
    };
    (0..test.labels.len()).map(|i| class(test.row(i))).collect()
}

/// A map of `features`, called `name`, each in units of its deviation, as in the input of a head.
pub fn scatter(name: &str, features: &Features) -> Scatter {
    let map = pca(&Standardization::of(features, 1e-5).apply(features));
    let axis =
        |i: usize| format!("component {}, {:.0}% of the variance (deviations)", i + 1, 100.0 * map.shares[i]);
    let points =
        map.points.iter().zip(&features.labels).map(|(&(x, y), &class)| (x, y, class as usize)).collect();
    Scatter { title: name.to_owned(), x: axis(0), y: axis(1), classes: features.classes.clone(), points }
}

fn centred(features: &Features) -> Vec<Vec<f64>> {
    let count = features.labels.len();
    let mut rows: Vec<Vec<f64>> =
        (0..count).map(|i| features.row(i).iter().map(|&value| f64::from(value)).collect()).collect();
    for j in 0..features.width {
        let mean = rows.iter().map(|row| row[j]).sum::<f64>() / count as f64;
        rows.iter_mut().for_each(|row| row[j] -= mean);
    }
    rows
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// By power iteration, from the longest row. If two eigenvalues are nearly equal, any direction between their
/// vectors is as good, so full convergence is not needed.
fn largest_eigenpair(matrix: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let length = |vector: &[f64]| dot(vector, vector).sqrt();
    let longest = matrix.iter().max_by(|a, b| length(a).total_cmp(&length(b)));
    let mut vector = longest.cloned().unwrap_or_default();
    let mut value = length(&vector);
    for _ in 0..3000 {
        if value == 0.0 {
            return (0.0, vec![0.0; matrix.len()]);
        }
        vector.iter_mut().for_each(|u| *u /= value);
        let next: Vec<f64> = matrix.iter().map(|row| dot(row, &vector)).collect();
        value = length(&next);
        let moved = next.iter().zip(&vector).map(|(next, u)| (next - value * u).abs()).fold(0.0, f64::max);
        if moved <= 1e-10 * value {
            break;
        }
        vector = next;
    }
    let norm = length(&vector);
    vector.iter_mut().for_each(|u| *u /= norm.max(f64::MIN_POSITIVE));
    (value, vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points along two orthogonal directions of four, off the origin.
    fn cross() -> Features {
        let (a, b) = ([0.5f32, 0.5, 0.5, 0.5], [0.5f32, -0.5, 0.5, -0.5]);
        let places = [(6.0f32, 0.0), (-2.0, 1.0), (-2.0, -1.0), (-2.0, 0.0)];
        let values =
            places.iter().flat_map(|&(s, t)| (0..4).map(move |j| 7.0 + s * a[j] + t * b[j])).collect();
        Features { width: 4, values, labels: vec![0, 1, 1, 0], classes: vec!["a".to_owned(), "b".to_owned()] }
    }

    #[test]
    fn a_plane_in_space_is_found() {
        let map = pca(&cross());
        for (point, expected) in map.points.iter().zip([(6.0, 0.0), (-2.0, 1.0), (-2.0, -1.0), (-2.0, 0.0)]) {
            assert!(
                (point.0 - expected.0).abs() < 1e-6 && (point.1.abs() - f64::abs(expected.1)).abs() < 1e-6,
                "{map:?}"
            );
        }
        // Which of the two tied places is positive is the eigenvector's choice; they are opposite.
        assert!((map.points[1].1 + map.points[2].1).abs() < 1e-6, "{map:?}");
        assert!(
            (map.shares[0] - 48.0 / 50.0).abs() < 1e-9 && (map.shares[1] - 2.0 / 50.0).abs() < 1e-9,
            "{map:?}"
        );
    }

    #[test]
    fn equal_rows_have_no_direction() {
        let same = Features { values: vec![3.0; 16], ..cross() };
        assert_eq!(pca(&same), Map { points: vec![(0.0, 0.0); 4], shares: [0.0; 2] });
    }

    #[test]
    fn the_nearest_row_gives_its_class() {
        let train = cross().subset(&[0, 1]);
        assert_eq!(nearest(&train, &cross()), [0, 1, 1, 1]);
        assert_eq!(nearest(&train.subset(&[]), &cross()), [NO_CLASS; 4]);
    }
}
