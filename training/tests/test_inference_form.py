"""Tests that inference forms compute the same as the blocks and have the right types."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ettrack_training.export.exemplar import FastExemplarLayer, FastExemplarTransformer, FixedExemplarLayer
from ettrack_training.export.inference import TapConvolution, inference_form
from ettrack_training.networks.exemplar import ExemplarLayer


@pytest.mark.parametrize(
    ("exemplars", "ffn", "form"),
    [
        (4, 0, FastExemplarLayer),
        (4, 16, FastExemplarTransformer),
        (1, 0, FixedExemplarLayer),
        (1, 16, FastExemplarTransformer),
    ],
)
@pytest.mark.parametrize("kernel", [3, 5])
def test_the_inference_form_of_exemplar_layers_computes_the_same(
    exemplars: int, ffn: int, form: type, kernel: int
) -> None:
    torch.manual_seed(1)
    layer = ExemplarLayer(12, kernel, exemplars=exemplars, key_dim=8, ffn=ffn).eval()
    for name, tensor in layer.state_dict().items():
        if tensor.is_floating_point():
            # Norms that change values and an attention that is not uniform, as in trained networks.
            tensor.copy_(torch.rand(tensor.shape) + 0.5 if "running_var" in name else torch.randn(tensor.shape))
    fast = inference_form(nn.Sequential(layer))
    assert isinstance(fast[0], form)
    x = torch.randn(1, 12, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), layer(x), rtol=1e-4, atol=1e-4)


def test_a_prediction_in_two_steps_equals_the_convolution() -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(5, 4, 3, padding=1)
    taps = TapConvolution(conv)
    assert torch.equal(taps.kernel(), conv.weight)
    x = torch.randn(1, 5, 6, 7)
    with torch.no_grad():
        torch.testing.assert_close(taps(x), conv(x), rtol=1e-5, atol=1e-5)
