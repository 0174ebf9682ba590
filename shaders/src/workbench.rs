//! The workbench: kernels for a reader to compare, from the plain formula to fast versions.
//!
//! They are in `shaders/workbench/` and the engine uses none of them. Of the expansions of kernels' texts,
//! only the unrolling of loops is applied to them.

use crate::{Error, unroll};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// The files of the workbench in reading order: name without `.wgsl`, text.
        pub static WORKBENCH: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../workbench/", $name, ".wgsl")))),*];
    };
}

files![
    "conv2d_1_naive",
    "conv2d_2_registers",
    "conv2d_3_workgroup_memory",
    "conv2d_4_implicit_gemm",
    "conv2d_5_winograd_2x2",
    "matmul_1_naive",
    "matmul_2_workgroup_tile",
    "matmul_3_registers",
];

/// The text of `shaders/workbench/<name>.wgsl` as the driver gets it: marked loops written out.
///
/// # Errors
/// [`Error::NoFile`] and [`Error::Marker`].
pub fn workbench(name: &str) -> Result<String, Error> {
    let (_, text) = WORKBENCH
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| Error::NoFile(format!("workbench/{name}.wgsl")))?;
    unroll::unroll(name, text)
}
