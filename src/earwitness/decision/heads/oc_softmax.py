"""One direction for bona fide speech: the cosine of the mean frame with it is the score.

Source: Zhang, Jiang and Duan, "One-class Learning Towards Synthetic Voice Spoofing Detection",
IEEE Signal Processing Letters 2021, arXiv:2010.13995, equation 5; here on the mean frame of a
self-supervised front end, as in AntiDeepfake (nii-yamagishilab/AntiDeepfake). `width` parameters,
as theirs: one vector, of which only the direction counts. Train on `oc_softmax_losses` with
`logits[:, 1]`, the cosine; the logits are [-cosine, cosine].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput, masked_mean


def oc_softmax_losses(
    cosine: Tensor,
    bona_fide: Tensor,
    scale: float = 20.0,
    margin_real: float = 0.9,
    margin_fake: float = 0.2,
) -> Tensor:
    """softplus(scale * excess) of each clip, (batch,), the mean of which is equation 5.

    Args:
        cosine: (batch,), of each embedding with the direction of bona fide speech.
        bona_fide: (batch,), true or one for bona fide clips.
        scale: steepness.
        margin_real: what the cosine of bona fide clips is to exceed.
        margin_fake: what the cosine of spoofed clips is to stay below.
    """
    excess = torch.where(bona_fide.bool(), margin_real - cosine, cosine - margin_fake)
    return F.softplus(scale * excess)


class OcSoftmax(nn.Module):
    """(batch, frames, width) -> logits; the embedding is the mean frame, (batch, width).

    A frame's score is its part of the clip's: twice its projection onto the direction, over the
    length of the mean frame. The mean of the frame scores is the score.
    """

    READS = "frames"
    MASKED = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.direction = nn.Parameter(F.normalize(torch.randn(width), dim=0))

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        frames = frames.masked_fill(~mask[:, :, None], 0.0)
        direction = F.normalize(self.direction, dim=0)
        embedding = masked_mean(frames, mask)
        cosine = (F.normalize(embedding, dim=1) * direction).sum(1).clamp(-1.0, 1.0)
        length = torch.linalg.vector_norm(embedding, dim=1, keepdim=True).clamp(min=1e-12)
        frame_scores = 2 * (frames * direction).sum(2) / length
        return HeadOutput(torch.stack([-cosine, cosine], dim=1), embedding, frame_scores)
