//! The workbench's kernels on a device: which buffers, which grid, what they computed and how long it took.

use crate::device::{Bound, Device, Scalar, Trouble};
use crate::interface::interface;
use frostline_shaders::{WORKBENCH, stored_params, workbench};

/// What a kernel of the workbench computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// y = x * w, 3×3 taps, stride 1, a border of zeros.
    Convolution {
        /// Images.
        images: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
        /// Channels of x.
        channels_in: usize,
        /// Channels of y.
        channels_out: usize,
    },
    /// c = a·b.
    Product {
        /// Rows of a and c.
        rows: usize,
        /// Columns of a, rows of b.
        inner: usize,
        /// Columns of b and c.
        columns: usize,
    },
}

impl Work {
    /// Multiply-adds of the formula.
    pub fn multiply_adds(self) -> usize {
        match self {
            Work::Convolution { images, height, width, channels_in, channels_out } => {
                9 * images * height * width * channels_in * channels_out
            }
            Work::Product { rows, inner, columns } => rows * inner * columns,
        }
    }

    /// The kernels that compute it, in reading order.
    pub fn kernels(self) -> impl Iterator<Item = &'static str> {
        let family = match self {
            Work::Convolution { .. } => "conv2d",
            Work::Product { .. } => "matmul",
        };
        WORKBENCH.iter().map(|(name, _)| *name).filter(move |name| name.starts_with(family))
    }

    /// Multiplies both inputs by `kernel`, and gives the result and a clock. Of a convolution the inputs
    /// are x (images, height, width, channels_in) and w (3, 3, channels_in, channels_out), of a product a
    /// and b, the last index running fastest; and so is the result.
    ///
    /// # Errors
    /// [`Trouble`] of the device, or if there is no such kernel.
    pub async fn run(
        self,
        device: &Device,
        kernel: &str,
        inputs: [&[f32]; 2],
        samples: usize,
    ) -> Result<Outcome, Trouble> {
        let text = workbench(kernel).map_err(|error| Trouble::Refused(error.to_string()))?;
        let text = if device.is_lavapipe() { stored_params(&text) } else { text };
        let mut programs = vec![];
        for (entry, grid) in self.dispatches(kernel) {
            let found = interface(&text, entry, kernel);
            let found = found.map_err(|fault| Trouble::Refused(fault.to_string()))?;
            programs.push((device.program(&text, entry, found).await?, grid));
        }
        let [first, second] = self.stored(inputs);
        let output = vec![f32::NAN; self.stored_outputs()];
        let transformed = self.transformed();
        let [x, w, y, u] =
            [&first, &second, &output, &transformed].map(|values| device.upload(&bits(values)));
        let buffers =
            [("x", &x), ("w", &w), ("y", &y), ("u", &u), ("u_out", &u), ("a", &x), ("b", &w), ("c", &y)];
        let params = self.params();
        let bound = programs
            .iter()
            .map(|(program, grid)| device.bind(program, &buffers, &params, *grid))
            .collect::<Result<Vec<Bound<'_>>, _>>()?;
        device.dispatch(&bound.iter().collect::<Vec<_>>(), 1);
        let mut result: Vec<f32> = device.read(&y).await?.into_iter().map(f32::from_bits).collect();
        result.truncate(output.len()); // buffers have at least 16 bytes
        // Weights are transformed once; what is timed is the last.
        let last: Vec<&Bound<'_>> = bound.last().into_iter().collect();
        let seconds = device.time(&last, samples)?;
        Ok(Outcome { result: self.unpadded(&result), seconds })
    }

    /// Entry points of a kernel and their grids.
    fn dispatches(self, kernel: &str) -> Vec<(&'static str, [u32; 3])> {
        let folded = |groups: usize| fold(groups as u32);
        match self {
            Work::Product { rows, columns, .. } => {
                let tiles = |side: usize| [columns.div_ceil(side) as u32, rows.div_ceil(side) as u32, 1];
                let grid = match kernel {
                    "matmul_1_naive" => {
                        let [x, y] = folded((rows * columns).div_ceil(64));
                        [x, y, 1]
                    }
                    "matmul_2_workgroup_tile" => tiles(16),
                    _ => tiles(64),
                };
                vec![("product", grid)]
            }
            Work::Convolution { images, height, width, channels_in, channels_out } => {
                let (fours_in, fours_out) = (channels_in.div_ceil(4), channels_out.div_ceil(4));
                let pixels = images * height * width;
                match kernel {
                    "conv2d_1_naive" => {
                        let [x, y] = folded((pixels * 4 * fours_out).div_ceil(64));
                        vec![("forward", [x, y, 1])]
                    }
                    "conv2d_2_registers" => {
                        let strips = images * height * width.div_ceil(8);
                        let [x, y] = folded((strips * fours_out).div_ceil(64));
                        vec![("forward", [x, y, 1])]
                    }
                    "conv2d_3_workgroup_memory" => {
                        let (across, down) = (width.div_ceil(32) as u32, height.div_ceil(8) as u32);
                        vec![("forward", [across, down, (images * fours_out.div_ceil(2)) as u32])]
                    }
                    "conv2d_4_implicit_gemm" => {
                        let [x, z] = folded(pixels.div_ceil(64));
                        vec![("forward", [x, fours_out.div_ceil(8) as u32, z])]
                    }
                    _ => {
                        let tiles = images * height.div_ceil(2) * width.div_ceil(2);
                        let [x, z] = folded(tiles.div_ceil(64));
                        let filters = (4 * fours_in * fours_out).div_ceil(64) as u32;
                        vec![("transform_filter", [filters, 1, 1]), ("forward", [x, fours_out as u32, z])]
                    }
                }
            }
        }
    }

    fn params(self) -> Vec<(&'static str, Scalar)> {
        let named: Vec<(&'static str, usize)> = match self {
            Work::Convolution { images, height, width, channels_in, channels_out } => {
                let (fours_in, fours_out) = (channels_in.div_ceil(4), channels_out.div_ceil(4));
                vec![
                    ("images", images),
                    ("height", height),
                    ("width", width),
                    ("fours_in", fours_in),
                    ("fours_out", fours_out),
                    ("channels_in", 4 * fours_in),
                    ("channels_out", 4 * fours_out),
                ]
            }
            Work::Product { rows, inner, columns } => {
                vec![("rows", rows), ("inner", inner), ("columns", columns)]
            }
        };
        named.into_iter().map(|(name, value)| (name, Scalar::Whole(value as u32))).collect()
    }

    /// The inputs as they are stored: channels filled up with zeros to a multiple of 4.
    fn stored(self, [first, second]: [&[f32]; 2]) -> [Vec<f32>; 2] {
        match self {
            Work::Product { .. } => [first.to_vec(), second.to_vec()],
            Work::Convolution { channels_in, channels_out, .. } => {
                let mut weights = vec![];
                for tap in second.chunks_exact(channels_in * channels_out) {
                    weights.extend(padded(tap, channels_out));
                    let missing = channels_in.next_multiple_of(4) - channels_in;
                    weights.extend(std::iter::repeat_n(0.0, missing * channels_out.next_multiple_of(4)));
                }
                [padded(first, channels_in), weights]
            }
        }
    }

    fn stored_outputs(self) -> usize {
        match self {
            Work::Product { rows, columns, .. } => rows * columns,
            Work::Convolution { images, height, width, channels_out, .. } => {
                images * height * width * channels_out.next_multiple_of(4)
            }
        }
    }

    /// Room for the transformed weights.
    fn transformed(self) -> Vec<f32> {
        match self {
            Work::Product { .. } => vec![],
            Work::Convolution { channels_in, channels_out, .. } => {
                vec![f32::NAN; 16 * channels_in.next_multiple_of(4) * channels_out.next_multiple_of(4)]
            }
        }
    }

    /// The result without the channels that fill up.
    fn unpadded(self, result: &[f32]) -> Vec<f32> {
        match self {
            Work::Product { .. } => result.to_vec(),
            Work::Convolution { channels_out, .. } => {
                let pixels = result.chunks_exact(channels_out.next_multiple_of(4));
                pixels.flat_map(|pixel| pixel[..channels_out].iter().copied()).collect()
            }
        }
    }
}

/// What a kernel left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// y or c.
    pub result: Vec<f32>,
    /// The median time of a dispatch; 0 if none was timed.
    pub seconds: f64,
}

/// `rows` of `channels` values, each filled up with zeros to a multiple of 4.
fn padded(rows: &[f32], channels: usize) -> Vec<f32> {
    let filled = rows.chunks_exact(channels).flat_map(|row| {
        let zeros = channels.next_multiple_of(4) - channels;
        row.iter().copied().chain(std::iter::repeat_n(0.0, zeros))
    });
    filled.collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// This many workgroups in two dimensions, each within the limit of all adapters.
fn fold(groups: u32) -> [u32; 2] {
    let rows = groups.div_ceil(32_768).max(1);
    [groups.div_ceil(rows).max(1), rows]
}
