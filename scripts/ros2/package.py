"""Builds this repository's ROS 2 package with colcon, and the message packages that the wheels do not contain."""

import os
import shutil
import subprocess
from pathlib import Path

from prefix import Unavailable

ROOT = Path(__file__).resolve().parents[2]
# Message definitions by package, with which this project reads and writes messages.
DEFINITIONS = ROOT / "crates" / "ettrack-message" / "src" / "definitions"
# Commands that are needed to build the package, and how to install them on Debian and Ubuntu.
TOOLS = {
    "cargo": "rustup (https://rustup.rs)",
    "c++": "apt install g++",
    "make": "apt install make",
    "clang": "apt install clang libclang-dev",
}

PACKAGE_XML = """\
<?xml version="1.0"?>
<package format="3">
  <name>{name}</name>
  <version>0.0.0</version>
  <description>Messages of {name} that ettrack uses</description>
  <maintainer email="maintainers@ettrack.invalid">The ettrack authors</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>geometry_msgs</depend>
  <depend>std_msgs</depend>
  <exec_depend>rosidl_default_runtime</exec_depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""

CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.16)
project({name} LANGUAGES C CXX)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(${{PROJECT_NAME}}
  {messages}
  DEPENDENCIES geometry_msgs std_msgs
)
ament_export_dependencies(rosidl_default_runtime)
ament_package()
"""


def build(folder, environment):
    """Builds into folder/install and returns the environment in which it is sourced. Raises Unavailable if a command is
    missing, and CalledProcessError if the build fails."""
    missing = [f"{tool} ({cure})" for tool, cure in TOOLS.items() if not shutil.which(tool, path=environment["PATH"])]
    if missing:
        raise Unavailable(f"building the package needs {', '.join(missing)}")
    sources = folder / "src"
    lacking = [name for name in packages() if not found(name, environment)]
    for name in lacking:
        write_message_package(name, sources / name)
    options = [f"-DETTRACK_CARGO_TARGET={os.environ.get('CARGO_TARGET_DIR', ROOT / 'target')}"]
    if not found("launch_testing_ament_cmake", environment):
        options.append("-DBUILD_TESTING=OFF")
    if library := onnxruntime():
        options.append(f"-DETTRACK_ONNXRUNTIME={library}")
    line = [
        *("colcon", "--log-base", folder / "log", "build", "--base-paths", ROOT, *([sources] if lacking else [])),
        *("--packages-select", *lacking, "ettrack"),
        *("--build-base", folder / "build", "--install-base", folder / "install"),
        *("--executor", "sequential", "--event-handlers", "console_direct+", "console_start_end-"),
        *("--cmake-args", *options),
    ]
    log = folder / "build.log"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"building the package with colcon into {folder} (minutes at first; log: {log})", flush=True)
    with log.open("w") as file:
        done = subprocess.run([str(word) for word in line], env=environment, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-60:]))
        raise subprocess.CalledProcessError(done.returncode, "colcon build")
    return sourced(folder / "install", environment)


def packages():
    """Returns the names of the message packages whose definitions are in this repository."""
    return sorted(path.name for path in DEFINITIONS.iterdir() if path.is_dir())


def found(package, environment):
    """Returns whether an ament prefix of the environment contains a package."""
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(":")
    return any((Path(prefix) / "share" / package / "package.xml").is_file() for prefix in prefixes if prefix)


def write_message_package(name, folder):
    """Writes the sources of a message package. Files with the right content are not written again, so that nothing is
    built again."""
    messages = sorted((DEFINITIONS / name).glob("*.msg"))
    files = {f"msg/{path.name}": path.read_text() for path in messages}
    files["package.xml"] = PACKAGE_XML.format(name=name)
    listed = "\n  ".join(f'"msg/{path.name}"' for path in messages)
    files["CMakeLists.txt"] = CMAKE_LISTS.format(name=name, messages=listed)
    for relative, text in files.items():
        path = folder / relative
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def onnxruntime():
    """Returns the ONNX Runtime library of ORT_DYLIB_PATH or of this repository, if there is one."""
    given = os.environ.get("ORT_DYLIB_PATH")
    return given or next(iter(sorted((ROOT / ".ettrack" / "onnxruntime").glob("libonnxruntime.so*"))), None)


def sourced(install, environment):
    """Returns the environment after the packages of an install folder were sourced. Raises CalledProcessError."""
    line = ["bash", "-c", 'source "$0" && env -0', str(install / "local_setup.bash")]
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)
