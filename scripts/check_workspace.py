#!/usr/bin/env python3
"""Checks the structure of the workspace and prints the results. These rules must hold:

- Dependencies between the crates of the workspace have no circle.
- A program that depends only on the core crate compiles few packages and needs no C compiler.
- The node's build contains no bags, no command line and no report.
- Every package has a licence that is compatible with the project.
- No package is used in two versions, except those listed below with a reason.

Needs only the Python standard library and cargo. The exit code is 0 if all rules hold, else 1.
"""

import json
import re
import subprocess
import sys

MOST_CORE_PACKAGES = 40
C_COMPILERS = {"cc", "cmake", "bindgen", "pkg-config", "vcpkg"}
NOT_IN_THE_NODE = {"rusqlite", "libsqlite3-sys", "zip", "clap", "askama", "mcap", "zstd", "ettrack-eval", "ettrack-cli"}
LICENCES = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "IJG", "ISC", "MIT", "MPL-2.0",
    "Unicode-3.0", "Unlicense", "Zlib", "LLVM-exception",
}  # fmt: skip
# Package: reason why two versions of it are used.
SEVERAL_VERSIONS = {
    "base64": "axum's WebSockets use the version before",
    "block-buffer": "axum's WebSockets hash with sha1, which is built on the version before",
    "cpufeatures": "as block-buffer",
    "crypto-common": "as block-buffer",
    "digest": "as block-buffer",
    "getrandom": "the page's token and tempfile use different versions",
    "miniz_oxide": "png and flate2 use different versions",
    "syn": "build time only: serde and thiserror are ahead of clap and others",
}


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def tree(package, *arguments):
    """Returns names and versions of the packages that a build of `package` compiles, including itself."""
    lines = cargo(
        "tree", "--locked", "-p", package, "-e", "normal,build", "--prefix", "none", "--format", "{p}", *arguments
    )
    return {tuple(line.split()[:2]) for line in lines.splitlines() if line.strip()}


def layers(members):
    """Returns the workspace's crates in groups, each of which depends only on earlier groups. Raises ValueError for a
    circle."""
    left = {
        name: {dependency["name"] for dependency in package["dependencies"] if dependency["kind"] is None}
        & set(members)
        for name, package in members.items()
    }
    found = []
    while left:
        free = sorted(name for name, needs in left.items() if not needs & set(left))
        if not free:
            raise ValueError("these crates depend on each other in a circle: " + ", ".join(sorted(left)))
        found.append(free)
        for name in free:
            del left[name]
    return found


def is_allowed(expression):
    """Returns whether one of the alternatives of an SPDX expression contains only allowed licences."""
    alternatives = re.split(r"\s+OR\s+|/", expression.replace("(", " ").replace(")", " "))
    return any(
        all(licence in LICENCES for licence in re.split(r"\s+AND\s+|\s+WITH\s+", alternative.strip()))
        for alternative in alternatives
    )


def main():
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--all-features"))
    inside = set(metadata["workspace_members"])
    members = {package["name"]: package for package in metadata["packages"] if package["id"] in inside}
    problems = []

    try:
        for depth, names in enumerate(layers(members)):
            print(f"layer {depth}: {', '.join(names)}")
    except ValueError as circle:
        problems.append(str(circle))

    core = tree("ettrack")
    print(f"ettrack alone: {len(core)} packages, itself included (at most {MOST_CORE_PACKAGES})")
    if len(core) > MOST_CORE_PACKAGES:
        problems.append(f"ettrack pulls {len(core)} packages, expected at most {MOST_CORE_PACKAGES}")
    if compilers := {name for name, _ in core} & C_COMPILERS:
        problems.append(f"ettrack needs a C compiler for: {', '.join(sorted(compilers))}")

    node = tree("ettrack-node")
    print(f"ettrack-node without ROS: {len(node)} packages")
    if extra := {name for name, _ in node} & NOT_IN_THE_NODE:
        problems.append(f"the node's build pulls {', '.join(sorted(extra))}")

    everything = tree("ettrack-cli")
    print(f"ettrack-cli: {len(everything)} packages")
    versions = {}
    for name, version in everything:
        versions.setdefault(name, set()).add(version)
    for name, found in sorted(versions.items()):
        if len(found) > 1 and name not in SEVERAL_VERSIONS:
            problems.append(f"{name} is there in versions {', '.join(sorted(found))}; give the reason in {__file__}")

    for package in metadata["packages"]:
        if not is_allowed(package["license"] or ""):
            problems.append(f"{package['name']} {package['version']} has the licence {package['license']!r}")

    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
