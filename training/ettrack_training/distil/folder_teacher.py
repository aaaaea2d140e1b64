"""Teachers that are model folders. A teacher returns a score and four distances for each cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import yaml

#: Sides of the teachers' search windows in sides of the box, as in FEAR, and the allowed relative deviation.
SPAN = 5.0
SPAN_TOLERANCE = 0.03
_SMALLEST_DISTANCE = 0.1


class FolderTeacher:
    """A tracker as a model folder: `template.onnx`, `track.onnx` and the manifest with their inputs.

    Its windows must have the box's own shape, and its search window must be `SPAN` boxes wide and high. Any other model
    raises ValueError, because its answers for such windows would be wrong.
    """

    def __init__(self, folder: Path, threads: int = 1):
        manifest = yaml.safe_load((folder / "model.yaml").read_text())
        _refuse_others(folder, manifest)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._graphs = {
            name: ort.InferenceSession(str(folder / file["path"]), options, providers=["CPUExecutionProvider"])
            for name, file in manifest["files"].items()
        }
        given = manifest["input"]
        self._mean, self._std = (np.asarray(given[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
        self._scale = np.float32(given["scale"])
        template = manifest["template"]
        #: Side of the template crop, pixels, and the part it shows beside the box on each side, in sides of the box.
        self.template_size, self.template_context = template["size"], template["context"]
        self._template, self._features = template["input"], template["outputs"]
        #: Side of the search crop, pixels.
        self.search_size = manifest["search"]["sizes"][0]
        self._search = manifest["search"]["input"]
        self._outputs = [manifest["outputs"][name]["name"] for name in ("score", "boxes")]

    def share_of(self, context: float) -> float:
        """Share of the side of a template window with `context` that this teacher's template covers."""
        return (1 + 2 * self.template_context) / (1 + 2 * context)

    def maps(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pictures u8 RGB [B,t,t,3], [B,s,s,3] -> logits [B,1,n,n] and distances [B,4,n,n] in search pixels."""
        rows = []
        for z, x in zip(template, search, strict=True):
            kept = self._graphs["template"].run(self._features, {self._template: self._ready(z)})
            feed = dict(zip(self._features, kept, strict=True)) | {self._search: self._ready(x)}
            rows.append(self._graphs["track"].run(self._outputs, feed))
        cls, reg = (np.concatenate(column) for column in zip(*rows, strict=True))
        return cls, reg

    def _ready(self, picture: np.ndarray) -> np.ndarray:
        planes = picture.transpose(2, 0, 1).astype(np.float32) / self._scale
        return ((planes - self._mean) / self._std)[None]


def _refuse_others(folder: Path, manifest: Mapping[str, Any]) -> None:
    template, search, score = manifest["template"], manifest["search"], manifest["outputs"].get("score", {})
    for key, got, expected in (
        ("family", manifest["family"], "anchor_free"),
        ("input.channels", manifest["input"]["channels"], "rgb"),
        ("template.window", template.get("window", "square"), "box"),
        ("outputs.score.activation", score.get("activation"), "sigmoid"),
    ):
        if got != expected:
            raise ValueError(f"{folder}: expected a teacher with {key} {expected}, got {got}")
    span = (1 + 2 * template["context"]) * search["sizes"][0] / search["exemplar_size"]
    if abs(span / SPAN - 1) > SPAN_TOLERANCE:
        raise ValueError(
            f"{folder}: expected template.context, search.sizes and search.exemplar_size of a search window of "
            f"{SPAN:g} boxes, got those of {span:.2f}"
        )


def mean_maps(answers: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Means of several teachers' logits [B,1,n,n], and geometric means of their distances [B,4,n,n]."""
    cls, reg = zip(*answers, strict=True)
    logarithms = [np.log(np.maximum(distances, _SMALLEST_DISTANCE)) for distances in reg]
    return np.mean(cls, axis=0), np.exp(np.mean(logarithms, axis=0))
