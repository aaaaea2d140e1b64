"""Makes tests/data/refreshed_outside and tests/data/refreshed_box: graphs with a second template image and what belongs
to it, its cells outside the frame or the target's box in it.

They predict nothing. Their outputs are these inputs, so that a test sees what the graph got, and the score is the mean
level of the search image.

    python -m ettrack_training.refreshed_inputs tests/data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .export.builder import GraphBuilder
from .one_graph import run, write_folder

TEMPLATE, SEARCH, STRIDE = 16, 32, 8
TEMPLATES = ("template", "second_template")
#: Every second frame refreshes the second template, if its score is above 0.3.
TRACKING = {"default": {"update_interval": 2, "update_above": 0.3}}


def begin(name: str) -> tuple[GraphBuilder, str]:
    """Returns a graph that takes the three images, and the mean level of the search image, `[1]`."""
    g = GraphBuilder(name)
    for template in TEMPLATES:
        g.input(template, (1, 3, TEMPLATE, TEMPLATE))
    level = g.op("ReduceMean", g.input("search", (1, 3, SEARCH, SEARCH)), axes=[0, 1, 2, 3], keepdims=0)
    return g, g.reshape(level, 1)


def outside_graph() -> bytes:
    """Returns a track graph whose box has the shares of each template's cells outside as its centre."""
    g, level = begin("refreshed_outside")
    shares = []
    for image, size in (*((template, TEMPLATE) for template in TEMPLATES), ("search", SEARCH)):
        cells = g.input(f"{image}_outside", (1, size // STRIDE, size // STRIDE))
        shares.append(g.reshape(g.op("ReduceMean", cells, axes=[0, 1, 2], keepdims=0), 1))
    parts = g.op("Concat", *shares[:2], g.constant(np.full(2, 0.25)), axis=0)
    g.output(g.reshape(parts, 1, 1, 4), "box", (1, 1, 4))
    g.output(level, "score", (1,))
    return g.model().SerializeToString()


def box_graph() -> bytes:
    """Returns a track graph with maps of four by four cells. The first eight numbers of the offsets are the boxes in
    the templates. The best score is in the cell that begins in the middle, and all sizes are 0.2 and 0.4."""
    g, level = begin("refreshed_box")
    side = SEARCH // STRIDE
    scores = np.full((1, 1, side, side), 0.1)
    scores[0, 0, 2, 2] = 1.0
    sizes = np.broadcast_to(np.array([0.2, 0.4])[None, :, None, None], (1, 2, side, side))
    boxes = [g.reshape(g.input(f"{template}_box", (1, 4)), 4) for template in TEMPLATES]
    offsets = g.op("Concat", *boxes, g.constant(np.zeros(2 * side * side - 8)), axis=0)
    g.output(g.op("Mul", g.constant(scores), level), "score", scores.shape)
    g.output(g.constant(sizes), "size", sizes.shape)
    g.output(g.reshape(offsets, 1, 2, side, side), "offset", sizes.shape)
    return g.model().SerializeToString()


def sections(name: str) -> dict[str, dict]:
    """The sections `template` and `search` of a manifest; `name` is what belongs to an image: `outside` or `box`."""
    first, second = TEMPLATES
    template = {
        "input": first,
        "refreshed_input": second,
        "refreshed_from": "last",
        f"{name}_input": f"{first}_{name}",
        f"refreshed_{name}_input": f"{second}_{name}",
        "size": TEMPLATE,
        "factor": 2.0,
    }
    return {
        "template": template,
        "search": {"input": "search", "sizes": [SEARCH], "factor": 4.0, "stride": STRIDE},
    }


def write(folder: Path) -> None:
    """Writes both model folders into `folder`."""
    manifest = sections("outside")
    manifest["search"]["outside_input"] = "search_outside"
    score = {"name": "score", "activation": "none"}
    outputs = {"outputs": {"score": score, "boxes": {"name": "box"}}, "tracking": TRACKING}
    description = "shares of cells outside the frame for tests, tracks nothing"
    write_folder(folder / "refreshed_outside", outside_graph(), "single_box", description, {**manifest, **outputs})
    outputs = {
        "outputs": {"score": score, "size": {"name": "size"}, "offset": {"name": "offset"}},
        "tracking": TRACKING,
    }
    description = "boxes in template images for tests, tracks nothing"
    write_folder(folder / "refreshed_box", box_graph(), "centre_head", description, {**sections("box"), **outputs})


if __name__ == "__main__":
    run(write, __doc__)
