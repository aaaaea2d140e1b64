"""Makes the model folders that the parity tests run: pseudo-random weights, then `convert`.

    python -m ettrack_training.parity_models OUTPUT [TRACKER ...]

A folder that is newer than the workshop's sources is kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import convert, pseudo_checkpoint
from .trackers import TRACKERS


def main() -> None:
    """Writes one folder per tracker into the output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("trackers", nargs="*", choices=[[], *sorted(TRACKERS)], metavar="TRACKER")
    options = parser.parse_args()
    sources = max(p.stat().st_mtime for p in Path(__file__).parent.rglob("*.py"))
    for name in options.trackers or sorted(TRACKERS):
        folder = options.output / name
        manifest = folder / "model.yaml"
        if manifest.exists() and manifest.stat().st_mtime > sources:
            print(f"{folder}: up to date", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / f"{name}.pth"
            pseudo_checkpoint.write(TRACKERS[name], TRACKERS[name].golden_salt, path)
            code = convert.main(["--tracker", name, str(path), "--output", str(folder), "--replace"])
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
