//! The files that a provider needs beside the library.
//!
//! OpenVINO reports neither the name of a missing plug-in nor the reason why one cannot be loaded. So its files are
//! checked before the first graph is opened.

use std::path::{Path, PathBuf};

use super::provider::Provider;
use super::shared_object;

/// Returns what is wrong with the files of `provider` in the folder of `library`, or `None` if nothing is. `device` is
/// OpenVINO's option `device_type`.
pub(super) fn fault(provider: Provider, device: &str, library: &Path) -> Option<String> {
    if provider != Provider::OpenVino {
        return None;
    }
    let folder = library.parent()?;
    let files = files_in(folder)?;
    let with = |start: &str| files.iter().any(|(name, _)| name.starts_with(start));
    // An OpenVINO that is installed elsewhere finds its plug-ins in its own folder.
    if with("libopenvino.")
        && let Some(wanted) = plug_in(device)
        && !with(&format!("{wanted}."))
    {
        return Some(format!(
            "OpenVINO's plug-in for {device} is missing: no {wanted}.* in {}",
            folder.display()
        ));
    }
    let own = ["libopenvino", "libonnxruntime_providers_", "libtbb"];
    files
        .iter()
        .filter(|(name, _)| own.iter().any(|start| name.starts_with(start)))
        .find_map(|(_, path)| {
            Some(format!(
                "{}: {}",
                path.display(),
                shared_object::fault(path)?
            ))
        })
}

/// Returns the name of OpenVINO's plug-in for one device without its ending. Devices that stand for several, such as
/// `AUTO`, have none.
fn plug_in(device: &str) -> Option<&'static str> {
    match device.split('.').next()? {
        "CPU" if cfg!(target_arch = "aarch64") => Some("libopenvino_arm_cpu_plugin"),
        "CPU" => Some("libopenvino_intel_cpu_plugin"),
        "GPU" => Some("libopenvino_intel_gpu_plugin"),
        "NPU" => Some("libopenvino_intel_npu_plugin"),
        _ => None,
    }
}

/// Returns names and paths of the files in a folder, sorted. `None` if the folder cannot be read.
fn files_in(folder: &Path) -> Option<Vec<(String, PathBuf)>> {
    let mut files: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_plug_in_is_named_for_the_devices_that_need_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = folder.path().join("libonnxruntime.so.1.24.1");
        let openvino = |device: &str| fault(Provider::OpenVino, device, &library);
        // OpenVINO is installed elsewhere.
        assert_eq!(openvino("CPU"), None);
        std::fs::write(folder.path().join("libopenvino.so.2541"), b"").expect("written");
        let cpu = plug_in("CPU").expect("a plug-in");
        for (device, name) in [("CPU", cpu), ("GPU.1", "libopenvino_intel_gpu_plugin")] {
            let said = openvino(device).expect("no plug-in");
            let words = format!("OpenVINO's plug-in for {device} is missing: no {name}.* in ");
            assert!(said.starts_with(&words), "{said}");
        }
        assert_eq!(openvino("AUTO"), None);
        assert_eq!(fault(Provider::Cpu, "CPU", &library), None);
        std::fs::write(folder.path().join(format!("{cpu}.so")), b"").expect("written");
        assert_eq!(openvino("CPU"), None);
    }
}
