"""Run recurrent layers so that they export: torch cannot trace them over a symbolic number of frames.

In an ONNX export ONNX's own operators take their place (GRU and LSTM of opset 14); elsewhere
torch's layers run as they are. The operators order the gates otherwise: torch has reset, update,
new for a GRU where ONNX has update, reset, new; and input, forget, cell, output for an LSTM where
ONNX has input, output, forget, cell.
"""

from typing import Any

import torch
from torch import Tensor, nn

GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}  # ONNX's order, in places of torch's


def recur(layers: nn.GRU | nn.LSTM, x: Tensor) -> Tensor:
    """(batch, frames, channels) -> every state of the last layer, (batch, frames, hidden size)."""
    if not torch.onnx.is_in_onnx_export():
        return layers(x)[0]
    from torch.onnx import ops

    kind, size = type(layers).__name__, layers.hidden_size
    attributes: dict[str, Any] = {"hidden_size": size}
    if kind == "GRU":
        attributes["linear_before_reset"] = 1

    def reorder(weights: Tensor) -> Tensor:
        gates = weights.split(size)
        return torch.cat([gates[place] for place in GATES[kind]])[None]

    states = x.transpose(0, 1)  # (frames, batch, channels)
    for layer in range(layers.num_layers):
        inward, inner, inward_bias, inner_bias = (
            reorder(getattr(layers, f"{name}_l{layer}"))
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        states = ops.symbolic(
            kind,
            [states, inward, inner, torch.cat([inward_bias, inner_bias], dim=1)],
            attributes,
            dtype=x.dtype,
            shape=(x.shape[1], 1, x.shape[0], size),
        )[:, 0]
    return states.transpose(0, 1)
