//! L-BFGS for smooth convex functions (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.4),
//! with the weak Wolfe conditions found by bisection (Lewis and Overton 2013).

use std::collections::VecDeque;

/// Number of pairs of steps and gradient changes that represent the curvature.
const MEMORY: usize = 10;
/// Sufficient decrease and curvature of Wolfe's conditions.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Evaluations of one line search. Near the optimum, rounding ends a search before this limit.
const SEARCH: usize = 40;

/// A function with its gradient.
pub trait Function {
    /// The value at `x`; writes the gradient there.
    fn value(&self, x: &[f64], gradient: &mut [f64]) -> f64;

    /// Estimates of the second derivative by each variable, up to a common factor; all above 0. If they
    /// differ much, this scaling saves many iterations.
    fn curvature(&self, variables: usize) -> Vec<f64> {
        vec![1.0; variables]
    }
}

/// How a minimisation ended.
pub struct Found {
    /// The largest absolute derivative.
    pub gradient: f64,
    pub iterations: usize,
}

/// Moves `x` to the minimum: until no derivative exceeds `tolerance`, until rounding hides any further
/// decrease, or for `limit` iterations.
pub fn minimise(function: &impl Function, x: &mut [f64], tolerance: f64, limit: usize) -> Found {
    let mut gradient = vec![0.0; x.len()];
    let mut value = function.value(x, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    let inverse: Vec<f64> = function.curvature(x.len()).into_iter().map(f64::recip).collect();
    let mut iterations = 0;
    while largest(&gradient) > tolerance && iterations < limit {
        let direction = direction(&gradient, &pairs, &inverse);
        let Some((step, found)) = search(function, x, value, &gradient, &direction, pairs.is_empty()) else {
            // Rounding made this direction useless: try once more along the gradient; if that fails, this is
            // the minimum.
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        iterations += 1;
        let moved: Vec<f64> = direction.iter().map(|d| step * d).collect();
        x.iter_mut().zip(&moved).for_each(|(x, moved)| *x += moved);
        let change: Vec<f64> = found.1.iter().zip(&gradient).map(|(new, old)| new - old).collect();
        (value, gradient) = found;
        let curvature = dot(&moved, &change);
        if curvature > f64::EPSILON * dot(&change, &change).sqrt() * dot(&moved, &moved).sqrt() {
            pairs.push_back(Pair { curvature, moved, change });
            if pairs.len() > MEMORY {
                pairs.pop_front();
            }
        }
    }
    Found { gradient: largest(&gradient), iterations }
}

struct Pair {
    moved: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

/// −H·gradient, where H is the inverse of the curvature that the pairs represent, and a multiple of `inverse`
/// in other directions.
fn direction(gradient: &[f64], pairs: &VecDeque<Pair>, inverse: &[f64]) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = vec![];
    for pair in pairs.iter().rev() {
        let alpha = dot(&pair.moved, &q) / pair.curvature;
        add(&mut q, -alpha, &pair.change);
        alphas.push(alpha);
    }
    let scale = pairs.back().map_or(1.0, |last| {
        let squares = last.change.iter().zip(inverse).map(|(y, inverse)| y * y * inverse);
        last.curvature / squares.sum::<f64>()
    });
    q.iter_mut().zip(inverse).for_each(|(q, inverse)| *q *= scale * inverse);
    for (pair, alpha) in pairs.iter().zip(alphas.iter().rev()) {
        let beta = dot(&pair.change, &q) / pair.curvature;
        add(&mut q, alpha - beta, &pair.moved);
    }
    q.iter_mut().for_each(|q| *q = -*q);
    q
}

/// A step along `direction` that meets Wolfe's weak conditions, with the value and the gradient there.
fn search(
    function: &impl Function,
    x: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
    first: bool,
) -> Option<(f64, (f64, Vec<f64>))> {
    let slope = dot(gradient, direction);
    if slope >= 0.0 {
        return None;
    }
    // Near the optimum a decrease is smaller than the rounding error of the value.
    let rounding = 4.0 * f64::EPSILON * value.abs();
    let (mut low, mut high) = (0.0, f64::INFINITY);
    // The length of the first direction is arbitrary.
    let mut step = if first { 1.0 / slope.abs().sqrt().max(1.0) } else { 1.0 };
    let mut there = vec![0.0; x.len()];
    let mut new = vec![0.0; x.len()];
    for _ in 0..SEARCH {
        there.iter_mut().zip(x).zip(direction).for_each(|((there, x), d)| *there = x + step * d);
        let found = function.value(&there, &mut new);
        if found.is_nan() || found > value + DECREASE * step * slope + rounding {
            high = step;
        } else if dot(&new, direction) < CURVATURE * slope {
            low = step;
        } else {
            return Some((step, (found, new)));
        }
        step = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    None
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], factor: f64, y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += factor * y);
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's function of two variables; its minimum is at (1, 1).
    struct Rosenbrock;

    impl Function for Rosenbrock {
        fn value(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            gradient[0] = -2.0 * a - 400.0 * x[0] * b;
            gradient[1] = 200.0 * b;
            a * a + 100.0 * b * b
        }
    }

    /// ½Σ(i + 1)·1000^(i/n)·x² − Σx: badly scaled, with a known minimum.
    struct Valley;

    impl Function for Valley {
        fn value(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
            let curvature = |i: usize| 1000f64.powf(i as f64 / x.len() as f64);
            let mut value = 0.0;
            for (i, (x, gradient)) in x.iter().zip(gradient).enumerate() {
                value += 0.5 * curvature(i) * x * x - x;
                *gradient = curvature(i) * x - 1.0;
            }
            value
        }
    }

    #[test]
    fn known_minima_are_found() {
        let mut x = vec![-1.2, 1.0];
        let found = minimise(&Rosenbrock, &mut x, 1e-10, 200);
        assert!(found.gradient <= 1e-10 && found.iterations < 100, "{}", found.iterations);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-9), "{x:?}");
        let mut x = vec![0.0; 200];
        let found = minimise(&Valley, &mut x, 1e-9, 500);
        assert!(found.gradient <= 1e-9, "{} after {}", found.gradient, found.iterations);
        for (i, x) in x.iter().enumerate() {
            assert!((x - 1000f64.powf(-(i as f64) / 200.0)).abs() < 1e-8);
        }
    }
}
