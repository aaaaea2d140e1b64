"""One-stream trackers, HiT, AsymTrack, MixFormerV2, STARK and SUTrack: the authors' keys, outputs and checkpoints."""

import copy
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
from ettrack_training.model_folder import write_model_folder
from ettrack_training.networks import asymtrack, hit, sutrack
from ettrack_training.networks.asymtrack import AsymTrack
from ettrack_training.networks.avtrack import AVTrack
from ettrack_training.networks.litetrack import LiteTrack
from ettrack_training.networks.mixformer2 import MixFormer2
from ettrack_training.networks.ostrack import OSTrack, kept_tokens
from ettrack_training.networks.sglatrack import SGLATrack
from ettrack_training.networks.stark import StarkConfig, StarkS, StarkST, positions
from ettrack_training.networks.sutrack import SUTrack, SUTrackConfig, foreground
from ettrack_training.pixels import MEAN, STD
from ettrack_training.pseudo_weights import pseudo_state_dict
from ettrack_training.trackers import RECORDED, TRACKERS

DATA = Path(__file__).parents[2] / "tests/data/family"
MAPS = ("score_map", "size_map", "offset_map")
# The recorded outputs, in the network's order.
OUTPUTS = {
    "ostrack": MAPS,
    "ostrack_all_tokens": MAPS,
    "litetrack": MAPS,
    "avtrack": MAPS,
    "sglatrack": MAPS,
    "hit": ("box",),
    "asymtrack": ("box",),
    "mixformer2": ("box", "score"),
    "stark": ("box",),
    "stark_st": ("box", "score"),
    "sutrack": MAPS,
    "sutrack_b": MAPS,
}

# Number of tensors of the authors' networks, and CRC-32 of their sorted names, shapes and types.
KEYS = {
    "OSTrack-256": (OSTrack, (242, 0xF20EC584)),
    "OSTrack-384": (functools.partial(OSTrack, 192, 384), (242, 0xF1081DD7)),
    "LiteTrack-B4": (functools.partial(LiteTrack, 4), (160, 0x0FECDAC1)),
    "LiteTrack-B6": (functools.partial(LiteTrack, 6), (190, 0x68409532)),
    "LiteTrack-B8": (functools.partial(LiteTrack, 8), (220, 0x6BE7D146)),
    "LiteTrack-B9": (functools.partial(LiteTrack, 9), (235, 0xDBFAD627)),
    "AVTrack": (AVTrack, (266, 0xCDA58CAA)),
    "AVTrack-MD": (functools.partial(AVTrack, 6), (182, 0x1B494F08)),
    "SGLATrack": (SGLATrack, (246, 0x37BF14D4)),
    "HiT-Base": (functools.partial(hit.Hit, hit.BASE), (478, 0x89F9815D)),
    "HiT-Small": (functools.partial(hit.Hit, hit.SMALL), (478, 0x9C3E53EA)),
    "HiT-Tiny": (functools.partial(hit.Hit, hit.TINY), (400, 0x2E74594D)),
    "AsymTrack-T": (functools.partial(AsymTrack, asymtrack.TINY), (199, 0xCBE17054)),
    "AsymTrack-S and -B": (AsymTrack, (225, 0xCFCB63E7)),
    "MixFormerV2-S": (MixFormer2, (66, 0xDDB02381)),
    "MixFormerV2-B": (functools.partial(MixFormer2, 128, 288, 8, 768, 3072), (114, 0x4C96C3B3)),
    "STARK-S50": (StarkS, (460, 0x489977A2)),
    "STARK-ST50": (StarkST, (466, 0xFCF1F0AB)),
    "STARK-ST101": (functools.partial(StarkST, StarkConfig((3, 4, 23))), (721, 0x22AEE80D)),
    # The text token takes the place of the authors' text encoder.
    "SUTrack-T224": (SUTrack, (376, 0x416B3818)),
    "SUTrack-B224": (functools.partial(SUTrack, sutrack.B224), (660, 0x423AA4EA)),
    "SUTrack-B384": (functools.partial(SUTrack, sutrack.B384), (660, 0x0D73A851)),
    "SUTrack-L224": (functools.partial(SUTrack, sutrack.L224), (980, 0xC60E5CDF)),
    "SUTrack-L384": (functools.partial(SUTrack, sutrack.L384), (980, 0x89475064)),
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
    tracker = RECORDED[name]
    network = tracker.golden_network(name).eval()
    network.load_state_dict(pseudo_state_dict(network.state_dict(), tracker.pseudo_rule, tracker.golden_salt))
    return network


def normalized(pixels):
    """A recorded crop as an input of the networks, [1, 3, s, s]."""
    values = (pixels / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(values.astype(np.float32).transpose(2, 0, 1)[None].copy())


def images_of(name, file):
    """The inputs of the template graph and those of the track graph that are no features, by their names."""
    template, search = normalized(file["template_crop"]), {"search": normalized(file["search_crop"])}
    given = {"template": template}
    if name == "mixformer2":
        given["second_template"] = template
    if "second_template_crop" in file:
        given["second_template"] = normalized(file["second_template_crop"])
    for kind in ("box", "outside"):
        keys = (f"template_{kind}", f"second_template_{kind}")
        given |= {key: torch.from_numpy(file[key]) for key in keys if key in file}
    if "search_outside" in file:
        search["search_outside"] = torch.from_numpy(file["search_outside"])
    return given, search


@pytest.mark.parametrize("name", OUTPUTS)
def test_networks_give_what_the_authors_give(name):
    file = np.load(DATA / f"{name}.npz")
    given, search = images_of(name, file)
    with torch.no_grad():
        made = network_of(name)(*given.values(), *search.values())
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
        for key, graph in RECORDED[name].graphs(network_of(name)).items()
    }
    features = graphs["template"].run(None, {key: value.numpy() for key, value in given.items()})
    feeds = {node.name: value for node, value in zip(graphs["template"].get_outputs(), features, strict=True)}
    made = graphs["track"].run(None, {**feeds, **{key: value.numpy() for key, value in search.items()}})
    for key, value in zip(OUTPUTS[name], made, strict=True):
        assert np.abs(value - file[key]).max() < 1e-4, key


def test_candidate_elimination_changes_what_the_network_gives():
    file = np.load(DATA / "ostrack.npz")
    given, search = images_of("ostrack", file)
    network = OSTrack(width=128, head_width=64, eliminates=False).eval()
    network.load_state_dict(network_of("ostrack").state_dict())
    with torch.no_grad():
        score, *_ = network(*given.values(), *search.values())
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


def renamed(state, old, new):
    """The tensors, and those of block `old` again as block `new`."""
    return state | {key.replace(f"blocks.{old}.", f"blocks.{new}."): value for key, value in state.items()}


def test_other_depths_of_avtrack_are_refused():
    state = renamed(dict(AVTrack(6, 64, 32).state_dict()), 5, 6)
    with pytest.raises(CheckpointError, match="7 blocks of an AVTrack, expected 12 .AVTrack. or 6 .AVTrack-MD."):
        TRACKERS["avtrack"].build(state)


def test_an_avtrack_with_another_transformer_is_refused():
    state = dict(AVTrack(6, 64, 32).state_dict()) | {"backbone.blocks.0.mlp.fc1_g.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="AVTrack with EVA-02, expected one with DeiT-Tiny or ViT-Tiny"):
        TRACKERS["avtrack"].build(state)


def test_an_sglatrack_with_another_number_of_candidates_is_refused():
    state = dict(SGLATrack(64, 32).state_dict()) | {"backbone.MLP.fc2.bias": torch.zeros(5)}
    with pytest.raises(CheckpointError, match="chooses one of 5 blocks, expected 6"):
        TRACKERS["sglatrack"].build(state)


def test_what_only_training_needs_is_left_out_and_named():
    for name, key in (("avtrack", "global_stat_x.dense1.weight"), ("sglatrack", "backbone.head.weight")):
        network = network_of(name).state_dict()
        state, dropped = TRACKERS[name].clean({**network, key: torch.zeros(2, 2)})
        assert state.keys() == network.keys()
        assert [line.split(" (")[0] for line in dropped] == [f"1 tensors {key.rsplit('.', 1)[0].split('.dense')[0]}.*"]


# A graph that gets the opposite decision, and the message of its refusal.
OPPOSITE = {
    "avtrack": ("Greater", "Less", "its probability is 0.[0-9]*, the limit 0.5"),
    "sglatrack": ("ArgMax", "ArgMin", "has a probability that is 0.[0-9]* higher"),
}


@pytest.mark.parametrize("name", OPPOSITE)
def test_a_graph_that_runs_other_blocks_than_rounding_allows_is_refused(name):
    graph = TRACKERS[name].graphs(network_of(name))["track"]
    right, wrong, words = OPPOSITE[name]
    node = next(node for node in graph.module.graph.node if node.op_type == right)
    node.op_type = wrong
    with pytest.raises(ExportError, match=words):
        verify_graph(graph, graph.module.SerializeToString(), "track.onnx")


@pytest.mark.parametrize("name", OPPOSITE)
def test_blocks_that_no_image_needs_are_also_compared(name):
    network = copy.deepcopy(network_of(name))
    with torch.no_grad():
        for block in network.blocks if name == "avtrack" else ():
            block.active_score_module.bias.fill_(-100)
        if name == "sglatrack":
            network.backbone.MLP.fc2.bias[0] = 100
    graph = TRACKERS[name].graphs(network)["track"]
    verify_graph(graph, graph.module.SerializeToString(), "track.onnx")
    # The reference gets other weights in a block that does not run.
    with torch.no_grad():
        network.blocks[8].mlp.fc2.weight.mul_(2)
    with pytest.raises(ExportError, match="differs from the network"):
        verify_graph(graph, graph.module.SerializeToString(), "track.onnx")


def test_the_cost_of_avtrack_is_that_of_all_blocks(tmp_path):
    folders = tmp_path / "none", tmp_path / "all"
    costs = []
    for folder, bias in zip(folders, (-100, 100), strict=True):
        network = AVTrack(width=64, head_width=32).eval()
        with torch.no_grad():
            for block in network.blocks:
                block.active_score_module.bias.fill_(bias)
        provenance = {"source": "test", "checkpoint_sha256": "none", "licence": "none"}
        write_model_folder(TRACKERS["avtrack"], network, folder, provenance=provenance)
        costs.append(yaml.safe_load((folder / "model.yaml").read_text())["cost"])
    assert costs[0] == costs[1]
    # Twelve blocks of 320 tokens with 64 channels.
    assert costs[0]["macs_track"] > 12 * 12 * 320 * 64 * 64


def test_other_depths_of_litetrack_are_refused():
    state = renamed(dict(LiteTrack(4, 64, 32).state_dict()), 3, 4)
    with pytest.raises(CheckpointError, match="5 blocks of a LiteTrack, expected 4, 6, 8 or 9"):
        TRACKERS["litetrack"].build(state)


@pytest.mark.parametrize(
    "name", ["litetrack", "avtrack", "sglatrack", "hit", "asymtrack", "mixformer2", "stark", "sutrack"]
)
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


def test_asymtracks_sizes_are_read_from_the_checkpoint():
    for name, sizes in (("asymtrack", (128, 256)), ("asymtrack_base", (192, 384))):
        tracker = TRACKERS[name]
        network = tracker.build(tracker.golden_network().state_dict())
        assert network.config == tracker.golden_network().config
        manifest = tracker.manifest(network)
        assert (manifest["template"]["size"], manifest["search"]["sizes"]) == (sizes[0], [sizes[1]])


def test_other_depths_and_widths_of_asymtrack_are_refused():
    config = asymtrack.AsymConfig((2, 2, 2), (16, 32, 64, 64), 64, 32)
    with pytest.raises(CheckpointError, match="2, 2, 2 blocks in the stages of an AsymTrack, expected 2, 2, 1 .tiny."):
        TRACKERS["asymtrack"].build(AsymTrack(config).state_dict())
    state = AsymTrack(asymtrack.AsymConfig((2, 2, 1), (16, 32, 48, 64), 64, 32)).state_dict()
    with pytest.raises(CheckpointError, match="32 and 48 channels, expected multiples of 32"):
        TRACKERS["asymtrack"].build(state)


def test_the_three_convolutions_of_an_edge_branch_are_one():
    torch.manual_seed(3)
    branch = asymtrack.EdgeBranch(8)
    torch.nn.init.constant_(branch.theta, 0.7)
    x = torch.randn(1, 8, 6, 6)
    apart = sum(convolution(x) for convolution in branch.rbr_conv)
    # Each convolution also sees the middle cell, with the sum of its taps, and theta subtracts that.
    middle = sum(torch.einsum("oi,bihw->bohw", c.weight.sum(dim=(2, 3)), x) for c in branch.rbr_conv)
    joined = torch.nn.functional.conv2d(x, branch.kernel(), padding=1)
    torch.testing.assert_close(joined, apart - branch.theta.sigmoid() * middle, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [StarkS, StarkST])
def test_starks_kind_and_sizes_are_read_from_the_checkpoint(kind):
    for config in (StarkConfig(), StarkConfig((3, 4, 23)), StarkConfig((1, 2, 1), 2, 1, 64, 96, 32)):
        with torch.device("meta"):
            network = TRACKERS["stark"].build(kind(config).state_dict())
        assert type(network) is kind and network.config == config


def test_a_stark_with_several_queries_is_refused():
    state = {**network_of("stark").state_dict(), "query_embed.weight": torch.zeros(3, 64)}
    with pytest.raises(CheckpointError, match="of a STARK with 3 queries, expected 1"):
        TRACKERS["stark"].build(state)


def test_a_stark_with_a_part_of_the_score_head_is_refused(tmp_path, capsys):
    state = dict(network_of("stark_st").state_dict())
    del state["cls_head.layers.1.bias"]
    state["cls_head.layers.2.weight"] = torch.zeros(2, 64)
    torch.save({"net": state}, tmp_path / "checkpoint.pth")
    assert main(["--tracker", "stark", str(tmp_path / "checkpoint.pth"), "--output", str(tmp_path / "model")]) == 2
    message = capsys.readouterr().err
    assert "1 missing keys: cls_head.layers.1.bias" in message
    assert "cls_head.layers.2.weight is [2, 64], expected [1, 64]" in message


def test_stark_st_refreshes_its_second_template_by_the_authors_rule():
    manifest = TRACKERS["stark"].manifest(network_of("stark_st"))
    template = manifest["template"]
    assert template["refreshed_from"] == "last"
    assert (template["refreshed_input"], template["refreshed_outside_input"]) == (
        "second_template",
        "second_template_outside",
    )
    # The intervals of the authors' configuration `baseline`.
    intervals = {"default": 200, "lasot": 200, "got10k": 200, "trackingnet": 25, "vot": 10}
    assert manifest["tracking"] == {
        name: {"update_interval": frames, "update_above": 0.5} for name, frames in intervals.items()
    }
    assert "refreshed_input" not in TRACKERS["stark"].manifest(network_of("stark"))["template"]


def test_sutrack_refreshes_its_second_template_by_the_authors_rule():
    manifest = TRACKERS["sutrack"].manifest(network_of("sutrack_b"))
    template = manifest["template"]
    assert template["refreshed_from"] == "last"
    assert (template["refreshed_input"], template["refreshed_box_input"]) == ("second_template", "second_template_box")
    assert manifest["tracking"] == {"default": {"update_interval": 25, "update_above": 0.7}}
    first = TRACKERS["sutrack"].manifest(network_of("sutrack"))
    assert "refreshed_input" not in first["template"] and first["tracking"] == {"default": {}}


def test_a_stark_with_tokens_of_another_width_is_refused():
    state = StarkS(StarkConfig((1, 1, 1), 1, 1, 24, 16, 16)).state_dict()
    with pytest.raises(CheckpointError, match="tokens have 24 channels, expected a multiple of 16"):
        TRACKERS["stark"].build(state)


def test_positions_are_counted_inside_the_frame():
    outside = torch.zeros(1, 4, 4)
    outside[:, :, 2:] = 1
    # Two columns of four lie inside, so the first one is at half of the way along x, and all rows are counted.
    seen = positions(outside, 4).reshape(4, 4, 4)
    along = 2 * torch.pi / (1 + 1e-6 / torch.tensor([4.0, 2.0]))
    expected = torch.tensor([0.25, 0.5]) * along
    torch.testing.assert_close(seen[0, 0], torch.stack([expected.sin(), expected.cos()], dim=1).flatten())
    # In a column outside the frame no cell is counted along y.
    torch.testing.assert_close(seen[2, 3, :2], torch.tensor([0.0, 1.0]))


def test_template_tokens_outside_the_frame_change_nothing():
    tracker, network = TRACKERS["stark"], network_of("stark")
    graph = tracker.graphs(network)["track"]
    tokens, place, absent, search, outside = graph.inputs.values()
    assert 0 < outside.sum() < outside.numel()
    changed = tokens.clone()
    changed[absent > 0.5] = 100.0
    with torch.no_grad():
        first = graph.reference(tokens, place, absent, search, outside)
        second = graph.reference(changed, place, absent, search, outside)
        third = graph.reference(changed, place, torch.zeros_like(absent), search, outside)
    assert torch.equal(first, second)
    assert (first - third).abs().max() > 1e-3


def test_the_share_of_a_template_cell_in_the_box():
    # Pixels 16.1 to 40.4 along x and 0 to 8 along y, as the authors divide by the side minus one.
    places = torch.tensor([[16.1, 0.0, 40.4, 8.0]], dtype=torch.float64) * 111 / 112**2
    share = foreground(places, 112).reshape(7, 7)
    expected = torch.zeros(7, 7, dtype=torch.float64)
    expected[0, 1:3] = torch.tensor([15 / 16, 9 / 16]) * 8 / 16
    torch.testing.assert_close(share, expected)


def clip_state(width, text_width, layers):
    """Tensors of a text encoder like CLIP's, with random numbers."""
    random = torch.Generator().manual_seed(5)
    block = {
        "ln_1.weight": (text_width,),
        "ln_1.bias": (text_width,),
        "attn.in_proj_weight": (3 * text_width, text_width),
        "attn.in_proj_bias": (3 * text_width,),
        "attn.out_proj.weight": (text_width, text_width),
        "attn.out_proj.bias": (text_width,),
        "ln_2.weight": (text_width,),
        "ln_2.bias": (text_width,),
        "mlp.c_fc.weight": (4 * text_width, text_width),
        "mlp.c_fc.bias": (4 * text_width,),
        "mlp.c_proj.weight": (text_width, 4 * text_width),
        "mlp.c_proj.bias": (text_width,),
    }
    shapes = {
        "clip.token_embedding.weight": (9, text_width),
        "clip.positional_embedding": (7, text_width),
        "clip.ln_final.weight": (text_width,),
        "clip.ln_final.bias": (text_width,),
        "clip.text_projection": (text_width, text_width),
        "clip.visual.proj": (3, 3),
        "clip.logit_scale": (),
        "text_proj.weight": (width, text_width),
        "text_proj.bias": (width,),
    } | {f"clip.transformer.resblocks.{i}.{name}": shape for i in range(layers) for name, shape in block.items()}
    return {f"text_encoder.{name}": 0.3 * torch.randn(shape, generator=random) for name, shape in shapes.items()}


def masked_text_token(state, heads):
    """The token of a text of zeros, with all its tokens and the mask that keeps them from attending to later ones."""
    state = {key.removeprefix("text_encoder."): value for key, value in state.items()}
    x = state["clip.token_embedding.weight"][0] + state["clip.positional_embedding"]
    count, width = x.shape
    later = torch.full((count, count), -torch.inf).triu(1)
    for i in range(2):
        part = {k.split(f"resblocks.{i}.")[1]: v for k, v in state.items() if f"resblocks.{i}." in k}
        attention = torch.nn.MultiheadAttention(width, heads)
        attention.load_state_dict({k.removeprefix("attn."): v for k, v in part.items() if k.startswith("attn.")})
        y = torch.nn.functional.layer_norm(x, (width,), part["ln_1.weight"], part["ln_1.bias"])
        x = x + attention(y, y, y, need_weights=False, attn_mask=later)[0]
        y = torch.nn.functional.layer_norm(x, (width,), part["ln_2.weight"], part["ln_2.bias"])
        y = y @ part["mlp.c_fc.weight"].T + part["mlp.c_fc.bias"]
        x = x + y * torch.sigmoid(1.702 * y) @ part["mlp.c_proj.weight"].T + part["mlp.c_proj.bias"]
    x = torch.nn.functional.layer_norm(x, (width,), state["clip.ln_final.weight"], state["clip.ln_final.bias"])
    feature = x[:1] @ state["clip.text_projection"]
    return feature @ state["text_proj.weight"].T + state["text_proj.bias"]


def sutrack_state():
    """A checkpoint of SUTrack as the authors save it: with text encoder and task decoder."""
    network = dict(network_of("sutrack").state_dict())
    del network["text_token"]
    return {**network, **clip_state(128, 32, 2), "task_decoder.layers.0.weight": torch.zeros(2, 2)}


def test_sutracks_text_encoder_becomes_one_token():
    raw = sutrack_state()
    state, dropped = TRACKERS["sutrack"].clean(raw)
    assert state.keys() == network_of("sutrack").state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(state["text_token"], masked_text_token(clip_state(128, 32, 2), heads=4))
    assert [line.split(" (")[0] for line in dropped] == ["33 tensors text_encoder.*", "1 tensors task_decoder.*"]


def test_a_text_encoder_without_a_tensor_is_refused_by_its_name():
    raw = sutrack_state()
    del raw["text_encoder.clip.ln_final.bias"]
    with pytest.raises(CheckpointError, match="text encoder has no text_encoder.clip.ln_final.bias"):
        TRACKERS["sutrack"].clean(raw)


@pytest.mark.parametrize("name", ["T224", "B224", "B384", "L224", "L384"])
def test_sutracks_configuration_is_read_from_the_checkpoint(name):
    config: SUTrackConfig = getattr(sutrack, name)
    with torch.device("meta"):
        assert TRACKERS["sutrack"].build(SUTrack(config).state_dict()).config == config


def test_other_sutracks_are_refused():
    state = dict(network_of("sutrack").state_dict())
    deeper = state | {key.replace("blocks.15.", "blocks.16."): v for key, v in state.items() if "blocks.15." in key}
    with pytest.raises(
        CheckpointError, match="17 blocks and 245 positions, expected one of 16 and 245, 32 and 245, 32"
    ):
        TRACKERS["sutrack"].build(deeper)
    larger = state | {"encoder.body.pos_embed": torch.zeros(1, 720, 128)}
    with pytest.raises(CheckpointError, match="SUTrack with 16 blocks and 720 positions"):
        TRACKERS["sutrack"].build(larger)
