//! The machine in a report: board, processor, system, versions.

use std::fs;
use std::io::Write;
use std::path::Path;

use ettrack::model::runtime::Runtime;

/// Prints the head of a report. Lines that the system gives no value for are left out.
pub fn print(out: &mut impl Write, runtime: &Runtime) -> std::io::Result<()> {
    let mut line = |name: &str, value: Option<String>| match value {
        Some(value) if !value.trim().is_empty() => writeln!(out, "{name}: {}", value.trim()),
        _ => Ok(()),
    };
    line("ettrack", Some(env!("CARGO_PKG_VERSION").to_owned()))?;
    line("board", board())?;
    line("processor", Some(processors()))?;
    line("instructions", instructions())?;
    line("frequency governor", governor())?;
    line("memory", memory())?;
    line("system", Some(system()))?;
    line("C library", glibc())?;
    line(
        "JPEG decoder",
        Some(crate::built_with::jpeg_decoder().to_owned()),
    )?;
    line("ONNX Runtime", Some(runtime.version.clone()))
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    // A device tree's strings end with NUL.
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}

/// Reads the board's name: on ARM from the device tree, on PCs from the firmware's tables.
fn board() -> Option<String> {
    read("/proc/device-tree/model").or_else(|| {
        let tables = Path::new("/sys/class/dmi/id");
        let parts = ["sys_vendor", "product_name"].map(|name| read(tables.join(name)));
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}

/// Names and numbers of the cores of each kind.
fn processors() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kinds = read("/proc/cpuinfo").map_or_else(Vec::new, |text| kinds_in(&text));
    let kinds = if kinds.is_empty() {
        std::env::consts::ARCH.to_owned()
    } else {
        kinds.join(" and ")
    };
    format!("{kinds}, {count} usable core(s)")
}

/// Each kind of core with the number of cores, in the order of `/proc/cpuinfo`.
fn kinds_in(cpuinfo: &str) -> Vec<String> {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for block in cpuinfo.split("\n\n") {
        let value = |key: &str| {
            block.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == key).then(|| value.trim().to_owned())
            })
        };
        let kind = value("model name").or_else(|| {
            let (implementer, part) = (value("CPU implementer")?, value("CPU part")?);
            Some(arm_core(&implementer, &part))
        });
        let Some(kind) = kind else { continue };
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(kind, count)| format!("{count} x {kind}"))
        .collect()
}

/// The name of an ARM core, by the numbers in Arm's manuals. For unknown cores it contains the numbers.
fn arm_core(implementer: &str, part: &str) -> String {
    let name = match (implementer, part) {
        ("0x41", "0xd03") => "Cortex-A53",
        ("0x41", "0xd04") => "Cortex-A35",
        ("0x41", "0xd05") => "Cortex-A55",
        ("0x41", "0xd07") => "Cortex-A57",
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd09") => "Cortex-A73",
        ("0x41", "0xd0a") => "Cortex-A75",
        ("0x41", "0xd0b") => "Cortex-A76",
        ("0x41", "0xd0d") => "Cortex-A77",
        ("0x41", "0xd41") => "Cortex-A78",
        ("0x41", "0xd42") => "Cortex-A78AE",
        ("0x41", "0xd0c") => "Neoverse-N1",
        ("0x41", "0xd40") => "Neoverse-V1",
        ("0x41", "0xd49") => "Neoverse-N2",
        _ => return format!("ARM core {part} of implementer {implementer}"),
    };
    name.to_owned()
}

/// The instructions that have the largest effect on the speed of networks.
fn instructions() -> Option<String> {
    const NAMES: [&str; 16] = [
        "avx2",
        "fma",
        "avx512f",
        "avx512_vnni",
        "avx_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "amx_tile",
        "amx_bf16",
        "amx_int8",
        "asimd",
        "fphp",
        "asimddp",
        "i8mm",
        "bf16",
        "sme",
    ];
    let text = read("/proc/cpuinfo")?;
    let flags = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        ["flags", "Features"]
            .contains(&name.trim())
            .then_some(value)
    })?;
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let known = NAMES.into_iter().filter(|name| flags.contains(name));
    Some(known.collect::<Vec<_>>().join(" "))
}

fn governor() -> Option<String> {
    read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
}

fn memory() -> Option<String> {
    let text = read("/proc/meminfo")?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

/// Distribution, kernel and architecture.
fn system() -> String {
    let release = read("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| {
        let value = line.strip_prefix("PRETTY_NAME=")?;
        Some(value.trim_matches('"').to_owned())
    });
    let kernel = read("/proc/sys/kernel/osrelease");
    let parts = [
        name.or_else(|| Some(std::env::consts::OS.to_owned())),
        kernel.map(|version| format!("kernel {version}")),
        Some(std::env::consts::ARCH.to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The version of the system's glibc, as printed by its program `ldd`.
fn glibc() -> Option<String> {
    let output = std::process::Command::new("ldd")
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_of_two_kinds_are_named_with_their_numbers() {
        let core = |number: u32, part: &str| {
            format!("processor\t: {number}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n")
        };
        // An RK3588: four small cores and four large ones.
        let text: String = (0..8)
            .map(|number| core(number, if number < 4 { "0xd05" } else { "0xd0b" }))
            .collect();
        assert_eq!(kinds_in(&text), ["4 x Cortex-A55", "4 x Cortex-A76"]);
        let unknown = core(0, "0xfff");
        assert_eq!(
            kinds_in(&unknown),
            ["1 x ARM core 0xfff of implementer 0x41"]
        );
        let pc =
            "processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n\n";
        assert_eq!(kinds_in(pc), ["2 x AMD EPYC"]);
    }

    #[test]
    fn a_report_names_versions_and_processor() {
        let (processors, system) = (processors(), system());
        assert!(processors.contains("usable core(s)"), "{processors}");
        assert!(system.ends_with(std::env::consts::ARCH), "{system}");
    }
}
