"""Mean over frames, then one linear layer: the head of AntiDeepfake.

Source: Ge, Wang, Liu and Yamagishi, "Post-training for Deepfake Speech Detection",
arXiv:2506.21090; 2 * width + 2 parameters (`proj_fc` in their checkpoints). The head is linear,
so the mean of its frame scores is the clip's score.
"""

from torch import Tensor, nn

from earwitness.decision.heads.output import HeadOutput, masked_mean


class MeanLinear(nn.Module):
    """(batch, frames, width) -> logits; the embedding is the mean frame, (batch, width)."""

    READS = "frames"
    MASKED = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        embedding = masked_mean(frames, mask)
        per_frame = self.project(frames)  # (batch, frames, 2)
        frame_scores = (per_frame[..., 1] - per_frame[..., 0]) * mask.to(frames.dtype)
        return HeadOutput(self.project(embedding), embedding, frame_scores)
