"""Sound as it is stored: its own rate, every channel, block by block; and files of it, WAV or FLAC.

`earwitness.audio.io` hears everything as mono at 16 kHz. What is to be handed back unchanged but for a little
goes through here. Integers of up to 24 bits come out as they went in; memory does not grow with the length.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.io import BLOCK_S, MAX_CHANNELS, MAX_DURATION_S, SAMPLE_RATES, SCALES, Recording
from earwitness.errors import InputError

LOUDEST = 100.0  # a float sample beyond is no audio
CONTAINERS = {".wav": "wav", ".flac": "flac"}
FLAC_CHANNELS = 8
CODECS = {  # container and bits: FFmpeg's encoder, and the format that it takes
    ("wav", 16): ("pcm_s16le", "s16"),
    ("wav", 24): ("pcm_s24le", "s32"),
    ("wav", 32): ("pcm_f32le", "flt"),
    ("flac", 16): ("flac", "s16"),
    ("flac", 24): ("flac", "s32"),
}


@dataclass(frozen=True)
class Form:
    """How sound is stored."""

    sample_rate: int
    channels: int
    layout: str  # FFmpeg's name of the channels' places
    bits: int  # 16 or 24, integers; 32: floats


class Native:
    """An opened sound track as it is: `form`, then `blocks()` once; `samples` is how many came."""

    def __init__(self, recording: Recording) -> None:
        """Decodes the first frame, since headers err (of AAC, for one, by a factor of two).

        Raises:
            InputError: `no-samples`, `unsupported` (sample rate or channels out of bounds).
        """
        self.recording, self.samples = recording, 0
        frames = recording.frames()
        first = next((frame for frame in frames if frame.samples), None)
        if first is None:
            raise InputError("no-samples", "the sound track holds no samples; export it again")
        self.form = form_of(first, recording.info.codec)
        self.frames = chain([first], frames)

    def blocks(self) -> Iterator[np.ndarray]:
        """Float32 (channels, samples), about half a second at a time.

        Raises:
            InputError: `bad-samples`, `too-long`, `unsupported` (the rate or the channels change midway).
        """
        pending, held = [], 0
        for frame in self.frames:
            found = (frame.sample_rate, frame.layout.nb_channels)
            if found != (self.form.sample_rate, self.form.channels):
                raise InputError(
                    "unsupported", f"changes to {found[0]} Hz, {found[1]} channels midway; split it there"
                )
            if frame.samples:
                pending.append(self._floats(frame))
            held += frame.samples
            self.samples += frame.samples
            self.recording.decoded_s = self.samples / self.form.sample_rate
            if self.recording.decoded_s > MAX_DURATION_S:
                raise InputError("too-long", f"longer than {MAX_DURATION_S / 3600:.0f} h; split it")
            if held >= BLOCK_S * self.form.sample_rate:
                yield np.concatenate(pending, axis=1)
                pending, held = [], 0
        if pending:
            yield np.concatenate(pending, axis=1)

    def _floats(self, frame: Any) -> np.ndarray:
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, self.form.channels).T
        kind = frame.format.name.removesuffix("p")
        if kind in SCALES:
            whole = samples.astype(np.float64) - (128.0 if kind == "u8" else 0.0)
            return (whole / SCALES[kind]).astype(np.float32)
        with np.errstate(invalid="ignore"):
            good = bool(np.all(np.abs(samples) <= LOUDEST))
        if not good:
            raise InputError(
                "bad-samples",
                f"NaN, infinite or far outside [-1, 1] near {self.recording.decoded_s:.2f} s; "
                "export it again",
            )
        return samples.astype(np.float32)


def form_of(frame: Any, codec: str) -> Form:
    """How the sound of a decoded frame is stored.

    Raises:
        InputError: `unsupported`.
    """
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        raise InputError("unsupported", f"sample rate {rate} Hz is out of bounds")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError("unsupported", f"{channels} channels; 1 to {MAX_CHANNELS} are read")
    kind = frame.format.name.removesuffix("p")
    bits = {"u8": 16, "s16": 16}.get(kind, 32)
    if kind == "s32" and not codec.startswith("pcm_s32"):  # decoders give 20 and 24 bits so
        bits = 24
    return Form(rate, channels, frame.layout.name, bits)


class SoundFile:
    """A WAV or FLAC file that is being written; `clipped` counts samples that integers cannot hold."""

    def __init__(self, container: Any, stream: Any, form: Form, kind: str) -> None:
        self.container, self.stream, self.form, self.kind = container, stream, form, kind
        self.clipped = 0

    def write(self, audio: np.ndarray) -> None:
        """Append floats (channels, samples)."""
        import av

        if not audio.shape[1]:
            return
        data = np.ascontiguousarray(audio.T, np.float32).reshape(1, -1)
        if self.kind != "flt":
            data = self._whole(data)
        frame = av.AudioFrame.from_ndarray(data, format=self.kind, layout=self.form.layout)
        frame.sample_rate = self.form.sample_rate
        self.container.mux(self.stream.encode(frame))

    def _whole(self, data: np.ndarray) -> np.ndarray:
        bits = 16 if self.kind == "s16" else 24
        top = 1 << (bits - 1)
        steps = np.rint(data.astype(np.float64) * top)
        self.clipped += int(np.count_nonzero((steps < -top) | (steps > top)))
        steps = np.clip(steps, -top, top - 1).astype(np.int32)
        return steps.astype(np.int16) if bits == 16 else steps << 8


@contextmanager
def new_file(path: Path, form: Form, replace: bool = False) -> Iterator[SoundFile]:
    """A file of that form, WAV or FLAC by its suffix, there once it is whole; floats are 24 bits in FLAC.

    Raises:
        InputError: `unwritable`: it is there already (unless `replace`), or cannot be written; `usage`: the
            suffix, or more channels than FLAC has.
    """
    import av
    import av.error

    container_name = container_of(path)
    if container_name == "flac" and form.channels > FLAC_CHANNELS:
        raise InputError(
            "usage", f"{path}: FLAC has {FLAC_CHANNELS} channels at most, not {form.channels}; use .wav"
        )
    if path.exists() and not replace:
        raise InputError("unwritable", f"{path}: is there already; --force writes over it")
    codec, kind = CODECS[container_name, 24 if container_name == "flac" and form.bits > 16 else form.bits]
    part = path.with_name(f".{os.getpid()}.part{path.suffix}")
    try:
        with part.open("xb") as file:
            options = {"fflags": "+bitexact"} | ({"rf64": "auto"} if container_name == "wav" else {})
            with av.open(file, "w", format=container_name, options=options) as container:
                stream: Any = container.add_stream(codec, rate=form.sample_rate)
                stream.codec_context.format, stream.codec_context.layout = kind, form.layout
                yield SoundFile(container, stream, form, kind)
                container.mux(stream.encode(None))
        part.replace(path)
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError("unwritable", f"{path}: cannot be written: {reason!s:.120}") from None
    finally:
        part.unlink(missing_ok=True)


def container_of(path: Path) -> str:
    """FFmpeg's name of the container that a suffix asks for.

    Raises:
        InputError: `usage`.
    """
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise InputError("usage", f"{path}: written are {' and '.join(CONTAINERS)}, not {path.suffix!r}")
    return found
