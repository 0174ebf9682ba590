//! Which tuning an adapter gets.

use super::{Fragments, Tiles, Tuning};

/// What `FROSTLINE_TUNING` asks for, if anything.
fn forced() -> String {
    std::env::var("FROSTLINE_TUNING").unwrap_or_default()
}

/// The features that kernels use on `adapter`, and whether experimental ones are among them.
pub(crate) fn features(adapter: &wgpu::Adapter) -> (wgpu::Features, wgpu::ExperimentalFeatures) {
    let wanted = wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let usual = adapter.features() & wanted;
    if forced() != "cooperative" || fragments(adapter).is_none() {
        return (usual, wgpu::ExperimentalFeatures::disabled());
    }
    // SAFETY: experimental features may have bugs; whoever sets the variable asks for them.
    let experimental = unsafe { wgpu::ExperimentalFeatures::enabled() };
    (usual | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, experimental)
}

/// The kernel shapes for `device`, which is `adapter` with the [`features`] above.
pub(crate) fn pick(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Tuning {
    let info = adapter.get_info();
    let same_size = info.subgroup_min_size == info.subgroup_max_size && (4..=32).contains(&info.subgroup_min_size);
    let software = info.device_type == wgpu::DeviceType::Cpu;
    let subgroups = device.features().contains(wgpu::Features::SUBGROUP) && same_size;
    let hardware =
        matches!(info.device_type, wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::VirtualGpu);
    let fragments = fragments(adapter).filter(|_| device.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX));
    let fits = |tiles| fits(tiles, &device.limits());
    let fits_all = Tiles::all().all(|tiles| fits(tiles) && fragments.is_none_or(|fragments| fits(tiles.in_fragments(fragments))));
    match forced().as_str() {
        "portable" => Tuning::portable(),
        "cooperative" if fits_all && fragments.is_some() => Tuning { fragments, ..Tuning::gpu() },
        "gpu" if fits_all => Tuning::gpu(),
        "subgroup" if subgroups => Tuning::subgroup(info.subgroup_min_size),
        _ if software && subgroups => Tuning::subgroup(info.subgroup_min_size),
        _ if hardware && fits_all => Tuning::gpu(),
        _ => Tuning::portable(),
    }
}

/// Has a workgroup room for `tiles`?
fn fits(tiles: Tiles, limits: &wgpu::Limits) -> bool {
    let threads = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    tiles.workgroup_bytes() <= limits.max_compute_workgroup_storage_size && tiles.threads() <= threads
}

/// The matrices that subgroups of `adapter` multiply, if there are kernels for one of its kinds and
/// it says how many lanes a subgroup has.
fn fragments(adapter: &wgpu::Adapter) -> Option<Fragments> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let info = adapter.get_info();
    let lanes = match info.backend {
        // wgpu gives what any Metal device may have; those of Apple have 32.
        wgpu::Backend::Metal if info.name.starts_with("Apple") => 32,
        _ if info.subgroup_min_size == info.subgroup_max_size => info.subgroup_min_size,
        _ => return None,
    };
    let all = adapter.cooperative_matrix_properties();
    let has = |size, operands| {
        let is = |kind: &wgpu::CooperativeMatrixProperties| [kind.m_size, kind.n_size, kind.k_size] == [size; 3];
        all.iter().any(|kind| is(kind) && kind.ab_type == operands && kind.cr_type == F32)
    };
    let half = adapter.features().contains(wgpu::Features::SHADER_F16);
    match lanes {
        32 if has(8, F32) => Some(Fragments { size: 8, lanes }),
        32 | 64 if has(16, F16) && half => Some(Fragments { size: 16, lanes }),
        _ => None,
    }
}
