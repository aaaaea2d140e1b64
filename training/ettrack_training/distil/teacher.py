"""A teacher of two ONNX files: one computes the features of a picture, the other the maps of two features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort


class Teacher:
    """A tracker with NanoTrack's files: `backbone.onnx` (BGR in 0..255, [1,3,S,S]) and `head.onnx` (template features,
    search features -> two class logits, four positive distances).

    `hints` names inner tensors of the backbone that are returned before its output, from early to late. `head_hints`
    names those of the head. The graphs keep their batch of one, but accept pictures of any size. Raises ValueError if a
    file or a named tensor does not exist.
    """

    def __init__(self, folder: Path, hints: tuple[str, ...] = (), threads: int = 1, head_hints: tuple[str, ...] = ()):
        backbone, head = _relaxed(folder / "backbone.onnx"), _relaxed(folder / "head.onnx")
        output = backbone.graph.output[0].name
        self._head_outputs = [o.name for o in head.graph.output]
        _show(backbone, hints, folder / "backbone.onnx")
        _show(head, head_hints, folder / "head.onnx")
        self._names = [*hints, output]
        self._head_hints = list(head_hints)
        self._backbone = _session(backbone, threads)
        self._head = _session(head, threads)
        self._backbone_input = self._backbone.get_inputs()[0].name
        self._head_inputs = [i.name for i in self._head.get_inputs()]

    def features(self, pictures: np.ndarray) -> list[np.ndarray]:
        """RGB u8 [B,S,S,3] -> the hints, then the output, each f32 [B,C,h,w]."""
        rows = []
        for picture in pictures:
            bgr = np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
            rows.append(self._backbone.run(self._names, {self._backbone_input: bgr}))
        return [np.concatenate(column) for column in zip(*rows, strict=True)]

    def maps(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features [B,C,8,8], [B,C,n,n] -> target logit [B,1,n,n] and distances [B,4,n,n] in search pixels.

        The logit is the difference of the two class logits, so its sigmoid equals their softmax.
        """
        logit, distances, _ = self.head(template, search)
        return logit, distances

    def head(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Like `maps`, but also returns the head's hints, each [B,C,n,n]."""
        logits, boxes, rows = [], [], []
        for z, x in zip(template, search, strict=True):
            feed = dict(zip(self._head_inputs, (z[None], x[None]), strict=True))
            pair, box, *hints = self._head.run([*self._head_outputs, *self._head_hints], feed)
            logits.append(pair[:, 1:2] - pair[:, 0:1])
            boxes.append(box)
            rows.append(hints)
        hints = [np.concatenate(column) for column in zip(*rows, strict=True)]
        return np.concatenate(logits), np.concatenate(boxes), hints


def _show(model: onnx.ModelProto, hints: tuple[str, ...], path: Path) -> None:
    """Makes inner tensors outputs. Raises ValueError for a tensor that does not exist."""
    known = {name for node in model.graph.node for name in node.output}
    for hint in hints:
        if hint not in known:
            raise ValueError(f"{path} has no tensor {hint!r} to take a hint from")
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(hint))


def _relaxed(path: Path) -> onnx.ModelProto:
    """Reads a graph and lets it accept pictures of any size. Raises ValueError if the file does not exist."""
    if not path.is_file():
        raise ValueError(f"expected the teacher's {path.name} in {path.parent}, found none")
    model = onnx.load(path)
    del model.graph.value_info[:]
    for tensor in [*model.graph.input, *model.graph.output]:
        for axis in (2, 3):
            tensor.type.tensor_type.shape.dim[axis].dim_param = f"{tensor.name}_{axis}"
    return model


def _session(model: onnx.ModelProto, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
