"""Makes tests/data/micro_model: a network of some kilobytes with random weights.

Its graphs have the inputs, outputs and symbolic axes of E.T.Track, so that tests can open a model in any clone.
It cannot track.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .model_folder import write_model_folder
from .networks import BackboneSpec, BlockSpec, ETTrack, ETTrackConfig, TowerSpec
from .pseudo_weights import pseudo_state_dict
from .trackers import TRACKERS

MICRO = ETTrackConfig(
    backbone=BackboneSpec(
        stem=4,
        stages=(
            (BlockSpec(3, 8, 4, 2),),
            (BlockSpec(3, 8, 4, 2),),
            (BlockSpec(3, 8, 8, 2), BlockSpec(3, 8, 8, 1, 8, True)),
        ),
        activation="relu",
    ),
    template_size=32,
    search_sizes=(64, 80),
    correlation_cells=4,
    adjust_channels=8,
    cls_tower=TowerSpec(8, ("sep3", "et3")),
    reg_tower=TowerSpec(8, ("sep3", "et3")),
    exemplars=2,
    key_dim=8,
    ffn=8,
)


def micro_network() -> ETTrack:
    """The micro network, with the same weights on every machine."""
    network = ETTrack(MICRO)
    rule = TRACKERS["et_track"].pseudo_rule
    network.load_state_dict(pseudo_state_dict(network.state_dict(), rule, "#micro"))
    return network


def main() -> None:
    """Writes the folder given on the command line and replaces an existing one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    write_model_folder(
        TRACKERS["et_track"],
        micro_network(),
        output,
        description="random weights for tests, tracks nothing",
        provenance={
            "source": "pseudo-random weights, salt #micro",
            "checkpoint_sha256": "none",
            "licence": "the licence of this repository",
        },
        replace=True,
    )


if __name__ == "__main__":
    main()
