//! add.forward, relu.forward, relu.backward.

use super::{IMAGE, images, words_of};
use crate::case::{Case, stored, stored_value};
use frostline_twin::activation::Activation;
use frostline_twin::{Array, Value, add as twin, cases};

fn case(shape: [usize; 4], output: &'static str, value: &Value) -> Case {
    let size = shape.iter().product();
    Case::new(words_of(shape), output, &IMAGE, stored_value(value)).sizes(&[("size", size)])
}

fn all(seed: u64, case: impl Fn(&mut dyn FnMut() -> Array, [usize; 4]) -> Case) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 1);
    let shapes = images(seed).into_iter();
    shapes.map(|shape| case(&mut || cases::uniform(&mut rng, &shape, -2.0..2.0), shape)).collect()
}

pub(super) fn add(seed: u64) -> Vec<Case> {
    all(seed, |draw, shape| {
        let (a, b) = (draw(), draw());
        let y = twin::forward(&a, &b, Activation::None);
        case(shape, "y", &y).input("a", &stored(&a)).input("b", &stored(&b))
    })
}

pub(super) fn relu(seed: u64) -> Vec<Case> {
    all(seed, |draw, shape| {
        let x = draw();
        case(shape, "y", &Activation::Relu.forward(&x)).input("x", &stored(&x))
    })
}

pub(super) fn relu_backward(seed: u64) -> Vec<Case> {
    all(seed, |draw, shape| {
        let y = Activation::Relu.forward(&draw()).value;
        let dy = draw();
        let dx = Activation::Relu.backward(&dy, &y);
        case(shape, "dx", &dx).input("y", &stored(&y)).input("dy", &stored(&dy))
    })
}
