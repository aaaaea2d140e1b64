"""Times the exported graphs against PyTorch and a plain export of the same network, interleaved.

    python -m ettrack_training.bench_export --tracker et_track

For each graph it prints the median times in milliseconds and the median of the ratios of neighbouring runs. With one
thread, CPU time is measured, because other work on the machine disturbs it less than elapsed time. With several
`--threads`, elapsed time is measured. PyTorch always runs with one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnxruntime
import torch

from .export import export_graph
from .pseudo_weights import pseudo_state_dict
from .trackers import TRACKERS


def session(model: bytes, axes: dict[str, int] | None = None, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session with the Rust runtime's options: idle threads sleep, symbolic `axes` are fixed to their sizes."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, size in (axes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feeder(one: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    """A function that runs the session once. Inputs that the graph does not have are left out."""
    wanted = {node.name for node in one.get_inputs()}
    chosen = {name: value for name, value in inputs.items() if name in wanted}
    return lambda: one.run(None, chosen)


def compare(
    runs: list[Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> list[list[float]]:
    """Calls all `runs` in turn, `rounds` times after a warm-up; returns the milliseconds of each call, per run."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(rounds + 3):
        for index, run in enumerate(runs):
            start = clock()
            run()
            if number >= 3:
                times[index].append((clock() - start) * 1e3)
    return times


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", required=True, choices=sorted(TRACKERS))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1, help="threads of ONNX Runtime")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
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
        runs = [feeder(session(model, sizes, options.threads), inputs) for model in (export_graph(graph), plain)]
        runs.append(lambda graph=graph: graph.reference(*graph.inputs.values()))
        clock = time.process_time if options.threads == 1 else time.perf_counter
        ours, *others = compare(runs, options.rounds, clock)
        print(f"{name}: {statistics.median(ours):.2f} ms")
        for title, theirs in zip(("plain export", "PyTorch"), others, strict=True):
            ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
            print(f"  {title}: {statistics.median(theirs):.2f} ms, ours is {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
