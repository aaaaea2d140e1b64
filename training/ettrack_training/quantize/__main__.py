"""Makes an eight-bit form of a model folder.

    python -m ettrack_training.quantize models/et_track --calibrate otb100=/data/otb100 --output models/et_track-int8

The runtime tracks the benchmark's targets with the model and writes the images that the networks read (`ettrack
tensors`). Half of the targets give the ranges of the activations. The other half is used to measure. Weights have one
scale per channel, activations one per tensor. Both are fixed (static). The layers that compute in eight bits are chosen
by measurements on this machine, with one thread. A group of layers stays in single precision if it saves no time, or if
its share of the loss is too large for its share of the saved time (--balance). Run the command on the kind of machine
that will run the model. The template graph runs once per target and is not changed.

Exit codes: 0 done, 1 eight bits save no time here, 2 the model, the images or the command line cannot be used. In the
last two cases nothing is written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import yaml

from ..bench_export import session
from ..model_folder import ModelFolderError, sha256, to_yaml, write_files
from ..train.evaluation import Benchmark
from .calibration import CalibrationError, Crop, cut, halves, read
from .choice import Judged, choose
from .layers import Group, groups, layers, name_nodes
from .measure import Cost, Feeds, Quantizer, costs, largest_differences


class QuantizeError(ValueError):
    """The model cannot be converted to eight bits. The message gives the reason."""


class NoGain(Exception):
    """Eight bits are not faster on this machine. The message contains the times, `judged` the groups."""

    def __init__(self, message: str, judged: list[Judged]) -> None:
        super().__init__(message)
        self.judged = judged


def benchmark(text: str) -> Benchmark:
    """Parses `--calibrate`."""
    try:
        return Benchmark.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m ettrack_training.quantize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model", type=Path, help="model folder")
    made.add_argument(
        "--calibrate",
        required=True,
        type=benchmark,
        metavar="DATASET=ROOT[:SEQUENCE,...]",
        help="frames with true boxes, in a layout that `ettrack eval` reads",
    )
    made.add_argument("--output", required=True, type=Path, help="the model folder to write")
    made.add_argument("--replace", action="store_true", help="replace an existing model")
    made.add_argument("--every", type=int, default=10, help="take every Nth frame")
    made.add_argument("--most", type=int, default=8, help="frames of one target, at most")
    made.add_argument("--layers", choices=["measured", "all"], default="measured", help="layers in eight bits")
    made.add_argument("--parts", type=int, default=4, help="groups of each kind of layer, at most")
    made.add_argument(
        "--balance", type=float, default=2.0, help="accepted share of the loss per share of the saved time"
    )
    made.add_argument("--rounds", type=int, default=30, help="timed runs of each graph")
    made.add_argument(
        "--reduce-range",
        action="store_true",
        help="weights in seven bits, for x86 processors without VNNI, whose products of eight bits overflow",
    )
    made.add_argument("--binary", type=Path, default=Path("target/release/ettrack"), help="the ettrack command line")
    return made


def feeds_of(model: Path, manifest: dict, crops: list[Crop]) -> Feeds:
    """The inputs of the track graph for each crop. Raises `QuantizeError` if the crops are of another model."""
    template = manifest["files"].get("template")
    graph = session((model / template["path"]).read_bytes()) if template else None
    inputs = [node.name for node in graph.get_inputs()] if graph else []
    result: Feeds = []
    for crop in crops:
        feed = dict(crop.inputs)
        if graph:
            missing = [name for name in inputs if name not in feed]
            if missing:
                raise QuantizeError(f"the images have {', '.join(feed)}, expected {', '.join(missing)} too")
            features = graph.run(None, {name: feed.pop(name) for name in inputs})
            feed |= dict(zip((node.name for node in graph.get_outputs()), features, strict=True))
        result.append(feed)
    return result


def quantize(
    path: str, track: onnx.ModelProto, fit: Feeds, held: Feeds, sizes: dict[str, int], options: argparse.Namespace
) -> tuple[bytes, list[Judged], list[Cost], int]:
    """The eight-bit graph, the judged groups, the costs of the exact and of this graph, and the number of layers.

    `path` is a file that contains `track`. Raises `NoGain`, and `QuantizeError` for a graph without layers.
    """
    exact = track.SerializeToString()
    found = layers(track, sizes)
    if not found:
        raise QuantizeError("the track graph has no convolution or matrix product with learnt weights")
    divided = groups(found, options.parts)
    make = Quantizer(path, track, fit, reduce_range=options.reduce_range)

    def measured(choices: list[list[Group]]) -> list[Cost]:
        return costs(exact, [make(choice) for choice in choices], held, sizes, options.rounds)

    if options.layers == "all":
        judged = [Judged(group, None, None, True) for group in divided]
    else:
        judged = choose(divided, measured, balance=options.balance)
    kept = [one.group for one in judged if one.is_kept]
    if not kept:
        raise NoGain("no group of layers is faster in eight bits here", judged)
    costs_of_it = measured([kept])
    before, after = costs_of_it
    if options.layers == "measured" and after.milliseconds >= before.milliseconds:
        raise NoGain(f"{after.milliseconds:.2f} ms in eight bits, {before.milliseconds:.2f} ms as it is", judged)
    return make(kept), judged, costs_of_it, len(found)


def manifest_of(
    manifest: dict, output: Path, graph: bytes, judged: list[Judged], all_layers: int, fit: list[Crop]
) -> dict:
    """Returns the manifest of the eight-bit model."""
    new = dict(manifest)
    new["name"] = output.resolve().name
    count = sum(len(one.group.layers) for one in judged if one.is_kept)
    new["description"] = f"{manifest['description']}; {count} of {all_layers} layers of the track graph in eight bits"
    new["files"] = {**manifest["files"], "track": {"path": "track.onnx", "sha256": sha256(graph)}}
    new["quantization"] = {"bits": 8, "layers": count, "of": all_layers}
    targets = len({crop.sequence for crop in fit})
    new["provenance"] = {
        **manifest.get("provenance", {}),
        "quantized_from": f"{manifest['name']}, track.onnx {manifest['files']['track']['sha256']}",
        "quantized_on": f"{len(fit)} search images of {targets} targets",
        "quantized_with": f"onnxruntime {onnxruntime.__version__}",
    }
    return new


def run(options: argparse.Namespace) -> None:
    """Makes the folder. Raises the errors of this package."""
    if options.output.exists() and not options.replace:
        raise ModelFolderError(f"{options.output} exists already: remove it or give --replace")
    try:
        manifest = yaml.safe_load((options.model / "model.yaml").read_text())
        track = onnx.load(options.model / manifest["files"]["track"]["path"])
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise QuantizeError(f"{options.model}: expected a model folder: {error}") from error
    if manifest.get("quantization"):
        raise QuantizeError(f"{options.model}: expected a model in single precision, got one in eight bits")
    if any(node.op_type == "QuantizeLinear" for node in track.graph.node):
        raise QuantizeError(f"{options.model}: its track graph has eight-bit layers already")
    name_nodes(track)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "crops"
        cut(options.binary, options.model, options.calibrate, folder, every=options.every, most=options.most)
        crops = read(folder)
        # The ranges are measured with the usual search size.
        usual = manifest["search"]["sizes"][0]
        fit, held = halves(crop for crop in crops if crop.search_size == usual)
        sizes = {"search_size": usual}
        path = Path(temporary) / "track.onnx"
        onnx.save(track, path)
        graph, judged, (before, after), all_layers = quantize(
            str(path),
            track,
            feeds_of(options.model, manifest, fit),
            feeds_of(options.model, manifest, held),
            sizes,
            options,
        )
        differences = largest_differences(
            track.SerializeToString(), graph, feeds_of(options.model, manifest, held), sizes
        )
    files = {"track.onnx": graph}
    if template := manifest["files"].get("template"):
        files[template["path"]] = (options.model / template["path"]).read_bytes()
    text = to_yaml(manifest_of(manifest, options.output, graph, judged, all_layers, fit))
    write_files(options.output, {**files, "model.yaml": text.encode()}, replace=options.replace)
    show(judged)
    largest = ", ".join(f"{name} {value:.3g}" for name, value in differences.items())
    print(
        f"{options.output}: {after.milliseconds:.2f} ms, {before.milliseconds:.2f} ms as it was; "
        f"relative difference of the outputs {after.difference:.3f}, largest: {largest}"
    )


def show(judged: list[Judged]) -> None:
    """Prints the last measurement of each group."""
    for one in judged:
        figures = "not measured"
        if one.milliseconds is not None:
            figures = f"{one.milliseconds:+8.3f} ms saved  {one.loss:6.1%} of the loss"
        kind = "8 bit" if one.is_kept else "float"
        print(f"{kind}  {figures}  {one.group.macs / 1e6:8.1f} M MACs  {one.group}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    options = parser().parse_args(arguments)
    np.random.seed(0)
    try:
        run(options)
    except NoGain as reason:
        show(reason.judged)
        print(f"nothing is written: {reason}", file=sys.stderr)
        return 1
    except (CalibrationError, QuantizeError, ModelFolderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
