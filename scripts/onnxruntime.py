#!/usr/bin/env python3
"""Puts the ONNX Runtime library into a folder of this project, .ettrack/onnxruntime.

The library is taken out of the Python package `onnxruntime`, which pip downloads but does not
install: no root, no virtual environment, nothing outside the folder changes. Only the Python
standard library is used. Exit code 0 when the library is there, 1 with one message otherwise.
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

# 1.23 is the oldest whose Python package holds the library as a file of its own.
REQUIREMENT = "onnxruntime>=1.23"
LIBRARY = "onnxruntime/capi/libonnxruntime.*"
LICENCES = ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt")
BY_HAND = (
    "install pip (on Debian and Ubuntu: apt install python3-pip), or set ORT_DYLIB_PATH to a "
    "libonnxruntime.so of 1.17 or newer"
)


class Unavailable(Exception):
    """The library cannot be had; the text says why and what to do."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parent.parent / ".ettrack" / "onnxruntime"
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    folder = parser.parse_args().folder
    try:
        library = present(folder) or install(folder)
    except Unavailable as error:
        print(f"error: ONNX Runtime: {error}", file=sys.stderr)
        return 1
    print(library)
    return 0


def present(folder):
    """The library that lies in the folder already, if any."""
    return next(iter(sorted(folder.glob("libonnxruntime.*"))), None)


def install(folder):
    """Downloads the package and extracts library and licences; the library's path."""
    with tempfile.TemporaryDirectory() as temporary:
        wheel = download(Path(temporary))
        with zipfile.ZipFile(wheel) as package:
            names = fnmatch.filter(package.namelist(), LIBRARY)
            if not names:
                raise Unavailable(f"{wheel.name} holds no {LIBRARY}; {BY_HAND}")
            folder.mkdir(parents=True, exist_ok=True)
            for name in [n for n in LICENCES if n in package.namelist()] + names[:1]:
                target = folder / Path(name).name
                part = target.with_name(f".{target.name}.part")
                with package.open(name) as source, part.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                os.replace(part, target)
    return target


def download(folder):
    """The wheel, downloaded by this Python's pip, else by that of a temporary environment."""
    problems = []
    for python in (lambda: sys.executable, lambda: environment(folder)):
        try:
            command = [python(), "-m", "pip", "--disable-pip-version-check", "download"]
            command += ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
            # The library does not depend on the Python version; where there is no wheel for
            # this one, a wheel for another serves as well.
            for choice in ([], wheel_of_another_python()):
                result = run([*command, *choice, REQUIREMENT])
                wheel = next(iter(folder.glob("onnxruntime-*.whl")), None)
                if result.returncode == 0 and wheel:
                    return wheel
                problems.append(last_line(result))
        except (OSError, Unavailable) as error:
            problems.append(str(error))
    reasons = "; ".join(dict.fromkeys(p for p in problems if p))
    raise Unavailable(f"pip could not download {REQUIREMENT} ({reasons}); {BY_HAND}")


def environment(folder):
    """The Python of a temporary environment, for systems whose Python comes without pip."""
    path = folder / "environment"
    result = run([sys.executable, "-m", "venv", str(path)])
    if result.returncode != 0:
        raise Unavailable(f"no virtual environment either: {last_line(result)}")
    return str(path / "bin" / "python")


def wheel_of_another_python():
    machine = platform.machine()
    tags = ("manylinux_2_28", "manylinux_2_27", "manylinux2014")
    platforms = [option for tag in tags for option in ("--platform", f"{tag}_{machine}")]
    return ["--python-version", "3.12", "--implementation", "cp", *platforms]


def run(command):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def last_line(result):
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    # Without a network pip ends by saying that there is no such package.
    if any("connection broken" in line or "Failed to establish" in line for line in lines):
        return "no connection to the package index"
    return lines[-1].strip() if lines else f"exit code {result.returncode}"


if __name__ == "__main__":
    sys.exit(main())
