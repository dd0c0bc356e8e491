"""Log-mel inputs of the front ends that do not read the waveform: Whisper's and Kaldi's.

Both are a convolution with a fixed basis, a power spectrum and mel filters, so that they run in
any engine and stay exact in a padded batch. Waveforms are float32 (batch, samples) at 16 kHz,
zero beyond a clip's end; `lengths` (batch,) holds the samples inside.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAME = 400  # samples, 25 ms
STEP = 160  # samples, 10 ms


def fourier_basis(frame: int, size: int) -> np.ndarray:
    """Cosines and sines of the first `frame` samples of a transform of `size`, (size + 2, frame)."""
    angle = 2 * np.pi * np.arange(size // 2 + 1)[:, None] * np.arange(frame) / size
    return np.concatenate([np.cos(angle), np.sin(angle)])


def mel_power(waveform: Tensor, kernels: Tensor, filters: Tensor) -> Tensor:
    """(batch, samples) -> mel powers (batch, bands, frames)."""
    spectrum = F.conv1d(waveform[:, None], kernels, stride=STEP)
    real, imaginary = spectrum.chunk(2, dim=1)
    return torch.einsum("bft,fm->bmt", real * real + imaginary * imaginary, filters)


class WhisperLogMel(nn.Module):
    """Whisper's log-mel: (batch, samples) -> (batch, bands, mel frames), 10 ms apart.

    As openai/whisper computes it (Radford et al., arXiv:2212.04356, section 2.2; base-10 logarithm,
    floor eight decades under the clip's maximum), for clips that are followed by silence.
    """

    kernels: Tensor
    filters: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(
            FRAME // 2 + 1, bands, 0.0, 8_000.0, 16_000, norm="slaney", mel_scale="slaney"
        )
        kernels = fourier_basis(FRAME, FRAME) * np.hanning(FRAME + 1)[:-1]
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("kernels", torch.from_numpy(kernels)[:, None].float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        edge = waveform[:, 1 : FRAME // 2 + 1].flip(1)  # frames are centred: mirror the beginning
        powers = mel_power(torch.cat([edge, F.pad(waveform, (0, FRAME))], dim=1), self.kernels, self.filters)
        logmel = torch.log10(powers.clamp(min=1e-10))
        logmel = torch.maximum(logmel, logmel.amax((1, 2), keepdim=True) - 8.0)
        return (logmel + 4.0) / 4.0


class KaldiFilterBank(nn.Module):
    """Kaldi's filter bank as w2v-BERT 2.0 takes it: (batch, samples) -> (batch, frames, 2 * bands).

    25 ms frames 10 ms apart, offset removed, pre-emphasis 0.97, Povey window, log mel energies,
    each band to zero mean and unit variance over the clip, two neighbours stacked. Source: the
    feature extractor of facebook/w2v-bert-2.0. Offset, pre-emphasis, window and transform are
    linear, so one matrix does all four.
    """

    kernels: Tensor
    filters: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(
            257, bands, 20.0, 8_000.0, 16_000, mel_scale="kaldi", triangularize_in_mel_space=True
        )
        centre = np.eye(FRAME) - 1.0 / FRAME
        emphasis = np.eye(FRAME) - 0.97 * np.eye(FRAME, k=-1)
        emphasis[0, 0] = 0.03  # the first sample is its own neighbour
        window = np.hanning(FRAME) ** 0.85
        kernels = fourier_basis(FRAME, 512) @ (window[:, None] * emphasis @ centre) * 2**15
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("kernels", torch.from_numpy(kernels)[:, None].float(), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        powers = mel_power(waveform, self.kernels, self.filters)
        logmel = torch.log(powers.clamp(min=1.192092955078125e-07)).transpose(1, 2)
        count = torch.div(lengths - FRAME, STEP, rounding_mode="floor") + 1
        inside = (torch.arange(logmel.shape[1], device=lengths.device)[None] < count[:, None])[:, :, None]
        number = count[:, None, None].to(logmel.dtype)
        mean = (logmel * inside).sum(1, keepdim=True) / number
        centred = (logmel - mean) * inside
        variance = (centred * centred).sum(1, keepdim=True) / (number - 1)
        bands = centred / torch.sqrt(variance + 1e-7)
        pairs = bands.shape[1] // 2
        return bands[:, : 2 * pairs].reshape(bands.shape[0], pairs, -1)
