//! GPUs of this machine that no driver offers. This is the usual reason why all kernels run on the processor.

use std::path::Path;

/// Advice about a GPU that the system under `root` has although there is no adapter for it; `None` if there
/// is no such GPU, or the system is not Linux.
pub(crate) fn hint(root: &Path) -> Option<String> {
    let vendor =
        |id: &str| render_nodes(root).into_iter().find(|(_, vendor)| vendor == id).map(|(node, _)| node);
    let nvidia = ["dev/nvidia0", "dev/nvidiactl"].into_iter().find(|path| root.join(path).exists());
    let advice = if let Some(node) = nvidia.map(|path| format!("/{path}")).or_else(|| vendor("0x10de")) {
        format!(
            "an NVIDIA GPU ({node}). In a container, start it with all of the driver's parts \
             (NVIDIA_DRIVER_CAPABILITIES=all, or `graphics` in its list), so that nvidia_icd.json is in \
             /usr/share/vulkan/icd.d or /etc/vulkan/icd.d, and install libvulkan1; elsewhere install the Vulkan part of the \
             driver (Debian: nvidia-vulkan-icd, Ubuntu: libnvidia-gl of the driver's version)"
        )
    } else if let Some((node, name)) =
        [("0x1002", "AMD"), ("0x8086", "Intel")].into_iter().find_map(|(id, name)| Some((vendor(id)?, name)))
    {
        let access = match root.join(&node[1..]).exists() {
            true => format!("let this user open {node} (on most systems: the group `render`)"),
            false => format!("give the container {node} (docker: --device /dev/dri)"),
        };
        format!("a GPU of {name}. Install mesa-vulkan-drivers and libvulkan1 (Debian, Ubuntu), and {access}")
    } else if root.join("dev/dxg").exists() {
        "a GPU of Windows (/dev/dxg). Install a Mesa with the driver `dzn`, or run the Windows build of this program".to_owned()
    } else {
        return None;
    };
    Some(format!(
        "the processor computes, and this machine has {advice}. `frostline doctor` lists the adapters; FROSTLINE_ADAPTER=software \
         uses the processor without this warning"
    ))
}

/// The device files of GPUs, such as `/dev/dri/renderD128`, and their vendors, such as `0x1002`.
fn render_nodes(root: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(root.join("sys/class/drm")) else { return vec![] };
    let node = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok().filter(|name| name.starts_with("renderD"))?;
        let vendor = std::fs::read_to_string(entry.path().join("device/vendor")).ok()?;
        Some((format!("/dev/dri/{name}"), vendor.trim().to_owned()))
    };
    let mut nodes: Vec<_> = entries.filter_map(node).collect();
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths and texts.
    type Files<'f> = &'f [(&'f str, &'f str)];

    fn machine(files: Files<'_>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_gpu_without_a_driver_is_told_with_what_to_install() {
        let cases: [(Files<'_>, &[&str]); 5] = [
            (&[("dev/nvidia0", "")], &["/dev/nvidia0", "NVIDIA_DRIVER_CAPABILITIES", "nvidia_icd.json"]),
            (&[("sys/class/drm/renderD128/device/vendor", "0x10de\n")], &["/dev/dri/renderD128", "NVIDIA"]),
            (
                &[("sys/class/drm/renderD129/device/vendor", "0x1002\n"), ("dev/dri/renderD129", "")],
                &["AMD", "mesa-vulkan-drivers", "group `render`"],
            ),
            (&[("sys/class/drm/renderD128/device/vendor", "0x8086\n")], &["Intel", "--device /dev/dri"]),
            (&[("dev/dxg", "")], &["/dev/dxg", "Windows"]),
        ];
        for (files, parts) in cases {
            let root = machine(files);
            let hint = hint(root.path()).unwrap();
            assert!(parts.iter().all(|part| hint.contains(part)), "{hint}");
        }
    }

    #[test]
    fn a_machine_without_a_gpu_is_not_warned_about() {
        let none = machine(&[
            ("dev/null", ""),
            ("sys/class/drm/version", ""),
            ("sys/class/drm/renderD128/device/vendor", "0x1af4\n"),
        ]);
        assert_eq!(hint(none.path()), None, "a virtual display is not a GPU");
        assert_eq!(hint("/nonexistent".as_ref()), None);
    }
}
