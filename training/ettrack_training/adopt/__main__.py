"""Makes a model folder from ONNX files of other projects.

    python -m ettrack_training.adopt tracker.onnx --output models/mine
    python -m ettrack_training.adopt backbone.onnx head.onnx --output models/mine --frame first.png --box 310,120,64,96

The command shows which values it read from the graphs, which the user stated and which it assumed. With --show it
writes nothing. With a frame it cuts the template from the frame and searches for the target in the same frame. A small
overlap means that an assumption is wrong. Options for values that the model's family does not use are refused.

Exit codes: 0 done, 2 the files or the command line cannot be used. In that case nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..model_folder import ModelFolderError, write_graphs
from .frame import look
from .graphs import AdoptError
from .layouts import FAMILIES
from .model import Adopted, Stated, adopt

# Smallest overlap at which the target counts as found in the frame of its template.
_FOUND = 0.5


def numbers(count: int):
    """Returns a parser of `count` numbers that are separated by commas."""

    def parse(text: str) -> list[float]:
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"expected {count} numbers with commas between them, got {text!r}")
        return values

    return parse


def constant(text: str) -> tuple[str, float]:
    """Parses NAME=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected NAME=NUMBER, got {text!r}") from error


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m ettrack_training.adopt",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "files",
        nargs="+",
        type=Path,
        help="one graph that takes template and search image; or backbone and head; or template and track graph",
    )
    made.add_argument("--output", type=Path, help="the model folder to write")
    made.add_argument("--show", action="store_true", help="write nothing")
    made.add_argument("--replace", action="store_true", help="replace an existing model")
    made.add_argument("--family", choices=sorted(FAMILIES), help="family of the model, which decodes the outputs")
    made.add_argument("--template-size", type=int, help="side in pixels, if the graph does not fix it")
    made.add_argument("--search-size", type=int, help="side in pixels, if the graph does not fix it")
    for role in ("template", "refreshed", "search"):
        made.add_argument(f"--{role}-input", metavar="NAME", help=f"the input that is the {role} image")
    for role in ("score", "boxes", "size", "offset"):
        made.add_argument(f"--{role}-output", metavar="NAME", help=f"the output that is the {role}")
    made.add_argument("--activation", choices=["sigmoid", "none"], help="scores are logits (sigmoid) or 0..1 (none)")
    made.add_argument(
        "--box-format",
        choices=["cxcywh", "xyxy"],
        default="cxcywh",
        help="format of a single box, in parts of the image's sides",
    )
    made.add_argument("--channels", choices=["rgb", "bgr"])
    made.add_argument("--scale", type=float, help="number by which pixel values are divided first")
    made.add_argument(
        "--mean",
        type=numbers(3),
        metavar="A,B,C",
        help="numbers that are then subtracted, in the order of the channels",
    )
    made.add_argument("--std", type=numbers(3), metavar="A,B,C", help="numbers by which the result is divided")
    made.add_argument(
        "--template-factor", type=float, help="side of the template region, in multiples of the target's mean side"
    )
    made.add_argument(
        "--search-factor", type=float, help="side of the search region, in multiples of the target's mean side"
    )
    made.add_argument("--context", type=float, help="context around the target, see docs/model-folder.md")
    made.add_argument("--window", choices=["square", "box"], help="shape of the regions of anchor_free")
    made.add_argument("--exemplar-size", type=int, help="side of the template region in search pixels")
    made.add_argument("--stride", type=int, help="search pixels per cell of the score map")
    made.add_argument(
        "--constant", type=constant, action="append", default=[], metavar="NAME=VALUE", help="a constant of tracking"
    )
    made.add_argument("--whole", action="store_true", help="keep one graph: do not divide it into template and track")
    made.add_argument("--frame", type=Path, help="a picture to try the model on")
    made.add_argument("--box", type=numbers(4), metavar="X,Y,W,H", help="box of the target in that picture, pixels")
    made.add_argument("--description", default="adopted ONNX files")
    made.add_argument("--source", help="origin of the files")
    made.add_argument("--licence", default="not stated")
    return made


def stated_by(options: argparse.Namespace) -> Stated:
    """Returns what the command line states about the model."""

    def given(**values: object) -> dict:
        return {key: value for key, value in values.items() if value is not None}

    return Stated(
        family=options.family,
        template_size=options.template_size,
        search_size=options.search_size,
        inputs=given(template=options.template_input, refreshed=options.refreshed_input, search=options.search_input),
        outputs=given(
            score=options.score_output,
            boxes=options.boxes_output,
            size=options.size_output,
            offset=options.offset_output,
        ),
        pixels=given(channels=options.channels, scale=options.scale, mean=options.mean, std=options.std),
        template=given(factor=options.template_factor, context=options.context, window=options.window),
        search=given(factor=options.search_factor, exemplar_size=options.exemplar_size, stride=options.stride),
        constants=dict(options.constant),
        activation=options.activation,
        box_format=options.box_format,
        cut=not options.whole,
    )


def show(adopted: Adopted) -> None:
    """Prints all known values with their origins."""
    width = max(len(key) for key, _, _ in adopted.known)
    for key, value, source in adopted.known:
        print(f"{key:{width}}  {value}  ({source})", file=sys.stderr)
    graphs = ", ".join(f"{name}.onnx" for name in adopted.graphs)
    cost = adopted.cost
    print(
        f"{graphs}: {cost['parameters'] / 1e6:.2f} M parameters, {cost['macs_track'] / 1e9:.2f} G multiply-accumulates "
        f"per frame; largest difference from the files {max(adopted.differences.values()):.1g}",
        file=sys.stderr,
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    made = parser()
    options = made.parse_args(arguments)
    if options.show == (options.output is not None):
        made.error("expected --output FOLDER, or --show")
    if (options.frame is None) != (options.box is None):
        made.error("--frame and --box are given together")
    try:
        adopted = adopt(options.files, stated_by(options))
        show(adopted)
        if options.frame:
            answer = look(adopted, options.frame, tuple(options.box))
            score = "" if answer.score is None else f", score {answer.score:.2f}"
            box = ", ".join(f"{value:.1f}" for value in answer.box)
            print(f"in its own frame: found at {box}, overlap {answer.overlap:.2f}{score}", file=sys.stderr)
            if answer.overlap < _FOUND:
                print(
                    "warning: the target is not found in the frame of its template: check the order of the channels, "
                    "the normalisation, the factors and the outputs",
                    file=sys.stderr,
                )
        if options.show:
            return 0
        write(adopted, options.output, options.description, options.source, options.licence, options.replace)
    except (AdoptError, ModelFolderError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(options.output)
    return 0


def write(
    adopted: Adopted, output: Path, description: str, source: str | None, licence: str, replace: bool = False
) -> None:
    """Writes the whole model folder, or nothing on an error."""
    files = ", ".join(file.path.name for file in adopted.sources)
    provenance = {
        "source": source or files,
        "checkpoint_sha256": " ".join(file.sha256 for file in adopted.sources),
        "licence": licence,
    }
    graphs = {name: graph.SerializeToString() for name, graph in adopted.graphs.items()}
    family = next(value for key, value, _ in adopted.known if key == "family")
    write_graphs(
        output,
        graphs,
        family=family,
        description=description,
        sections=adopted.sections,
        costs=adopted.cost,
        provenance=provenance,
        replace=replace,
    )


if __name__ == "__main__":
    sys.exit(main())
