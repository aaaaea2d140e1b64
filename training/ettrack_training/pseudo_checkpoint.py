"""Writes a checkpoint of pseudo-random weights in the authors' form, for parity tests.

python -m ettrack_training.pseudo_checkpoint --tracker et_track --salt '#9' et_track.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .pseudo_weights import checksum, pseudo_state_dict
from .trackers import TRACKERS, Tracker


def write(tracker: Tracker, salt: str, path: Path, name: str | None = None) -> int:
    """Writes the checkpoint; the checksum of its weights. `name` chooses one of the tracker's recorded networks."""
    state = pseudo_state_dict(tracker.golden_network(name).state_dict(), tracker.pseudo_rule, salt)
    torch.save({"state_dict": state}, path)
    return checksum(state)


def main() -> None:
    """The command line; prints the checksum of the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tracker", required=True, choices=sorted(TRACKERS))
    parser.add_argument("--salt", required=True)
    options = parser.parse_args()
    print(f"{write(TRACKERS[options.tracker], options.salt, options.output):08x}")


if __name__ == "__main__":
    main()
