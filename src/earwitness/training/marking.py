"""Four watermarks to be trained alike: who writes, who reads, and what a message is.

  fakemark-a   residual of a SEANet, conditioned on a generator's signature; read by the collaborator
  fakemark-t   factors on magnitudes, conditioned on a signature; read by the collaborator
  audioseal    the same SEANet with sixteen bits; read sample by sample (San Roman et al., arXiv:2401.17264)
  timbre       the same factors with four bits; read from magnitudes (Liu et al., NDSS 2024)

Every scheme names generators by a table of messages, a row each: signatures, or codewords. Readers say
whether there is a mark (log-odds, None where the scheme cannot) and what it says, frame by frame.
"""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.evidence import shaping
from earwitness.training.magnitudes import MagnitudeGenerator, MagnitudeReader, istft, stft
from earwitness.training.seanet import HOP, Bits, SampleReader, Signature, WaveformGenerator, whole_hops

SchemeName = Literal["fakemark-a", "fakemark-t", "audioseal", "timbre"]
SCHEMES: tuple[SchemeName, ...] = ("fakemark-a", "fakemark-t", "audioseal", "timbre")
SIGNED = ("fakemark-a", "fakemark-t")
ADDED = ("fakemark-a", "audioseal")  # a residual of a waveform generator
BITS = {"audioseal": 16, "timbre": 4}
TEMPERATURE = 0.1  # of AudioSeal's bits


def make_generator(scheme: SchemeName, message: int, filters: int, width: int, channels: int) -> nn.Module:
    """The network that marks, for messages of this size."""
    if scheme not in ADDED:
        return MagnitudeGenerator(message, channels)
    processor = Signature(message, width) if scheme in SIGNED else Bits(message, width)
    return WaveformGenerator(processor, filters, width)


def make_reader(scheme: SchemeName, filters: int, width: int, channels: int) -> nn.Module:
    """The reader of a scheme with bits."""
    if scheme == "audioseal":
        return SampleReader(BITS[scheme], filters, width)
    return MagnitudeReader(BITS[scheme], channels)


def residual_of(
    scheme: SchemeName,
    generator: nn.Module,
    host: Tensor,
    message: Tensor,
    loud: float = 1.0,
    half: bool = False,
) -> Tensor:
    """What marking adds to a host, both (batch, samples); messages are (batch, size).

    A residual that is `loud` is that many times what may be heard. With `half` the network computes in
    bfloat16; spectra never do.
    """
    spectrum = None if scheme in ADDED else stft(host)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        if spectrum is None:
            proposed = generator(whole_hops(host), message)[:, : host.shape[1]]
        else:
            proposed = generator(spectrum.abs(), message)
    if spectrum is None:
        return loud * shaped(proposed.float() / loud, host)
    return istft(spectrum * ((proposed.float() - 1) * loud).clamp(min=-1), host.shape[-1])


def shaped(proposed: Tensor, host: Tensor) -> Tensor:
    """`earwitness.evidence.shaping.shaped` of a batch (batch, samples), with gradients for the proposal."""
    window = torch.hann_window(shaping.SIZE)
    how: Any = {"n_fft": shaping.SIZE, "hop_length": shaping.STEP, "window": window}
    spectra = torch.stft(proposed, **how, pad_mode="constant", return_complex=True)
    with torch.no_grad():
        loud = torch.stft(host, **how, pad_mode="constant", return_complex=True).abs()
        sides = (shaping.BINS // 2, shaping.FRAMES // 2)
        limit = shaping.RATIO * F.avg_pool2d(loud[:, None], (shaping.BINS, shaping.FRAMES), 1, sides)[:, 0]
    magnitudes = (spectra.real**2 + spectra.imag**2 + shaping.TINY**2).sqrt()  # smooth at zero
    return torch.istft(spectra * (limit / (magnitudes + limit + shaping.TINY)), **how, length=host.shape[1])


def read(scheme: SchemeName, reader: nn.Module, waveform: Tensor) -> tuple[Tensor | None, Tensor]:
    """Log-odds of a mark (batch, steps), or None, and what it says (batch, frames, names or bits)."""
    if scheme in SIGNED:
        return reader(waveform)
    if scheme == "timbre":
        return None, reader(stft(waveform).abs())
    marked, bits = reader(whole_hops(waveform))
    return marked[:, : waveform.shape[1]], F.avg_pool1d(bits, HOP).transpose(1, 2) / TEMPERATURE


def codewords(names: int, bits: int) -> np.ndarray:
    """Words of -1 and 1, (names, bits): as far apart as a greedy search finds, the same every time.

    Raises:
        ValueError: there are not that many words.
    """
    if names > 2**bits:
        raise ValueError(f"{bits} bits name {2**bits} generators at most, not {names}")
    rng = np.random.default_rng(bits)
    every = rng.permutation(2**bits)[: max(names, 4_096)]
    words = 2 * ((every[:, None] >> np.arange(bits)) & 1) - 1
    chosen = [words[0]]
    while len(chosen) < names:
        nearest = (words[:, None, :] != np.array(chosen)).sum(2).min(1)
        chosen.append(words[int(nearest.argmax())])
    return np.array(chosen, np.float32)
