"""What recordings go through between a mouth (or a generator) and a detector.

Every function takes mono float32 (samples,) at 16 kHz and a `numpy.random.Generator`, and
returns the same length and type; the label never changes. A step that cannot run raises: an
augmentation that silently does nothing is worse than none.
"""

import io
from typing import Any

import av
import numpy as np
import soxr

SAMPLE_RATE = 16_000

# encoder, container, sample rates, bit rates in bit/s (None: the codec has one rate)
CODECS: dict[str, tuple[str, str, tuple[int, ...], tuple[int | None, ...]]] = {
    "mp3": ("libmp3lame", "mp3", (16_000, 22_050, 44_100), (32_000, 48_000, 64_000, 128_000)),
    "aac": ("aac", "adts", (16_000, 22_050, 44_100), (32_000, 48_000, 64_000, 96_000)),
    "opus": ("libopus", "ogg", (16_000, 48_000), (12_000, 16_000, 24_000, 48_000)),
    "g722": ("g722", "g722", (16_000,), (None,)),
    "mulaw": ("pcm_mulaw", "wav", (8_000, 16_000), (None,)),
}


def crop(audio: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of `samples`; shorter audio is repeated."""
    if len(audio) < samples:
        audio = np.tile(audio, -(-samples // len(audio)))
    start = int(rng.integers(0, len(audio) - samples + 1))
    return audio[start : start + samples]


def change_level(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gain to a peak between -36 and +4 dBFS, clipped and rounded to 16 bits."""
    peak_dbfs = rng.uniform(-36.0, 4.0)
    gain = 10 ** (peak_dbfs / 20) / max(float(np.abs(audio).max()), 1e-6)
    return (np.round(np.clip(audio * gain, -1, 1) * 32_767) / 32_767).astype(np.float32)


def limit_band(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A lower sample rate and back (7 of 10 times), a high-pass at 60 to 300 Hz (every other time)."""
    if rng.random() < 0.7:
        rate = int(rng.choice([6_800, 8_000, 10_000, 11_025, 12_000, 14_000]))
        low = soxr.resample(audio, SAMPLE_RATE, rate)
        audio = fit(soxr.resample(low, rate, SAMPLE_RATE), len(audio))
    if rng.random() < 0.5:
        spectrum = np.fft.rfft(audio)
        hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
        corner = rng.uniform(60, 300)
        spectrum *= hertz**2 / (hertz**2 + corner**2)
        audio = np.fft.irfft(spectrum, len(audio)).astype(np.float32)
    return audio


def add_noise(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stationary noise with a spectral slope of 0 to -9 dB an octave, 8 to 40 dB under."""
    hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    slope = np.maximum(hertz, 30.0) ** -rng.uniform(0, 1.5)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(audio))) * slope, len(audio))
    power = float(np.mean(audio**2)) / 10 ** (rng.uniform(8, 40) / 10)
    return (audio + noise * np.sqrt(power / np.mean(noise**2))).astype(np.float32)


def add_room(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reverberation: exponentially decaying noise, 0.1 to 0.7 s to -60 dB, after Polack."""
    decay_s = rng.uniform(0.1, 0.7)
    time = np.arange(int(decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / decay_s)
    tail *= rng.uniform(0.05, 0.5) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = len(audio) + len(tail) - 1
    wet = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(tail, size), size)
    return wet[: len(audio)].astype(np.float32)


def encode(audio: np.ndarray, codec: str, rng: np.random.Generator) -> np.ndarray:
    """Through a lossy codec of `CODECS` at a random bit rate and back.

    Raises:
        KeyError: `codec` is not in `CODECS`.
        av.error.FFmpegError: this build of FFmpeg has no such encoder.
    """
    encoder, container_format, rates, bit_rates = CODECS[codec]
    rate, bit_rate = int(rng.choice(rates)), rng.choice(np.array(bit_rates, dtype=object))
    sent = audio if rate == SAMPLE_RATE else soxr.resample(audio, SAMPLE_RATE, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        stream: Any = container.add_stream(encoder, rate=rate, layout="mono")
        if bit_rate:
            stream.bit_rate = int(bit_rate)
        pcm = (np.clip(sent, -1, 1) * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    blocks = []
    options = {"ar": str(rate)} if container_format == "g722" else {}
    with av.open(file, "r", format=container_format, options=options) as coded:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        for frame in coded.decode(audio=0):
            blocks += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return align(np.concatenate(blocks), audio)


def align(decoded: np.ndarray, reference: np.ndarray, reach: int = 3_200) -> np.ndarray:
    """Shift `decoded` back by its codec delay (0 to `reach` samples) and to equal length."""
    size = 1 << (len(reference) + reach).bit_length()
    product = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(reference, size))
    delay = int(np.argmax(np.fft.irfft(product, size)[:reach]))
    return fit(decoded[delay:], len(reference))


def fit(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad at the end to `samples`."""
    return np.pad(audio[:samples], (0, max(0, samples - len(audio)))).astype(np.float32)


def disturb(audio: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A random chain of the steps above; `strength` 0 to 1 scales how often each runs."""
    if rng.random() < 0.25 * strength:
        audio = add_room(audio, rng)
    if rng.random() < 0.35 * strength:
        audio = add_noise(audio, rng)
    if rng.random() < 0.40 * strength:
        audio = limit_band(audio, rng)
    if rng.random() < 0.45 * strength:
        audio = encode(audio, str(rng.choice(sorted(CODECS))), rng)
    return change_level(audio, rng)
