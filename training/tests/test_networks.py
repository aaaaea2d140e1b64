"""Tests of the networks with the authors' outputs, and of other configurations than the paper's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ettrack_training import cost
from ettrack_training.micro import MICRO
from ettrack_training.networks import BackboneSpec, BlockSpec, ETTrack, ETTrackConfig, TowerSpec
from ettrack_training.pseudo_weights import checksum

GOLDENS = Path(__file__).parents[2] / "tests/data/ettrack/network.npz"
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def image(pixels):
    normalised = (pixels.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDENS))


@pytest.mark.parametrize(("name", "keys", "crc"), [("et_track", 626, "3bcc14f0"), ("lighttrack", 426, "f81a91c0")])
def test_keys_and_weights_equal_the_reference(states, name, keys, crc):
    # The checksum is of sorted keys and values, so it covers names, shapes and the rule for pseudo-random values.
    assert len(states[name]) == keys
    assert f"{checksum(states[name]):08x}" == crc


@pytest.mark.parametrize(("name", "prefix"), [("et_track", ""), ("lighttrack", "lighttrack_")])
@pytest.mark.parametrize("side", ["", "x288_"])
def test_outputs_equal_the_reference(networks, golden, name, prefix, side):
    network = networks[name]
    with torch.no_grad():
        cls, reg = network(image(golden["z_crop"]), image(golden[f"{side}x_crop"]))
    for output, key, tolerance in ((cls, "cls", 2e-4), (reg, "reg", 2e-3)):
        expected = torch.from_numpy(golden[f"{prefix}{side}{key}"])
        torch.testing.assert_close(output, expected, atol=tolerance, rtol=0)


def test_mixing_weights_equal_the_reference(networks, golden):
    network = networks["et_track"]
    with torch.no_grad():
        zf = network.template_features(image(golden["z_crop"]))
        x = network.fuse(zf, network.search_features(image(golden["x_crop"])))
        x = network.cls_layers[0](x)
        weights = network.cls_layers[1].mixing_weights(x)
    expected = torch.tensor([0.250073, 0.180216, 0.212001, 0.35771])
    torch.testing.assert_close(weights[0], expected, atol=1e-5, rtol=0)


def test_the_cost_equals_that_of_the_papers_networks(networks):
    template, search = torch.zeros(1, 3, 127, 127), torch.zeros(1, 3, 256, 256)
    for name, expected in {
        "et_track": (9_047_221, 83.2, 1656.1),
        "lighttrack": (1_969_397, 83.2, 512.2),
    }.items():
        network = networks[name]
        with torch.no_grad():
            zf = network.template_features(template)
        assert cost.parameters(network) == expected[0]
        track = torch.nn.Module()
        track.forward = network.track
        template_part = torch.nn.Module()
        template_part.forward = network.template_features
        assert round(cost.macs(template_part, template) / 1e6, 1) == expected[1]
        assert round(cost.macs(track, zf, search) / 1e6, 1) == expected[2]


def small_config(**changes):
    return replace(MICRO, **changes)


def test_images_of_a_batch_do_not_influence_each_other():
    torch.manual_seed(0)
    network = ETTrack(small_config()).eval()
    templates, searches = torch.randn(3, 3, 32, 32), torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together = network(templates, searches)
        alone = [network(templates[i : i + 1], searches[i : i + 1]) for i in range(3)]
    for index, output in enumerate(together):
        expected = torch.cat([one[index] for one in alone])
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ffn", [0, 16])
@pytest.mark.parametrize("box_activation", ["relu", "exp"])
def test_every_parameter_of_a_small_network_gets_a_gradient(ffn, box_activation):
    torch.manual_seed(0)
    network = ETTrack(small_config(ffn=ffn, box_activation=box_activation)).train()
    cls, reg = network(torch.randn(4, 3, 32, 32), torch.randn(4, 3, 64, 64))
    assert cls.shape == (4, 1, 4, 4)
    assert reg.shape == (4, 4, 4, 4)
    (cls.square().mean() + reg.square().mean()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    assert any("linear1" in name for name, _ in network.named_parameters()) == bool(ffn)


def test_a_configuration_is_unchanged_after_json():
    config = small_config()
    assert ETTrackConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert ETTrackConfig.from_dict({}) == ETTrackConfig()
    with pytest.raises(TypeError, match="widths"):
        ETTrackConfig.from_dict({"widths": 3})


def test_refuses_impossible_configurations():
    with pytest.raises(ValueError, match="start the tower with a sep layer"):
        ETTrack(small_config(cls_tower=TowerSpec(16, ("et3",))))
    with pytest.raises(ValueError, match="conv3"):
        ETTrack(small_config(cls_tower=TowerSpec(16, ("conv3",))))
    with pytest.raises(ValueError, match="cannot be residual"):
        ETTrack(small_config(backbone=BackboneSpec(4, ((BlockSpec(3, 8, 8, 1, 0, True),),), "relu")))
    with pytest.raises(ValueError, match="gelu"):
        ETTrack(small_config(backbone=replace(MICRO.backbone, activation="gelu")))


def test_two_correlations_feed_one_tower_each() -> None:
    config = replace(MICRO, neck_channels=4, correlations=2)
    torch.manual_seed(1)
    network = ETTrack(config).eval()
    template, search = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network(template, search)
        # The second half of the projection belongs to the boxes.
        network.neck["project_x"].weight[4:].mul_(-2)
        after = network(template, search)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


@pytest.mark.parametrize("values", [{"correlations": 3, "neck_channels": 4}, {"correlations": 2}])
def test_refuses_impossible_numbers_of_correlations(values: dict) -> None:
    with pytest.raises(ValueError, match=f"got {values['correlations']}"):
        ETTrack(replace(MICRO, **values))
