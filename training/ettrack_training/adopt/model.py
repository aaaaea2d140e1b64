"""Makes the graphs and the manifest of a model folder from ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from . import layouts, surgery
from .graphs import AdoptError, OnnxFile, Port, listed, macs, parameters, read, run
from .layouts import FAMILIES, REFRESHED, Images, Outputs

# Names in the written graphs.
TEMPLATE, REFRESHED_TEMPLATE, SEARCH = "template", "refreshed_template", "search"
# Largest accepted difference between outputs of the file and of the written graphs, as a part of the largest value.
_TOLERANCE = 1e-4
_STRIDES = (4, 8, 16, 32)
# Options for values that not every family uses, by the section and key of the value.
_OPTIONS = {
    ("template", "factor"): "--template-factor",
    ("template", "context"): "--context",
    ("template", "window"): "--window",
    ("search", "factor"): "--search-factor",
    ("search", "exemplar_size"): "--exemplar-size",
    ("search", "stride"): "--stride",
}
_GRIDS = ("anchor_free", "nanotrack")


@dataclass(frozen=True)
class Stated:
    """What the user states about the model. `None` or empty: the graph or the usual values decide."""

    family: str | None = None
    template_size: int | None = None
    search_size: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    pixels: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    activation: str | None = None
    box_format: str = "cxcywh"
    cut: bool = True


@dataclass
class Adopted:
    """Graphs and manifest sections, and the origin of each value."""

    graphs: dict[str, onnx.ModelProto]
    sections: dict[str, Any]
    sources: list[OnnxFile]
    known: list[tuple[str, str, str]]
    differences: dict[str, float]

    @property
    def cost(self) -> dict[str, int]:
        costs = {f"macs_{name}": macs(graph) for name, graph in self.graphs.items()}
        return {"parameters": parameters(list(self.graphs.values())), **costs}


@dataclass
class _Whole:
    """All files as one graph from images to outputs, with the names of its images and outputs."""

    file: OnnxFile
    images: Images
    sizes: dict[str, int]
    model: onnx.ModelProto
    # Names in `model` of the images and of the file's outputs.
    image_names: dict[str, str]
    output_names: dict[str, str]


def adopt(paths: list[Path], stated: Stated) -> Adopted:
    """Reads and recognises files, and makes the contents of a model folder. Writes nothing. Raises `AdoptError`."""
    files = [read(path) for path in paths]
    if len(files) == 1:
        whole = _one_graph(files[0], stated)
    elif len(files) == 2:
        whole = _two_graphs(*files, stated)
    else:
        raise AdoptError(f"expected one file, or two (backbone and head, or template and track), got {len(files)}")
    return _made(whole, files, stated)


def noise(size: int, seed: int, half: bool = False) -> np.ndarray:
    """Returns a picture of bright and dark patches in 0..1, [1, 3, size, size]. It is the same on every machine."""
    random = np.random.default_rng(seed)
    places = np.arange(size)
    image = sum(
        random.random((3, cells, cells))[:, places * cells // size][:, :, places * cells // size] for cells in (3, 9)
    )
    return (image[None] / 2).astype(np.float16 if half else np.float32)


def _side(file: OnnxFile, port: Port, stated: int | None, option: str) -> int:
    """Returns the side of an image input, pixels."""
    batch, _, rows, columns = port.shape
    if isinstance(batch, int) and batch != 1:
        raise AdoptError(f"{file.path}: input {port} takes {batch} images at once, expected 1")
    fixed = next((length for length in (rows, columns) if isinstance(length, int)), None)
    if fixed is None and stated is None:
        raise AdoptError(f"{file.path}: input {port} has a free size: state it with {option}")
    if fixed is not None and stated is not None and fixed != stated:
        raise AdoptError(f"{file.path}: input {port} has {fixed} pixels a side, {option} says {stated}")
    return fixed if fixed is not None else int(stated or 0)


def _one_graph(file: OnnxFile, stated: Stated) -> _Whole:
    images = layouts.images_of(file, dict(stated.inputs))
    sizes = {TEMPLATE: _side(file, images.template, stated.template_size, "--template-size")}
    sizes[SEARCH] = _side(file, images.search, stated.search_size, "--search-size")
    model = surgery.copy(file.model)
    names = {TEMPLATE: images.template.name, SEARCH: images.search.name}
    if images.refreshed:
        sizes[REFRESHED_TEMPLATE] = sizes[TEMPLATE]
        names[REFRESHED_TEMPLATE] = images.refreshed.name
    return _Whole(
        file,
        images,
        sizes,
        model,
        {role: f"net/{name}" for role, name in names.items()},
        {port.name: f"net/{port.name}" for port in file.outputs},
    )


def _two_graphs(first: OnnxFile, second: OnnxFile, stated: Stated) -> _Whole:
    if stated.inputs:
        given = ", ".join(f"--{role}-input" for role in stated.inputs)
        raise AdoptError(f"{first.path} and {second.path}: expected one file for {given}; the images of two are known")
    seeing = [file for file in (first, second) if all(layouts.is_image(port) for port in file.inputs)]
    if len(seeing) != 1 or len(seeing[0].inputs) != 1:
        raise AdoptError(
            f"{first.path} takes {listed(first.inputs)} and {second.path} takes {listed(second.inputs)}; expected one "
            "graph that takes one image, and one that takes what the first gives"
        )
    before = seeing[0]
    after = second if before is first else first
    if any(layouts.is_image(port) for port in after.inputs):
        return _template_and_track(before, after, stated)
    return _backbone_and_head(before, after, stated)


def _backbone_and_head(backbone: OnnxFile, head: OnnxFile, stated: Stated) -> _Whole:
    """Joins a head with one backbone for both images."""
    if len(head.inputs) != 2 or len(backbone.outputs) != 1:
        raise AdoptError(
            f"expected a backbone with one output and a head with two inputs; {backbone.path} gives "
            f"{listed(backbone.outputs)} and {head.path} takes {listed(head.inputs)}"
        )
    picture = backbone.inputs[0]
    template, search = head.inputs
    sides = [port.shape[-1] for port in head.inputs]
    if all(isinstance(side, int) for side in sides) and sides[0] > sides[1]:
        template, search = search, template
    search_size = _side(backbone, picture, stated.search_size, "--search-size")
    template_size = stated.template_size
    if template_size is None:
        if not isinstance(template.shape[-1], int) or not isinstance(search.shape[-1], int):
            raise AdoptError(
                f"{head.path}: input {template} has a free size: state the template's with --template-size"
            )
        template_size = search_size * template.shape[-1] // search.shape[-1]
    sizes = {TEMPLATE: template_size, SEARCH: search_size}
    for port, size in ((template, template_size), (search, search_size)):
        made = _features(backbone, size)
        wanted = [length for length in port.shape if isinstance(length, int)]
        if len(made) != len(port.shape) or any(
            length not in (made[axis], "?") and isinstance(length, int) for axis, length in enumerate(port.shape)
        ):
            raise AdoptError(
                f"{head.path}: input {port} expects {wanted}, {backbone.path} gives {list(made)} of an image of {size} "
                "pixels: files of two versions, or of another size?"
            )
    of_search = surgery.joined(backbone, head, (backbone.outputs[0].name, search.name))
    # A second copy of the backbone takes the template. Its weights are the same.
    again = onnx.compose.add_prefix(surgery.copy(backbone.model), "t/")
    again.ir_version = of_search.ir_version
    model = onnx.compose.merge_models(
        again, of_search, io_map=[(f"t/net/{backbone.outputs[0].name}", f"h/net/{template.name}")]
    )
    image = Port(picture.name, (1, 3, template_size, template_size), picture.half)
    whole = Port(picture.name, (1, 3, search_size, search_size), picture.half)
    return _Whole(
        head,
        Images(image, whole),
        sizes,
        model,
        {TEMPLATE: f"t/net/{picture.name}", SEARCH: f"b/net/{picture.name}"},
        {port.name: f"h/net/{port.name}" for port in head.outputs},
    )


def _features(backbone: OnnxFile, size: int) -> tuple[int, ...]:
    model = surgery.copy(backbone.model)
    port = backbone.inputs[0]
    surgery.set_shape(model, f"net/{port.name}", (1, 3, size, size))
    _forget_outputs(model)
    return next(iter(run(backbone.path, model, {f"net/{port.name}": noise(size, 1, port.half)}).values())).shape


def _forget_outputs(model: onnx.ModelProto) -> None:
    """Removes the declared shapes of outputs, because they belong to the declared image size."""
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def _template_and_track(before: OnnxFile, after: OnnxFile, stated: Stated) -> _Whole:
    """Joins a graph for the template and one for the search region. A model folder has the same division."""
    image = next(port for port in after.inputs if layouts.is_image(port))
    wanted = [port for port in after.inputs if port is not image]
    given = {port.name: port for port in before.outputs}
    links = []
    for port in wanted:
        same = given.get(port.name) or next((made for made in before.outputs if made.shape == port.shape), None)
        if (
            same is None
            or len(same.shape) != len(port.shape)
            or any(
                a != b for a, b in zip(same.shape, port.shape, strict=True) if isinstance(a, int) and isinstance(b, int)
            )
        ):
            raise AdoptError(
                f"{after.path}: nothing fits its input {port}; {before.path} gives {listed(before.outputs)}: files of "
                "two versions, or of another size?"
            )
        links.append((f"b/net/{same.name}", f"h/net/{port.name}"))
    if before.opset != after.opset:
        raise AdoptError(f"{after.path}: operator set {after.opset}, expected {before.opset} as in {before.path}")
    first, second = (
        onnx.compose.add_prefix(surgery.copy(file.model), prefix) for file, prefix in ((before, "b/"), (after, "h/"))
    )
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    sizes = {
        TEMPLATE: _side(before, before.inputs[0], stated.template_size, "--template-size"),
        SEARCH: _side(after, image, stated.search_size, "--search-size"),
    }
    return _Whole(
        after,
        Images(before.inputs[0], image),
        sizes,
        onnx.compose.merge_models(first, second, io_map=links),
        {TEMPLATE: f"b/net/{before.inputs[0].name}", SEARCH: f"h/net/{image.name}"},
        {port.name: f"h/net/{port.name}" for port in after.outputs},
    )


def _made(whole: _Whole, files: list[OnnxFile], stated: Stated) -> Adopted:
    """Gives the graph the names and outputs of the runtime, divides it, checks it and describes it."""
    file, model = whole.file, whole.model
    for role, name in whole.image_names.items():
        surgery.set_shape(model, name, (1, 3, whole.sizes[role], whole.sizes[role]))
    _forget_outputs(model)
    # Joined graphs still contain shapes that were declared for other image sizes.
    del model.graph.value_info[:]
    surgery.rename(model, {name: role for role, name in whole.image_names.items()})
    half = {role: port.half for role, port in zip((TEMPLATE, REFRESHED_TEMPLATE), whole.images.templates, strict=False)}
    half[SEARCH] = whole.images.search.half
    pictures = [
        {role: noise(size, seed + number, half[role]) for number, (role, size) in enumerate(whole.sizes.items())}
        for seed in (1, 11)
    ]
    answers = [run(file.path, model, images) for images in pictures]
    ports = [Port(port.name, answers[0][whole.output_names[port.name]].shape, port.half) for port in file.outputs]
    outputs = layouts.outputs_of(file, ports, stated.family, dict(stated.outputs))
    _refuse_unused(file, outputs, stated)
    _refuse_deaf(whole, outputs, pictures[0], answers[0])
    activation, why = _activation(whole, outputs, answers, stated)
    _shape_outputs(whole, outputs, activation, stated)
    if any(half.values()):
        surgery.single_precision(model, [role for role, is_half in half.items() if is_half], [])
    roles = [role for role in ("score", "boxes", "size", "offset") if getattr(outputs, role)]
    surgery.keep_outputs(model, roles)
    graphs = _cut(whole, stated, any(half.values()))
    features = [value.name for value in graphs["template"].graph.output] if "template" in graphs else []
    differences = _compare(whole, outputs, graphs, roles, pictures, answers, activation, stated)
    sections, known = _sections(whole, outputs, features, activation, why, stated)
    return Adopted(graphs, sections, files, known, differences)


def _refuse_unused(file: OnnxFile, outputs: Outputs, stated: Stated) -> None:
    """Refuses stated values that the family does not use, because they would have no effect."""
    roles = [role for role in ("score", "boxes", "size", "offset") if getattr(outputs, role)]
    used = _used_options(outputs.family) + [f"--{role}-output" for role in roles]
    given = [option for (section, key), option in _OPTIONS.items() if key in getattr(stated, section)]
    given += [f"--{role}-output" for role in stated.outputs]
    if stated.activation:
        given.append("--activation")
    if outputs.score:
        used.append("--activation")
    if stated.box_format != Stated.box_format:
        given.append("--box-format")
    if outputs.family == "single_box":
        used.append("--box-format")
    if unused := [option for option in given if option not in used]:
        raise AdoptError(
            f"{file.path}: {outputs.family} with {listed(list(file.outputs))} does not use {', '.join(unused)}; "
            f"expected among {', '.join(used)}"
        )


def _used_options(family: str) -> list[str]:
    """The options of `_OPTIONS` that a family uses."""
    usual = FAMILIES[family]
    used = {*(("template", key) for key in usual.template), *(("search", key) for key in usual.search)}
    used.add(("search", "stride"))
    if family in _GRIDS:
        used.add(("search", "exemplar_size"))
    if family == "anchor_free":
        used.add(("template", "window"))
    return [option for place, option in _OPTIONS.items() if place in used]


def _refuse_deaf(
    whole: _Whole, outputs: Outputs, pictures: Mapping[str, np.ndarray], answer: Mapping[str, np.ndarray]
) -> None:
    """Refuses a graph whose outputs are not finite or do not depend on both images."""
    read_ports = [port for port in (outputs.score, outputs.boxes, outputs.size, outputs.offset) if port]
    for port in read_ports:
        if not np.isfinite(answer[whole.output_names[port.name]]).all():
            raise AdoptError(
                f"{whole.file.path}: output {port} holds numbers that are not finite, on a picture in 0..1"
            )
    for role in (TEMPLATE, SEARCH):
        other = {**pictures, role: noise(whole.sizes[role], 77, pictures[role].dtype == np.float16)}
        changed = run(whole.file.path, whole.model, other)
        if all(
            np.array_equal(changed[whole.output_names[p.name]], answer[whole.output_names[p.name]]) for p in read_ports
        ):
            raise AdoptError(
                f"{whole.file.path}: no output changes with the {role} image, input "
                f"{whole.image_names[role].rpartition('/')[2]}; expected a graph that compares both"
            )


def _activation(
    whole: _Whole, outputs: Outputs, answers: list[dict[str, np.ndarray]], stated: Stated
) -> tuple[str | None, str]:
    """Returns whether scores are logits (`sigmoid`) or already in 0..1 (`none`), and the origin of this value."""
    if outputs.score is None:
        return None, ""
    if stated.activation:
        return stated.activation, "stated"
    name = whole.output_names[outputs.score.name]
    makers = {made: node for node in whole.model.graph.node for made in node.output}
    while name in makers:
        node = makers[name]
        if node.op_type in ("Sigmoid", "Softmax", "HardSigmoid"):
            return "none", f"in the graph ({node.op_type})"
        if node.op_type not in ("Clip", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Cast", "Identity", "Flatten"):
            break
        name = node.input[0]
    values = [answer[whole.output_names[outputs.score.name]] for answer in answers]
    within = all(value.min() >= 0 and value.max() <= 1 for value in values)
    return ("none", "assumed: all scores of two pictures lie in 0..1") if within else ("sigmoid", "scores leave 0..1")


def _shape_outputs(whole: _Whole, outputs: Outputs, activation: str | None, stated: Stated) -> None:
    """Gives the outputs their names and shapes."""
    model = whole.model
    for role in ("score", "boxes", "size", "offset"):
        port: Port | None = getattr(outputs, role)
        if port is None:
            continue
        source = whole.output_names[port.name]
        if port.half:
            surgery.append(model, "Cast", [source], f"{role}/single", to=TensorProto.FLOAT)
            source = f"{role}/single"
        if role == "score" and len(port.shape) == 4 and port.shape[1] == 2:
            surgery.channel(model, source, 1, "score/target")
            if activation == "sigmoid":
                # The softmax of two values is the sigmoid of their difference.
                surgery.channel(model, source, 0, "score/background")
                surgery.append(model, "Sub", ["score/target", "score/background"], role)
            else:
                surgery.append(model, "Identity", ["score/target"], role)
        elif len(port.shape) == 4:
            surgery.append(model, "Identity", [source], role)
        else:
            shape = np.array([1] if role == "score" else [1, 1, 4], np.int64)
            shaped = role if role == "score" or stated.box_format == "cxcywh" else f"{role}/shaped"
            surgery.append(model, "Reshape", [source, surgery.constant(model, f"{role}/shape", shape)], shaped)
            if shaped != role:
                corners = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
                surgery.append(model, "MatMul", [shaped, surgery.constant(model, f"{role}/corners", corners)], role)


def _cut(whole: _Whole, stated: Stated, half: bool) -> dict[str, onnx.ModelProto]:
    """Divides the graph into template and track graph. Returns one graph if it cannot be divided."""
    model = whole.model
    images = [role for role in whole.sizes if role != SEARCH]
    features = surgery.template_cut(model, images)
    results = [output.name for output in model.graph.output]
    if not stated.cut or half or not features or len(features) > surgery.MOST_FEATURES or set(features) & set(images):
        return {"track": model}
    try:
        graphs = {
            "template": surgery.extracted(whole.file.path, model, images, features),
            "track": surgery.extracted(whole.file.path, model, [*features, SEARCH], results),
        }
    except AdoptError:
        # ONNX cannot infer the shape of a tensor between the parts.
        return {"track": model}
    names = {name: f"template_feature_{number}" for number, name in enumerate(features)}
    for graph in graphs.values():
        surgery.rename(graph, names)
    floats = [output.type.tensor_type.elem_type == TensorProto.FLOAT for output in graphs["template"].graph.output]
    return graphs if all(floats) else {"track": model}


def _compare(
    whole: _Whole,
    outputs: Outputs,
    graphs: dict[str, onnx.ModelProto],
    roles: list[str],
    pictures: list[dict[str, np.ndarray]],
    answers: list[dict[str, np.ndarray]],
    activation: str | None,
    stated: Stated,
) -> dict[str, float]:
    """Returns the largest differences between the outputs of the files and of the written graphs, as parts of the
    largest value. Raises `AdoptError` if one is too large."""
    largest = dict.fromkeys(roles, 0.0)
    for images, answer in zip(pictures, answers, strict=True):
        single = {role: image.astype(np.float32) for role, image in images.items()}
        features: dict[str, np.ndarray] = {}
        if "template" in graphs:
            features = run(whole.file.path, graphs["template"], {k: v for k, v in single.items() if k != SEARCH})
            _declare(graphs["template"], features)
        given = {SEARCH: single[SEARCH], **features} if features else single
        made = run(whole.file.path, graphs["track"], given)
        _declare(graphs["track"], made)
        for role in roles:
            port: Port = getattr(outputs, role)
            expected = answer[whole.output_names[port.name]].astype(np.float32)
            if role == "score" and len(port.shape) == 4 and port.shape[1] == 2:
                background = expected[:, :1] if activation == "sigmoid" else 0
                expected = expected[:, 1:] - background
            if role == "boxes" and len(port.shape) < 4 and stated.box_format == "xyxy":
                left, top, right, bottom = expected.reshape(4)
                expected = np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], np.float32)
            difference = float(np.abs(made[role].ravel() - expected.ravel()).max() / max(np.abs(expected).max(), 1e-6))
            if not difference <= (_TOLERANCE if not port.half else 2e-2):
                raise AdoptError(
                    f"{whole.file.path}: the written graph's {role} differs by {difference:.2g} from the file's"
                )
            largest[role] = max(largest[role], difference)
    for graph in graphs.values():
        onnx.checker.check_model(graph)
    return largest


def _declare(model: onnx.ModelProto, values: Mapping[str, np.ndarray]) -> None:
    """Declares the shapes of outputs."""
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(value.shape)) for name, value in values.items()
    )


def _sections(
    whole: _Whole, outputs: Outputs, features: list[str], activation: str | None, why: str, stated: Stated
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """Returns the sections of model.yaml, and the origin of each value."""
    known: list[tuple[str, str, str]] = []

    def note(key: str, value: Any, source: str) -> Any:
        known.append((key, str(value), source))
        return value

    family = note("family", outputs.family, "stated" if stated.family else "outputs of the graph")
    usual = FAMILIES[family]
    for role, port in zip((TEMPLATE, REFRESHED_TEMPLATE), whole.images.templates, strict=False):
        note(f"{role} image", f"{port.name}, {whole.sizes[role]} pixels a side", "inputs of the graph")
    note("search image", f"{whole.images.search.name}, {whole.sizes[SEARCH]} pixels a side", "inputs of the graph")
    for role in ("score", "boxes", "size", "offset"):
        if port := getattr(outputs, role):
            note(role, port, "stated" if role in stated.outputs else "outputs of the graph")
    if outputs.dropped:
        note("not read", listed(list(outputs.dropped)), "outputs of the graph")

    def chosen(section: Mapping[str, Any], key: str, default: Any, name: str) -> Any:
        return note(name, section.get(key, default), "stated" if key in section else "assumed, as its authors have it")

    pixels = {key: chosen(stated.pixels, key, value, f"input.{key}") for key, value in usual.pixels.items()}
    template: dict[str, Any] = {"input": TEMPLATE}
    if whole.images.refreshed:
        template["refreshed_input"] = REFRESHED_TEMPLATE
    template["size"] = whole.sizes[TEMPLATE]
    if "window" in stated.template:
        template["window"] = note("template.window", stated.template["window"], "stated")
    for key, value in usual.template.items():
        template[key] = chosen(stated.template, key, value, f"template.{key}")
    template["outputs"] = features
    search: dict[str, Any] = {"input": SEARCH, "sizes": [whole.sizes[SEARCH]]}
    if family in _GRIDS:
        search["exemplar_size"] = chosen(stated.search, "exemplar_size", whole.sizes[TEMPLATE], "search.exemplar_size")
    for key, value in usual.search.items():
        search[key] = chosen(stated.search, key, value, f"search.{key}")
    search |= _cells(whole, outputs, stated, note)
    written: dict[str, Any] = {}
    if outputs.score:
        written["score"] = {"name": "score", "activation": note("score activation", activation, why)}
    written |= {role: {"name": role} for role in ("boxes", "size", "offset") if getattr(outputs, role)}
    constants = {key: chosen(stated.constants, key, value, f"tracking.{key}") for key, value in usual.tracking.items()}
    if whole.images.refreshed:
        if family != "single_box" or outputs.score is None:
            raise AdoptError(
                f"{whole.file.path}: takes a second template {whole.images.refreshed} without a score of one number, "
                f"which says when it is refreshed; the graph gives {listed(whole.file.outputs)}"
            )
        constants |= {k: chosen(stated.constants, k, v, f"tracking.{k}") for k, v in REFRESHED.items()}
    for key in stated.constants.keys() - constants.keys():
        constants[key] = note(f"tracking.{key}", stated.constants[key], "stated")
    return {
        "input": pixels,
        "template": template,
        "search": search,
        "outputs": written,
        "tracking": {"default": constants},
    }, known


def _cells(whole: _Whole, outputs: Outputs, stated: Stated, note: Any) -> dict[str, int]:
    """Returns the stride, and the number of cells if it does not follow from the stride."""
    size = whole.sizes[SEARCH]
    if outputs.family == "single_box":
        # Every manifest needs a stride, although this family has no map.
        return {"stride": stated.search.get("stride", 16)}
    side = outputs.score.shape[-1]
    stride = stated.search.get("stride") or min(_STRIDES, key=lambda stride: abs(stride - size / side))
    note("search.stride", f"{stride}, {side} cells a side", "stated" if "stride" in stated.search else "score map")
    if round(size / stride) == side:
        return {"stride": stride}
    if outputs.family == "nanotrack":
        return {"stride": stride, "cells": side}
    raise AdoptError(
        f"{whole.file.path}: a score map of {side} x {side} cells of a search image of {size} pixels, expected "
        f"{round(size / stride)} at a stride of {stride}: state another with --stride"
    )
