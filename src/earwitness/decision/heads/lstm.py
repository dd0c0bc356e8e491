"""A recurrent layer over frames and the mean of its states.

Source: Pan, Liu, Sailor and Wang, "Attentive Merging of Hidden Embeddings from Pre-trained Speech
Model for Anti-spoofing Detection", Interspeech 2024, arXiv:2406.10283, and the authors' code
(pandarialTJU/AttM_INTERSPEECH24): one forward LSTM of 192, mean over time, linear layer. 935,810
parameters at width 1024; the 936k that Liu et al. (arXiv:2504.05657) give for it.

A forward LSTM sees nothing of what follows a frame, so only the mean needs the mask. The mean and
the last layer are linear, so the mean of the frame scores is the clip's score.
"""

from torch import Tensor, nn

from earwitness.decision.heads.output import HeadOutput, masked_mean
from earwitness.decision.heads.recurrent import recur


class Lstm(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, hidden)."""

    READS = "frames"
    MASKED = True

    def __init__(self, width: int, *, hidden: int = 192) -> None:
        super().__init__()
        self.recur = nn.LSTM(width, hidden, batch_first=True)
        self.classify = nn.Linear(hidden, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        frames = frames.masked_fill(~mask[:, :, None], 0.0)
        states = recur(self.recur, frames)
        embedding = masked_mean(states, mask)
        per_frame = self.classify(states)  # (batch, frames, 2)
        frame_scores = (per_frame[..., 1] - per_frame[..., 0]) * mask.to(per_frame.dtype)
        return HeadOutput(self.classify(embedding), embedding, frame_scores)
