"""Export a trained checkpoint: `python -m ettrack_training.distil.publish CHECKPOINT models/ettrack-nano`

The checkpoint brings its configuration; a backbone alone (`--backbone`) replaces the one it holds. Averaged
weights are taken where the checkpoint holds some.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import yaml

from ..model_folder import sha256, write_model_folder
from ..networks.et_track import ETTrack, ETTrackConfig
from ..refusals import refusals
from ..trackers import TRACKERS
from ..train.start import backbone_state
from ..train.state import CheckpointFile, trained_weights

DESCRIPTION = "E.T.Track's building blocks, trained in this repository"


def publish(
    network: ETTrack,
    output: Path,
    *,
    description: str,
    source: str,
    checkpoint_sha256: str = "none",
    overrides: Mapping[str, Mapping] | None = None,
) -> dict[str, float]:
    """Writes the model folder of a network trained here, replacing an older one; see `write_model_folder`."""
    return write_model_folder(
        TRACKERS["et_track"],
        network,
        output,
        description=description,
        provenance={"source": source, "checkpoint_sha256": checkpoint_sha256, "licence": "Apache-2.0"},
        overrides=overrides,
        replace=True,
    )


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="of a whole network, from ettrack_training.train, .reopen, or .distil.head, .maps, .tracker or .average",
    )
    parser.add_argument("output", type=Path, help="model folder; replaced when it exists")
    parser.add_argument("--backbone", type=Path, help="backbone checkpoint to use instead")
    parser.add_argument("--settings", type=Path, help="YAML with sections `tracking` and `lost`")
    parser.add_argument("--description", default=DESCRIPTION, help="one line for model.yaml")
    args = parser.parse_args(argv)

    checkpoint = CheckpointFile(args.checkpoint)
    state = checkpoint.load()
    network = ETTrack(ETTrackConfig.from_dict(state["config"]))
    network.load_state_dict(trained_weights(state))
    if args.backbone:
        network.backbone_net.load_state_dict(backbone_state(args.backbone))
    differences = publish(
        network,
        args.output,
        description=args.description,
        source="trained in this repository, see README.md beside this file",
        checkpoint_sha256=sha256(checkpoint.read_bytes()),
        overrides=yaml.safe_load(args.settings.read_text()) if args.settings else {},
    )
    for name, difference in differences.items():
        print(f"{name}: largest difference from PyTorch {difference:.1e}")


if __name__ == "__main__":
    main()
