"""The catalogue of distortions that watermarks and tracers are measured against, each at one setting.

    audio = distort(audio, "opus-8k", rng)

Where `chain` draws settings for training, here a name stands for one and says which; what it leaves open
(noise, rooms, places of cuts) is drawn. A family with `held_out` is never trained with, and no other family
contains it. Ranges lie within those of H. Liu et al., "AudioMarkBench" (NeurIPS 2024, arXiv 2406.06979).
All keep the length but speeds, stretches, crops and trims.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from earwitness.audio.augment import channel, codecs, noise, rooms
from earwitness.audio.augment.clips import contain, fast_size, power, ready
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.enhancing import Enhancing, enhancing
from earwitness.audio.synthesis.griffin_lim import GriffinLim, griffin_lim
from earwitness.audio.synthesis.neural import Neural, neural, read_facts
from earwitness.audio.synthesis.quantising import Quantising, quantising
from earwitness.audio.synthesis.spectra import TINY, istft, local_level, smooth, stft
from earwitness.audio.synthesis.stretching import Stretching, shift_pitch, stretch
from earwitness.audio.synthesis.world import World, world
from earwitness.errors import InputError

SHORTEST = 1_600  # samples, 0.1 s: two frames of the longest transform here
MARGIN = 1_600  # samples of silence behind a clip, so that its end does not ring into its begin
LEVEL = 321  # samples, 20 ms: what dynamics take a level over

Apply = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Distortion:
    """A function from a clip (samples,) to what is left of it, and whether training must not see it."""

    family: str
    apply: Apply
    held_out: bool = False


def distort(audio: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """The clip (samples,) after one of `DISTORTIONS`, float32 within [-1, 1], perhaps of another length.

    What comes out above [-1, 1] is divided by its peak.

    Raises:
        InputError: `usage` (no such distortion), `bad-samples` or `no-samples` (as `clips.ready`),
            `too-short` (under 0.1 s), `unsupported` (an encoder is missing).
        MissingExtra: soundfile (Vorbis, GSM) or pyworld (`world`) is absent.
    """
    if name not in DISTORTIONS:
        raise InputError("usage", f"no distortion is called {name!r}; known are {', '.join(DISTORTIONS)}")
    return apply(audio, DISTORTIONS[name], rng)


def apply(audio: np.ndarray, distortion: Distortion, rng: np.random.Generator) -> np.ndarray:
    """As `distort`, by a distortion that may stand outside of the table."""
    audio = contain(ready(audio))
    if len(audio) < SHORTEST:
        raise InputError("too-short", f"a distortion needs {SHORTEST} samples at least, found {len(audio)}")
    # a copy: what it gets is not to change, whatever it does to it
    return contain(np.asarray(distortion.apply(audio.copy(), rng)))


def training_names() -> tuple[str, ...]:
    """The distortions that training may draw from, in the table's order."""
    return tuple(name for name, distortion in DISTORTIONS.items() if not distortion.held_out)


def vocoder(path: Path, held_out: bool = True) -> Distortion:
    """Re-synthesis by the neural vocoder in a file (see `synthesis.neural`), to stand beside the table.

    Raises:
        InputError: `bad-vocoder`: the JSON beside the file does not say what mels it takes.
    """
    read_facts(path)
    kept = Neural(blur=1, step_db=0.0, noise_db=0.0)
    return Distortion("vocoder", lambda audio, rng: neural(audio, kept, rng, path), held_out)


def add_coloured(
    audio: np.ndarray, rng: np.random.Generator, snr_db: float, slope: float = 0.0
) -> np.ndarray:
    """Gaussian noise whose power falls with f^-slope (0 white, 1 pink), `snr_db` under the clip."""
    hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    shape = np.maximum(hertz, 30.0) ** (-slope / 2)
    coloured = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(audio))) * shape, len(audio))
    return noise.mix(audio, coloured, snr_db)


def add_tones(audio: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """A second, sung voice: harmonics of 90 to 250 Hz with vibrato, swelling at the rate of syllables."""
    time_s = np.arange(len(audio)) / SAMPLE_RATE
    pitch = rng.uniform(90, 250) * (1 + 0.03 * np.sin(2 * np.pi * rng.uniform(4, 6) * time_s))
    turns = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    tones = np.sum([np.sin(k * turns + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 13)], axis=0)
    swell = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(2, 5) * time_s + rng.uniform(0, 2 * np.pi))
    return noise.mix(audio, tones * swell, snr_db)


def add_echo(
    audio: np.ndarray,
    rng: np.random.Generator,
    volume: tuple[float, float] = (0.1, 0.9),
    delay_s: tuple[float, float] = (0.05, 0.1),
) -> np.ndarray:
    """One echo; it needs no more than the shortest clip to be heard."""
    late, loud = int(rng.uniform(*delay_s) * SAMPLE_RATE), rng.uniform(*volume)
    return audio + loud * np.pad(audio, (late, 0))[: len(audio)]


def encode(audio: np.ndarray, rng: np.random.Generator, codec: str, **setting: int) -> np.ndarray:
    """As `codecs.transmit`; nothing is drawn."""
    return codecs.transmit(audio, codec, **setting)


def lower_rate(audio: np.ndarray, rng: np.random.Generator, hertz: int) -> np.ndarray:
    """Through another sample rate, lower or higher, and back."""
    return channel.lower_rate(audio, hertz)


def play(audio: np.ndarray, rng: np.random.Generator, speed: float) -> np.ndarray:
    """Faster or slower, pitch and all."""
    return channel.change_speed(audio, rng, (speed, speed))[0]


def shift(audio: np.ndarray, rng: np.random.Generator, semitones: float) -> np.ndarray:
    """Higher or lower, formants and all, in the same time, by a phase vocoder; as loud as before."""
    how = Stretching("phases", 2 ** (semitones / 12), 1_024)
    return as_loud(shift_pitch(audio, how, rng), audio)


def last(audio: np.ndarray, rng: np.random.Generator, factor: float) -> np.ndarray:
    """`factor` times as long at the same pitch, by overlapping waveforms."""
    return stretch(audio, factor, Stretching("waves", factor, 480))


def crop(audio: np.ndarray, rng: np.random.Generator, samples: int | None = None) -> np.ndarray:
    """A random stretch of `samples`, or of half the clip; shorter clips stay."""
    kept = min(len(audio), samples or len(audio) // 2)
    start = int(rng.integers(0, len(audio) - kept + 1))
    return audio[start : start + kept]


def trim(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without its first 7 to 13 ms: frames of 20 ms begin elsewhere."""
    return audio[int(rng.integers(7 * SAMPLE_RATE // 1_000, 13 * SAMPLE_RATE // 1_000 + 1)) :]


def requantise(audio: np.ndarray, rng: np.random.Generator, bits: int) -> np.ndarray:
    """At most 2^bits levels, zero among them; the peak reaches the last, so quiet clips do not vanish."""
    peak, steps = float(np.abs(audio).max()), 2 ** (bits - 1)
    if not peak:
        return audio
    return np.clip(np.round(audio / peak * steps), -steps, steps - 1) * (peak / steps)


def gain(audio: np.ndarray, rng: np.random.Generator, factor: float) -> np.ndarray:
    """`factor` times as loud, clipped."""
    return np.clip(audio * np.float32(factor), -1, 1)


def clip(audio: np.ndarray, rng: np.random.Generator, cut_db: float) -> np.ndarray:
    """Cut off `cut_db` below the peak; the level stays."""
    ceiling = float(np.abs(audio).max()) * 10 ** (-cut_db / 20)
    return np.clip(audio, -ceiling, ceiling)


def overdrive(
    audio: np.ndarray, rng: np.random.Generator, drive: tuple[float, float] = (2.0, 8.0)
) -> np.ndarray:
    """Soft clipping by an amplifier driven `drive` times over its peak; the peak stays."""
    peak, driven = float(np.abs(audio).max()), rng.uniform(*drive)
    return peak * np.tanh(audio * (driven / max(peak, TINY))) / np.tanh(driven)


def weigh(audio: np.ndarray, gains: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Filtered without delay, by `gains` of frequencies in Hz."""
    size = fast_size(len(audio) + MARGIN)
    spectrum = np.fft.rfft(audio, size) * gains(np.fft.rfftfreq(size, 1 / SAMPLE_RATE))
    return np.fft.irfft(spectrum, size)[: len(audio)]


def band(
    audio: np.ndarray, rng: np.random.Generator, low_hz: float = 0.0, high_hz: float = np.inf
) -> np.ndarray:
    """What lies between two corners: half the amplitude is left there, -40 dB a third of an octave on."""

    def gains(hertz: np.ndarray) -> np.ndarray:
        return 1 / (1 + (low_hz / np.maximum(hertz, 1e-6)) ** 20) / (1 + (hertz / high_hz) ** 20)

    return weigh(audio, gains)


def equalise(audio: np.ndarray, rng: np.random.Generator, most_db: float = 12.0) -> np.ndarray:
    """Eight bands from 62.5 Hz to 8 kHz, an octave apart, each up or down by up to `most_db`."""
    levels_db, octaves = rng.uniform(-most_db, most_db, 8), np.arange(8)

    def gains(hertz: np.ndarray) -> np.ndarray:
        return 10 ** (np.interp(np.log2(np.maximum(hertz, 1.0) / 62.5), octaves, levels_db) / 20)

    return weigh(audio, gains)


def mask_band(
    audio: np.ndarray,
    rng: np.random.Generator,
    centre_hz: tuple[float, float] = (200.0, 4_000.0),
    width_hz: tuple[float, float] = (150.0, 1_250.0),
) -> np.ndarray:
    """Without one band of frequencies; the width is that of 10 to 80 bins of 1,024."""
    centre, width = rng.uniform(*centre_hz), rng.uniform(*width_hz)
    return weigh(audio, lambda hertz: (np.abs(hertz - centre) > width / 2).astype(float))


def average(audio: np.ndarray, rng: np.random.Generator, width: int) -> np.ndarray:
    """Each sample the mean of the `width` around it."""
    return np.convolve(audio, np.full(width, 1 / width), mode="same")


def median(audio: np.ndarray, rng: np.random.Generator, width: int) -> np.ndarray:
    """Each sample the median of the `width` (odd) around it."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(audio, width // 2, mode="edge"), width)
    return np.median(around, axis=1)


def compress(
    audio: np.ndarray,
    rng: np.random.Generator,
    ratio: tuple[float, float] = (2.0, 10.0),
    threshold_db: tuple[float, float] = (-25.0, -5.0),
) -> np.ndarray:
    """Levels over a threshold, relative to the clip's, rise by only 1 / ratio dB a dB; as loud as before."""
    slope, threshold = 1 / rng.uniform(*ratio) - 1, rng.uniform(*threshold_db)
    loud = np.sqrt(power(audio)) * 10 ** (threshold / 20)
    over = np.maximum(local_level(audio, LEVEL) / max(loud, TINY), 1.0)
    return as_loud(audio * over**slope, audio)


def gate(audio: np.ndarray, rng: np.random.Generator, over: tuple[float, float] = (1.0, 2.0)) -> np.ndarray:
    """Silence where the level is under one to two times that of the quietest fifth.

    Nothing above half the clip's own level is lost: what is steady all along stays.
    """
    level = local_level(audio, LEVEL)
    least = min(rng.uniform(*over) * float(np.quantile(level, 0.2)), np.sqrt(power(audio)) / 2)
    return audio * smooth((level > least).astype(float), LEVEL // 4 | 1)


def subtract(audio: np.ndarray, rng: np.random.Generator, floor: float = 0.1) -> np.ndarray:
    """Spectral subtraction of the clip's own noise, which each bin exceeds nine times in ten.

    It counts as no less than -30 dB of the bin's mean, so that clips without any noise are changed too.
    """
    spectra = stft(audio, 512, 128)
    energy = np.square(np.abs(spectra))
    # the power of a bin of noise is exponential: nine in ten lie above 0.105 of the mean
    expected = np.quantile(energy, 0.1, axis=0) / -np.log(0.9)
    ratio = np.maximum(expected, 1e-3 * energy.mean(axis=0)) / np.maximum(energy, TINY)
    return istft(spectra * np.sqrt(np.maximum(1 - ratio, floor**2)), 512, 128, len(audio))


def as_loud(audio: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """With the mean power of `wanted`."""
    return audio * np.sqrt(power(wanted) / max(power(audio), TINY))


def phone(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A telephone: a noisy room, the band of a line, mu-law."""
    heard = add_coloured(audio, rng, snr_db=25.0, slope=1.0)
    return codecs.transmit(band(heard, rng, 300.0, 3_400.0), "mulaw", 8_000)


def messenger(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A voice message: any level, 16 bits, then Opus at 16 kbit/s.

    In this order: a level set behind a codec would raise what it makes of silence to full scale.
    """
    return codecs.transmit(channel.change_level(audio, rng), "opus", 16_000, 16_000)


def platform(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A platform for videos: its own level of -20 dB, AAC at 44.1 kHz and 64 kbit/s."""
    levelled = contain(audio * 0.1 / np.sqrt(max(power(audio), TINY)))
    return codecs.transmit(levelled, "aac", 44_100, 64_000)


DENOISED = Enhancing(size=512, snr_db=15.0, colour=1.0, gain="wiener", over=1.5, floor=0.1, memory=0.9)
CODEBOOKS = Quantising(kind="mdct", bits=8, stages=2, hop=320)
PHASES = GriffinLim(
    1_024, 256, iterations=16, momentum=0.99, start="random", bands=None, inverse="pinv", blur=1
)
MEL_PHASES = GriffinLim(
    1_024, 256, iterations=16, momentum=0.99, start="random", bands=80, inverse="nnls", blur=1
)
WORLD = World("dio", 5.0, envelope_bands=None, code_aperiodicity=False, pitch_smooth=1, pitch_steps=None)

DISTORTIONS: dict[str, Distortion] = {
    # Gaussian noise, as strong over the whole clip
    "white-noise-20dB": Distortion("noise", partial(add_coloured, snr_db=20.0)),
    "white-noise-10dB": Distortion("noise", partial(add_coloured, snr_db=10.0)),
    "white-noise-5dB": Distortion("noise", partial(add_coloured, snr_db=5.0)),
    "pink-noise-15dB": Distortion("noise", partial(add_coloured, snr_db=15.0, slope=1.0)),
    "pink-noise-5dB": Distortion("noise", partial(add_coloured, snr_db=5.0, slope=1.0)),
    "mix-tones-10dB": Distortion("mix", partial(add_tones, snr_db=10.0)),
    "room": Distortion("reverb", rooms.add_room),
    "8-kHz-and-back": Distortion("resample", partial(lower_rate, hertz=8_000)),
    "4-kHz-and-back": Distortion("resample", partial(lower_rate, hertz=4_000)),
    "22.05-kHz-and-back": Distortion("resample", partial(lower_rate, hertz=22_050)),
    "44.1-kHz-and-back": Distortion("resample", partial(lower_rate, hertz=44_100)),
    # k: kbit/s, at 16 kHz; mulaw-8k alone is at 8 kHz, with 64 kbit/s
    "mp3-32k": Distortion("codec", partial(encode, codec="mp3", bit_rate=32_000)),
    "mp3-64k": Distortion("codec", partial(encode, codec="mp3", bit_rate=64_000)),
    "aac-32k": Distortion("codec", partial(encode, codec="aac", bit_rate=32_000)),
    "aac-64k": Distortion("codec", partial(encode, codec="aac", bit_rate=64_000)),
    "opus-24k": Distortion("codec", partial(encode, codec="opus", bit_rate=24_000)),
    "opus-12k": Distortion("codec", partial(encode, codec="opus", bit_rate=12_000)),
    "opus-8k": Distortion("codec", partial(encode, codec="opus", bit_rate=8_000)),
    "opus-6k": Distortion("codec", partial(encode, codec="opus", bit_rate=6_000)),
    "vorbis-32k": Distortion("codec", partial(encode, codec="vorbis", bit_rate=32_000)),
    "g722": Distortion("codec", partial(encode, codec="g722")),
    "mulaw-8k": Distortion("codec", partial(encode, codec="mulaw", sample_rate=8_000)),
    # mobile telephones, which code a voice's filter and excitation at 8 kHz
    "amr-12k2": Distortion("mobile-codec", partial(encode, codec="amr", bit_rate=12_200), held_out=True),
    "amr-4k75": Distortion("mobile-codec", partial(encode, codec="amr", bit_rate=4_750), held_out=True),
    "gsm": Distortion("mobile-codec", partial(encode, codec="gsm"), held_out=True),
    # stand-ins for what neural codecs and vocoders do
    "codebooks-2x8-bit": Distortion("re-synthesis", lambda audio, rng: quantising(audio, CODEBOOKS, rng)),
    "griffin-lim": Distortion("re-synthesis", lambda audio, rng: griffin_lim(audio, PHASES, rng)),
    "griffin-lim-mel-80": Distortion("re-synthesis", lambda audio, rng: griffin_lim(audio, MEL_PHASES, rng)),
    "world": Distortion("vocoder", lambda audio, rng: world(audio, WORLD, rng), held_out=True),
    "pitch-up-1": Distortion("pitch", partial(shift, semitones=1)),
    "pitch-up-5": Distortion("pitch", partial(shift, semitones=5)),
    "pitch-down-2": Distortion("pitch", partial(shift, semitones=-2)),
    # times as fast, pitch and all; times as long at the same pitch
    "speed-1.1": Distortion("speed", partial(play, speed=1.1)),
    "speed-0.9": Distortion("speed", partial(play, speed=0.9)),
    "stretch-1.2": Distortion("stretch", partial(last, factor=1.2)),
    "stretch-0.8": Distortion("stretch", partial(last, factor=0.8)),
    "stretch-1.5": Distortion("stretch", partial(last, factor=1.5)),
    "crop-half": Distortion("crop", crop),
    "crop-1s": Distortion("crop", partial(crop, samples=SAMPLE_RATE)),
    "trim-10ms": Distortion("crop", trim),
    "8-bit": Distortion("requantise", partial(requantise, bits=8)),
    "6-bit": Distortion("requantise", partial(requantise, bits=6)),
    "4-bit": Distortion("requantise", partial(requantise, bits=4)),
    "gain-down-12dB": Distortion("gain", partial(gain, factor=10 ** (-12 / 20))),
    "gain-up-6dB-clipped": Distortion("gain", partial(gain, factor=10 ** (6 / 20))),
    "clipped-6dB-below-peak": Distortion("gain", partial(clip, cut_db=6.0)),
    "overdrive": Distortion("gain", overdrive),
    "inverted": Distortion("gain", lambda audio, rng: -audio),
    # corners in Hz
    "high-pass-500": Distortion("filter", partial(band, low_hz=500.0)),
    "high-pass-1500": Distortion("filter", partial(band, low_hz=1_500.0)),
    "low-pass-2k": Distortion("filter", partial(band, high_hz=2_000.0)),
    "low-pass-4k": Distortion("filter", partial(band, high_hz=4_000.0)),
    "band-300-3400": Distortion("filter", partial(band, low_hz=300.0, high_hz=3_400.0)),
    "equaliser": Distortion("filter", equalise),
    "frequency-mask": Distortion("filter", mask_band),
    # over so many samples
    "smoothing-4": Distortion("smoothing", partial(average, width=4)),
    "smoothing-8": Distortion("smoothing", partial(average, width=8)),
    "median-filter-5": Distortion("smoothing", partial(median, width=5)),
    "compressor": Distortion("dynamics", compress),
    "noise-gate": Distortion("dynamics", gate),
    "spectral-subtraction": Distortion("enhancement", subtract, held_out=True),
    "noisy-and-denoised": Distortion("enhancement", lambda audio, rng: enhancing(audio, DENOISED, rng), True),
    "echo": Distortion("echo", add_echo, held_out=True),
    "packets-10%": Distortion(
        "packets", partial(channel.lose_packets, rate=(0.1, 0.1), burst=(2.0, 2.0), conceal="zero")
    ),
    # what a recording meets on one way
    "phone": Distortion("chain", phone),
    "messenger": Distortion("chain", messenger),
    "platform": Distortion("chain", platform),
}
