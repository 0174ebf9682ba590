//! The tuning for an adapter.

use super::cards::Card;
use super::{Class, Fragments, Tiles, Tuning};
use crate::aliased;
use crate::error::{Error, Result};
use crate::options::Kernels;
use std::time::Duration;
use wgpu::{Backend, DeviceType};

/// The features that kernels use on `adapter`, and whether experimental ones are among them.
pub(crate) fn features(
    adapter: &wgpu::Adapter,
    kernels: Kernels,
) -> (wgpu::Features, wgpu::ExperimentalFeatures) {
    let wanted = wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SHADER_INT64
        | wgpu::Features::PIPELINE_CACHE
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let usual = adapter.features() & wanted;
    if kernels != Kernels::Cooperative || fragments(adapter).is_none() {
        return (usual, wgpu::ExperimentalFeatures::disabled());
    }
    // SAFETY: experimental features may have bugs; they are on only if the user sets the variable.
    let experimental = unsafe { wgpu::ExperimentalFeatures::enabled() };
    (usual | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, experimental)
}

/// The tuning for `device`, which is `adapter` with the [`features`] above: of the class of kernels that was
/// requested, or of the class that fits.
pub(crate) fn pick(adapter: &wgpu::Adapter, device: &wgpu::Device, kernels: Kernels) -> Result<Tuning> {
    let info = adapter.get_info();
    let one_size =
        info.subgroup_min_size == info.subgroup_max_size && (4..=32).contains(&info.subgroup_min_size);
    // Browsers require `enable subgroups;`, which naga rejects: their kernels have none.
    let browser = info.backend == Backend::BrowserWebGpu;
    let subgroups = device.features().contains(wgpu::Features::SUBGROUP) && one_size && !browser;
    let hardware = is_hardware(&info);
    let fragments = fragments(adapter)
        .filter(|_| device.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX));
    let fits = |tiles| fits(tiles, &device.limits());
    // Tables skip tiles that are too large here, as long as the smallest tile of each fits.
    let fits_gpu = Tiles::all().filter(|tiles| tiles.workgroup_bytes() <= 16_384).all(fits);
    let fits_fragments =
        |fragments: Fragments| Tiles::all_for_fragments().all(|tiles| fits(tiles.in_fragments(fragments)));
    let fits_all = fits_gpu && fragments.is_none_or(fits_fragments);
    let cannot = |reason| {
        let value = match kernels {
            Kernels::Cooperative => "cooperative",
            Kernels::Gpu => "gpu",
            _ => "subgroup",
        };
        // Most users set the class by the variable.
        Err(Error::Setting { name: "kernels (FROSTLINE_TUNING)", value: value.to_owned(), reason })
    };
    let tuning = match kernels {
        Kernels::Cooperative if fragments.is_none() => {
            return cannot("this adapter multiplies no matrices of a supported kind");
        }
        Kernels::Cooperative | Kernels::Gpu if !fits_all => {
            return cannot("this adapter's workgroups are too small");
        }
        Kernels::Subgroup if !subgroups => {
            return cannot("this adapter has no subgroups of one size of 4 to 32");
        }
        Kernels::Cooperative => Tuning { fragments, ..Tuning::gpu() },
        Kernels::Gpu => Tuning::gpu(),
        Kernels::Subgroup => Tuning::subgroup(info.subgroup_min_size),
        Kernels::Portable => Tuning::portable(),
        Kernels::Fitting if info.device_type == DeviceType::Cpu && subgroups => {
            Tuning::subgroup(info.subgroup_min_size)
        }
        Kernels::Fitting if hardware && fits_all => Tuning::gpu(),
        Kernels::Fitting => Tuning::portable(),
    };
    let workgroup_bytes = device.limits().max_compute_workgroup_storage_size;
    let texture_rows = tuning.texture_rows.map(|_| device.limits().max_texture_dimension_2d);
    let aliased = texture_rows.is_some() && is_lavapipe(&info) && aliased::is_possible(device);
    let tuning = Tuning { submit_time: submit_time(&info), workgroup_bytes, texture_rows, aliased, ..tuning };
    if tuning.class != Class::Gpu || !hardware {
        return Ok(tuning);
    }
    Ok(Card::new(&info).fitted(tuning))
}

/// Why [`pick`] chose a tuning of this class, for people.
pub(crate) fn reason(info: &wgpu::AdapterInfo, kernels: Kernels, class: Class) -> String {
    if kernels != Kernels::Fitting {
        return format!("{kernels:?} kernels were requested");
    }
    match class {
        Class::Subgroup { size } => format!("a software adapter whose subgroups all have {size} lanes"),
        Class::Gpu => "a GPU whose workgroups hold every tile".to_owned(),
        Class::Portable if is_hardware(info) => {
            "a GPU whose workgroups are too small for the kernels of GPUs".to_owned()
        }
        Class::Portable => {
            "a software adapter, or an unknown one, without subgroups of one size of 4 to 32".to_owned()
        }
    }
}

/// A browser and GL do not report the kind of an adapter. A browser marks its own software adapter `Cpu`, so
/// any other adapter is a GPU.
fn is_hardware(info: &wgpu::AdapterInfo) -> bool {
    let unreported = matches!(info.backend, Backend::BrowserWebGpu | Backend::Gl);
    match info.device_type {
        DeviceType::DiscreteGpu | DeviceType::IntegratedGpu | DeviceType::VirtualGpu => true,
        DeviceType::Other => unreported,
        DeviceType::Cpu => false,
    }
}

/// Mesa's software driver for Vulkan, by the number that Khronos gave to Mesa: its GPU drivers report
/// the vendor of the GPU.
pub(crate) fn is_lavapipe(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == DeviceType::Cpu && info.vendor == 0x1_0005
}

/// Time limit of one submission. Drivers reset a device that is busy with one for 2 s (Windows) to 10 s,
/// browsers after about half a second, on every device. A software adapter outside of a browser has no such
/// limit.
fn submit_time(info: &wgpu::AdapterInfo) -> Option<Duration> {
    match (info.backend, info.device_type) {
        (Backend::BrowserWebGpu, _) => Some(Duration::from_millis(100)),
        (_, DeviceType::Cpu) => None,
        _ => Some(Duration::from_millis(250)),
    }
}

/// Whether a workgroup has enough memory and threads for `tiles`.
fn fits(tiles: Tiles, limits: &wgpu::Limits) -> bool {
    let threads = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
    tiles.workgroup_bytes() <= limits.max_compute_workgroup_storage_size && tiles.threads() <= threads
}

/// The matrices that subgroups of `adapter` multiply, if there are kernels for one of its kinds and it
/// reports the number of lanes of a subgroup.
fn fragments(adapter: &wgpu::Adapter) -> Option<Fragments> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let info = adapter.get_info();
    let lanes = match info.backend {
        // wgpu reports the range of all Metal devices; those of Apple have 32.
        wgpu::Backend::Metal if info.name.starts_with("Apple") => 32,
        _ if info.subgroup_min_size == info.subgroup_max_size => info.subgroup_min_size,
        _ => return None,
    };
    let all = adapter.cooperative_matrix_properties();
    let has = |size, operands| {
        let is =
            |kind: &wgpu::CooperativeMatrixProperties| [kind.m_size, kind.n_size, kind.k_size] == [size; 3];
        all.iter().any(|kind| is(kind) && kind.ab_type == operands && kind.cr_type == F32)
    };
    let half = adapter.features().contains(wgpu::Features::SHADER_F16);
    match lanes {
        32 if has(8, F32) => Some(Fragments { size: 8, lanes }),
        32 | 64 if has(16, F16) && half => Some(Fragments { size: 16, lanes }),
        _ => None,
    }
}
