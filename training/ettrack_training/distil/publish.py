"""Export a trained checkpoint: `python -m ettrack_training.distil.publish CHECKPOINT models/ettrack-nano`

The checkpoint brings its configuration; a backbone alone (`--backbone`) replaces the one it holds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml

from ..model_folder import sha256, write_model_folder
from ..networks.et_track import ETTrack, ETTrackConfig
from ..trackers import TRACKERS

DESCRIPTION = "E.T.Track's building blocks at a few milliseconds per frame, distilled from NanoTrack v2"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="written by ettrack_training.distil.tracker")
    parser.add_argument("output", type=Path, help="model folder; replaced when it exists")
    parser.add_argument("--backbone", type=Path, help="backbone checkpoint to use instead")
    parser.add_argument("--settings", type=Path, help="YAML with sections `tracking` and `lost`")
    args = parser.parse_args(argv)

    state = torch.load(args.checkpoint, weights_only=True)
    network = ETTrack(ETTrackConfig.from_dict(state["config"]))
    network.load_state_dict(state["state_dict"])
    if args.backbone:
        backbone = torch.load(args.backbone, weights_only=True)["backbone"]
        network.backbone_net.load_state_dict(backbone)
    overrides = yaml.safe_load(args.settings.read_text()) if args.settings else {}
    differences = write_model_folder(
        TRACKERS["et_track"],
        network,
        args.output,
        description=DESCRIPTION,
        provenance={
            "source": "trained in this repository, see README.md beside this file",
            "checkpoint_sha256": sha256(args.checkpoint.read_bytes()),
            "licence": "Apache-2.0",
        },
        overrides=overrides,
        replace=True,
    )
    for name, difference in differences.items():
        print(f"{name}: largest difference from PyTorch {difference:.1e}")


if __name__ == "__main__":
    main()
