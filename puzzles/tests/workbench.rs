//! The workbench's kernels against their f64 twins, at odd shapes.

use frostline_puzzles::case::{permuted, stored, stored_value};
use frostline_puzzles::device::Device;
use frostline_puzzles::workbench::Work;
use frostline_twin::{Value, cases, compare, conv2d, linear};

/// Sides of the tiles are 8, 16, 32 and 64: below, above and between them, one row, one column, one pixel.
const CONVOLUTIONS: [[usize; 5]; 8] = [
    [1, 8, 32, 8, 8],
    [1, 1, 1, 1, 1],
    [1, 1, 13, 3, 5],
    [3, 9, 1, 5, 4],
    [3, 7, 7, 20, 36],
    [1, 11, 35, 6, 9],
    [2, 17, 33, 4, 3],
    [3, 5, 6, 33, 17],
];

#[test]
fn every_convolution_is_within_its_bound() {
    let device = pollster::block_on(Device::open()).unwrap();
    let mut rng = cases::rng(16);
    for [images, height, width, channels_in, channels_out] in CONVOLUTIONS {
        let work = Work::Convolution { images, height, width, channels_in, channels_out };
        let x = cases::uniform(&mut rng, &[images, channels_in, height, width], -1.0..1.0);
        let w = cases::uniform(&mut rng, &[channels_out, channels_in, 3, 3], -1.0..1.0);
        let y = conv2d::forward(&x, &w, 1, [1; 4]);
        let exact = stored_value(&y);
        let inputs = [stored(&x).to_f32(), permuted(&w, [2, 3, 1, 0]).to_f32()];
        for kernel in work.kernels() {
            let run = work.run(&device, kernel, [&inputs[0], &inputs[1]], 0);
            let result = pollster::block_on(run).unwrap().result;
            let name = format!("{kernel} {work:?}");
            if kernel.contains("winograd") {
                // An output comes from transformed values of its whole tile of 2×2, each a sum of up to
                // four: it errs like the largest of the tile, and not like itself.
                let exact = Value { value: exact.value.clone(), terms: stored(&y.clone().by_tile(2).terms) };
                compare::assert_close(&name, &result, &exact);
            } else {
                compare::assert_close(&name, &result, &exact);
            }
        }
    }
}

#[test]
fn every_product_is_within_its_bound() {
    let device = pollster::block_on(Device::open()).unwrap();
    let mut rng = cases::rng(17);
    let shapes = [[64, 16, 64], [1, 1, 1], [1, 37, 5], [17, 3, 1], [65, 33, 63], [16, 16, 17], [130, 50, 70]];
    for [rows, inner, columns] in shapes {
        let work = Work::Product { rows, inner, columns };
        let a = cases::uniform(&mut rng, &[rows, inner], -1.0..1.0);
        // The twin of a linear layer multiplies by the rows of its weight: b, transposed.
        let transposed = cases::uniform(&mut rng, &[columns, inner], -1.0..1.0);
        let exact = linear::forward(&a, &transposed, None);
        let b = (0..inner * columns).map(|i| transposed[[i % columns, i / columns]] as f32);
        let inputs = [a.to_f32(), b.collect()];
        for kernel in work.kernels() {
            let run = work.run(&device, kernel, [&inputs[0], &inputs[1]], 0);
            let result = pollster::block_on(run).unwrap().result;
            compare::assert_close(&format!("{kernel} {work:?}"), &result, &exact);
        }
    }
}
