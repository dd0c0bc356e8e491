"""SLS, sensitive layer selection: a gate for each layer, their sum as a map, two linear layers.

Source: Zhang, Wen and Hu, "Audio Deepfake Detection with Self-Supervised XLS-R and SLS Classifier",
ACM Multimedia 2024, doi 10.1145/3664647.3681345, and the authors' code
(QiShanZhang/SLSforASVspoof-2021-DF), whose parameter names these are. The map is flattened into a
linear layer, so clips must have one length: 64,600 samples, that is 201 frames. On 1,024-wide frames
that makes 23,399,429 parameters, as theirs: 340.79 M with XLS-R 300M.

They give the outputs of all transformer layers, states 1 to 24, the last one before the encoder's
final norm. Their network ends in SELU, then log-softmax. The SELU stays here: the released weights
need it, though it bounds how negative a logit can be. The log-softmax goes: it moves both outputs
alike, so the score (the difference of both) and the cross-entropy are theirs number for number.
They rank by the output for bona fide alone, which has the same order.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput

POOL = 3  # frames and channels that max-pooling makes one


class SensitiveLayers(nn.Module):
    """(batch, layers, frames, width) -> logits; the embedding is (batch, size).

    Args:
        width: of a frame.
        layers: how many are given; one gate serves all, so no weight depends on it.
        frames: in every clip.
        size: of the layer before the last.
    """

    READS = "layers"
    MASKED = False

    def __init__(self, width: int, layers: int, *, frames: int = 201, size: int = 1024) -> None:
        super().__init__()
        self.shape = (layers, frames, width)
        self.first_bn = nn.BatchNorm2d(1)
        self.fc0 = nn.Linear(width, 1)
        self.fc1 = nn.Linear((frames // POOL) * (width // POOL), size)
        self.fc3 = nn.Linear(size, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        if frames.shape[1:] != self.shape:
            found = tuple(frames.shape[1:])
            raise ValueError(f"SLS needs clips of (layers, frames, width) {self.shape}, got {found}")
        gates = torch.sigmoid(self.fc0(frames.mean(2)))  # (batch, layers, 1)
        x = (frames * gates[..., None]).sum(1, keepdim=True)  # (batch, 1, frames, width)
        x = F.max_pool2d(F.selu(self.first_bn(x)), POOL)
        embedding = F.selu(self.fc1(x.flatten(1)))
        return HeadOutput(F.selu(self.fc3(embedding)), embedding, None)
