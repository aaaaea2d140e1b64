"""Average checkpoints: `python -m ettrack_training.distil.average first.pt=0.5 second.pt=0.5 --out mean.pt`

The weighted mean of networks that were fine-tuned from one another often tracks unseen targets better than each of them
(model soups, Wortsman et al., ICML 2022; WiSE-FT, CVPR 2022).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ..refusals import refusals
from ..train.state import CheckpointFile, config_differences, config_of, trained_weights


def average(networks: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Returns the weighted mean of weights and batch norms' statistics. Counters are those of the first network.

    Raises ValueError if shares are negative or their sum is not one, or if the networks' tensors differ in name or
    shape.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"expected shares of at least 0 that add up to 1, got {', '.join(map(str, shares))}")
    shapes = [{name: value.shape for name, value in network.items()} for network in networks]
    if any(other != shapes[0] for other in shapes[1:]):
        raise ValueError("expected checkpoints of one network, got tensors of different names or shapes")
    return {
        name: sum(share * network[name] for share, network in zip(shares, networks, strict=True))
        if value.is_floating_point()
        else value
        for name, value in networks[0].items()
    }


def _part(text: str) -> tuple[Path, float]:
    path, _, share = text.rpartition("=")
    try:
        return Path(path), float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected CHECKPOINT=SHARE, got {text!r}") from None


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", type=_part, nargs="+", metavar="CHECKPOINT=SHARE", help="shares add up to 1")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint of the mean")
    args = parser.parse_args(argv)
    states = [CheckpointFile(path).load() for path, _ in args.parts]
    configs = [config_of(path, state) for (path, _), state in zip(args.parts, states, strict=True)]
    (first, _), *others = args.parts
    for (path, _), config in zip(others, configs[1:], strict=True):
        if different := config_differences(config, configs[0], f"in {path}", f"in {first}"):
            raise ValueError(f"expected checkpoints of one network, got {'; '.join(different)}")
    mean = average([trained_weights(state) for state in states], [share for _, share in args.parts])
    CheckpointFile(args.out).save({"state_dict": mean, "config": configs[0]})


if __name__ == "__main__":
    main()
