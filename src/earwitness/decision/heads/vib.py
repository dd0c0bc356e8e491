"""Variational information bottleneck: every frame becomes a Gaussian, of which few bits may pass.

Source: Eom, Lee, Um and Kim, "Anti-spoofing using transfer learning with variational information
bottleneck", Interspeech 2022, arXiv:2204.01387. No code of theirs was found, so layers and
sizes are those of public code for XLS-R with such a bottleneck (hungdinhxuan/Lightning-hydra,
src/models/components/xlsr_vib.py): a projection, an encoder to a mean and a log variance for each
frame, three frame layers, the mean over frames, a linear layer. On 1,024-wide frames they hold
193,346 parameters, as these do.

Departures from that code: at evaluation the bottleneck passes its mean, where theirs draws a sample,
so that a clip has one score; its decoder (24,832 parameters), which no score depends on and only a
reconstruction loss trains, is left out, because the objective of such a bottleneck (Alemi et al.,
arXiv:1612.00410, equation 17) is cross-entropy plus beta times the divergence. While it trains, the
head gives the second term as its penalty; its weight, beta, is not known from either source.
"""

import torch
from torch import Tensor, nn

from earwitness.decision.heads.output import HeadOutput, masked_mean


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of each Gaussian that lets gradients through to both (the reparameterisation)."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor, mask: Tensor) -> Tensor:
    """Divergence of diagonal Gaussians from the standard normal, in nats for each frame of a clip.

    Args:
        mean: (batch, frames, size).
        log_variance: (batch, frames, size).
        mask: (batch, frames), true inside a clip.

    Returns:
        (batch,): summed over `size`, the mean over frames inside.
    """
    mean, log_variance = mean.float(), log_variance.float()
    each = (mean**2 + torch.exp(log_variance) - 1 - log_variance) / 2
    return masked_mean(each, mask).sum(1)


def dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    """A linear layer with what follows it."""
    return [nn.Linear(inputs, outputs), nn.GELU(), nn.Dropout(dropout)]


class Bottleneck(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, size).

    The last layer is linear, so the mean of the frame scores is the clip's score.

    Args:
        width: of a frame.
        hidden: of the layers before the bottleneck.
        size: of the bottleneck and of the layers behind it.
        dropout: behind every layer but the first and the last.
        beta: weight of the divergence in training; ours.
    """

    READS = "frames"
    MASKED = True

    def __init__(
        self, width: int, *, hidden: int = 128, size: int = 64, dropout: float = 0.5, beta: float = 1e-3
    ) -> None:
        super().__init__()
        self.beta = beta
        self.encode = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            *dense(hidden, hidden, dropout),
            *dense(hidden, hidden, dropout),
        )
        self.mean = nn.Linear(hidden, size)
        self.log_variance = nn.Linear(hidden, size)
        self.per_frame = nn.Sequential(*(layer for _ in range(3) for layer in dense(size, size, dropout)))
        self.project = nn.Linear(size, 2)

    def bottleneck(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, width) -> mean and log variance, (batch, frames, size) each."""
        encoded = self.encode(frames.masked_fill(~mask[..., None], 0))
        return self.mean(encoded), self.log_variance(encoded)

    def classify(self, passed: Tensor, mask: Tensor) -> HeadOutput:
        """What passed the bottleneck, (batch, frames, size), to all that the head gives."""
        passed = self.per_frame(passed)
        embedding = masked_mean(passed, mask)
        each = self.project(passed)  # (batch, frames, 2)
        frame_scores = (each[..., 1] - each[..., 0]) * mask.to(each.dtype)
        return HeadOutput(self.project(embedding), embedding, frame_scores)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        mean, log_variance = self.bottleneck(frames, mask)
        if not self.training:
            return self.classify(mean, mask)
        found = self.classify(draw(mean, log_variance), mask)
        return found._replace(penalty=self.beta * kl_to_standard_normal(mean, log_variance, mask))
