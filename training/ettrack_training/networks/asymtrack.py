"""AsymTrack (Zhu et al., AAAI 2025): modulated convolutions, into which the template's features come as small kernels.

The template's image runs alone. Its features become the kernels of two layers of the search image's branch, and tokens
to which the search tokens attend. Parameter names are those of the authors' checkpoints (``tiny``, ``small``,
``base``). Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hit import CornerHead

#: Pixels per side of template and search image.
SIZES, BASE_SIZES = (128, 256), (192, 384)
#: Pixels of the search image per cell of the head's map.
STRIDE = 32
#: Shares of hidden channels of the blocks of a stage, in turn.
RATIOS = (1, 6)
#: Side of the blocks' convolutions.
CONTEXT = 7
#: Attention heads, and the smallest number of channels of each.
HEADS, HEAD_WIDTH = 8, 32
#: Channels for each template kernel.
CHANNELS_PER_KERNEL = 32
TAPS = 3


@dataclass(frozen=True)
class AsymConfig:
    """Blocks of the three stages, channels of them and of the last map, and those of the head."""

    depths: tuple[int, int, int]
    widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    neck: int = 256
    head: int = 256


TINY = AsymConfig((2, 2, 1))
#: The base configuration has the same tensors. Its images are larger.
SMALL = AsymConfig((2, 2, 3))


class PatchEmbed(nn.Module):
    """Convolution and norm of maps ``[1, h, w, in]``, as all maps of this network."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class Context(nn.Module):
    """What multiplies the hidden channels: a linear layer, a depthwise convolution, a linear layer."""

    def __init__(self, width: int):
        super().__init__()
        self.f = nn.Linear(width, width)
        self.g = nn.Linear(width, width)
        self.context_list = nn.ModuleList([nn.Conv2d(width, width, CONTEXT, padding=CONTEXT // 2, groups=width)])

    def forward(self, x: Tensor) -> Tensor:
        mixed = F.gelu(self.context_list[0](self.f(x).permute(0, 3, 1, 2)))
        return self.g(mixed.permute(0, 2, 3, 1))


class ModulatedMlp(nn.Module):
    """Two linear layers. The hidden channels are multiplied by the context."""

    def __init__(self, width: int, ratio: int):
        super().__init__()
        self.ratio = ratio
        self.fc1 = nn.Linear(width, ratio * width)
        self.context_layer = Context(width)
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        if self.ratio > 1:
            hidden = F.gelu(hidden)
        return self.fc2(hidden * self.context_layer(x).repeat(1, 1, 1, self.ratio))


class BasicBlock(nn.Module):
    """The modulated layers with norm, scale per channel and residual."""

    def __init__(self, width: int, ratio: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = ModulatedMlp(width, ratio)
        self.gamma_1 = nn.Parameter(torch.full((width,), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma_1 * self.mlp(self.norm(x))


class KernelMixing(nn.Module):
    """Mixes the search image's kernels with numbers that come from the template's kernels."""

    def __init__(self, width: int, kernels: int):
        super().__init__()
        self.weight_linear = nn.Linear(width, kernels + TAPS)
        self.norm = nn.LayerNorm(width)

    def forward(self, mixing: Tensor, kernels: Tensor) -> Tensor:
        """``mixing [n, 3 + n]``: the taps of a convolution along the channels, then the shares of the kernels."""
        taps, shares = mixing.split([TAPS, len(kernels)], dim=1)
        smoothed = F.relu(F.conv1d(kernels[None], taps[:, None], padding=TAPS // 2, groups=len(kernels))[0])
        return self.norm(shares @ smoothed)


class TemplateModulation(nn.Module):
    """Adds to the search map what the template's kernels find in it (the authors' ETM)."""

    def __init__(self, width: int):
        super().__init__()
        kernels = width // CHANNELS_PER_KERNEL
        self.pre_kernels = nn.Linear(width, kernels)
        self.pre_kernels_x = nn.Linear(width, kernels)
        self.proj_Cto1 = nn.Linear(width, 1)
        self.ln = nn.LayerNorm(width)
        self.conv_att = KernelMixing(width, kernels)

    def mixing(self, z: Tensor) -> Tensor:
        """From the template's map to the numbers with which kernels are mixed, ``[n, 3 + n]``."""
        cells = z.flatten(1, 2)[0]
        return self.conv_att.weight_linear(self.pre_kernels(cells).T @ cells)

    def forward(self, x: Tensor, mixing: Tensor) -> Tensor:
        cells = x.flatten(1, 2)[0]
        shares = self.pre_kernels_x(cells)
        kernels = self.conv_att(mixing, shares.T @ cells)
        gate = (self.proj_Cto1(kernels).T @ kernels).sigmoid()
        return x + F.relu(self.ln(shares @ kernels * gate)).reshape(x.shape)


class EdgeBranch(nn.Module):
    """A 3x3 convolution that partly sees differences from the middle cell, with its residual (the authors' OPE).

    It is trained as three convolutions.
    """

    def __init__(self, width: int):
        super().__init__()
        self.rbr_conv = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(3))
        self.theta = nn.Parameter(torch.zeros(1))
        self.ln = nn.LayerNorm(width)
        self.ibe_scale = nn.Parameter(torch.zeros(width))

    def kernel(self) -> Tensor:
        """The one convolution that is equal to the three."""
        whole = sum(branch.weight for branch in self.rbr_conv)
        middle = self.theta.sigmoid() * whole.sum(dim=(2, 3), keepdim=True)
        return whole - F.pad(middle, (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        edges = F.conv2d(x.permute(0, 3, 1, 2), self.kernel(), padding=1).permute(0, 2, 3, 1)
        return x + self.ibe_scale * F.relu(self.ln(edges))


class Attention(nn.Module):
    """Multi-head attention whose heads may together have more channels than the tokens."""

    def __init__(self, width: int):
        super().__init__()
        self.head = max(width // HEADS, HEAD_WIDTH)
        self.qkv = nn.Linear(width, 3 * HEADS * self.head, bias=False)
        self.proj = nn.Linear(HEADS * self.head, width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens, ``[n, heads * head]`` each."""
        return self.qkv(x).chunk(3, dim=-1)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (part.reshape(len(part), HEADS, self.head).transpose(0, 1) for part in (query, key, value))
        weights = (q @ k.transpose(1, 2) * self.head**-0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(0, 1).flatten(1))


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class AttentionBlock(nn.Module):
    """Pre-norm transformer block. The search tokens also attend to the template's tokens."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def memory(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the template's map."""
        return self.attn.project(self.norm1(z.flatten(1, 2)[0]))[1:]

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        tokens = x.flatten(1, 2)[0]
        query, key, value = self.attn.project(self.norm1(tokens))
        tokens = tokens + self.attn(query, torch.cat([key, keys]), torch.cat([value, values]))
        return (tokens + self.mlp(self.norm2(tokens))).reshape(x.shape)


class Stage(nn.Module):
    """Blocks, in later stages the template's influence, and a convolution of stride two to the next stage."""

    def __init__(self, number: int, config: AsymConfig):
        super().__init__()
        width, following = config.widths[number : number + 2]
        blocks: list[nn.Module] = [BasicBlock(width, RATIOS[i % 2]) for i in range(config.depths[number])]
        if number > 0:
            blocks.append(TemplateModulation(width))
        blocks.append(EdgeBranch(width))
        if number == 2:
            blocks.append(AttentionBlock(width))
        self.blocks = nn.ModuleList(blocks)
        self.downsample = PatchEmbed(width, following, 3, 2)


class Backbone(nn.Module):
    """Patches of four pixels to three stages."""

    def __init__(self, config: AsymConfig):
        super().__init__()
        self.patch_embed = PatchEmbed(3, config.widths[0], CONTEXT, 4)
        self.layers = nn.ModuleList(Stage(number, config) for number in range(3))


class AsymTrack(nn.Module):
    """The whole tracker network.

    ``template(z)``: ``[1, 3, template_size, template_size]`` to the mixing numbers of two layers and the keys and
    values of its tokens.
    ``track(first, second, keys, values, x)``: with ``x`` of ``[1, 3, search_size, search_size]`` gives the box
    ``[1, 1, 4]``: centre, width and height as shares of the search image.
    """

    def __init__(self, config: AsymConfig = SMALL, sizes: tuple[int, int] = SIZES):
        super().__init__()
        self.config = config
        self.template_size, self.search_size = sizes
        self.backbone = Backbone(config)
        self.bottleneck = nn.Linear(config.widths[3], config.neck)
        self.box_head = CornerHead(config.neck, config.head)

    def template(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, mixings = self.backbone.patch_embed(image.permute(0, 2, 3, 1)), []
        for stage in self.backbone.layers:
            for block in stage.blocks:
                if isinstance(block, TemplateModulation):
                    mixings.append(block.mixing(z))
                elif isinstance(block, AttentionBlock):
                    return (*mixings, *block.memory(z))
                else:
                    z = block(z)
            z = stage.downsample(z)
        raise AssertionError("the last stage has an attention block")

    def track(self, first: Tensor, second: Tensor, keys: Tensor, values: Tensor, search: Tensor) -> Tensor:
        x, mixings = self.backbone.patch_embed(search.permute(0, 2, 3, 1)), iter((first, second))
        for stage in self.backbone.layers:
            for block in stage.blocks:
                if isinstance(block, TemplateModulation):
                    x = block(x, next(mixings))
                elif isinstance(block, AttentionBlock):
                    x = block(x, keys, values)
                else:
                    x = block(x)
            x = stage.downsample(x)
        return self.box_head(self.bottleneck(x).permute(0, 3, 1, 2))

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        return self.track(*self.template(template), search)
