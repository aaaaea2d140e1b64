"""Times the exported graphs against a plain export of the same network, interleaved, one thread.

    python -m ettrack_training.bench_export --tracker et_track

Prints per graph the medians in milliseconds of CPU time, which other work on the machine disturbs
less than time on the clock, and the median of the ratios of neighbouring runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import onnxruntime

from .export import export_graph
from .pseudo_weights import pseudo_state_dict
from .trackers import TRACKERS


def session(model: bytes, axes: dict[str, int] | None = None) -> onnxruntime.InferenceSession:
    """A session as the Rust runtime opens it: one thread, symbolic `axes` fixed to their sizes."""
    options = onnxruntime.SessionOptions()
    for name, size in (axes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(
    sessions: list[onnxruntime.InferenceSession], inputs: dict[str, np.ndarray], rounds: int
) -> list[list[float]]:
    """CPU milliseconds of each session, run in turn, `rounds` times each after a warm-up."""
    times: list[list[float]] = [[] for _ in sessions]
    for number in range(rounds + 3):
        for index, one in enumerate(sessions):
            start = time.process_time()
            one.run(None, inputs)
            if number >= 3:
                times[index].append((time.process_time() - start) * 1e3)
    return times


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", required=True, choices=sorted(TRACKERS))
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    tracker = TRACKERS[options.tracker]
    network = tracker.build({}).eval()
    network.load_state_dict(pseudo_state_dict(network.state_dict(), tracker.pseudo_rule, tracker.golden_salt))
    for name, graph in tracker.graphs(network).items():
        plain = export_graph(replace(graph, module=graph.reference, axes={}))
        inputs = {key: value.numpy() for key, value in graph.inputs.items()}
        sizes = {
            axis: graph.inputs[key].shape[index]
            for key, axes in graph.axes.items()
            if key in graph.inputs
            for index, axis in axes.items()
        }
        pair = [session(export_graph(graph), sizes), session(plain)]
        ours, theirs = compare(pair, inputs, options.rounds)
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        print(
            f"{name}: {statistics.median(ours):.2f} ms, plain export {statistics.median(theirs):.2f} ms, "
            f"{ratio:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
