"""Tests of the distillation of a head layer by layer, with the student as its own teacher."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ettrack_training.distil.correction import corrected
from ettrack_training.distil.late import Late
from ettrack_training.distil.layers import head_losses, hint_loss, map_losses, start_at_scale
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.networks.nano import NANO
from ettrack_training.pixels import normalise


@pytest.fixture
def network() -> ETTrack:
    torch.manual_seed(5)
    return ETTrack(NANO).eval()


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(6)
    return torch.randn(3, 48, 8, 8, generator=random), torch.randn(3, 48, 16, 16, generator=random)


@torch.no_grad()
def answers(network: ETTrack, template: Tensor, search: Tensor) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """A head's inner tensors (correlation and all layers but the last, scores first) and its maps."""
    zf, xf = network.template_neck(template), network.search_neck(search)
    hints = []
    towers = zip(
        network.correlate(zf, xf),
        network.feature_fusor["adj_layer"],
        (network.cls_layers, network.reg_layers),
        strict=True,
    )
    for correlation, adjust, layers in towers:
        hints.append(correlation)
        x = adjust(correlation)
        for layer in layers[:-1]:
            x = layer(x)
            hints.append(x)
    return hints, network.predict(network.fuse(zf, xf))


@pytest.mark.parametrize("chained", [True, False])
def test_a_head_that_is_its_own_teacher_has_no_loss(network, features, chained) -> None:
    hints, maps = answers(network, *features)
    for name, value in head_losses(network, *features, hints, maps, chained).items():
        assert value.abs() < 1e-5, name


def test_a_wrong_layer_affects_only_its_own_loss_unless_layers_are_connected(network, features) -> None:
    hints, maps = answers(network, *features)
    with torch.no_grad():
        network.cls_layers[1].pointwise.weight.mul_(-1)
        fed = head_losses(network, *features, hints, maps, chained=False)
        chained = head_losses(network, *features, hints, maps, chained=True)
    assert {name for name, value in fed.items() if value > 1e-5} == {"cls2"}
    wrong = {name for name, value in chained.items() if value > 1e-5}
    assert {"cls2", "cls3", "cls4", "cls5", "logit"} <= wrong
    assert not any(name.startswith("reg") or name == "box" for name in wrong)


def test_map_losses_equal_values_computed_by_hand() -> None:
    cls = torch.full((1, 1, 2, 2), -20.0)
    cls[0, 0, 0, 0] = 20.0
    reg = torch.full((1, 4, 2, 2), 30.0)
    # Very large logits are equal to each other. Boxes count where the teacher sees the target.
    sure = map_losses(cls * 2, reg, cls, reg)
    assert all(value.abs() < 1e-6 for value in sure.values())
    wide = reg.clone()
    wide[0, :, 0, 0] *= 2.0
    part = map_losses(cls, wide, cls, reg)["box"]
    torch.testing.assert_close(part, torch.tensor(2.0).log() * 1.01 / 1.04)
    assert map_losses(-cls, reg, cls, reg)["score"] > 10


def test_the_hard_loss_counts_the_worst_empty_cells() -> None:
    teacher = torch.full((2, 1, 16, 16), -20.0)
    teacher[:, 0, 8, 8] = 5.0
    mine = teacher.clone()
    mine[0, 0, 2, 3] = torch.tensor(3.0).log()  # probability 3/4 in an empty cell
    mine[1, 0, 8, 8] = -5.0  # a missed target does not count here
    reg = torch.full((2, 4, 16, 16), 30.0)
    hard = map_losses(mine, reg, teacher, reg)["hard"]
    torch.testing.assert_close(hard, torch.tensor(4.0).log() / 16)


def test_the_hint_loss_is_one_for_a_constant_output() -> None:
    teacher = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    missed = hint_loss(teacher.mean((0, 2, 3), keepdim=True).expand_as(teacher), teacher)
    torch.testing.assert_close(missed, torch.tensor(1.0), rtol=1e-2, atol=0)


def test_an_untrained_head_starts_at_the_scale_of_the_hints(network, features) -> None:
    hints, _ = answers(network, *features)
    hints = [hint * 0.01 for hint in hints]
    start_at_scale(network, hints)
    network.train()
    zf, xf = network.template_neck(features[0]), network.search_neck(features[1])
    y = network.cls_layers[0](network.feature_fusor["adj_layer"][0](network.correlate(zf, xf)[0]))
    assert 0.2 < y.std() / hints[1].std() < 5


def test_only_late_stages_are_trained(network) -> None:
    backbone = Late(network, 2)
    network.train()
    before = {name: value.clone() for name, value in network.backbone_net.state_dict().items()}
    pictures = torch.randint(0, 256, (2, 127, 127, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    kept = backbone.early(pictures.numpy())
    assert kept.shape == (2, 24, 16, 16)
    features = backbone(torch.from_numpy(kept).float())
    network.eval()
    # They differ only by the half precision in between.
    torch.testing.assert_close(features, network.backbone(normalise(pictures)), rtol=0.02, atol=0.02)
    features.square().mean().backward()
    torch.optim.SGD([p for p in network.backbone_net.parameters() if p.grad is not None], 1.0).step()
    moved = {n for n, v in network.backbone_net.state_dict().items() if not torch.equal(v, before[n])}
    assert {name.split(".")[1] for name in moved} == {"2", "3"}
    assert not any("running" in name for name in moved)


@pytest.mark.parametrize("stages", [-1, 5])
def test_refuses_a_number_of_stages_out_of_range(network, stages) -> None:
    with pytest.raises(ValueError, match=f"expected 0 to 4 stages .* got {stages}"):
        Late(network, stages)


BOX = torch.tensor([[96.0, 96.0, 160.0, 160.0]])


def teachers(cell: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Maps of a teacher with a logit of 6 in one cell, 3 in another, and boxes of 60 pixels."""
    cls = torch.full((1, 1, 16, 16), -8.0)
    cls[0, 0, 1, 14] = 3.0
    cls[0, 0, cell[0], cell[1]] = 6.0
    return cls, torch.full((1, 4, 16, 16), 30.0)


def test_correction_of_a_right_teacher_lowers_only_scores_far_from_the_target() -> None:
    cls, reg = teachers((8, 8))
    told, distances = corrected((cls, reg), BOX, torch.tensor([True]))
    expected = cls.clone()
    expected[0, 0, 1, 14] = -5.0
    torch.testing.assert_close(told, expected)
    # The geometric mean of the teacher's 30 pixels and the true 32.
    torch.testing.assert_close(distances[0, :, 8, 8], torch.full((4,), (30 * 32) ** 0.5))
    assert (distances[0, :, 2, 2] == 30).all()
    _, true = corrected((cls, reg), BOX, torch.tensor([True]), true_boxes=True)
    torch.testing.assert_close(true[0, :, 8, 8], torch.full((4,), 32.0))
    assert (true[0, :, 2, 2] == 30).all()


def test_correction_lowers_scores_a_stride_outside_the_box() -> None:
    # The outermost kept cells are at the left and upper side and 4 pixels outside the others. The next ones are 16 and
    # 20 pixels outside.
    box = torch.tensor([[96.0, 96.0, 156.0, 156.0]])
    cls, reg = teachers((8, 8))
    told, _ = corrected((cls.clamp_min(1.0), reg), box, torch.tensor([True]))
    kept = torch.zeros(16, 16, dtype=torch.bool)
    kept[6:11, 6:11] = True
    assert torch.equal(told[0, 0] >= 1.0, kept)
    assert (told[0, 0, ~kept] == -5.0).all()


def test_correction_raises_scores_of_a_missed_target() -> None:
    told, _ = corrected(teachers((3, 3)), BOX, torch.tensor([True]))
    assert told[0, 0, 3, 3] == -5.0
    assert told[0, 0, 8, 8] == 2.0
    assert told.max() == 2.0
    cls, _ = teachers((3, 3))
    # If its distances there are wrong, only the true ones are used.
    _, poor = corrected((cls, torch.full((1, 4, 16, 16), 8.0)), BOX, torch.tensor([True]))
    torch.testing.assert_close(poor[0, :, 8, 8], torch.full((4,), 32.0))


def test_correction_lowers_all_scores_without_a_target() -> None:
    for box in (BOX, torch.zeros(1, 4)):
        cls, reg = teachers((8, 8))
        told, distances = corrected((cls, reg), box, torch.tensor([False]))
        assert told.max() == -5.0
        assert told.min() == -8.0
        assert (distances == reg).all()
