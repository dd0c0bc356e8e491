"""Multi-head factorised attentive pooling over frames and layers.

Two weightings of the layers, one for keys and one for values; keys say, for each head, which
frames count; each head averages the values over them.

Source: Peng, Plchot, Stafylakis, Mosner, Burget and Cernocky, "An attention-based backend allowing
efficient fine-tuning of transformer models for speaker verification", SLT 2022, arXiv:2210.01273,
and the authors' code (JunyiPeng00/SLT22_MultiHead-Factorized-Attentive-Pooling). Sizes are those for
spoofing in WeDefense (zlin0/wedefense, recipe asvspoof5/v15_ssl_mhfa): 32 heads, compression to 128,
embedding of 256, then a linear layer. 1,315,924 parameters at width 1024 with 25 states, as theirs:
1,315,410 for the pooling and 514 for the linear layer.

Departure: the scaling of the gradient that flows back into the front end (0.1 in WeDefense) is
left to training.
"""

import torch
from torch import Tensor, nn

from earwitness.decision.heads.output import HeadOutput


class Mhfa(nn.Module):
    """(batch, layers, frames, width) -> logits; the embedding is (batch, embedding)."""

    READS = "layers"
    MASKED = True

    def __init__(
        self,
        width: int,
        layers: int,
        *,
        heads: int = 32,
        compression: int = 128,
        embedding: int = 256,
    ) -> None:
        super().__init__()
        self.key_layers = nn.Parameter(torch.ones(layers))
        self.value_layers = nn.Parameter(torch.ones(layers))
        self.keys = nn.Linear(width, compression)
        self.values = nn.Linear(width, compression)
        self.attend = nn.Linear(compression, heads)
        self.embed = nn.Linear(heads * compression, embedding)
        self.classify = nn.Linear(embedding, 2)

    def pool(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(batch, layers, frames, width) -> (batch, heads * compression)."""
        frames = frames.masked_fill(~mask[:, None, :, None], 0.0)
        keys = self.keys(torch.einsum("bltw,l->btw", frames, self.key_layers.softmax(0)))
        values = self.values(torch.einsum("bltw,l->btw", frames, self.value_layers.softmax(0)))
        attention = self.attend(keys).masked_fill(~mask[:, :, None], -torch.inf).softmax(1)
        return torch.einsum("bth,btc->bhc", attention, values).flatten(1)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        embedding = self.embed(self.pool(frames, mask))
        return HeadOutput(self.classify(embedding), embedding, None)
