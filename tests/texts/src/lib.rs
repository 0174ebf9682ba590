//! The text of every kernel of every network's plans.
//!
//! Most compilers of our kernels run on machines that are not available here: a browser's, DirectX's,
//! Metal's. But the texts that they get can be determined without an adapter, so all of them are checked here
//! as far as possible: in `tests/writers.rs` naga translates every text, and in `make test-tint` Chromium
//! compiles it.

mod plans;

use frostline_engine::kernel::Variant;
use frostline_engine::tuning::{Class, Fragments, Tiles};
use frostline_engine::{Storage, Tuning};
use frostline_shaders::{source, stored_params};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A text that plans pass to a driver.
#[derive(Clone, Debug, Serialize)]
pub struct Text {
    /// Its file, and the constants that differ from the file's.
    pub name: String,
    /// The WGSL.
    pub text: String,
    /// The entry points that plans dispatch.
    pub entries: BTreeSet<String>,
    /// The tunings whose plans have it.
    pub tunings: BTreeSet<&'static str>,
    /// It uses subgroups.
    pub subgroups: bool,
    /// It uses 16-bit floats.
    pub f16: bool,
    /// It multiplies the matrices of subgroups.
    pub cooperative: bool,
    /// It reads `Params` from storage, which is for Mesa's software driver only.
    pub stored_params: bool,
}

/// The tunings that adapters get, by name; each with activations as f32 and as f16.
pub fn tunings() -> Vec<(&'static str, Tuning)> {
    let fragments = |size, lanes| Tuning { fragments: Some(Fragments { size, lanes }), ..Tuning::gpu() };
    let classes = [
        ("portable", "portable f16", Tuning::portable()),
        ("gpu", "gpu f16", Tuning::gpu()),
        ("subgroup 4", "subgroup 4 f16", Tuning::subgroup(4)),
        ("subgroup 8", "subgroup 8 f16", Tuning::subgroup(8)),
        ("subgroup 16", "subgroup 16 f16", Tuning::subgroup(16)),
        ("subgroup 32", "subgroup 32 f16", Tuning::subgroup(32)),
        ("cooperative 8", "cooperative 8 f16", fragments(8, 32)),
        ("cooperative 16", "cooperative 16 f16", fragments(16, 32)),
        ("cooperative 16 of 64 lanes", "cooperative 16 of 64 lanes f16", fragments(16, 64)),
    ];
    let both = classes.into_iter().flat_map(|(single, half, tuning)| {
        let f16 = tuning.with_storage(Storage::f16());
        [(single, tuning), (half, f16)]
    });
    both.collect()
}

/// Every distinct text of the plans for `tunings`, and those of processors once more with `Params` in
/// storage.
pub fn texts(tunings: &[(&'static str, Tuning)]) -> Vec<Text> {
    let (next, texts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some((name, tuning)) = tunings.get(next.fetch_add(1, Ordering::Relaxed)) {
            for variant in variants(tuning) {
                let text = source(variant.kernel.file, &variant.constants, variant.share, &variant.formats)
                    .expect("a text");
                let mut texts = texts.lock().expect("no panic while adding");
                if matches!(tuning.class, Class::Subgroup { .. } | Class::Portable) {
                    add(&mut texts, name, &variant, stored_params(&text), true);
                }
                add(&mut texts, name, &variant, text, false);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    texts.into_inner().expect("all threads ended").into_values().collect()
}

/// The variants that the plans for `tuning` dispatch.
fn variants(tuning: &Tuning) -> HashSet<Variant> {
    let mut seen: HashSet<Variant> = HashSet::new();
    plans::for_each(tuning, &mut |plan| {
        for dispatch in plan.dispatches() {
            if !seen.contains(&dispatch.variant) {
                seen.insert(dispatch.variant.clone());
            }
        }
    });
    let tiled: Vec<Variant> =
        seen.iter().filter(|variant| variant.kernel.file == "conv2d_tiled").cloned().collect();
    seen.extend(tiled.iter().flat_map(|variant| in_every_tile(variant, tuning)));
    seen
}

/// `variant` with every tile of the table: which of them a plan uses depends on the size of its images.
fn in_every_tile(variant: &Variant, tuning: &Tuning) -> impl Iterator<Item = Variant> {
    let fragments =
        tuning.fragments.filter(|fragments| variant.constants.contains(&("FRAGMENT", fragments.size)));
    let tiles: Vec<Tiles> = match fragments {
        Some(fragments) => Tiles::all_for_fragments().map(|tiles| tiles.in_fragments(fragments)).collect(),
        None => Tiles::all().collect(),
    };
    tiles.into_iter().map(|tiles| Variant { constants: tiles.constants().to_vec(), ..variant.clone() })
}

fn add(
    texts: &mut BTreeMap<String, Text>,
    tuning: &'static str,
    variant: &Variant,
    text: String,
    stored_params: bool,
) {
    let first = text.lines().next().unwrap_or_default();
    let new = Text {
        name: format!("{} {:?} {:?}", variant.kernel.file, variant.constants, variant.formats),
        entries: BTreeSet::new(),
        tunings: BTreeSet::new(),
        subgroups: text.contains("subgroup_invocation_id") || text.contains("subgroupShuffle("),
        f16: first.contains("enable f16;"),
        cooperative: first.contains("enable wgpu_cooperative_matrix;"),
        stored_params,
        text: text.clone(),
    };
    let known = texts.entry(text).or_insert(new);
    known.entries.insert(variant.kernel.entry.to_owned());
    known.tunings.insert(tuning);
}
