"""What upsampling layers leave behind: images, checkerboards, and lines at multiples of the frame rate.

GAN vocoders reach 16 kHz from mel frames by transposed convolutions. Zeros are inserted between samples and
filtered by kernels too short to remove what that mirrors; kernels that overlap unevenly weigh some samples
more; biases add tones (J. Pons et al., "Upsampling artifacts in neural audio synthesis", ICASSP 2021). Here
the clip itself, or the levels of its bands, go down and up again so; phases stay, which makes this the
copy that is nearest to its original.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import TINY, local_level

KERNELS = ("nearest", "linear", "transposed")


@dataclass(frozen=True)
class Upsampling:
    """One setting."""

    stride: int  # of the clip: samples there are of, kept one in so many
    kernel: str  # of KERNELS: what fills zeros between samples
    images: float  # amplitude of what the kernel lets through
    hop: int  # samples between levels of bands
    bands: int
    hop_kernel: str
    lines_db: float  # tones at multiples of the frame rate, to the clip's level


def draw_upsampling(rng: np.random.Generator) -> Upsampling:
    """Settings."""
    return Upsampling(
        stride=int(rng.choice([2, 4, 5, 8])),
        kernel=str(rng.choice(KERNELS)),
        images=float(10 ** (rng.uniform(-18, 0) / 20)),
        hop=int(rng.choice([64, 80, 128, 160, 200, 256, 320])),
        bands=int(rng.choice([4, 8, 16])),
        hop_kernel=str(rng.choice(KERNELS)),
        lines_db=float(rng.uniform(-60, -35)),
    )


def upsampling(audio: np.ndarray, how: Upsampling, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), with such artefacts."""
    wave = audio.astype(np.float64)
    made = wave + how.images * images(wave, how.stride, make_kernel(how.kernel, how.stride, rng))
    made = step_levels(made, how, make_kernel(how.hop_kernel, how.hop, rng))
    return (made + lines(wave, how, rng)).astype(np.float32)


def make_kernel(kind: str, stride: int, rng: np.random.Generator) -> np.ndarray:
    """Weights that fill the gaps of zero-insertion, symmetric and so without delay, adding up to `stride`.

    `transposed` has random weights and a length that is no multiple of the stride: a checkerboard.
    """
    if kind == "nearest":
        weights = np.ones(stride + 1 - stride % 2)
        if stride % 2 == 0:
            weights[[0, -1]] = 0.5
    elif kind == "linear":
        weights = 1 - np.abs(np.arange(-stride + 1, stride)) / stride
    else:
        weights = rng.uniform(0.2, 1.0, 2 * int(stride * rng.uniform(0.6, 0.9)) + 1)
        weights = weights + weights[::-1]
    return weights * stride / weights.sum()


def insert_zeros(values: np.ndarray, stride: int, kernel: np.ndarray, samples: int) -> np.ndarray:
    """Values, each `stride` samples behind the one before, with the kernel around each; (samples,)."""
    wide = np.zeros(max(samples, len(values) * stride))
    wide[: len(values) * stride : stride] = values
    return np.convolve(wide, kernel, mode="full")[len(kernel) // 2 :][:samples]


def images(wave: np.ndarray, stride: int, kernel: np.ndarray) -> np.ndarray:
    """What the kernel lets through of the low band's mirror images, (samples,); nothing in the low band."""
    spectrum = np.fft.rfft(wave)
    high = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) >= SAMPLE_RATE / stride / 2
    low = np.fft.irfft(np.where(high, 0, spectrum), len(wave))
    raised = insert_zeros(low[::stride], stride, kernel, len(wave))
    return np.fft.irfft(np.where(high, np.fft.rfft(raised), 0), len(wave))


def step_levels(wave: np.ndarray, how: Upsampling, kernel: np.ndarray) -> np.ndarray:
    """Bands whose levels follow the clip's by frames, filled in by the kernel in place of smoothly."""
    edges = np.concatenate([[0], np.geomspace(200, SAMPLE_RATE / 2, how.bands)])
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    out = np.zeros(len(wave))
    for low, high in zip(edges[:-1], [*edges[1:-1], np.inf], strict=True):
        band = np.fft.irfft(np.where((hertz >= low) & (hertz < high), spectrum, 0), len(wave))
        level = local_level(band, 2 * how.hop + 1)
        stepped = insert_zeros(level[:: how.hop], how.hop, kernel, len(wave))
        out += band * np.clip(stepped / np.maximum(level, TINY), 0.25, 4.0)
    return out


def lines(wave: np.ndarray, how: Upsampling, rng: np.random.Generator) -> np.ndarray:
    """Tones at multiples of the frame rate, (samples,), that follow the clip's level."""
    level = local_level(wave, 4 * how.hop + 1)
    count = max(1, how.hop // 2 - 1)
    chosen = rng.permutation(np.arange(1, count + 1))[: int(rng.integers(1, 9))]
    time = np.arange(len(wave))
    tones = sum(np.cos(2 * np.pi * (k / how.hop) * time + rng.uniform(-np.pi, np.pi)) for k in chosen)
    return 10 ** (how.lines_db / 20) * level * tones * np.sqrt(2 / len(chosen))
