"""AASIST: graph attention over frequency bands and over time, joined in one graph.

Two heads share the graphs.

`Aasist` reads the waveform. Source: Jung et al., "AASIST: Audio Anti-Spoofing using Integrated
Spectro-Temporal Graph Attention Networks", ICASSP 2022, arXiv:2110.01200, and the authors' code
(clovaai/aasist). 297,866 parameters as in the paper; AASIST-L (`SIZES`) has 85,306. The authors'
weights load through `from_authors`; their score is the first 64,600 samples' (`fit_length`). As in
their code, five residual blocks hold a normalisation that their output does not depend on (512
parameters, in AASIST-L 272): it is kept, so that every weight finds its place, and frozen.

`AasistHead` reads the frames of a self-supervised front end. Source: Tak et al., "Automatic
speaker verification spoofing and deepfake detection using wav2vec 2.0 and data augmentation",
Odyssey 2022, arXiv:2202.12233, and the authors' code (TakHemlata/SSL_Anti-spoofing): 447,242
parameters at width 1024, of which 512 are idle as above. Bands here are groups of three of the
128 features that a linear layer makes of a frame.

Departures: the share of nodes that pooling keeps is taken exactly, where the authors' floating
point sometimes loses one (63 of 90 nodes, not 62; none at 64,600 samples); the random
masking of sinc filters in training is left out, being augmentation.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput
from earwitness.decision.heads.rawnet2 import freeze, sinc_filters

SAMPLES = 64_600  # 4 s, what the authors train and score on
SINC_FILTERS, SINC_KERNEL = 70, 129
POOL = 3

# Options of the authors' two networks (their config/AASIST.conf and AASIST-L.conf).
SIZES: dict[str, dict[str, Any]] = {
    "aasist": {"channels": 64, "pool_ratios": [0.5, 0.7, 0.5]},
    "aasist-l": {"channels": 24, "pool_ratios": [0.4, 0.5, 0.7]},
}

# The authors' names of our parts; what stands inside a part is named as they do.
AUTHORS_NAMES = {
    "LL": "project",
    "first_bn": "first_bn",
    "first_bn1": "encoder_bn",
    "encoder": "encoder",
    "attention": "attention",
    "pos_S": "graphs.positions",
    "GAT_layer_S": "graphs.spectral",
    "GAT_layer_T": "graphs.temporal",
    "pool_S": "graphs.pool_spectral",
    "pool_T": "graphs.pool_temporal",
    "master1": "graphs.branches.0.master",
    "HtrgGAT_layer_ST11": "graphs.branches.0.first",
    "HtrgGAT_layer_ST12": "graphs.branches.0.second",
    "pool_hS1": "graphs.branches.0.pool_spectral",
    "pool_hT1": "graphs.branches.0.pool_temporal",
    "master2": "graphs.branches.1.master",
    "HtrgGAT_layer_ST21": "graphs.branches.1.first",
    "HtrgGAT_layer_ST22": "graphs.branches.1.second",
    "pool_hS2": "graphs.branches.1.pool_spectral",
    "pool_hT2": "graphs.branches.1.pool_temporal",
    "out_layer": "classify",
}


def xavier(*size: int) -> nn.Parameter:
    """A parameter with Xavier's normal initialisation."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(*size)))


def normalise_nodes(norm: nn.BatchNorm1d, nodes: Tensor) -> Tensor:
    """Batch normalisation and SELU of (batch, nodes, width), over batch and nodes."""
    return F.selu(norm(nodes.transpose(1, 2)).transpose(1, 2))


class GraphAttention(nn.Module):
    """Attention among nodes of one kind, (batch, nodes, width).

    The weight of a pair comes from the product of its two nodes, so it is symmetric.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.input_drop = nn.Dropout(0.2)
        self.att_proj = nn.Linear(inputs, outputs)
        self.att_weight = xavier(outputs, 1)
        self.proj_with_att = nn.Linear(inputs, outputs)
        self.proj_without_att = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, nodes: Tensor) -> Tensor:
        nodes = self.input_drop(nodes)
        pairs = torch.tanh(self.att_proj(nodes[:, :, None] * nodes[:, None]))  # (b, n, n, width)
        weights = torch.softmax((pairs @ self.att_weight)[..., 0] / self.temperature, dim=2)
        return normalise_nodes(self.bn, self.proj_with_att(weights @ nodes) + self.proj_without_att(nodes))


class HeterogeneousAttention(nn.Module):
    """Attention among nodes of two kinds and a master node (the paper's stack node).

    Pairs of the first kind, of the second and mixed ones have weights of their own. The master
    collects from all nodes and gives nothing back.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.input_drop = nn.Dropout(0.2)
        self.proj_type1 = nn.Linear(inputs, inputs)
        self.proj_type2 = nn.Linear(inputs, inputs)
        self.att_proj = nn.Linear(inputs, outputs)
        self.att_projM = nn.Linear(inputs, outputs)
        self.att_weight11 = xavier(outputs, 1)
        self.att_weight22 = xavier(outputs, 1)
        self.att_weight12 = xavier(outputs, 1)
        self.att_weightM = xavier(outputs, 1)
        self.proj_with_att = nn.Linear(inputs, outputs)
        self.proj_without_att = nn.Linear(inputs, outputs)
        self.proj_with_attM = nn.Linear(inputs, outputs)
        self.proj_without_attM = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, first: Tensor, second: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, nodes, width) of each kind; `master` is (batch or 1, 1, width)."""
        split = first.shape[1]
        nodes = self.input_drop(torch.cat([self.proj_type1(first), self.proj_type2(second)], dim=1))
        is_second = torch.arange(nodes.shape[1], device=nodes.device) >= split
        pairs = torch.tanh(self.att_proj(nodes[:, :, None] * nodes[:, None]))  # (b, n, n, width)
        kinds = pairs @ torch.cat([self.att_weight11, self.att_weight22, self.att_weight12], dim=1)
        scores = torch.where(is_second, kinds[..., 1], kinds[..., 0])
        scores = torch.where(is_second[:, None] == is_second, scores, kinds[..., 2])
        weights = torch.softmax(scores / self.temperature, dim=2)  # (batch, nodes, nodes)

        toward = torch.tanh(self.att_projM(nodes * master)) @ self.att_weightM  # (batch, nodes, 1)
        toward = torch.softmax(toward / self.temperature, dim=1).transpose(1, 2)
        master = self.proj_with_attM(toward @ nodes) + self.proj_without_attM(master)

        nodes = self.proj_with_att(weights @ nodes) + self.proj_without_att(nodes)
        nodes = normalise_nodes(self.bn, nodes)
        return nodes[:, :split], nodes[:, split:], master


class GraphPool(nn.Module):
    """Keeps the share `ratio` of nodes with the highest scores, at least one, weighted by them."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.ratio = Fraction(ratio).limit_denominator(1000)  # a whole fraction exports, a float does not
        self.drop = nn.Dropout(0.3)
        self.proj = nn.Linear(width, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """(batch, nodes, width) -> (batch, fewer nodes, width)."""
        scores = torch.sigmoid(self.proj(self.drop(nodes)))  # (batch, nodes, 1)
        keep = torch.sym_max(nodes.shape[1] * self.ratio.numerator // self.ratio.denominator, 1)
        best = torch.topk(scores, keep, dim=1).indices  # type: ignore[arg-type]
        return (nodes * scores).gather(1, best.expand(-1, -1, nodes.shape[2]))


class Branch(nn.Module):
    """Two layers of heterogeneous attention around one master node, with pooling between."""

    def __init__(self, inputs: int, outputs: int, ratio: float, temperature: float) -> None:
        super().__init__()
        self.master = nn.Parameter(torch.randn(1, 1, inputs))
        self.first = HeterogeneousAttention(inputs, outputs, temperature)
        self.pool_spectral = GraphPool(outputs, ratio)
        self.pool_temporal = GraphPool(outputs, ratio)
        self.second = HeterogeneousAttention(outputs, outputs, temperature)
        self.drop_way = nn.Dropout(0.2)

    def forward(self, temporal: Tensor, spectral: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        temporal, spectral, master = self.first(temporal, spectral, self.master)
        temporal, spectral = self.pool_temporal(temporal), self.pool_spectral(spectral)
        more_temporal, more_spectral, more_master = self.second(temporal, spectral, master)
        return (
            self.drop_way(temporal + more_temporal),
            self.drop_way(spectral + more_spectral),
            self.drop_way(master + more_master),
        )


class SpectroTemporalGraphs(nn.Module):
    """Nodes of bands and of times -> (batch, 5 * outputs).

    Both graphs attend and are pooled by themselves; then two branches join them, and the larger of
    the two is taken element by element (the paper's max graph operation); then maxima and means over
    nodes, and the master.

    Args:
        bands: nodes of the spectral graph, which get a learnt position.
        inputs: width of the nodes.
        outputs: width inside the branches.
        pool_ratios: of the spectral graph, of the temporal graph, of those in the branches.
        temperatures: of the spectral graph, of the temporal graph, of the branches.
    """

    def __init__(
        self,
        bands: int,
        inputs: int,
        outputs: int,
        pool_ratios: Sequence[float],
        temperatures: Sequence[float],
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, bands, inputs))
        self.spectral = GraphAttention(inputs, inputs, temperatures[0])
        self.temporal = GraphAttention(inputs, inputs, temperatures[1])
        self.pool_spectral = GraphPool(inputs, pool_ratios[0])
        self.pool_temporal = GraphPool(inputs, pool_ratios[1])
        self.branches = nn.ModuleList(
            Branch(inputs, outputs, pool_ratios[2], temperatures[2]) for _ in range(2)
        )

    def forward(self, spectral: Tensor, temporal: Tensor) -> Tensor:
        spectral = self.pool_spectral(self.spectral(spectral + self.positions))
        temporal = self.pool_temporal(self.temporal(temporal))
        one, other = (branch(temporal, spectral) for branch in self.branches)
        temporal, spectral, master = (torch.maximum(a, b) for a, b in zip(one, other, strict=True))
        parts = [temporal.abs().amax(1), temporal.mean(1), spectral.abs().amax(1), spectral.mean(1)]
        return torch.cat([*parts, master.squeeze(1)], dim=1)


class ResidualBlock(nn.Module):
    """Two 2 x 3 convolutions over (batch, channels, bands, frames) with a residual path."""

    def __init__(self, inputs: int, outputs: int, first: bool, pool: int) -> None:
        super().__init__()
        self.pool = pool
        if not first:  # in the authors' weights, but not on the way to their output
            self.bn1 = nn.BatchNorm2d(inputs)
            freeze(self.bn1)
        self.conv1 = nn.Conv2d(inputs, outputs, (2, 3), padding=(1, 1))
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, (2, 3), padding=(0, 1))
        self.conv_downsample = (
            nn.Conv2d(inputs, outputs, (1, 3), padding=(0, 1)) if inputs != outputs else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv2(F.selu(self.bn2(self.conv1(x)), inplace=True))
        hidden += self.conv_downsample(x)
        return F.max_pool2d(hidden, (1, self.pool))


def encoder(channels: int, pool: int) -> nn.Sequential:
    """Six residual blocks, (batch, 1, bands, frames) -> (batch, channels, bands, frames / pool^6)."""
    widths = [1, 32, 32, channels, channels, channels, channels]
    return nn.Sequential(
        *(
            ResidualBlock(inputs, outputs, first=index == 0, pool=pool)
            for index, (inputs, outputs) in enumerate(pairwise(widths))
        )
    )


class Aasist(nn.Module):
    """(batch, samples) -> logits; the embedding is (batch, 5 * graph_width).

    Clips of one length only may share a batch; any length from 2,315 samples on is taken, but the
    authors' weights were made for `SAMPLES`. The filters are the fixed sinc filters of RawNet2.

    Args:
        channels: of the last four residual blocks, and the width of the first graphs.
        graph_width: inside the branches.
        pool_ratios, temperatures: see `SpectroTemporalGraphs`.
    """

    READS = "waveform"
    MASKED = False
    filters: Tensor

    def __init__(
        self,
        *,
        channels: int = 64,
        graph_width: int = 32,
        pool_ratios: Sequence[float] = (0.5, 0.7, 0.5),
        temperatures: Sequence[float] = (2.0, 2.0, 100.0),
    ) -> None:
        super().__init__()
        bank = torch.from_numpy(sinc_filters(SINC_FILTERS, SINC_KERNEL))
        self.register_buffer("filters", bank, persistent=False)
        self.first_bn = nn.BatchNorm2d(1)
        self.encoder = encoder(channels, POOL)
        bands = SINC_FILTERS // POOL
        self.graphs = SpectroTemporalGraphs(bands, channels, graph_width, pool_ratios, temperatures)
        self.drop = nn.Dropout(0.5)
        self.classify = nn.Linear(5 * graph_width, 2)

    def forward(self, waveform: Tensor, lengths: Tensor) -> HeadOutput:
        with torch.autocast(waveform.device.type, enabled=False):  # the filters need float32
            bands = F.conv1d(waveform.float()[:, None], self.filters).abs()
            bands = F.max_pool2d(bands[:, None], POOL)  # (batch, 1, 23, frames)
        maps = self.encoder(F.selu(self.first_bn(bands))).abs()  # (batch, channels, 23, frames)
        spectral, temporal = maps.amax(3).transpose(1, 2), maps.amax(2).transpose(1, 2)
        embedding = self.graphs(spectral, temporal)
        return HeadOutput(self.classify(self.drop(embedding)), embedding, None)


class AasistHead(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, 5 * graph_width).

    Nodes are means over time and over bands, weighted by a learnt attention. Clips of one length
    only may share a batch; at least three frames.

    Args:
        width: of the front end's frames.
        features: that a linear layer makes of them.
        channels, graph_width, pool_ratios, temperatures: as in `Aasist`.
    """

    READS = "frames"
    MASKED = False

    def __init__(
        self,
        width: int,
        *,
        features: int = 128,
        channels: int = 64,
        graph_width: int = 32,
        pool_ratios: Sequence[float] = (0.5, 0.5, 0.5),
        temperatures: Sequence[float] = (2.0, 2.0, 100.0),
    ) -> None:
        super().__init__()
        self.project = nn.Linear(width, features)
        self.first_bn = nn.BatchNorm2d(1)
        self.encoder = encoder(channels, 1)
        self.encoder_bn = nn.BatchNorm2d(channels)
        self.attention = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1),
            nn.SELU(),
            nn.BatchNorm2d(2 * channels),
            nn.Conv2d(2 * channels, channels, 1),
        )
        bands = features // POOL
        self.graphs = SpectroTemporalGraphs(bands, channels, graph_width, pool_ratios, temperatures)
        self.drop = nn.Dropout(0.5)
        self.classify = nn.Linear(5 * graph_width, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        maps = F.max_pool2d(self.project(frames).transpose(1, 2)[:, None], POOL)
        maps = self.encoder(F.selu(self.first_bn(maps)))
        maps = F.selu(self.encoder_bn(maps))  # (batch, channels, bands, frames / 3)
        attention = self.attention(maps)
        spectral = (maps * attention.softmax(3)).sum(3).transpose(1, 2)
        temporal = (maps * attention.softmax(2)).sum(2).transpose(1, 2)
        embedding = self.graphs(spectral, temporal)
        return HeadOutput(self.classify(self.drop(embedding)), embedding, None)


def fit_length(waveform: Tensor, samples: int = SAMPLES) -> Tensor:
    """(any number of samples,) -> the first `samples`, repeated as often as a short one needs."""
    return waveform.repeat(-(-samples // len(waveform)))[:samples]


def from_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the authors name them -> as `Aasist` and `AasistHead` name them.

    A leading `module.` or `model.` is dropped; weights of a front end (`ssl_model.`) are left out.

    Raises:
        ValueError: a name that neither of the authors' networks has.
    """
    ours = {}
    for name, value in state.items():
        part, _, rest = name.removeprefix("module.").removeprefix("model.").partition(".")
        if part == "ssl_model":
            continue
        if part not in AUTHORS_NAMES:
            raise ValueError(f"{name}: expected weights of AASIST, which have no such name")
        if part == "encoder":  # each of their blocks stands in a sequence of one
            rest = rest.replace(".0.", ".", 1)
        ours[f"{AUTHORS_NAMES[part]}.{rest}".rstrip(".")] = value
    return ours


def options_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Options of `Aasist` that the authors' weights belong to.

    Raises:
        ValueError: they are not those of AASIST or AASIST-L.
    """
    found = {name: value.shape for name, value in from_authors(state).items()}
    for options in SIZES.values():
        if found == {name: value.shape for name, value in Aasist(**options).state_dict().items()}:
            return dict(options)
    raise ValueError(f"weights of AASIST, but of neither size known here: {', '.join(SIZES)}")
