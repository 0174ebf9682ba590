//! 10,000 images in the memory of a few hundred. Alone in its binary: it measures the whole process.

use std::fs;
use std::path::Path;

use frostline_loader::{
    Batches, ImageFolder, ImageStream, OnCorrupt, Preprocessing, StreamOptions, eval_batches,
};
use image::{ExtendedColorType, save_buffer};

const IMAGES: usize = 10_000;
const SIDE: usize = 64;

/// Every image is different, and its values are known without decoding it.
fn pixel(image: usize, at: usize) -> u8 {
    (image.wrapping_mul(0x9e37_79b9) >> 16) as u8
        ^ (at / 48) as u8
        ^ ((image >> 8) as u8).wrapping_mul((at % 3) as u8)
}

fn write_images(root: &Path) {
    for class in ["even", "odd"] {
        fs::create_dir(root.join(class)).unwrap();
    }
    for image in 0..IMAGES {
        let path = root.join(["even", "odd"][image % 2]).join(format!("{image:05}.png"));
        let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|at| pixel(image, at)).collect();
        save_buffer(path, &pixels, SIDE as u32, SIDE as u32, ExtendedColorType::Rgb8).unwrap();
    }
}

/// Bytes of physical memory: now (`VmRSS`) or at most so far (`VmHWM`).
#[cfg(target_os = "linux")]
fn resident(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[cfg(not(target_os = "linux"))]
fn resident(_field: &str) -> usize {
    0
}

#[test]
fn ten_thousand_images_stream_through_bounded_memory() {
    let root = tempfile::tempdir().unwrap();
    write_images(root.path());
    let folder = ImageFolder::open(root.path(), OnCorrupt::Fail).unwrap();
    assert_eq!(folder.len(), IMAGES);
    let before = resident("VmRSS");

    let preprocessing = Preprocessing { resize: None, ..Preprocessing::imagenet(SIDE) };
    let options = StreamOptions { workers: 2, ahead: 256, cache_bytes: 4 << 20 };
    let stream = ImageStream::new(&folder, &preprocessing, options).unwrap();

    // The number of an image is in its name; an epoch in random order, then all in their own.
    let number = |i: usize| -> usize {
        stream.path(i).unwrap().file_stem().unwrap().to_str().unwrap().parse().unwrap()
    };
    let mut out = vec![];
    let mut seen = vec![false; IMAGES];
    let mut check = |indices: &[usize], upcoming: &[usize]| {
        stream.gather(indices, &mut out).unwrap();
        stream.expect(upcoming);
        for (&i, values) in indices.iter().zip(out.chunks_exact(SIDE * SIDE * 3)) {
            let image = number(i);
            seen[i] = true;
            assert_eq!(stream.labels()[i] as usize, image % 2);
            assert!(values.iter().enumerate().all(|(at, &value)| value == pixel(image, at)), "image {image}");
        }
    };
    let mut batches = Batches::new(IMAGES, 32, 5).unwrap();
    for _ in 0..batches.per_epoch() {
        let indices = batches.next_batch();
        let upcoming: Vec<usize> = batches.clone().take(4).flatten().collect();
        check(&indices, &upcoming);
    }
    for batch in eval_batches(IMAGES, 48).unwrap() {
        check(&batch.indices, &[]);
    }
    assert!(seen.iter().all(|&seen| seen));

    let grown = resident("VmHWM").saturating_sub(before);
    println!(
        "{IMAGES} images, {} decodes, {:.1} MiB above {:.1} MiB",
        stream.decoded(),
        grown as f64 / 1048576.0,
        before as f64 / 1048576.0
    );
    // They are 117 MiB. Cache 4, ahead 3, a batch 0.5, decoders.
    assert!(grown < 32 << 20, "{grown} bytes");
}
