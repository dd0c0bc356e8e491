"""Statistics over time of all layers and of the spectrum's fine structure, and a small projection of them.

Mean and standard deviation of every state that is read, and the long-term spectrum: log power of windows of
128 ms, averaged over time, less its own average over nine bins (70 Hz). What is left of it are lines at
fixed frequencies; layers that upsample leave such lines, whatever they were trained on (Afchar,
Meseguer-Brocal, Akesbi and Hennequin, arXiv:2506.19108, section 3). A front end of mel bands cannot see
them: the two complete one another. Layer norms of a speech model vary in scale from one feature to the
next, so every feature is standardised by what was seen in training.

The score of a frame is what the same projection says of the second around it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput, masked_mean, masked_mean_deviation

WINDOW = 2_048  # samples, 128 ms
FRAME = 320  # samples between frames of a front end
HOP = 2 * FRAME  # samples between spectra
BINS = WINDOW // 2
SMOOTH = 9  # bins of the moving average
FLOOR = 1e-4  # of the power, where speech has variance one: about -70 dB
BOUND = 8.0  # deviations from the mean beyond which a feature says no more
REACH = 12  # spectra, or pairs of frames, to either side that a frame score looks at: a second in all
EARLIER = 2  # how many spectra before that of its number a pair of frames is in the middle of


class LongTermSpectrum(nn.Module):
    """Log power, HOP apart: (batch, samples) -> (batch, spectra, BINS) and a mask (batch, spectra)."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=True), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(waveform.device.type, enabled=False):  # sums over a clip need float32
            inside = torch.arange(waveform.shape[1], device=lengths.device)[None] < lengths[:, None]
            count = lengths[:, None].float()
            centred = (waveform - (waveform * inside).sum(1, keepdim=True) / count) * inside
            level = torch.sqrt((centred * centred).sum(1, keepdim=True) / count + 1e-10)
            windows = F.pad(centred / level, (0, WINDOW)).unfold(1, WINDOW, HOP)
            spectra = torch.fft.rfft(windows * self.window)[..., :BINS]
            power = spectra.real**2 + spectra.imag**2
        number = torch.div(lengths - WINDOW, HOP, rounding_mode="floor").clamp(min=0) + 1
        return torch.log(power + FLOOR), torch.arange(power.shape[1], device=lengths.device) < number[:, None]


def fine_structure(spectra: Tensor) -> Tensor:
    """(batch, BINS) or (batch, any, BINS) -> the same less a moving average over bins."""
    flat = spectra.reshape(-1, 1, BINS)
    padded = F.pad(flat, (SMOOTH // 2, SMOOTH // 2), mode="replicate")
    return spectra - F.avg_pool1d(padded, SMOOTH, 1).reshape(spectra.shape)


def around(values: Tensor, mask: Tensor, reach: int) -> Tensor:
    """Mean of (batch, frames, width) over `reach` frames to either side, of those inside the clip."""
    inside = mask[:, :, None].to(values.dtype)
    sums = F.pad(torch.cumsum(torch.cat([values * inside, inside], dim=2), dim=1), (0, 0, 1, 0))
    frame = torch.arange(values.shape[1], device=values.device)
    first, last = (frame - reach).clamp(min=0), (frame + reach + 1).clamp(max=values.shape[1])
    near = sums[:, last] - sums[:, first]
    return near[:, :, :-1] / near[:, :, -1:].clamp(min=1)


class Pooled(nn.Module):
    """States and waveform -> logits; the embedding is (batch, embedding)."""

    READS = "states and waveform"
    MASKED = True

    def __init__(self, width: int, states: int, *, embedding: int = 256, drop: float = 0.5) -> None:
        super().__init__()
        features = 2 * states * width + BINS
        self.spectrum = LongTermSpectrum()
        self.standardise = nn.BatchNorm1d(features, affine=False)
        self.embed = nn.Sequential(nn.Dropout(drop), nn.Linear(features, embedding), nn.GELU())
        self.classify = nn.Sequential(nn.Dropout(drop), nn.Linear(embedding, 2))

    def forward(self, states: Tensor, mask: Tensor, waveform: Tensor, lengths: Tensor) -> HeadOutput:
        frames = side_by_side(states)
        spectra, heard = self.spectrum(waveform, lengths)
        features = self.standardise(statistics(frames, mask, spectra, heard))
        embedding = self.embed(features.clamp(-BOUND, BOUND))
        of_frames = self.embed(self.standardised(near_statistics(frames, mask, spectra, heard)))
        logits = self.classify(of_frames)  # (batch, pairs of frames, 2)
        scores = (logits[..., 1] - logits[..., 0]).repeat_interleave(2, dim=1)[:, : mask.shape[1]]
        return HeadOutput(self.classify(embedding), embedding, scores * mask)

    def standardised(self, features: Tensor) -> Tensor:
        """(batch, any, features) by what was seen before, in training too."""
        mean, variance = self.standardise.running_mean, self.standardise.running_var
        assert mean is not None
        assert variance is not None
        return ((features - mean) * torch.rsqrt(variance + self.standardise.eps)).clamp(-BOUND, BOUND)


def side_by_side(states: Tensor) -> Tensor:
    """(batch, states, frames, width) -> (batch, frames, states * width)."""
    return states.float().transpose(1, 2).flatten(2)


def statistics(frames: Tensor, mask: Tensor, spectra: Tensor, heard: Tensor) -> Tensor:
    """What the head pools of a clip, (batch, features): means, deviations, fine structure."""
    lines = fine_structure(masked_mean(spectra, heard))
    return torch.cat([masked_mean_deviation(frames, mask), lines], dim=1)


def near_statistics(frames: Tensor, mask: Tensor, spectra: Tensor, heard: Tensor) -> Tensor:
    """`statistics` of the second around every other frame, (batch, pairs of frames, features)."""
    centre = masked_mean(frames, mask)[:, None]
    pairs, inside = (frames - centre)[:, ::2], mask[:, ::2]
    mean, power = around(pairs, inside, REACH), around(pairs * pairs, inside, REACH)
    deviation = torch.sqrt((power - mean * mean).clamp(min=1e-7))
    late = pairs.shape[1] - spectra.shape[1]  # as many spectra as pairs, those outside the clip unheard
    spectra = F.pad(spectra, (0, 0, EARLIER, late - EARLIER))
    lines = fine_structure(around(spectra, F.pad(heard, (EARLIER, late - EARLIER)), REACH))
    return torch.cat([mean + centre, deviation, lines], dim=2)
