//! Scaling, cropping and normalising as nodes, with the loader's bytes (`loader/src/resize.rs`).
//!
//! ONNX's own `Resize` with `antialias` keeps fractions where Pillow rounds to bytes: in onnxruntime 1.32,
//! 11.5% of the bytes of 141 odd photos differ from Pillow's, by up to 2; of these nodes', none. And few
//! runtimes have it. Here the filter's weights are computed from the photo's size in f64, operation for
//! operation as Pillow does, and applied as two matrix products: along rows, rounded to bytes, then
//! along columns. Only the pixels of the crop are computed.
//!
//! **Sums without rounding, in f32.** A weight is a whole number q of 2⁻²². It is split into
//! q = 256·h + l with |l| ≤ 128, so that sums of h·byte stay below 2²⁴, and those of l·byte too for
//! windows of up to 512 pixels: such sums are whole numbers that f32 holds. The byte is
//! ⌊(256·Σh + Σl + 2²¹) / 2²²⌋ = ⌊(Σh + ⌊Σl / 256⌋ + 2¹³) / 2¹⁴⌋, again without rounding.

use super::messages::DataType;
use super::writer::Writer;
use frostline_loader::{Interpolation, Preprocessing};

/// Units of a weight: 2²², as Pillow's.
const UNITS: f64 = (1 << 22) as f64;
/// What a weight is split by.
const SPLIT: f64 = 256.0;

/// Writes the nodes from `image`, bytes (height, width, 3), to the network's input (1, channels, crop,
/// crop), whose name is returned.
pub(crate) fn write(writer: &mut Writer, image: &str, preprocessing: &Preprocessing) -> String {
    let crop = preprocessing.crop;
    let mut w = Nodes { writer };
    let shape = w.writer.named("Shape", &[image], "size");
    let side = |w: &mut Nodes<'_>, name: &str, axis: i64| {
        let axis = w.writer.int(&format!("{name}_axis"), axis);
        let side = w.writer.node("Gather", &[&shape, &axis], &format!("{name}_int"), |a| a.int("axis", 0));
        w.cast(&side, DOUBLE, name)
    };
    let height = side(&mut w, "height_in", 0);
    let width = side(&mut w, "width_in", 1);
    let (rows, columns) = match preprocessing.resize {
        None => (height.clone(), width.clone()),
        Some(size) => {
            let size = w.double("resize_to", size as f64);
            let short = w.op("Min", &[&height, &width], "shorter_side");
            let mut scaled = |from: &str, name: &str| {
                let product = w.op("Mul", &[&size, from], &format!("{name}_product"));
                let quotient = w.op("Div", &[&product, &short], &format!("{name}_quotient"));
                w.op("Floor", &[&quotient], name)
            };
            (scaled(&height, "height_scaled"), scaled(&width, "width_scaled"))
        }
    };
    let filter = Filter {
        interpolation: preprocessing.interpolation,
        crop,
        // A scaled image that is smaller than the crop gets black borders.
        borders: preprocessing.resize.is_none_or(|size| size < crop),
    };
    let across = filter.weights(&mut w, "across", &width, &columns, Side::Right);
    let down = filter.weights(&mut w, "down", &height, &rows, Side::Left);

    let pixels = channels(&mut w, image, preprocessing.channels);
    let x = w.filtered("across", |w, part, name| w.op("MatMul", &[&pixels, &across[part]], name));
    let x = w.filtered("down", |w, part, name| w.op("MatMul", &[&down[part], &x], name));
    normalize(&mut w, &x, preprocessing)
}

/// The photo as f32 (channels, height, width); grey as Pillow's `convert("L")`, before scaling.
fn channels(w: &mut Nodes<'_>, image: &str, channels: usize) -> String {
    if channels == 3 {
        let planes = w.writer.node("Transpose", &[image], "planes", |a| a.ints("perm", &[2, 0, 1]));
        return w.cast(&planes, FLOAT, "pixels");
    }
    // Whole numbers below 2²⁴ all along.
    let colours = w.cast(image, FLOAT, "colours");
    let luma = w.writer.floats("luma", &[3, 1], &[19595.0, 38470.0, 7471.0]);
    let sum = w.op("MatMul", &[&colours, &luma], "luma_sum");
    let half = w.float("luma_half", 32768.0);
    let units = w.float("luma_units", 1.0 / 65536.0);
    let sum = w.op("Add", &[&sum, &half], "luma_rounded");
    let sum = w.op("Mul", &[&sum, &units], "luma_scaled");
    let grey = w.op("Floor", &[&sum], "grey");
    w.writer.node("Transpose", &[&grey], "pixels", |a| a.ints("perm", &[2, 0, 1]))
}

/// (x/255 - mean) / std, in the loader's order, and a batch of one.
fn normalize(w: &mut Nodes<'_>, x: &str, preprocessing: &Preprocessing) -> String {
    let dims = [preprocessing.channels, 1, 1];
    let white = w.float("white", 255.0);
    let mean = w.writer.floats("mean", &dims, &preprocessing.mean);
    let std = w.writer.floats("std", &dims, &preprocessing.std);
    let x = w.op("Div", &[x, &white], "of_white");
    let x = w.op("Sub", &[&x, &mean], "centred");
    let x = w.op("Div", &[&x, &std], "normalized");
    let axis = w.writer.ints("batch_axis", &[0]);
    w.op("Unsqueeze", &[&x, &axis], "input")
}

/// Where the weights stand in the product.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// (crop, pixels) · image: a weight's pixel is its column.
    Left,
    /// image · (pixels, crop): a weight's pixel is its row.
    Right,
}

/// The filter along one side.
struct Filter {
    interpolation: Interpolation,
    crop: usize,
    borders: bool,
}

impl Filter {
    /// The weights h and l of the module's header, f32, for a side of `from` pixels that becomes `to`
    /// and is cropped.
    fn weights(&self, w: &mut Nodes<'_>, name: &str, from: &str, to: &str, side: Side) -> [String; 2] {
        let n = |part: &str| format!("{name}_{part}");
        let (pixel_axis, dims) = match side {
            Side::Left => (1, [self.crop, 1]),
            Side::Right => (0, [1, self.crop]),
        };
        let first = self.first(w, name, to);
        let outputs: Vec<f64> = (0..self.crop).map(|output| output as f64).collect();
        let outputs = w.writer.doubles(&n("outputs"), &dims, &outputs);
        let wanted = w.op("Add", &[&outputs, &first], &n("wanted"));
        let (zero, one, half) =
            (w.double(&n("zero"), 0.0), w.double(&n("one"), 1.0), w.double(&n("half"), 0.5));
        let mut place = wanted.clone();
        if self.borders {
            let last = w.op("Sub", &[to, &one], &n("last"));
            place = w.op("Max", &[&place, &zero], &n("not_below"));
            place = w.op("Min", &[&place, &last], &n("place"));
        }
        let scale = w.op("Div", &[from, to], &n("scale"));
        let stretch = w.op("Max", &[&scale, &one], &n("stretch"));
        let per_stretch = w.op("Div", &[&one, &stretch], &n("per_stretch"));
        let middle = w.op("Add", &[&place, &half], &n("middle"));
        let center = w.op("Mul", &[&middle, &scale], &n("center"));
        let pixels = w.op("Range", &[&zero, from, &one], &n("range"));
        let axis = w.writer.ints(&n("axis"), &[1 - pixel_axis]);
        let pixels = w.op("Unsqueeze", &[&pixels, &axis], &n("pixels"));
        let x = w.op("Sub", &[&pixels, &center], &n("distance"));
        let x = w.op("Add", &[&x, &half], &n("distance_of_middle"));
        let x = w.op("Mul", &[&x, &per_stretch], &n("x"));
        let x = w.op("Abs", &[&x], &n("x_abs"));
        let filter = match self.interpolation {
            Interpolation::Bilinear => {
                let falling = w.op("Sub", &[&one, &x], &n("falling"));
                w.op("Max", &[&falling, &zero], &n("filter"))
            }
            Interpolation::Bicubic => bicubic(w, name, &x, &zero, &one),
        };
        let sum_axis = w.writer.ints(&n("sum_axis"), &[pixel_axis]);
        let total = w.op("ReduceSum", &[&filter, &sum_axis], &n("total"));
        let mut weight = w.op("Div", &[&filter, &total], &n("weight"));
        if self.borders {
            let inside = w.op("Equal", &[&place, &wanted], &n("is_inside"));
            let inside = w.cast(&inside, DOUBLE, &n("inside"));
            weight = w.op("Mul", &[&weight, &inside], &n("weight_inside"));
        }
        let units = w.double(&n("units"), UNITS);
        let exact = w.op("Mul", &[&weight, &units], &n("exact"));
        let q = self.rounded(w, name, &exact, &half);
        let (split, per_split) = (w.double(&n("split"), SPLIT), w.double(&n("per_split"), 1.0 / SPLIT));
        let high = w.op("Mul", &[&q, &per_split], &n("high_exact"));
        let high = w.op("Add", &[&high, &half], &n("high_and_half"));
        let high = w.op("Floor", &[&high], &n("high_double"));
        let rest = w.op("Mul", &[&high, &split], &n("high_units"));
        let low = w.op("Sub", &[&q, &rest], &n("low_double"));
        [w.cast(&high, FLOAT, &n("high")), w.cast(&low, FLOAT, &n("low"))]
    }

    /// To whole units, half away from zero. A triangle has no negative weights.
    fn rounded(&self, w: &mut Nodes<'_>, name: &str, exact: &str, half: &str) -> String {
        let n = |part: &str| format!("{name}_{part}");
        if self.interpolation == Interpolation::Bilinear {
            let sum = w.op("Add", &[exact, half], &n("exact_and_half"));
            return w.op("Floor", &[&sum], &n("q"));
        }
        let size = w.op("Abs", &[exact], &n("exact_abs"));
        let sum = w.op("Add", &[&size, half], &n("exact_and_half"));
        let floor = w.op("Floor", &[&sum], &n("q_abs"));
        let sign = w.op("Sign", &[exact], &n("q_sign"));
        w.op("Mul", &[&floor, &sign], &n("q"))
    }

    /// The place in the scaled side of the crop's first pixel; below zero where there is a border.
    /// torchvision's `CenterCrop`: the half of an odd margin goes to the even neighbour, that of an odd
    /// border is cut off.
    fn first(&self, w: &mut Nodes<'_>, name: &str, to: &str) -> String {
        let n = |part: &str| format!("{name}_{part}");
        let crop = w.double(&n("crop"), self.crop as f64);
        let (half, two) = (w.double(&n("one_half"), 0.5), w.double(&n("two"), 2.0));
        let zero = w.double(&n("no_margin"), 0.0);
        let halved = |w: &mut Nodes<'_>, value: &str, name: String| {
            let exact = w.op("Mul", &[value, &half], &format!("{name}_exact"));
            w.op("Floor", &[&exact], &name)
        };
        let odd = |w: &mut Nodes<'_>, value: &str, halved: &str, name: String| {
            let even = w.op("Mul", &[halved, &two], &format!("{name}_even"));
            w.op("Sub", &[value, &even], &name)
        };
        let signed = w.op("Sub", &[to, &crop], &n("margin_or_border"));
        let margin = w.op("Max", &[&signed, &zero], &n("margin"));
        let margin_half = halved(w, &margin, n("margin_half"));
        let margin_odd = odd(w, &margin, &margin_half, n("margin_odd"));
        let quarter = halved(w, &margin_half, n("margin_quarter"));
        let half_odd = odd(w, &margin_half, &quarter, n("margin_half_odd"));
        let up = w.op("Mul", &[&margin_odd, &half_odd], &n("margin_up"));
        let first = w.op("Add", &[&margin_half, &up], &n("first_of_margin"));
        if !self.borders {
            return first;
        }
        let border = w.op("Sub", &[&margin, &signed], &n("border"));
        let border_half = halved(w, &border, n("border_half"));
        w.op("Sub", &[&first, &border_half], &n("first"))
    }
}

/// Keys' cubic with a = -0.5 at |x|, in the order of `Interpolation::at`.
fn bicubic(w: &mut Nodes<'_>, name: &str, x: &str, zero: &str, one: &str) -> String {
    let n = |part: &str| format!("{name}_{part}");
    let mut constant = |part: &str, value: f64| w.double(&n(part), value);
    let (a, two) = (constant("a", -0.5), constant("cubic_two", 2.0));
    let (near_1, near_0) = (constant("a_2", 1.5), constant("a_3", 2.5));
    let (five, eight, four) = (constant("five", 5.0), constant("eight", 8.0), constant("four", 4.0));
    // ((a + 2)·x - (a + 3))·x·x + 1
    let near = w.op("Mul", &[&near_1, x], &n("near_1"));
    let near = w.op("Sub", &[&near, &near_0], &n("near_2"));
    let near = w.op("Mul", &[&near, x], &n("near_3"));
    let near = w.op("Mul", &[&near, x], &n("near_4"));
    let near = w.op("Add", &[&near, one], &n("near"));
    // (((x - 5)·x + 8)·x - 4)·a
    let far = w.op("Sub", &[x, &five], &n("far_1"));
    let far = w.op("Mul", &[&far, x], &n("far_2"));
    let far = w.op("Add", &[&far, &eight], &n("far_3"));
    let far = w.op("Mul", &[&far, x], &n("far_4"));
    let far = w.op("Sub", &[&far, &four], &n("far_5"));
    let far = w.op("Mul", &[&far, &a], &n("far"));
    let is_far = w.op("Less", &[x, &two], &n("is_far"));
    let far = w.op("Where", &[&is_far, &far, zero], &n("far_or_nothing"));
    let is_near = w.op("Less", &[x, one], &n("is_near"));
    w.op("Where", &[&is_near, &near, &far], &n("filter"))
}

const FLOAT: i64 = DataType::Float as i64;
const DOUBLE: i64 = DataType::Double as i64;

/// A writer with what this file needs often. Names begin with `preprocessing/`.
struct Nodes<'a> {
    writer: &'a mut Writer,
}

impl Nodes<'_> {
    fn op(&mut self, op: &str, inputs: &[&str], output: &str) -> String {
        self.writer.named(op, inputs, output)
    }

    fn cast(&mut self, x: &str, to: i64, output: &str) -> String {
        self.writer.node("Cast", &[x], output, |a| a.int("to", to))
    }

    fn double(&mut self, name: &str, value: f64) -> String {
        self.writer.doubles(name, &[], &[value])
    }

    fn float(&mut self, name: &str, value: f32) -> String {
        self.writer.floats(name, &[], &[value])
    }

    /// The bytes, as f32, that the products with the weights h (part 0) and l (part 1) come to.
    fn filtered(&mut self, name: &str, mut product: impl FnMut(&mut Self, usize, &str) -> String) -> String {
        let n = |part: &str| format!("{name}_{part}");
        let high = product(self, 0, &n("high_sum"));
        let low = product(self, 1, &n("low_sum"));
        let per_split = self.float(&n("low_per_split"), (1.0 / SPLIT) as f32);
        let low = self.op("Mul", &[&low, &per_split], &n("low_exact"));
        let low = self.op("Floor", &[&low], &n("low_carry"));
        let sum = self.op("Add", &[&high, &low], &n("sum"));
        let half = self.float(&n("half_unit"), (UNITS / SPLIT / 2.0) as f32);
        let sum = self.op("Add", &[&sum, &half], &n("sum_and_half"));
        let per_unit = self.float(&n("per_unit"), (SPLIT / UNITS) as f32);
        let byte = self.op("Mul", &[&sum, &per_unit], &n("byte_exact"));
        let byte = self.op("Floor", &[&byte], &n("byte_unbounded"));
        let (black, white) = (self.float(&n("black"), 0.0), self.float(&n("white"), 255.0));
        self.op("Clip", &[&byte, &black, &white], &n("bytes"))
    }
}

#[cfg(all(test, feature = "runner"))]
mod tests {
    use super::*;
    use crate::Runner;
    use crate::onnx::messages::{ModelProto, OperatorSetIdProto};
    use crate::onnx::{OPSET, writer::Dim};
    use frostline_loader::RgbImage8;
    use prost::Message;

    /// A graph of the preprocessing alone.
    fn graph(preprocessing: &Preprocessing) -> Runner {
        let mut writer = Writer::default();
        writer.input("image", DataType::Uint8, &[Dim::Named("height"), Dim::Named("width"), Dim::Of(3)]);
        let output = write(&mut writer, "image", preprocessing);
        let sides = [1, preprocessing.channels, preprocessing.crop, preprocessing.crop];
        writer.output(&output, DataType::Float, &sides.map(Dim::Of));
        let proto = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            graph: Some(writer.graph("preprocessing")),
            ..ModelProto::default()
        };
        Runner::new(&proto.encode_to_vec()).unwrap()
    }

    /// Pixels that differ from their neighbours, with flat parts that must stay flat.
    fn photo(width: usize, height: usize) -> RgbImage8 {
        let mut state = (width * 1_000_003 + height) as u32 | 1;
        let data = (0..width * height * 3).map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i / 3 % 7 < 3 { 255 * (i / 21 % 2) as u8 } else { (state >> 24) as u8 }
        });
        RgbImage8::new(width, height, data.collect()).unwrap()
    }

    #[test]
    fn the_graph_has_the_loaders_bytes() {
        let imagenet = Preprocessing::imagenet(32);
        let grey = Preprocessing { channels: 1, mean: vec![0.3], std: vec![0.2], ..imagenet.clone() };
        let settings = [
            imagenet.clone(),
            Preprocessing::efficientnet_lite(33),
            Preprocessing { interpolation: Interpolation::Bicubic, ..imagenet.clone() },
            Preprocessing { resize: None, ..imagenet.clone() },
            Preprocessing { resize: Some(21), interpolation: Interpolation::Bicubic, ..grey.clone() },
            grey,
        ];
        // Wide, tall, tiny, of whole and of odd ratios, whole factors (where many sums are halves).
        let sizes = [
            (72, 72),
            (36, 36),
            (37, 37),
            (216, 72),
            (64, 131),
            (500, 41),
            (41, 500),
            (1, 1),
            (2, 3),
            (1, 40),
            (40, 1),
            (32, 32),
            (33, 34),
            (222, 148),
            (35, 31),
        ];
        for preprocessing in &settings {
            let mut graph = graph(preprocessing);
            for (width, height) in sizes {
                let photo = photo(width, height);
                let expected = preprocessing.apply(&photo).unwrap();
                let got = graph.probabilities(&photo).unwrap();
                let (crop, channels) = (preprocessing.crop, preprocessing.channels);
                for (i, expected) in expected.iter().enumerate() {
                    let (pixel, channel) = (i / channels, i % channels);
                    let got = got[channel * crop * crop + pixel];
                    // A byte more or less is 0.01. tract multiplies by 1/255 where the loader divides.
                    assert!(
                        (got - expected).abs() < 1e-5,
                        "{width}x{height}, {preprocessing:?}, pixel {pixel}, channel {channel}: {got} for {expected}"
                    );
                }
            }
        }
    }
}
