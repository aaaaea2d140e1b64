"""SparseTT: Swin-T features, a transformer with sparse self-attention, a double head (IJCAI 2022).

Parameter names are those of the authors' checkpoints. Images are RGB in 0..255, normalised with :data:`MEAN` and
:data:`STD`.

At test time the authors' code does not use the results of Swin's last stage and of the fully connected box branch.
Here these parts are never run. They have their parameters only so that the authors' files can be loaded strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
TEMPLATE_SIZE = 127
SEARCH_SIZE = 289
STRIDE = 16
SCORE_SIZE = 19
TEMPLATE_CELLS = 8
WINDOW = 7
SHIFT = WINDOW // 2
#: Number of largest logits of each query that the decoder's sparse self-attention uses.
TOP_K = 32
#: Two logits count as equal if their difference is below this share of the largest logit. Rounding errors are a tenth
#: of it.
SAME_LOGIT = 1e-5


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """Pads ``[B, H, W, C]`` with zeros at the right and the bottom, so that H and W are multiples of ``multiple``."""
    h, w = x.shape[1:3]
    return F.pad(x, (0, 0, 0, -w % multiple, 0, -h % multiple))


def relative_position_index(window: int) -> Tensor:
    """For each pair of cells of a window, the row of the bias table: ``[window^2, window^2]``."""
    row, col = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    row, col = row.flatten(), col.flatten()
    return (2 * window - 1) * (row[:, None] - row[None] + window - 1) + col[:, None] - col[None] + window - 1


def shifted_window_mask(height: int, width: int) -> Tensor:
    """Mask ``[windows, 49, 49]`` for shifted windows of a map of ``height`` x ``width`` cells.

    It is -100 for two cells of a window that come from different parts of the image, else 0.
    """

    def bands(length: int) -> Tensor:
        position = torch.arange(length)
        return (position >= length - WINDOW).long() + (position >= length - SHIFT).long()

    region = 3 * bands(height)[:, None] + bands(width)[None]
    region = partition(region[None, :, :, None]).squeeze(-1)
    return torch.where(region[:, :, None] == region[:, None, :], 0.0, -100.0)


def partition(x: Tensor) -> Tensor:
    """``[B, H, W, C]`` to windows of 7 x 7 cells, ``[B * n, 49, C]``."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // WINDOW, WINDOW, w // WINDOW, WINDOW, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, WINDOW * WINDOW, c)


def merge_windows(x: Tensor, height: int, width: int) -> Tensor:
    """Inverse of :func:`partition`."""
    c = x.shape[-1]
    x = x.reshape(-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, height, width, c)


class WindowAttention(nn.Module):
    """Multi-head attention inside windows ``[b, 49, width]`` with a learned bias for each relative position."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_position_index(WINDOW))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def bias(self) -> Tensor:
        """The bias for each pair of cells, ``[heads, 49, 49]``."""
        table = self.relative_position_bias_table[self.relative_position_index.reshape(-1)]
        return table.reshape(WINDOW**2, WINDOW**2, self.heads).permute(2, 0, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, n, c = x.shape
        head = c // self.heads
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, head).permute(2, 0, 3, 1, 4).unbind(0)
        logits = (q * head**-0.5) @ k.transpose(-2, -1) + self.bias()
        if mask is not None:
            logits = logits + mask[:, None]
        return self.proj((logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, n, c))


class ShiftWindowAttention(nn.Module):
    """Window attention on ``[B, H, W, C]``: pads, shifts, cuts into windows, attends, and undoes the first three steps.

    Padded cells are tokens like all others.
    """

    def __init__(self, width: int, heads: int, shifted: bool):
        super().__init__()
        self.shifted = shifted
        self.w_msa = WindowAttention(width, heads)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        x = pad_to(x, WINDOW)
        padded = x.shape[1:3]
        mask = None
        if self.shifted:
            x = x.roll((-SHIFT, -SHIFT), (1, 2))
            mask = shifted_window_mask(*padded).to(x).repeat(len(x), 1, 1)
        x = merge_windows(self.w_msa(partition(x), mask), *padded)
        if self.shifted:
            x = x.roll((SHIFT, SHIFT), (1, 2))
        return x[:, :h, :w]


class SwinFfn(nn.Module):
    """Two linear layers with the exact GELU (``layers.0.0``, ``layers.1``)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Sequential(nn.Linear(width, hidden), nn.GELU()), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SwinBlock(nn.Module):
    """Pre-norm window attention and feed-forward network on ``[B, H, W, C]``."""

    def __init__(self, width: int, heads: int, shifted: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = ShiftWindowAttention(width, heads, shifted)
        self.norm2 = nn.LayerNorm(width)
        self.ffn = SwinFfn(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class PatchMerging(nn.Module):
    """Merges 2x2 cells: ``[B, H, W, C]`` to ``[B, ceil(H / 2), ceil(W / 2), 2 C]``.

    The features are ordered by ``4 * channel + 2 * row + column``. A norm and a linear layer follow.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = pad_to(x, 2)
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4)
        return self.reduction(self.norm(x.reshape(b, h // 2, w // 2, 4 * c)))


class SwinStage(nn.Module):
    """Blocks of one resolution, of which every second one uses shifted windows, and the patch merging after them."""

    def __init__(self, width: int, heads: int, depth: int, downsample: bool):
        super().__init__()
        self.blocks = nn.ModuleList(SwinBlock(width, heads, i % 2 == 1) for i in range(depth))
        self.downsample = PatchMerging(width) if downsample else None

    def attend(self, x: Tensor) -> Tensor:
        """Runs the blocks without the merging: ``[B, H, W, C]`` to the same shape."""
        for block in self.blocks:
            x = block(x)
        return x


class SwinPatchEmbed(nn.Module):
    """Pads an image ``[1, 3, s, s]`` with zeros to a multiple of 4, and embeds its 4x4 patches as ``[1, H, W, C]``."""

    def __init__(self, width: int):
        super().__init__()
        self.projection = nn.Conv2d(3, width, 4, 4)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tensor:
        h, w = image.shape[2:]
        image = F.pad(image, (0, -w % 4, 0, -h % 4))
        return self.norm(self.projection(image).permute(0, 2, 3, 1))


class SwinT(nn.Module):
    """Swin-T up to stride 16: ``[1, 3, s, s]`` to ``[1, 384, n, n]``."""

    def __init__(
        self, width: int = 96, depths: tuple[int, ...] = (2, 2, 6, 2), heads: tuple[int, ...] = (3, 6, 12, 24)
    ):
        super().__init__()
        self.patch_embed = SwinPatchEmbed(width)
        self.stages = nn.ModuleList(
            SwinStage(width << i, heads[i], depths[i], i + 1 < len(depths)) for i in range(len(depths))
        )
        self.norm2 = nn.LayerNorm(4 * width)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        for stage in self.stages[:2]:
            x = stage.downsample(stage.attend(x))
        return self.norm2(self.stages[2].attend(x)).permute(0, 3, 1, 2)


class Basemodel(nn.Module):
    """Holds the backbone under the name that the authors' checkpoints use."""

    def __init__(self):
        super().__init__()
        self.net = SwinT()


class Adjuster(nn.Module):
    """1x1 convolution with bias and batch norm (eps 1e-3)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class MultiheadAttention(nn.Module):
    """Attention with the parameter layout of ``torch.nn.MultiheadAttention``. Tokens are ``[B, n, width]``."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def project(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scaled queries, keys and values, ``[B, heads, n, width / heads]`` each."""
        c = query.shape[-1]
        head = c // self.heads
        q = F.linear(query, self.in_proj_weight[:c], self.in_proj_bias[:c]) * head**-0.5
        k = F.linear(memory, self.in_proj_weight[c : 2 * c], self.in_proj_bias[c : 2 * c])
        v = F.linear(memory, self.in_proj_weight[2 * c :], self.in_proj_bias[2 * c :])
        return tuple(t.reshape(len(t), -1, self.heads, head).transpose(1, 2) for t in (q, k, v))

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        q, k, v = self.project(query, memory)
        x = (q @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        return self.out_proj(x.transpose(1, 2).reshape(query.shape))


class SparseAttention(MultiheadAttention):
    """Attention in which each query uses only its :data:`TOP_K` largest logits. Tokens are ``[B, n, width]``."""

    def forward(self, query: Tensor, memory: Tensor, kept: Tensor | None = None) -> Tensor:
        """``kept [B, heads, n, TOP_K]``, if given, are the indices of the keys to use instead of the largest.

        Raises ``ValueError`` if their logits differ from the largest by more than rounding can explain.
        """
        q, k, v = self.project(query, memory)
        logits = q @ k.transpose(-2, -1)
        values, indices = logits.topk(TOP_K, dim=-1)
        if kept is not None:
            smallest, values, indices = values[..., -1], logits.gather(-1, kept), kept
            lost = (smallest - values.amin(dim=-1)).max() / logits.abs().max()
            if not lost <= SAME_LOGIT:
                raise ValueError(f"a kept key's logit is {lost:.2g} of the largest below the {TOP_K} to be kept")
        weights = torch.zeros_like(logits).scatter(-1, indices, values.softmax(dim=-1))
        return self.out_proj((weights @ v).transpose(1, 2).reshape(query.shape))


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them, residual and norm after them. ``[B, n, width]`` to the same shape."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)
        self.layer_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer_norm(x + self.w_2(F.relu(self.w_1(x))))


class EncoderLayer(nn.Module):
    """Self-attention over the template, ``[B, 64, width]`` to the same shape."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.slf_attn = MultiheadAttention(width, heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pos_ffn = FeedForward(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.pos_ffn(self.norm(x + self.slf_attn(x, x)))


class DecoderLayer(nn.Module):
    """Sparse self-attention over the search region ``[B, 361, width]``, then attention to the encoded template."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.slf_attn = SparseAttention(width, heads)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.enc_attn = MultiheadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.pos_ffn = FeedForward(width, hidden)

    def forward(self, x: Tensor, encoded: Tensor, kept: Tensor | None = None) -> Tensor:
        x = self.norm1(x + self.slf_attn(x, x, kept))
        return self.pos_ffn(self.norm2(x + self.enc_attn(x, encoded)))


class LearnedPosition(nn.Module):
    """Learned positions. The first half of the channels depends on the column, the second half on the row."""

    def __init__(self, cells: int, width: int):
        super().__init__()
        self.row_embed = nn.Embedding(cells, width // 2)
        self.col_embed = nn.Embedding(cells, width // 2)

    def forward(self) -> Tensor:
        """Returns the positions of all cells, row-major, ``[1, cells^2, width]``."""
        row, col = self.row_embed.weight, self.col_embed.weight
        n = len(row)
        grid = torch.cat([col[None].expand(n, -1, -1), row[:, None].expand(-1, n, -1)], dim=-1)
        return grid.reshape(1, n * n, -1)


class Encoder(nn.Module):
    """Encodes the template's tokens ``[B, 64, width]``. The shape stays."""

    def __init__(self, width: int, heads: int, hidden: int, layers: int):
        super().__init__()
        self.spatial_position_encoding = LearnedPosition(TEMPLATE_CELLS, width)
        self.encoder_layers = nn.ModuleList(EncoderLayer(width, heads, hidden) for _ in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens + self.spatial_position_encoding()
        for layer in self.encoder_layers:
            x = layer(x)
        return x


class Decoder(nn.Module):
    """Decodes the search tokens ``[B, 361, width]`` with the encoded template ``[B, 64, width]``. The shape stays."""

    def __init__(self, width: int, heads: int, hidden: int, layers: int):
        super().__init__()
        self.spatial_position_encoding = LearnedPosition(SCORE_SIZE, width)
        self.decoder_layers = nn.ModuleList(DecoderLayer(width, heads, hidden) for _ in range(layers))

    def forward(self, tokens: Tensor, encoded: Tensor, kept: Sequence[Tensor] = ()) -> Tensor:
        x = tokens + self.spatial_position_encoding()
        for layer, keys in zip_longest(self.decoder_layers, kept):
            x = layer(x, encoded, keys)
        return x


class Neck(nn.Module):
    """Holds the encoder of the template and the decoder of the search region."""

    def __init__(self, width: int = 256, heads: int = 8, hidden: int = 2048, layers: int = 2):
        super().__init__()
        self.encoder = Encoder(width, heads, hidden, layers)
        self.decoder = Decoder(width, heads, hidden, layers)


class ConvBn(nn.Module):
    """Convolution without bias, followed by batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class WideningBlock(nn.Module):
    """First block of the convolution branch: two convolutions, and a skip with a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = ConvBn(inputs, inputs, 3)
        self.conv2 = ConvBn(inputs, outputs)
        self.conv_identity = ConvBn(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.conv_identity(x))


class Bottleneck(nn.Module):
    """ResNet bottleneck that adds its input."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + x)


def cell_centres() -> Tensor:
    """Returns x and y of the score map's cells, row-major, in search pixels, ``[1, 361, 2]``."""
    cell = torch.arange(SCORE_SIZE * SCORE_SIZE)
    return torch.stack([cell % SCORE_SIZE, cell // SCORE_SIZE], dim=-1)[None] * float(STRIDE)


class DoubleHead(nn.Module):
    """``[1, 512, 19, 19]`` to score ``[1, 361, 1]``, from a pointwise and a convolution branch together, and box
    ``[1, 361, 4]``, from the convolution branch."""

    def __init__(self, inputs: int = 512, width: int = 1024, bottlenecks: int = 7):
        super().__init__()
        for name in ("bi_fc", "si_fc", "bi_conv", "si_conv"):
            self.register_parameter(name, nn.Parameter(torch.tensor(0.0 if name.startswith("b") else 1.0)))
        self.register_buffer("fm_ctr", cell_centres())
        self.fc_branch = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU())
        self.fc_branch_cls = ConvBn(width, 1)
        self.fc_branch_reg = ConvBn(width, 4)
        self.conv_branch = nn.Sequential(
            WideningBlock(inputs, width), *(Bottleneck(width, width // 4) for _ in range(bottlenecks))
        )
        self.conv_branch_cls = ConvBn(width, 1)
        self.conv_branch_reg = ConvBn(width, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        dense = self.fc_branch_cls(self.fc_branch(x)).sigmoid()
        branch = self.conv_branch(x)
        local = self.conv_branch_cls(branch).sigmoid()
        score = (dense + local * (1 - dense)).flatten(2).transpose(1, 2)
        distance = STRIDE * torch.exp(self.si_conv * self.conv_branch_reg(branch) + self.bi_conv)
        left_top, right_bottom = distance.flatten(2).transpose(1, 2).split(2, dim=-1)
        return score, torch.cat([self.fm_ctr - left_top, self.fm_ctr + right_bottom], dim=-1)


class SparseTT(nn.Module):
    """The complete network.

    ``template(z)``: ``[1, 3, 127, 127]`` to the encoded template ``[1, 64, 256]``, once per target.
    ``track(encoded, x)``: with ``x`` of ``[1, 3, 289, 289]`` gives score ``[1, 361, 1]`` in (0, 1) and box
    ``[1, 361, 4]`` (left, top, right, bottom in pixels of the search crop), cells row-major. ``kept`` holds the indices
    of the keys that each decoder layer is to use, if another implementation has chosen them. See
    :class:`SparseAttention`.
    """

    def __init__(self):
        super().__init__()
        self.basemodel = Basemodel()
        self.neck = Neck()
        self.head = DoubleHead()
        self.feat_adjuster_z = Adjuster(384, 256)
        self.feat_adjuster_x = Adjuster(384, 256)

    def template(self, image: Tensor) -> Tensor:
        feature = self.feat_adjuster_z(self.basemodel.net(image))
        return self.neck.encoder(feature.flatten(2).transpose(1, 2))

    def track(self, encoded: Tensor, search: Tensor, kept: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        feature = self.feat_adjuster_x(self.basemodel.net(search))
        decoded = self.neck.decoder(feature.flatten(2).transpose(1, 2), encoded, kept)
        return self.head(torch.cat([decoded.transpose(1, 2).reshape(feature.shape), feature], dim=1))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        return self.track(self.template(template), search)
