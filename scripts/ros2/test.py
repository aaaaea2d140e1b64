#!/usr/bin/env python3
"""Runs tests/ros against the installed node, on the ROS 2 that is sourced, else on one made of wheels in .ros2.

python3 scripts/ros2/test.py [OPTIONS OF PYTEST]
python3 scripts/ros2/test.py --shell

With a sourced ROS 2 the package is taken as sourced, or built into .ros2 where it is not. RMW_IMPLEMENTATION chooses
the middleware, ETTRACK_ROS_OVERLAY names install folders to look for it first. Exit code 0 when the tests passed, or
when this machine cannot have a ROS 2, which one line says; 1 when they failed or the build did; 2 for a middleware that
is not there. With --shell a shell in which ROS 2 and the package are sourced takes the place of the tests.
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
    # A domain of its own on this machine alone: other nodes are none of the tests' business.
    environment.setdefault("ROS_DOMAIN_ID", str(random.randint(1, 100)))
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # The tests publish large images: Fast DDS reads its profile once, when a process makes its first participant.
    environment.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(ROOT / "config" / "fastdds_large_images.xml"))
    if sys.argv[1:] == ["--shell"]:
        return subprocess.run([os.environ.get("SHELL", "bash")], env=environment).returncode
    lines = [["-m", "pytest", "-v", "-rs", TESTS, *sys.argv[1:]], *launch_tests(environment)]
    failed = [line for line in lines if run(line, environment) != 0]
    for line in failed:
        print(f"FAILED: python3 {' '.join(map(str, line))}", file=sys.stderr)
    return 1 if failed else 0


def ready():
    """The environment with ROS 2, its middleware and the package sourced.

    Raises Unavailable, CalledProcessError, and ValueError for a middleware that is not there.
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
    """The commands that run the launch tests; none where launch_testing is not installed, which is said."""
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
