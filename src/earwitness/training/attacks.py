"""What happens to marked speech while a watermark is trained: each clip of a batch gets a fate of its own.

Families and ranges after section 5.6 of the survey of watermark attacks that `audio.augment.distortions`
follows, and AudioSeal's appendix; gradients pass through all of them. Through codecs, quantisers and
Griffin-Lim they pass as if nothing had happened (straight-through, Bengio et al., arXiv:1308.3432). A clip
that a fate lengthens or shortens is cut or padded: waveforms stay (batch, samples).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from earwitness.audio.augment.codecs import transmit
from earwitness.audio.augment.rooms import draw_room, respond
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.griffin_lim import GriffinLim, griffin_lim

Fate = Callable[[Tensor, np.random.Generator], Tensor]  # (samples,) -> (samples,)

CODECS = (
    ("mp3", 16_000, 32_000),
    ("mp3", 44_100, 64_000),
    ("aac", 16_000, 32_000),
    ("aac", 44_100, 64_000),
    ("opus", 16_000, 12_000),
    ("opus", 16_000, 16_000),
    ("opus", 48_000, 24_000),
    ("mulaw", 8_000, None),
    ("g722", 16_000, None),
)


def attack(marked: Tensor, rng: np.random.Generator, share: float = 0.75) -> Tensor:
    """Clips (batch, samples), of which `share` meet one fate, a third of those two."""
    clips = []
    for clip in marked:
        count = int(rng.random() < share) * (1 + int(rng.random() < 1 / 3))
        for fate in rng.choice(np.array(FATES, dtype=object), count, p=WEIGHTS):
            clip = fate(clip, rng)
        clips.append(clip)
    return torch.stack(clips)


def straight_through(clip: Tensor, changed: np.ndarray) -> Tensor:
    """`changed` (any length) as the value, the clip's own gradient."""
    value = torch.zeros_like(clip)
    few = min(len(changed), len(clip))
    value[:few] = torch.from_numpy(np.ascontiguousarray(changed[:few], np.float32))
    return clip + (value - clip).detach()


def through_codec(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """A lossy codec."""
    codec, hertz, bits = CODECS[rng.integers(len(CODECS))]
    return straight_through(clip, transmit(clip.detach().numpy(), codec, hertz, bits))


def resynthesised(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Magnitudes kept, or their mel bands, and phases found anew."""
    bands = int(rng.choice([80, 100, 128])) if rng.random() < 0.5 else None
    how = GriffinLim(1024, 256, int(rng.integers(4, 12)), 0.9, "random", bands, "pinv", 1)
    return straight_through(clip, griffin_lim(clip.detach().numpy(), how, rng))


def requantised(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """5 to 10 bits of the clip's own range."""
    levels = 2 ** int(rng.integers(5, 11))
    peak = clip.detach().abs().max() + 1e-6
    return straight_through(
        clip, (torch.round(clip.detach() / peak * levels / 2) * 2 / levels * peak).numpy()
    )


def noisy(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise of any slope 5 to 35 dB under the clip."""
    slope = torch.from_numpy(np.maximum(frequencies(clip), 30.0) ** -rng.uniform(0, 1.5)).float()
    white = torch.from_numpy(rng.standard_normal(len(clip))).float()
    noise = torch.fft.irfft(torch.fft.rfft(white) * slope, len(clip))
    level = clip.detach().square().mean().sqrt() / (noise.square().mean().sqrt() + 1e-9)
    return clip + noise * level * 10 ** (-rng.uniform(5, 35) / 20)


def frequencies(clip: Tensor) -> np.ndarray:
    """Of the bins of the clip's transform, in Hz."""
    return np.fft.rfftfreq(len(clip), 1 / SAMPLE_RATE)


def filtered(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Low-pass, high-pass, band-pass, or gains of +-12 dB that vary over frequency."""
    hertz, kind = frequencies(clip), rng.integers(4)
    gain = np.ones_like(hertz)
    if kind in (0, 2):
        gain *= 1 / (1 + (hertz / np.exp(rng.uniform(np.log(1_500), np.log(6_000)))) ** 12)
    if kind in (1, 2):
        gain *= 1 - 1 / (1 + (hertz / np.exp(rng.uniform(np.log(50), np.log(700)))) ** 6)
    if kind == 3:
        corners = np.linspace(0, SAMPLE_RATE / 2, 9)
        gain = 10 ** (np.interp(hertz, corners, rng.uniform(-12, 12, 9)) / 20)
    return torch.fft.irfft(torch.fft.rfft(clip) * torch.from_numpy(gain).float(), len(clip))


def smoothed(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """A moving average of 2 to 8 samples."""
    width = int(rng.integers(2, 9))
    return F.avg_pool1d(F.pad(clip[None], (width // 2, width - 1 - width // 2)), width, 1)[0]


def in_a_room(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Reverberation, as loud as before."""
    response = torch.from_numpy(respond(draw_room(rng), rng)).float()
    size = len(clip) + len(response)
    wet = torch.fft.irfft(torch.fft.rfft(clip, size) * torch.fft.rfft(response, size), size)[: len(clip)]
    return wet * (clip.detach().square().mean() / (wet.detach().square().mean() + 1e-12)).sqrt()


def late(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """The first samples cut off, so that frames lie elsewhere."""
    shift = int(rng.integers(1, 1_600))
    return F.pad(clip[shift:], (0, shift))


def at_speed(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Played 0.85 to 1.15 times as fast, pitch and all."""
    factor = rng.uniform(0.85, 1.15)
    faster = F.interpolate(clip[None, None], scale_factor=1 / factor, mode="linear", align_corners=False)[
        0, 0
    ]
    return F.pad(faster[: len(clip)], (0, max(0, len(clip) - len(faster))))


def in_part(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """A stretch of 40 to 90 % alone."""
    size = int(len(clip) * rng.uniform(0.4, 0.9))
    start = int(rng.integers(0, len(clip) - size + 1))
    return F.pad(clip[start : start + size], (0, len(clip) - size))


def at_level(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """20 dB down to 6 dB up, clipped; one in four upside down."""
    sign = -1.0 if rng.random() < 0.25 else 1.0
    return (clip * sign * 10 ** (rng.uniform(-20, 6) / 20)).clamp(-1, 1)


FATES: list[Fate] = [
    through_codec,
    resynthesised,
    requantised,
    noisy,
    filtered,
    smoothed,
    in_a_room,
    late,
    at_speed,
    in_part,
    at_level,
]
WEIGHTS = np.array([0.22, 0.08, 0.05, 0.14, 0.14, 0.04, 0.08, 0.06, 0.07, 0.06, 0.06])
