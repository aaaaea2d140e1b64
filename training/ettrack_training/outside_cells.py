"""Makes tests/data/outside_cells: a graph that takes which cells of its images lie outside the frame. It gives a box.

The box is not a prediction. Its numbers are means of these inputs, so that a test sees what the graph got: of the
template's cells, of the search image's cells, of their last column and of their last row.

    python -m ettrack_training.outside_cells tests/data/outside_cells
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .export.builder import GraphBuilder
from .one_graph import run, write_folder

TEMPLATE, SEARCH, STRIDE = 16, 32, 8


def graph() -> bytes:
    """Returns the track graph."""
    g = GraphBuilder("outside_cells")
    cells = {}
    for image, size in (("template", TEMPLATE), ("search", SEARCH)):
        side = size // STRIDE
        g.input(image, (1, 3, size, size))
        cells[image] = g.reshape(g.input(f"{image}_outside", (1, side, side)), side, side)
    last = np.array([SEARCH // STRIDE - 1])
    parts = [*cells.values(), g.gather(cells["search"], last, axis=1), g.gather(cells["search"], last)]
    means = [g.reshape(g.op("ReduceMean", part, axes=[0, 1], keepdims=0), 1) for part in parts]
    g.output(g.reshape(g.op("Concat", *means, axis=0), 1, 1, 4), "box", (1, 1, 4))
    return g.model().SerializeToString()


def write(folder: Path) -> None:
    """Writes the model folder `folder`."""
    manifest = {
        "template": {"input": "template", "outside_input": "template_outside", "size": TEMPLATE, "factor": 2.0},
        "search": {
            "input": "search",
            "outside_input": "search_outside",
            "sizes": [SEARCH],
            "factor": 4.0,
            "stride": STRIDE,
        },
        "outputs": {"boxes": {"name": "box"}},
        "tracking": {"default": {}},
    }
    description = "means of the cells outside the frame for tests, tracks nothing"
    write_folder(folder, graph(), "single_box", description, manifest)


if __name__ == "__main__":
    run(write, __doc__)
