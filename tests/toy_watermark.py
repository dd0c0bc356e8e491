"""A watermark in plain numpy whose figures follow from its definition: a code for each name, repeated."""

from pathlib import Path

import numpy as np

from earwitness.audio.protocol import Utterance
from earwitness.evidence.watermark import Presence, Scheme, Window

RATE, PERIOD = 16_000, 320
NAMES = ("alpha", "beta", "gamma", "delta")
QUIET = Presence(threshold=0.0, tail=0.1, false_alarm=0.01)


def codes(count=len(NAMES), seed=0):
    """Orthogonal codes of power one, (count, PERIOD)."""
    drawn = np.random.default_rng(seed).standard_normal((PERIOD, count))
    return (np.linalg.qr(drawn)[0].T * np.sqrt(PERIOD)).astype(np.float32)


def spread(presence=QUIET, names=NAMES, level=0.05, seed=0, mute=False, fixed=None, with_bits=False):
    """A scheme that adds `level` of the host's RMS times its name's code every 320 samples.

    mute: every message is written as the first. fixed: this amplitude, whatever the host has.
    with_bits: names are read back as bits, a code for each bit.
    """
    words = np.sign(np.random.default_rng(5).standard_normal((len(names), 8))).astype(np.float32)
    messages = words if with_bits else np.eye(len(names), dtype=np.float32)
    table = codes(8 if with_bits else len(names), seed)

    def residual(host, message):
        message = messages[0] if mute else message
        code = message @ table / np.sqrt(np.sum(message**2))
        loud = level * float(np.sqrt(np.mean(host.astype(float) ** 2))) if fixed is None else fixed
        return (loud * np.resize(code, len(host))).astype(np.float32)

    def read(audio):
        periods = audio[: len(audio) // PERIOD * PERIOD].reshape(-1, PERIOD).astype(float)
        loud = level * np.sqrt(np.mean(audio.astype(float) ** 2)) + 1e-9 if fixed is None else fixed
        alike = periods.mean(axis=0) @ table.T / PERIOD / loud  # 1 where the code was added
        score = float(np.abs(alike).mean() if with_bits else alike.max()) - 0.5
        return Window(score, (20 * alike).astype(np.float32), np.zeros(0, np.float32))

    return Scheme(
        "toy", f"toy-{seed}-{mute}-{fixed}-{with_bits}", RATE, tuple(names), messages,
        words if with_bits else None, 0, presence, residual, read,
    )  # fmt: skip


def toy():
    """As other processes open it."""
    return spread()


def noises(folder: Path, count=24, seconds=2.0, seed=0, level=0.1):
    """Recordings of noise as WAV: half fake, by two of the names and a third generator, on six pages."""
    import soundfile

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for i in range(count):
        audio = level * rng.standard_normal(int(seconds * RATE))
        path = folder / f"{i}.wav"
        soundfile.write(path, audio.clip(-1, 1).astype(np.float32), RATE, "FLOAT")
        generator = ("-", "alpha", "-", "beta", "-", "other")[i % 6]
        items.append(
            Utterance(
                id=f"n{i}", path=path, bona_fide=i % 2 == 0, dataset="noises", generator=generator,
                group=f"page {i // 2 % 6}", duration_s=seconds,
            )
        )  # fmt: skip
    return items
