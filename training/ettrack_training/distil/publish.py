"""Export a trained checkpoint: `python -m ettrack_training.distil.publish CHECKPOINT models/ettrack-nano`

The network's configuration is in the checkpoint. `--backbone` replaces its backbone by that of another checkpoint. If
the checkpoint holds averaged weights, those are used.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..model_folder import sha256, write_model_folder
from ..networks.et_track import ETTrack, ETTrackConfig
from ..refusals import refusals
from ..trackers import TRACKERS
from ..train.start import backbone_state, load_into
from ..train.state import CheckpointFile, config_of, trained_weights

# Sections and keys of a manifest that settings may change (see model/lost.rs and families/ in crates/ettrack/src).
SECTIONS = ("tracking", "lost")
CONSTANTS = (
    *("window_influence", "penalty_k", "learning_rate", "kept_shape"),
    *("classifier_weight", "lookalike_above", "lookalike_growth"),
    *("update_interval", "update_above", "score_decay"),
)
LOST = (
    *(
        "enabled",
        "weights",
        "smoothing",
        "regain",
        "report_below",
        "lost_below",
        "lost_after",
        "candidate_above",
        "found_above",
        "found_after",
    ),
    *("coast", "widen_by", "widen_every", "widen_most"),
)
WEIGHTS = ("bias", "score", "history", "second", "spread", "agreement", "change", "displacement", "appearance")

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
    """Writes the model folder of a network that was trained here. Replaces an existing folder.

    Returns the largest difference from PyTorch of each graph's outputs. Raises the errors of `write_model_folder`.
    """
    return write_model_folder(
        TRACKERS["et_track"],
        network,
        output,
        description=description,
        provenance={"source": source, "checkpoint_sha256": checkpoint_sha256, "licence": "Apache-2.0"},
        overrides=overrides,
        replace=True,
    )


def read_settings(path: Path) -> dict[str, Any]:
    """Reads sections of a manifest from a YAML file. Raises ValueError for sections or keys that the runtime
    refuses."""
    try:
        settings = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: expected YAML: {error}") from error
    _refuse_unknown(path, "", settings, SECTIONS)
    for name, constants in settings.get("tracking", {}).items():
        _refuse_unknown(path, f"tracking.{name}.", constants, CONSTANTS)
    lost = settings.get("lost", {})
    _refuse_unknown(path, "lost.", lost, LOST)
    _refuse_unknown(path, "lost.weights.", lost.get("weights", {}), WEIGHTS)
    return settings


def _refuse_unknown(path: Path, where: str, values: Any, known: tuple[str, ...]) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{path}: {where.rstrip('.') or 'file'}: expected keys and values, got {values!r}")
    if unknown := [f"{where}{key}" for key in values if key not in known]:
        raise ValueError(f"{path}: unknown {', '.join(unknown)}; expected among {', '.join(known)}")


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="checkpoint of a whole network, from ettrack_training.train, .reopen or .distil (head, maps, average)",
    )
    parser.add_argument("output", type=Path, help="model folder; an existing one is replaced")
    parser.add_argument("--backbone", type=Path, help="use the backbone of this checkpoint instead")
    parser.add_argument("--settings", type=Path, help="YAML with sections `tracking` and `lost`")
    parser.add_argument("--description", default=DESCRIPTION, help="description in model.yaml, one line")
    args = parser.parse_args(argv)

    settings = read_settings(args.settings) if args.settings else {}
    checkpoint = CheckpointFile(args.checkpoint)
    state = checkpoint.load()
    network = ETTrack(ETTrackConfig.from_dict(config_of(args.checkpoint, state)))
    network.load_state_dict(trained_weights(state))
    if args.backbone:
        load_into(network.backbone_net, args.backbone, backbone_state(args.backbone))
    differences = publish(
        network,
        args.output,
        description=args.description,
        source="trained in this repository, see README.md beside this file",
        checkpoint_sha256=sha256(checkpoint.read_bytes()),
        overrides=settings,
    )
    for name, difference in differences.items():
        print(f"{name}: largest difference from PyTorch {difference:.1e}")


if __name__ == "__main__":
    main()
