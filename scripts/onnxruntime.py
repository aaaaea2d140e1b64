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
FOLDER = "onnxruntime/capi/"
LIBRARY = f"{FOLDER}libonnxruntime.*"
# Further files of a provider, as sets of patterns. A package without a file of each set cannot be used. OpenVINO comes
# without its plug-ins for devices other than the processor.
BESIDE = {
    "cpu": (),
    "openvino": (
        ("libonnxruntime_providers_openvino.*",),
        ("libonnxruntime_providers_shared.*",),
        ("libtbb*",),
        ("libopenvino.so.*",),
        ("libopenvino_onnx_frontend.so.*",),
        ("libopenvino_intel_cpu_plugin.*", "libopenvino_arm_cpu_plugin.*"),
    ),
}
# The list of the installed files of a provider with their sizes. It shows if one is missing or cut.
LIST = "FILES"
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
    """Returns the library in the folder if the provider is whole, else None. Every library has `cpu`."""
    if reason := incomplete(folder, provider):
        # A new folder is no fault.
        if folder.is_dir():
            print(f"{folder}: {reason}, so the library is fetched", file=sys.stderr)
        return None
    return next(iter(sorted(folder.glob("libonnxruntime.*"))), None)


def incomplete(folder, provider):
    """Returns the reason why the provider in a folder cannot be used, or None if all its files are there."""
    if not BESIDE[provider]:
        return None
    try:
        lines = (folder / LIST).read_text().splitlines()
        sizes = {name: int(size) for size, name in (line.split(" ", 1) for line in lines)}
    except (OSError, ValueError):
        return f"there is no list of the files of {provider}"
    for kinds in BESIDE[provider]:
        if not any(fnmatch.filter(sizes, kind) for kind in kinds):
            return f"{' or '.join(kinds)} is missing"
    for name, size in sizes.items():
        try:
            got = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if got != size:
            return f"{name} has {got} bytes, expected {size}"
    return None


def install(folder, provider="cpu"):
    """Downloads the package and extracts library and licences. Returns the library's path. Raises Unavailable."""
    with tempfile.TemporaryDirectory() as temporary:
        wheel = download(Path(temporary), REQUIREMENTS[provider])
        with zipfile.ZipFile(wheel) as package:
            names = members(package, (LIBRARY,))
            if not names:
                raise Unavailable(f"{wheel.name} holds no {LIBRARY}; {BY_HAND}")
            beside = []
            for kinds in BESIDE[provider]:
                found = members(package, [FOLDER + kind for kind in kinds])
                if not found:
                    raise Unavailable(f"{wheel.name} holds no {' or '.join(kinds)}, which {provider} needs")
                beside += found
            folder.mkdir(parents=True, exist_ok=True)
            licences = [name for name in LICENCES if name in package.namelist()]
            # A library of another version would also be found.
            new = Path(names[0]).name
            for old in folder.glob("libonnxruntime.*"):
                if old.name != new:
                    old.unlink()
            # The library is written last, so that an interrupted installation is repeated.
            (folder / LIST).unlink(missing_ok=True)
            for name in [*licences, *beside, names[0]]:
                target = folder / Path(name).name
                part = target.with_name(f".{target.name}.part")
                with package.open(name) as source, part.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                os.replace(part, target)
            if beside:
                sizes = [(package.getinfo(name).file_size, Path(name).name) for name in [*beside, names[0]]]
                (folder / LIST).write_text("".join(f"{size} {name}\n" for size, name in sizes))
    return target


def members(package, kinds):
    """Returns the files of a package whose names fit one of the patterns."""
    return [name for kind in kinds for name in fnmatch.filter(package.namelist(), kind)]


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
