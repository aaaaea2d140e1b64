"""Measures graphs in eight bits: the time of a run, and the difference of the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from ..bench_export import compare, feeder, session
from .layers import Group

Feeds = list[dict[str, np.ndarray]]

OPERATORS = ["Conv", "MatMul", "Gemm"]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Feeds) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


@dataclass(frozen=True)
class Cost:
    """The time of a graph, and the relative difference of its worst output from the exact graph's: the root mean square
    of the difference, divided by the standard deviation of the output."""

    milliseconds: float
    difference: float


class Quantizer:
    """Makes eight-bit graphs from one graph and one calibration."""

    def __init__(self, path: str, model: onnx.ModelProto, feeds: Feeds, *, reduce_range: bool) -> None:
        calibrator = create_calibrator(path, OPERATORS, augmented_model_path=f"{path}.augmented.onnx")
        calibrator.collect_data(_Reader(feeds))
        ranges = calibrator.compute_data()
        if not isinstance(ranges, TensorsData):
            raise TypeError(f"expected ranges of tensors from onnxruntime's calibration, got {type(ranges)}")
        self._ranges = ranges
        self._model = model
        self._reduce_range = reduce_range

    def __call__(self, chosen: list[Group]) -> bytes:
        """Returns the graph with the layers of `chosen` in eight bits."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        quantizer = QDQQuantizer(
            model,
            True,  # scales per channel of the weights
            self._reduce_range,
            QuantType.QInt8,
            QuantType.QUInt8,
            self._ranges,
            [layer.name for group in chosen for layer in group.layers],
            [],
            OPERATORS,
            {},
        )
        quantizer.quantize_model()
        return quantizer.model.model.SerializeToString()


def costs(exact: bytes, others: list[bytes], feeds: Feeds, sizes: dict[str, int], rounds: int) -> list[Cost]:
    """Returns the cost of the exact graph, then of the others. All take turns in one run with one thread."""
    sessions = [session(model, sizes) for model in (exact, *others)]
    runs = [feeder(one, feeds[0]) for one in sessions]
    times = [float(np.median(own)) for own in compare(runs, rounds)]
    outputs = [_outputs(one, feeds) for one in sessions]
    return [Cost(time, _difference(outputs[0], own)) for time, own in zip(times, outputs, strict=True)]


def largest_differences(exact: bytes, other: bytes, feeds: Feeds, sizes: dict[str, int]) -> dict[str, float]:
    """Returns the largest difference of each output."""
    one, two = session(exact, sizes), session(other, sizes)
    names = [output.name for output in one.get_outputs()]
    pairs = zip(_outputs(one, feeds), _outputs(two, feeds), strict=True)
    return {name: float(np.abs(a - b).max()) for name, (a, b) in zip(names, pairs, strict=True)}


def _outputs(one, feeds: Feeds) -> list[np.ndarray]:
    runs = [feeder(one, feed)() for feed in feeds]
    return [np.stack(values).astype(np.float64) for values in zip(*runs, strict=True)]


def _difference(exact: list[np.ndarray], other: list[np.ndarray]) -> float:
    shares = []
    for a, b in zip(exact, other, strict=True):
        if not np.isfinite(b).all():
            return float("inf")
        shares.append(float(np.sqrt(np.mean((a - b) ** 2)) / max(a.std(), 1e-12)))
    return max(shares)
