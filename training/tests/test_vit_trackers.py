"""OSTrack, LiteTrack, HiT and MixFormerV2: the authors' keys, their outputs, their checkpoints."""

import functools
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from ettrack_training.checkpoint import CheckpointError
from ettrack_training.convert import looks_like, main
from ettrack_training.export import ExportError, verify_graph
from ettrack_training.networks import hit
from ettrack_training.networks.litetrack import LiteTrack
from ettrack_training.networks.mixformer2 import MixFormer2
from ettrack_training.networks.ostrack import OSTrack, kept_tokens
from ettrack_training.pixels import MEAN, STD
from ettrack_training.pseudo_weights import pseudo_state_dict
from ettrack_training.trackers import TRACKERS

DATA = Path(__file__).parents[2] / "tests/data/family"
MAPS = ("score_map", "size_map", "offset_map")
# The recorded outputs, in the network's order.
OUTPUTS = {
    "ostrack": MAPS,
    "ostrack_all_tokens": MAPS,
    "litetrack": MAPS,
    "hit": ("box",),
    "mixformer2": ("box", "score"),
}

# Number of tensors of the authors' networks, and CRC-32 of their sorted names, shapes and types.
KEYS = {
    "OSTrack-256": (OSTrack, (242, 0xF20EC584)),
    "OSTrack-384": (functools.partial(OSTrack, 192, 384), (242, 0xF1081DD7)),
    "LiteTrack-B4": (functools.partial(LiteTrack, 4), (160, 0x0FECDAC1)),
    "LiteTrack-B6": (functools.partial(LiteTrack, 6), (190, 0x68409532)),
    "LiteTrack-B8": (functools.partial(LiteTrack, 8), (220, 0x6BE7D146)),
    "LiteTrack-B9": (functools.partial(LiteTrack, 9), (235, 0xDBFAD627)),
    "HiT-Base": (functools.partial(hit.Hit, hit.BASE), (478, 0x89F9815D)),
    "HiT-Small": (functools.partial(hit.Hit, hit.SMALL), (478, 0x9C3E53EA)),
    "HiT-Tiny": (functools.partial(hit.Hit, hit.TINY), (400, 0x2E74594D)),
    "MixFormerV2-S": (MixFormer2, (66, 0xDDB02381)),
    "MixFormerV2-B": (functools.partial(MixFormer2, 128, 288, 8, 768, 3072), (114, 0x4C96C3B3)),
}


def listing(network):
    """Returns names, shapes and types in the form of the checksums above."""
    return "\n".join(
        f"{key} {'x'.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}"
        for key, value in sorted(network.state_dict().items())
    )


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_the_authors(name):
    make, expected = KEYS[name]
    with torch.device("meta"):
        network = make()
    assert (len(network.state_dict()), zlib.crc32(listing(network).encode())) == expected


@functools.cache
def network_of(name):
    """The network of the recorded outputs with its pseudo-random weights, in evaluation mode."""
    tracker = TRACKERS[name]
    network = tracker.golden_network().eval()
    network.load_state_dict(pseudo_state_dict(network.state_dict(), tracker.pseudo_rule, tracker.golden_salt))
    return network


def normalized(pixels):
    """A recorded crop as an input of the networks, [1, 3, s, s]."""
    values = (pixels / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(values.astype(np.float32).transpose(2, 0, 1)[None].copy())


def images_of(name, file):
    """The network's inputs by the names of the graphs' inputs."""
    template, search = normalized(file["template_crop"]), normalized(file["search_crop"])
    given = {"template": template}
    if name == "mixformer2":
        given["second_template"] = template
    if name == "litetrack":
        given["template_box"] = torch.from_numpy(file["template_box"])
    return given, search


@pytest.mark.parametrize("name", OUTPUTS)
def test_networks_give_what_the_authors_give(name):
    file = np.load(DATA / f"{name}.npz")
    given, search = images_of(name, file)
    with torch.no_grad():
        made = network_of(name)(*given.values(), search)
    made = made if isinstance(made, tuple) else (made,)
    for key, value in zip(OUTPUTS[name], made, strict=True):
        assert np.abs(value.numpy() - file[key]).max() < 1e-4, key


@pytest.mark.parametrize("name", OUTPUTS)
def test_graphs_give_what_the_authors_give(name):
    file = np.load(DATA / f"{name}.npz")
    given, search = images_of(name, file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graphs = {
        key: onnxruntime.InferenceSession(graph.module.SerializeToString(), options)
        for key, graph in TRACKERS[name].graphs(network_of(name)).items()
    }
    features = graphs["template"].run(None, {key: value.numpy() for key, value in given.items()})
    feeds = {node.name: value for node, value in zip(graphs["template"].get_outputs(), features, strict=True)}
    made = graphs["track"].run(None, {**feeds, "search": search.numpy()})
    for key, value in zip(OUTPUTS[name], made, strict=True):
        assert np.abs(value - file[key]).max() < 1e-4, key


def test_candidate_elimination_changes_what_the_network_gives():
    file = np.load(DATA / "ostrack.npz")
    given, search = images_of("ostrack", file)
    network = OSTrack(width=128, head_width=64, eliminates=False).eval()
    network.load_state_dict(network_of("ostrack").state_dict())
    with torch.no_grad():
        score, *_ = network(*given.values(), search)
    assert np.abs(score.numpy() - file["score_map"]).max() > 1e-3


def test_as_many_tokens_stay_as_in_the_authors_configurations():
    assert kept_tokens(256) == {3: 180, 6: 126, 9: 89}
    assert kept_tokens(384) == {3: 404, 6: 283, 9: 199}


def test_a_graph_that_keeps_other_tokens_than_rounding_allows_is_refused():
    graph = TRACKERS["ostrack"].graphs(network_of("ostrack"))["track"]
    name = graph.choices[0]
    # Keeps the tokens that the judge attends to least.
    node = next(node for node in graph.module.graph.node if name in node.output)
    next(attribute for attribute in node.attribute if attribute.name == "axis")
    node.attribute.add(name="largest", i=0, type=2)
    with pytest.raises(ExportError, match="below the 180 to be kept"):
        verify_graph(graph, graph.module.SerializeToString(), "track.onnx")


@pytest.mark.parametrize(
    ("name", "sizes", "factor"), [("ostrack", (192, 384), 5.0), ("ostrack_all_tokens", (128, 256), 4.0)]
)
def test_sizes_and_widths_are_read_from_the_checkpoint(tmp_path, name, sizes, factor):
    network = OSTrack(*sizes, depth=11, width=64, head_width=32)
    torch.save({"net": network.state_dict(), "epoch": 300}, tmp_path / "OSTrack_ep0300.pth.tar")
    output = tmp_path / "model"
    assert main(["--tracker", name, str(tmp_path / "OSTrack_ep0300.pth.tar"), "--output", str(output)]) == 0
    manifest = yaml.safe_load((output / "model.yaml").read_text())
    assert (manifest["template"]["size"], manifest["search"]["sizes"]) == (sizes[0], [sizes[1]])
    assert manifest["search"]["factor"] == factor


# A network that was never published, and the message of its refusal.
UNPUBLISHED = {
    "ostrack": (lambda: OSTrack(112, 224, width=64, head_width=32), "112 and 224 pixels a side, expected 128 and 256"),
    "ostrack shallow": (lambda: OSTrack(depth=10, width=64, head_width=32), "10 blocks of an OSTrack, expected 11"),
    "mixformer2": (lambda: MixFormer2(96, 192, width=64, hidden=64), "96 and 192 pixels a side, expected 112 and 224"),
}


@pytest.mark.parametrize("case", UNPUBLISHED)
def test_other_sizes_are_refused(case):
    make, words = UNPUBLISHED[case]
    with pytest.raises(CheckpointError, match=words):
        TRACKERS[case.split()[0]].build(make().state_dict())


def test_other_depths_of_litetrack_are_refused():
    state = dict(LiteTrack(4, 64, 32).state_dict())
    state |= {key.replace("blocks.3.", "blocks.4."): value for key, value in state.items()}
    with pytest.raises(CheckpointError, match="5 blocks of a LiteTrack, expected 4, 6, 8 or 9"):
        TRACKERS["litetrack"].build(state)


@pytest.mark.parametrize("name", ["litetrack", "hit", "mixformer2"])
def test_a_checkpoint_of_another_tracker_is_named(tmp_path, name, capsys):
    path = tmp_path / "checkpoint.pth"
    torch.save({"net": network_of(name).state_dict()}, path)
    assert looks_like(network_of(name).state_dict()) == name
    assert main(["--tracker", "ostrack", str(path), "--output", str(tmp_path / "model")]) == 2
    assert f"it looks like a checkpoint of {name}" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_hits_sizes_are_read_from_the_checkpoint():
    for config in (hit.BASE, hit.SMALL, hit.TINY):
        with torch.device("meta"):
            state = hit.Hit(config).state_dict()
            assert TRACKERS["hit"].build(state).config == config
