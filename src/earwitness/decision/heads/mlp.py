"""A perceptron on each frame, then the mean over frames: the back end of system P3.

Source: Wang and Yamagishi, "Can large-scale vocoded spoofed data improve speech spoofing
countermeasure with a self-supervised front end?", ICASSP 2024, arXiv:2309.06014, and the authors'
code (nii-yamagishilab/project-NN-Pytorch-scripts, project 10, model P3): a linear layer to 128
features, three layers of 128 with leaky ReLU and dropout of a half, mean, linear layer. 180,994
parameters at width 1024, as theirs. The last two steps are linear, so the mean of the frame scores
is the clip's score.

With `depth=0` this is the GF back end (one linear layer, mean, linear layer; 131,458 parameters
at width 1024) of Wang and Yamagishi, "Investigating Self-Supervised Front Ends for Speech Spoofing
Countermeasures", Odyssey 2022, arXiv:2111.07725.

Departure: the authors keep dropout on when they score and average the probabilities of 144 draws;
here scoring is without dropout.
"""

from torch import Tensor, nn

from earwitness.decision.heads.output import HeadOutput, masked_mean


class Mlp(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, hidden)."""

    READS = "frames"
    MASKED = True

    def __init__(self, width: int, *, hidden: int = 128, depth: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.compress = nn.Linear(width, hidden)
        self.perceptron = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(), nn.Dropout(dropout))
                for _ in range(depth)
            )
        )
        self.classify = nn.Linear(hidden, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        frames = frames.masked_fill(~mask[:, :, None], 0.0)
        hidden = self.perceptron(self.compress(frames))
        embedding = masked_mean(hidden, mask)
        per_frame = self.classify(hidden)  # (batch, frames, 2)
        frame_scores = (per_frame[..., 1] - per_frame[..., 0]) * mask.to(per_frame.dtype)
        return HeadOutput(self.classify(embedding), embedding, frame_scores)
