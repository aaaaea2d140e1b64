"""Makes the model folders for the parity tests: pseudo-random weights, then `convert`, or `adopt` for ONNX files.

    python -m ettrack_training.parity_models OUTPUT [TRACKER ...]

A folder that is newer than the source files of `ettrack_training` is kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import convert, parity_onnx, pseudo_checkpoint
from .adopt.__main__ import main as adopt
from .trackers import RECORDED

_NAMES = [*sorted(RECORDED), *parity_onnx.TRACKERS]


def main() -> None:
    """Writes one folder per recorded network into the output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("trackers", nargs="*", choices=[[], *_NAMES], metavar="TRACKER")
    options = parser.parse_args()
    sources = max(p.stat().st_mtime for p in Path(__file__).parent.rglob("*.py"))
    for name in options.trackers or _NAMES:
        folder = options.output / name
        manifest = folder / "model.yaml"
        if manifest.exists() and manifest.stat().st_mtime > sources:
            print(f"{folder}: up to date", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as temporary:
            code = _make(name, Path(temporary), folder)
        if code:
            sys.exit(code)


def _make(name: str, temporary: Path, folder: Path) -> int:
    """Makes one folder and returns the exit code."""
    output = ["--output", str(folder), "--replace"]
    if name in parity_onnx.TRACKERS:
        files, options = parity_onnx.TRACKERS[name]
        parity_onnx.write(temporary)
        return adopt([*(str(temporary / file) for file in files), *options, *output])
    path = temporary / f"{name}.pth"
    tracker = RECORDED[name]
    pseudo_checkpoint.write(tracker, tracker.golden_salt, path, name)
    return convert.main(["--tracker", tracker.name, str(path), *output])


if __name__ == "__main__":
    main()
