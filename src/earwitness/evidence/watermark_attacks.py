"""Attacks that need schemes or other people's marked recordings: overwriting, averaging, framing.

Clips are (samples,) float32 at 16 kHz; what an attack gives has their length and stays within [-1, 1].

Averaging (P. Yang et al., "Can simple averaging defeat modern watermarks?", NeurIPS 2024): what marked
recordings have in common and unmarked ones lack is the part of a mark that does not depend on content. It can
be taken off, or put onto anything. Whoever has the same recordings without their marks (grey box) needs few;
with other recordings (black box) speech has to average out too, as 1 / sqrt(windows).
"""

from collections.abc import Iterable, Sequence

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import istft, stft
from earwitness.errors import InputError
from earwitness.evidence.watermark import Scheme, embed

WINDOW = SAMPLE_RATE  # samples that are averaged: 1 s
SIZE, HOP = 1_024, 256  # of spectra that are averaged
FLOOR = 1e-3  # magnitudes count as no less: 108 dB below that of a full sine
BLOCK = 16  # windows whose spectra are held at once
FARTHEST = 5.0  # nepers that a spectrum's pattern may move a bin


def framed(audio: np.ndarray, scheme: Scheme, message: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Anybody's speech with a vendor's message, by whoever has the scheme.

    Attribution will say what it reads; nothing follows from it for whether the speech is real.

    Raises:
        InputError: as `watermark.embed`.
    """
    return embed(scheme, audio, SAMPLE_RATE, message, strength)


def overwritten(
    audio: np.ndarray, marks: Iterable[tuple[Scheme, np.ndarray]], strength: float = 1.0
) -> np.ndarray:
    """Marked again with each of `marks` (scheme and message), one after the other.

    Raises:
        InputError: as `watermark.embed`.
    """
    for scheme, message in marks:
        audio = embed(scheme, audio, SAMPLE_RATE, message, strength)
    return audio


def windows_of(clips: Iterable[np.ndarray], begins: Sequence[int] | None = None) -> np.ndarray:
    """Whole windows, (windows, WINDOW) float32, one behind the other in each clip.

    Args:
        clips: (samples,) each; what is too short for a window gives none.
        begins: of the first window in each clip, in samples; none: 0. A mark that begins with its clip is
            met at one place by windows that do, at other places by windows that begin anywhere.

    Raises:
        InputError: `bad-samples`: not (samples,), NaN or infinite.
    """
    found = []
    for i, clip in enumerate(clips):
        clip = np.asarray(clip, np.float32)
        if clip.ndim != 1 or not np.isfinite(clip).all():
            raise InputError(
                "bad-samples", f"clip {i} to average: expected finite (samples,), found {clip.shape}"
            )
        clip = clip[begins[i] if begins is not None else 0 :]
        count = len(clip) // WINDOW
        found.append(clip[: count * WINDOW].reshape(count, WINDOW))
    return np.concatenate(found) if found else np.zeros((0, WINDOW), np.float32)


def waveform_pattern(marked: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """What marked windows (n, WINDOW) have on average and clean ones (m, WINDOW) have not, (WINDOW,) float32.

    Raises:
        InputError: `no-samples`: no window.
    """
    check_windows(marked, clean)
    return (marked.mean(axis=0, dtype=float) - clean.mean(axis=0, dtype=float)).astype(np.float32)


def spectral_pattern(marked: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The same of log magnitudes, averaged over frames too, (SIZE // 2 + 1,) float32 in nepers.

    Raises:
        InputError: as `waveform_pattern`.
    """
    check_windows(marked, clean)
    return (mean_log_magnitude(marked) - mean_log_magnitude(clean)).astype(np.float32)


def check_windows(marked: np.ndarray, clean: np.ndarray) -> None:
    """Refuse to average nothing."""
    for windows, name in ((marked, "marked"), (clean, "unmarked")):
        if windows.ndim != 2 or windows.shape[1] != WINDOW or not len(windows):
            raise InputError(
                "no-samples", f"no {name} windows of 1 s to average, found {windows.shape}; give longer clips"
            )


def mean_log_magnitude(windows: np.ndarray) -> np.ndarray:
    """Mean over windows and frames of log magnitudes, (bins,)."""
    total, frames = np.zeros(SIZE // 2 + 1), 0
    for begin in range(0, len(windows), BLOCK):
        block = windows[begin : begin + BLOCK].ravel()
        logs = np.log(np.maximum(np.abs(stft(block, SIZE, HOP)), FLOOR))
        total, frames = total + logs.sum(axis=0), frames + len(logs)
    return total / frames


def remove_waveform(audio: np.ndarray, pattern: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Without a pattern (WINDOW,), repeated from the first sample on."""
    return forge_waveform(audio, pattern, -scale)


def forge_waveform(audio: np.ndarray, pattern: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """With a pattern (WINDOW,), repeated from the first sample on."""
    return np.clip(audio + scale * np.resize(pattern, len(audio)), -1, 1).astype(np.float32)


def remove_spectrum(audio: np.ndarray, pattern: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Without a pattern of log magnitudes (bins,)."""
    return forge_spectrum(audio, pattern, -scale)


def forge_spectrum(audio: np.ndarray, pattern: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """With a pattern of log magnitudes (bins,) on every frame; phases stay."""
    gains = np.exp(np.clip(scale * pattern, -FARTHEST, FARTHEST))
    return np.clip(istft(stft(audio, SIZE, HOP) * gains, SIZE, HOP, len(audio)), -1, 1).astype(np.float32)
