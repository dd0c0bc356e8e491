"""Statistics over time of all layers and of the spectrum's fine structure, and a small projection of them.

Of every state that is read: mean, standard deviation, and the deviation of its change from frame to frame;
and, of all but the last, the mean with the spectrum upside down, so that the fine end of the mel scale lies
on the upper frequencies, where generators err most and mel bands tell least (as inverted mel cepstra do:
Sahidullah, Kinnunen and Hanilci, Interspeech 2015). And the long-term spectrum: log power of windows of 128
and 256 ms, averaged over time, less its own average over nine bins. What is left of it are lines at fixed
frequencies; layers that upsample leave such lines, whatever they were trained on (Afchar,
Meseguer-Brocal, Akesbi and Hennequin, arXiv:2506.19108, section 3). A front end of mel bands cannot see
them: the two complete one another. Layer norms of a speech model vary in scale from one feature to the
next, so every feature is standardised by what was seen in training.

All of this is taken below 7 kHz: what lies above tells which sample rate a recording once had, which is
no evidence of who speaks.

The score of a frame is what the same projection says of the second around it, unbounded.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput

WINDOWS = (2_048, 4_096)  # samples, 128 and 256 ms
FRAME = 320  # samples between frames of a front end
HOP = 2 * FRAME  # samples between spectra
STEP = 128  # samples, of which windows and hops are multiples
CUT = 7_000 / 16_000  # cycles a sample
TAPS = 257
BLOCK = 256  # samples that are filtered at once
LEVEL = 0.05  # deviation that clips are brought to
TINY = 1e-12  # of power
SILENT = 1e-7  # of the power of a clip
LEAST = 10  # frames that must sound
SMOOTH = 9  # bins of the moving average
FLOOR = 1e-4 / 2_048  # of the power over the window, where speech has variance one: about -70 dB
BOUND = 8.0  # deviations from the mean beyond which a feature says no more
REACH = 12  # spectra, or pairs of frames, to either side that a frame score looks at: a second in all


def low_pass() -> np.ndarray:
    """A filter (TAPS,) that leaves what is below 6.8 kHz and takes 99 dB off what is above 7.2."""
    taps = np.sinc(2 * CUT * (np.arange(TAPS) - TAPS // 2)) * np.kaiser(TAPS, 10.0)
    return taps / taps.sum()


def toeplitz() -> Tensor:
    """The same filter as a matrix, (BLOCK + TAPS - 1, BLOCK), many times as fast as a convolution."""
    rows = [np.pad(low_pass(), (i, BLOCK - 1 - i)) for i in range(BLOCK)]
    return torch.from_numpy(np.stack(rows, axis=1).astype(np.float32))


FILTER = toeplitz()  # made once, so that a graph holds it as a constant


def without_top(waveform: Tensor, lengths: Tensor) -> Tensor:
    """(batch, samples) -> the same below 7 kHz, at one level, without an offset, zero beyond each clip."""
    with torch.autocast(waveform.device.type, enabled=False):  # sums over a clip need float32
        inside = torch.arange(waveform.shape[1], device=lengths.device)[None] < lengths[:, None]
        centred = (waveform - (waveform * inside).sum(1, keepdim=True) / lengths[:, None].float()) * inside
        samples, taps = waveform.shape[1], FILTER.to(waveform.device)
        padded = F.pad(centred, (TAPS // 2, 2 * BLOCK))[:, : (samples // BLOCK + 2) * BLOCK]
        blocks = padded.unflatten(1, (-1, BLOCK))
        below = (blocks[:, :-1] @ taps[:BLOCK] + blocks[:, 1:] @ taps[BLOCK:]).flatten(1)
        below = below[:, :samples] * inside
        power = (below * below).sum(1, keepdim=True) / lengths[:, None].float()
        return LEVEL * below / torch.sqrt(power + TINY)


def sounding(waveform: Tensor, mask: Tensor) -> Tensor:
    """Of the frames inside a clip those that are not silent, (batch, frames): silence tells nothing."""
    frames = F.pad(waveform, (0, FRAME))[:, : mask.shape[1] * FRAME].unflatten(1, (-1, FRAME))
    heard = mask & (frames.square().mean(2) > SILENT * LEVEL**2)
    few = heard.sum(1, keepdim=True) <= LEAST
    return heard | (mask & few)


def upside_down(waveform: Tensor) -> Tensor:
    """(batch, samples) -> the same with 0 Hz and half the sample rate exchanged."""
    return waveform * (1 - 2 * (torch.arange(waveform.shape[1], device=waveform.device) % 2))


def both_ways_up(front_end: Any, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """States of a waveform, (batch, states, frames, width), all but the last of it upside down, and the mask.

    One after the other: together they would take twice the memory.
    """
    states, mask = front_end(waveform, lengths)
    turned, _ = front_end(upside_down(waveform), lengths, front_end.states[:-1])
    return states, turned, mask


class Spectra(NamedTuple):
    """Log power of the windows that lie in a clip, HOP apart."""

    values: Tensor  # (batch, spectra, bins)
    heard: Tensor  # (batch, spectra): true inside the clip
    earlier: int  # how many spectra before that of its number a pair of frames is in the middle of


def overlapping(waveform: Tensor, size: int) -> Tensor:
    """(batch, samples) -> windows HOP apart with zeros behind the end, (batch, windows, size).

    Whole blocks of STEP are gathered: an engine copies those many times as fast as single samples.
    """
    hops = waveform.shape[1] // HOP
    blocks = F.pad(waveform, (0, size))[:, : hops * HOP + size].unflatten(1, (-1, STEP))
    first = HOP // STEP * torch.arange(hops + 1, device=waveform.device)
    return blocks[:, first[:, None] + torch.arange(size // STEP, device=waveform.device)].flatten(2)


class LongTermSpectrum(nn.Module):
    """(batch, samples) without an offset, (batch,) -> Spectra of one length of window, half as many bins."""

    window: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size, periodic=True), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> Spectra:
        with torch.autocast(waveform.device.type, enabled=False):  # sums over a clip need float32
            inside = torch.arange(waveform.shape[1], device=lengths.device)[None] < lengths[:, None]
            count = lengths[:, None].float()
            heard = waveform * inside
            level = torch.sqrt((heard * heard).sum(1, keepdim=True) / count + TINY)
            windows = overlapping(heard / level, self.size)
            spectra = torch.fft.rfft(windows * self.window)[..., : self.size // 2]
            power = spectra.real**2 + spectra.imag**2
        number = torch.div(lengths - self.size, HOP, rounding_mode="floor").clamp(min=0) + 1
        heard = torch.arange(power.shape[1], device=lengths.device) < number[:, None]
        return Spectra(torch.log(power + FLOOR * self.size), heard, round((self.size - FRAME) / (2 * HOP)))


def fine_structure(spectra: Tensor) -> Tensor:
    """(batch, bins) or (batch, any, bins) -> the same less a moving average over bins."""
    flat = spectra.reshape(-1, 1, spectra.shape[-1])
    padded = F.pad(flat, (SMOOTH // 2, SMOOTH // 2), mode="replicate")
    return spectra - F.avg_pool1d(padded, SMOOTH, 1).reshape(spectra.shape)


def spread_back(weights: Tensor) -> Tensor:
    """(bins,) -> the same through the transpose of `fine_structure`.

    `fine_structure(x) @ w` is `x @ spread_back(w)`.
    """
    padded = F.pad(weights, (SMOOTH - 1, SMOOTH - 1))[None]
    shares = F.avg_pool1d(padded, SMOOTH, 1)[0]
    edge = SMOOTH // 2
    first, last = shares[: edge + 1].sum(0, keepdim=True), shares[-edge - 1 :].sum(0, keepdim=True)
    return weights - torch.cat([first, shares[edge + 1 : -edge - 1], last])


def around(values: Tensor, mask: Tensor, reach: int) -> Tensor:
    """Mean of (batch, frames, width) over `reach` frames to either side, of those inside the clip."""
    inside = mask[:, :, None].to(values.dtype)
    sums = F.pad(torch.cumsum(torch.cat([values * inside, inside], dim=2), dim=1), (0, 0, 1, 0))
    frame = torch.arange(values.shape[1], device=values.device)
    first, last = (frame - reach).clamp(min=0), (frame + reach + 1).clamp(max=values.shape[1])
    near = sums[:, last] - sums[:, first]
    return near[:, :, :-1] / near[:, :, -1:].clamp(min=1)


class Pooled(nn.Module):
    """States and waveform -> logits; the embedding (batch, embedding) is linear in the statistics."""

    READS = "states both ways up"
    MASKED = True

    def __init__(self, width: int, states: int, *, embedding: int = 256, drop: float = 0.5) -> None:
        super().__init__()
        self.features = columns(width, states)
        total = self.features["lines"].stop
        self.spectra = nn.ModuleList(LongTermSpectrum(size) for size in WINDOWS)
        self.standardise = nn.BatchNorm1d(total, affine=False)
        self.embed = nn.Sequential(nn.Dropout(drop), nn.Linear(total, embedding))
        self.classify = nn.Linear(embedding, 2)

    def forward(
        self, states: Tensor, turned: Tensor, mask: Tensor, waveform: Tensor, lengths: Tensor
    ) -> HeadOutput:
        frames, upside, heard = side_by_side(states), side_by_side(turned), sounding(waveform, mask)
        spectra = [spectrum(waveform, lengths) for spectrum in self.spectra]
        features = self.standardise(statistics(frames, upside, heard, spectra))
        embedding = self.embed(features.clamp(-BOUND, BOUND))
        scores = self.near_scores(frames, upside, heard, spectra).repeat_interleave(2, dim=1)
        return HeadOutput(self.classify(embedding), embedding, scores[:, : mask.shape[1]] * mask)

    def near_scores(self, frames: Tensor, upside: Tensor, mask: Tensor, spectra: Sequence[Spectra]) -> Tensor:
        """Scores of the second around every other frame, (batch, pairs of frames).

        What is linear in frames is projected first and averaged then, which is much less to average.
        """
        weights, offset = self.as_one()
        part = {name: weights[where] for name, where in self.features.items()}
        linear = frames @ part["means"] + upside @ part["upside"]
        scores = offset + near_mean(linear, mask, 2 * REACH)[:, ::2]
        scores = scores + near_deviation(frames, mask) @ part["deviations"]
        steps = F.pad(frames[:, 1:] - frames[:, :-1], (0, 0, 1, 0))
        scores = scores + near_deviation(steps, F.pad(mask[:, 1:], (1, 0))) @ part["changes"]
        lines = part["lines"].split([size // 2 for size in WINDOWS])
        for (values, heard, earlier), line in zip(spectra, lines, strict=True):
            late = scores.shape[1] - values.shape[1]  # as many spectra as pairs, those outside unheard
            moved = F.pad(values @ spread_back(line), (earlier, late - earlier))
            scores = scores + near_mean(moved, F.pad(heard, (earlier, late - earlier)), REACH)
        return scores

    def as_one(self) -> tuple[Tensor, Tensor]:
        """Weights (features,) and offset (1,) of the score in the statistics as they come."""
        middle, variance = self.standardise.running_mean, self.standardise.running_var
        assert middle is not None
        assert variance is not None
        embed: Any = self.embed[1]
        difference = self.classify.weight[1] - self.classify.weight[0]
        weights = (difference @ embed.weight) * torch.rsqrt(variance + self.standardise.eps)
        offset = difference @ embed.bias + self.classify.bias[1] - self.classify.bias[0]
        return weights, (offset - middle @ weights)[None]


def columns(width: int, states: int) -> dict[str, slice]:
    """Where each kind of statistics stands."""
    whole, turned = states * width, (states - 1) * width
    sizes = {
        "means": whole,
        "upside": turned,
        "deviations": whole,
        "changes": whole,
        "lines": sum(WINDOWS) // 2,
    }
    found, first = {}, 0
    for name, size in sizes.items():
        found[name] = slice(first, first + size)
        first += size
    return found


def side_by_side(states: Tensor) -> Tensor:
    """(batch, states, frames, width) -> (batch, frames, states * width)."""
    return states.float().transpose(1, 2).flatten(2)


def statistics(frames: Tensor, upside: Tensor, mask: Tensor, spectra: Sequence[Spectra]) -> Tensor:
    """What the head pools of a clip, (batch, features), in the order of `columns`."""
    changes = deviation(frames[:, 1:] - frames[:, :-1], mask[:, 1:])
    lines = [fine_structure(mean(values, heard)) for values, heard, _ in spectra]
    return torch.cat(
        [mean(frames, mask), mean(upside, mask), deviation(frames, mask), changes, *lines], dim=1
    )


def mean(frames: Tensor, mask: Tensor) -> Tensor:
    """(batch, frames, width) -> (batch, width), over frames where `mask` is true.

    As a product of matrices, for which engines are faster than for a masked sum.
    """
    inside = mask[:, None].to(frames.dtype)
    return (inside @ frames)[:, 0] / inside.sum(2)


def deviation(frames: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation, as `mean`."""
    centred = frames - mean(frames, mask)[:, None]
    return torch.sqrt(mean(centred * centred, mask).clamp(min=1e-7))


def near_mean(values: Tensor, mask: Tensor, reach: int) -> Tensor:
    """`around` of (batch, frames); where all is silent, the mean of the clip."""
    centre = mean(values[..., None], mask)
    return around(values[..., None] - centre[:, None], mask, reach)[..., 0] + centre


def near_deviation(frames: Tensor, mask: Tensor) -> Tensor:
    """Deviation of the second around every other frame, (batch, pairs of frames, width)."""
    frames = frames - mean(frames, mask)[:, None]
    middle, power = (around(values, mask, 2 * REACH)[:, ::2] for values in (frames, frames * frames))
    return torch.sqrt((power - middle * middle).clamp(min=1e-7))
