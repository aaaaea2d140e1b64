"""Makes a checkpoint from an exported model: `python -m ettrack_training.reopen models/ettrack-nano --out CHECKPOINT`

In an exported graph the batch norms are multiplied into the convolutions before them. Training needs separate batch
norms, so each gets statistics that are measured on pictures, and a scale and shift that undo them. The network then
computes what the graph computes, and can be trained further.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import yaml
from onnx import numpy_helper
from torch import Tensor, nn

from .cost import parameters
from .distil.pictures import Pictures, framings
from .export.exemplar import FastExemplarLayer, FastExemplarTransformer, FixedExemplarLayer
from .export.graph import export_graph
from .export.inference import FOLDS, FastGate, TapConvolution, inference_form
from .networks.et_track import ETTrack, ETTrackConfig
from .networks.exemplar import ExemplarLayer
from .networks.nano import NANO, NANO_FAST, SMALL
from .pixels import normalise
from .refusals import refusals
from .trackers.anchor_free import graphs
from .train.recipe import NETWORKS
from .train.state import CheckpointFile


class ReopenError(ValueError):
    """The model folder is not an export of the given network. The message says where they differ."""


def reopen(folder: Path, config: ETTrackConfig, pictures: Iterator[tuple[Tensor, Tensor]], batches: int) -> ETTrack:
    """The network from which a model folder was exported, in evaluation mode.

    `pictures` are normalised templates and searches [B,3,S,S]; `batches` is how many of them are used for the batch
    norms' statistics. Raises `ReopenError` if the folder is not an export of such a network.
    """
    network = _blank(config)
    fast = inference_form(network)
    _fill(fast, network, folder)
    _unfold(fast, network)
    _restore_norms(network, pictures, batches)
    return network


def _blank(config: ETTrackConfig) -> ETTrack:
    """A network whose batch norms change nothing, so that the export leaves every weight as it is."""
    network = ETTrack(config).eval()
    for name, norm in _norms(network).items():
        # The values differ between parameters, so that each exported tensor can be assigned to its parameter.
        nn.init.normal_(norm.bias)
        norm.running_var.fill_(1 - norm.eps)
        if name.startswith("neck."):
            # These batch norms follow no convolution, so they are exported unchanged.
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight)
    for name, parameter in network.named_parameters():
        if name.endswith(".bias"):
            nn.init.normal_(parameter)
    return network


def _fill(fast: nn.Module, network: ETTrack, folder: Path) -> None:
    """Copies the folder's tensors to `fast`, the inference form of the blank `network`.

    The same code exports both, so the tensors have the same order. The value of a tensor in the blank network's export
    shows to which parameter it belongs.
    """
    parameters = dict(fast.named_parameters()) | {
        name: value for name, value in fast.named_buffers() if value.is_floating_point()
    }
    found: dict[str, Tensor] = {}
    for key, graph in graphs(network).items():
        blank = onnx.load_from_string(export_graph(graph)).graph
        theirs = onnx.load(folder / f"{key}.onnx").graph
        mine, others = _constants(blank), _constants(theirs)
        if [t.shape for t in mine] != [t.shape for t in others]:
            raise ReopenError(f"{folder / f'{key}.onnx'}: expected the tensors of this network's export, got others")
        for a, b in zip(mine, others, strict=True):
            for name, value in parameters.items():
                if name in found:
                    continue
                plain = value.detach().numpy()
                if plain.shape == a.shape and np.array_equal(plain, a):
                    found[name] = torch.from_numpy(b.copy())
                elif plain.ndim == 2 and plain.T.shape == a.shape and np.array_equal(plain.T, a):
                    found[name] = torch.from_numpy(b.T.copy())
    missing = [name for name in parameters if name not in found]
    if missing:
        raise ReopenError(f"{folder}: expected tensors for all parameters, found none for {', '.join(missing[:5])}")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(found[name])


def _constants(graph: onnx.GraphProto) -> list[np.ndarray]:
    """Floating-point tensors of a graph, in the order of their first use."""
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            stored[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    used = [name for node in graph.node for name in node.input if name in stored]
    return [stored[n] for n in dict.fromkeys(used) if stored[n].dtype == np.float32 and stored[n].ndim > 0]


def _norms(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}


@torch.no_grad()
def _unfold(fast: nn.Module, network: nn.Module) -> None:
    """Copies the weights of the inference form to `network`; biases go to the batch norms."""
    modules = dict(fast.named_modules())
    for name, module in network.named_modules():
        other = modules.get(name)
        folds = FOLDS.get(type(module), ())
        if hasattr(module, "conv_stem"):
            folds = (("conv_stem", "bn1"),)
        for conv, norm in folds:
            getattr(module, conv).weight.copy_(getattr(other, conv).weight)
            getattr(module, norm).bias.copy_(getattr(other, conv).bias)
        if isinstance(other, FastGate):
            first, second = ("conv_reduce", "conv_expand") if hasattr(module, "conv_reduce") else ("fc1", "fc2")
            getattr(module, first).load_state_dict(other.reduce.state_dict())
            getattr(module, second).load_state_dict(other.expand.state_dict())
        elif isinstance(other, FixedExemplarLayer):
            # The gate is a module of its own in `modules`, handled above.
            for conv, kernels, norm in (("depthwise", "V_dw", "dw_bn"), ("pointwise", "V_pw", "pw_bn")):
                getattr(module, kernels).copy_(getattr(other, conv).weight.view(1, -1))
                getattr(module, norm).bias.copy_(getattr(other, conv).bias)
        elif isinstance(module, ExemplarLayer):
            _unfold_exemplars(other, module)
        elif isinstance(other, TapConvolution):
            module.weight.copy_(other.kernel())
            module.bias.copy_(other.bias)
        elif isinstance(module, nn.Conv2d) and isinstance(other, nn.Conv2d):
            module.weight.copy_(other.weight)
            if module.bias is not None:
                module.bias.copy_(other.bias)
        elif isinstance(module, nn.BatchNorm2d) and isinstance(other, nn.BatchNorm2d):
            module.load_state_dict(other.state_dict())


def _unfold_exemplars(fast: FastExemplarLayer | FastExemplarTransformer, layer: ExemplarLayer) -> None:
    depthwise, pointwise, bias = fast.depthwise, fast.pointwise, fast.pointwise_bias
    if isinstance(fast, FastExemplarTransformer):
        first, *others = depthwise
        depthwise = torch.stack([first, *(first + other for other in others)]).flatten(1)
        pointwise = pointwise.view(-1, layer.channels, layer.channels).transpose(1, 2).flatten(1)
        for name in ("norm1", "norm2"):
            getattr(layer, name).load_state_dict(getattr(fast, name).state_dict())
        for linear, conv in ((layer.linear1, fast.widen), (layer.linear2, fast.contract)):
            linear.weight.copy_(conv.weight[:, :, 0, 0])
            linear.bias.copy_(conv.bias)
    layer.K.copy_(fast.keys.t() / layer.scale)
    layer.V_dw.copy_(depthwise)
    layer.V_pw.copy_(pointwise)
    layer.average_pooler.fc1.load_state_dict(fast.query.state_dict())
    layer.dw_bn.bias.copy_(fast.depthwise_bias)
    layer.pw_bn.bias.copy_(bias.flatten())
    for conv, linear in ((layer.se.conv_reduce, fast.reduce), (layer.se.conv_expand, fast.expand)):
        conv.weight.copy_(linear.weight[:, :, None, None])
        conv.bias.copy_(linear.bias)


@torch.no_grad()
def _restore_norms(network: ETTrack, pictures: Iterator[tuple[Tensor, Tensor]], batches: int) -> None:
    """Gives each batch norm the mean and variance of its inputs, and a scale and shift that undo them."""
    norms = _norms(network)
    sums = {name: torch.zeros(3, norm.num_features, dtype=torch.float64) for name, norm in norms.items()}

    def watch(name: str):
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            x = inputs[0].double()
            count = x.new_full((x.shape[1],), x.numel() / x.shape[1])
            sums[name] += torch.stack((x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count))

        return hook

    handles = [norm.register_forward_pre_hook(watch(name)) for name, norm in norms.items()]
    for _ in range(batches):
        network(*next(pictures))
    for handle in handles:
        handle.remove()
    for name, norm in norms.items():
        total, square, count = sums[name]
        mean = (total / count).float()
        variance = (square / count).float() - mean.square()
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance.clamp_min(1e-6))
        norm.weight.copy_(scale * (norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(shift + mean * scale)


def config_of(folder: Path) -> ETTrackConfig:
    """The configuration of an ettrack-nano or ettrack-small, from its `model.yaml`.

    The search sizes and the number of parameters show which network it is. The shape of the windows cannot be seen from
    the tensors.
    """
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    template, sizes = manifest["template"], tuple(manifest["search"]["sizes"])
    fits = [known for known in (NANO_FAST, SMALL) if known.search_sizes == sizes]
    count = manifest.get("cost", {}).get("parameters")
    network = next((known for known in fits if parameters(ETTrack(known)) == count), fits[0] if fits else NANO)
    return replace(network, box_context=template["context"] if template.get("window") == "box" else None)


def framed(pictures: Pictures, config: ETTrackConfig, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of normalised templates and searches, [B,3,S,S], cut out as a tracker cuts them out."""
    rng = np.random.default_rng(seed)
    templates = framings(pictures, config.template_size, batch, rng)
    searches = framings(pictures, config.search_sizes[0], batch, rng)
    while True:
        yield tuple(normalise(torch.from_numpy(next(stream))) for stream in (templates, searches))


def difference(network: ETTrack, folder: Path, template: Tensor, search: Tensor) -> dict[str, float]:
    """Largest difference of each output between network and folder, for one template and search [1,3,S,S]."""
    sessions = {
        key: onnxruntime.InferenceSession(folder / f"{key}.onnx", providers=["CPUExecutionProvider"])
        for key in ("template", "track")
    }
    kept = sessions["template"].run(None, {"template": template.contiguous().numpy()})[0]
    cls, reg = sessions["track"].run(["cls", "reg"], {"template_features": kept, "search": search.contiguous().numpy()})
    with torch.no_grad():
        mine = copy.deepcopy(network).eval()(template, search)
    pairs = zip(("cls", "reg"), (cls, reg), mine, strict=True)
    return {name: float(np.abs(theirs - own.numpy()).max()) for name, theirs, own in pairs}


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="model folder of an ettrack-nano")
    parser.add_argument(
        "--pictures", type=Path, nargs="+", required=True, help="folders of pictures for the batch norms' statistics"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="checkpoint to write, for --start of ettrack_training.train"
    )
    parser.add_argument("--batches", type=int, default=16, help="number of batches, of 16 pictures each")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    config = config_of(args.folder)
    pairs = framed(Pictures(args.pictures), config, 16, 1)
    network = reopen(args.folder, config, pairs, args.batches)
    template, search = next(pairs)
    for name, value in difference(network, args.folder, template[:1], search[:1]).items():
        print(f"{name}: largest difference from the folder's {value:.1e}")
    CheckpointFile(args.out).save({"state_dict": network.state_dict(), "config": config.to_dict()})
    base = next(name for name, known in NETWORKS.items() if replace(known, box_context=config.box_context) == config)
    context = "null" if config.box_context is None else config.box_context
    print(f"in the recipe that trains it further: network: {{base: {base}, box_context: {context}}}")


if __name__ == "__main__":
    main()
