"""What a bench listens to: recordings that are named, else a voice that is made.

The made voice is a row of vowels (harmonics under three resonances) with hisses between them. It is enough
for the speech check to pass and the network to work on; no figure of quality may be taken from it.
"""

import random
import wave
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.errors import InputError

# First three resonances of vowels in Hz, round figures.
VOWELS = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480]], float)
HIGHEST = 7_000.0  # Hz
FORMATS = {  # ending: container, encoder, samples a second, channels, bits a second
    "mp3": ("mp3", "libmp3lame", 44_100, 2, 128_000),
    "m4a": ("ipod", "aac", 44_100, 2, 128_000),
    "opus": ("ogg", "libopus", 48_000, 1, 32_000),
    "flac": ("flac", "flac", 16_000, 1, None),
    "wav": ("wav", "pcm_s16le", 16_000, 1, None),
}


def made_voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something like speech, (samples,)."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * SAMPLE_RATE)
    sound = 8e-4 * rng.standard_normal(samples + SAMPLE_RATE)
    pitch, at = rng.uniform(95, 210), 0
    while at < samples:
        size, hiss = (int(rng.uniform(*span) * SAMPLE_RATE) for span in ((0.12, 0.28), (0.03, 0.09)))
        sound[at : at + size] += vowel(pitch, size, rng)
        at += int(0.95 * size)
        sound[at : at + hiss] += 0.03 * np.diff(rng.standard_normal(hiss + 1)) * np.hanning(hiss)
        at += hiss + (rng.random() < 0.12) * int(rng.uniform(0.15, 0.4) * SAMPLE_RATE)
    return sound[:samples].astype(np.float32)


def vowel(pitch: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """One vowel that becomes another, (size,)."""
    time = np.arange(size) / SAMPLE_RATE
    bend = 1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch * bend) / SAMPLE_RATE
    number = np.arange(1, int(HIGHEST / pitch / 1.15))
    first, last = (
        (1 / (1 + ((number[:, None] * pitch - peaks) / (60 + 0.05 * peaks)) ** 2)).sum(axis=1)
        / np.sqrt(number)
        for peaks in VOWELS[rng.integers(len(VOWELS), size=2)]
    )
    turn = np.linspace(0, 1, size)
    gains = first[:, None] * (1 - turn) + last[:, None] * turn
    sound = (gains * np.sin(number[:, None] * phase)).sum(axis=0) * np.sqrt(np.hanning(size))
    return 0.3 * sound / np.abs(sound).max()


def speech_of(folder: Path | None, seconds: float) -> np.ndarray:
    """Recordings of a folder in a random order, joined and repeated to a length, or a made voice: (samples,).

    Raises:
        InputError: `too-few`: no recording of the folder can be read.
    """
    samples = round(seconds * SAMPLE_RATE)
    if folder is None:
        return made_voice(seconds)
    from earwitness.operations.inputs import find_files

    paths = find_files([folder]).paths
    random.Random(0).shuffle(paths)
    parts: list[np.ndarray] = []
    for path in paths:
        try:
            parts.append(load(path)[:samples])
        except InputError:
            continue
        if sum(map(len, parts)) >= samples:
            break
    joined = np.concatenate([np.zeros(0, np.float32), *parts])
    if len(joined) < SAMPLE_RATE:
        raise InputError("too-few", f"{folder}: holds no second of audio that can be read")
    return np.resize(joined, samples)


def write_wav(path: Path, audio: np.ndarray, seconds: float | None = None) -> None:
    """16 bits at 16 kHz; (samples,) repeated to `seconds` where they are given."""
    pcm = (np.clip(audio, -1, 1) * 32_767).astype("<i2").tobytes()
    left = len(pcm) if seconds is None else round(seconds * SAMPLE_RATE) * 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        while left > 0:
            file.writeframesraw(pcm[:left])
            left -= len(pcm)


def write_format(path: Path, audio: np.ndarray) -> None:
    """Encode (samples,) at 16 kHz as `FORMATS` says of the name's ending.

    Raises:
        InputError: `codec`: the FFmpeg that PyAV brings has no such encoder.
    """
    import av
    import av.error
    import soxr

    container_format, encoder, rate, channels, bits = FORMATS[path.suffix[1:]]
    layout = "stereo" if channels == 2 else "mono"
    pcm = (np.clip(soxr.resample(audio, SAMPLE_RATE, rate), -1, 1) * 32_767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(pcm, channels)[None], format="s16", layout=layout)
    frame.sample_rate = rate
    try:
        with av.open(str(path), "w", format=container_format) as container:
            stream: Any = container.add_stream(encoder, rate=rate, layout=layout)
            if bits:
                stream.bit_rate = bits
            for ready in av.AudioResampler(stream.format, layout, rate).resample(frame):
                container.mux(stream.encode(ready))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError("codec", f"{encoder} cannot encode here: {str(error)[:120]}") from None
