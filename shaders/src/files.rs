//! The table of shader files; a new kernel adds one line here.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        /// Every shader file: its path below `shaders/` and its text.
        pub static FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../", $path)))),*];
    };
}

files![
    "adamw.wgsl",
    "add.wgsl",
    "augment.wgsl",
    "batch_norm.wgsl",
    "conv2d.wgsl",
    "conv2d_tiled.wgsl",
    "copy.wgsl",
    "cross_entropy.wgsl",
    "depthwise_conv2d.wgsl",
    "global_avg_pool.wgsl",
    "loss_scale.wgsl",
    "max_pool2d.wgsl",
    "mixup.wgsl",
    "multi_margin.wgsl",
    "normalize.wgsl",
    "partials.wgsl",
    "relu.wgsl",
    "sgd.wgsl",
    "shared/activation.wgsl",
    "shared/epilogue.wgsl",
    "shared/finite.wgsl",
    "shared/fragments.wgsl",
    "shared/loss_scaler.wgsl",
    "shared/product.1.wgsl",
    "shared/product.16.wgsl",
    "shared/product.4.wgsl",
    "shared/product.8.wgsl",
    "shared/share.portable.wgsl",
    "shared/share.subgroup.wgsl",
    "shared/winograd.2.wgsl",
    "shared/winograd.4.wgsl",
    "silu.wgsl",
    "winograd.wgsl",
];
