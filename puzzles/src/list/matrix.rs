//! linear.forward, linear.backward_bias, matmul.tiled.

use crate::case::{Case, Grid};
use frostline_twin::{Array, cases, linear as twin};
use rand::Rng;

fn transposed(array: &Array) -> Array {
    let [rows, columns] = array.dims();
    let values = (0..rows * columns).map(|i| array[[i % rows, i / rows]]);
    Array::new(&[columns, rows], values.collect())
}

fn shapes(seed: u64) -> Vec<[usize; 3]> {
    let mut rng = cases::rng(seed ^ 7);
    let mut all = vec![[8, 8, 8], [16, 24, 16], [5, 7, 3], [1, 20, 1], [13, 1, 17], [17, 33, 10]];
    all.push([(); 3].map(|()| rng.random_range(1..30)));
    all
}

pub(super) fn linear(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 8);
    let of = |[rows, inputs, outputs]: [usize; 3]| {
        let x = cases::uniform(&mut rng, &[rows, inputs], -1.0..1.0);
        let w = cases::uniform(&mut rng, &[outputs, inputs], -1.0..1.0);
        let bias = cases::uniform(&mut rng, &[outputs], -1.0..1.0);
        let what = format!("{rows} rows, {inputs} inputs, {outputs} outputs");
        Case::new(what, "y", &["row", "output"], twin::forward(&x, &w, Some(&bias)))
            .sizes(&[("rows", rows), ("inputs", inputs), ("outputs", outputs)])
            .input("x", &x)
            .input("w", &transposed(&w))
            .input("bias", &bias)
            .count("inputs", inputs)
    };
    shapes(seed).into_iter().map(of).collect()
}

pub(super) fn bias(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 9);
    let mut shapes = vec![[64, 8], [1, 3], [37, 5], [200, 4], [129, 1]];
    shapes.push([rng.random_range(1..400), rng.random_range(1..10)]);
    let of = |[rows, outputs]: [usize; 2]| {
        let dy = cases::uniform(&mut rng, &[rows, outputs], -1.0..1.0);
        let what = format!("{rows} rows, {outputs} outputs");
        Case::new(what, "dbias", &["output"], twin::backward_bias(&dy))
            .sizes(&[("rows", rows), ("outputs", outputs)])
            .input("dy", &dy)
            .count("rows", rows)
            .grid(Grid::Workgroups([outputs as u32, 1, 1], [64, 1, 1]))
    };
    shapes.into_iter().map(of).collect()
}

pub(super) fn tiled(seed: u64) -> Vec<Case> {
    let mut rng = cases::rng(seed ^ 10);
    let of = |[rows, inner, columns]: [usize; 3]| {
        let a = cases::uniform(&mut rng, &[rows, inner], -1.0..1.0);
        let rows_of_b = cases::uniform(&mut rng, &[columns, inner], -1.0..1.0);
        let what = format!("{rows} rows, {inner} inner, {columns} columns");
        let tiles = [columns.div_ceil(8) as u32, rows.div_ceil(8) as u32, 1];
        Case::new(what, "c", &["row", "column"], twin::forward(&a, &rows_of_b, None))
            .sizes(&[("rows", rows), ("inner", inner), ("columns", columns)])
            .input("a", &a)
            .input("b", &transposed(&rows_of_b))
            .grid(Grid::Workgroups(tiles, [8, 8, 1]))
    };
    shapes(seed).into_iter().map(of).collect()
}
