"""Decode whatever people have to mono float32 at 16 kHz, a block at a time.

A source is a path, `bytes`, or a binary file object (`sys.stdin.buffer`). FFmpeg (through PyAV)
does the containers and codecs, soxr the resampling. Memory does not grow with the length of
the recording. All input is hostile: only regular files are opened, without blocking on pipes;
only the container formats listed here are tried, so a playlist cannot make FFmpeg read other
files or the network; names are never given to FFmpeg, so they cannot be protocols.
"""

import hashlib
import io
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from earwitness.audio.headers import promised_by_mp3, promised_by_wav, refusal
from earwitness.errors import InputError
from earwitness.types import AudioInfo

SAMPLE_RATE = 16_000
BLOCK_S = 0.5
MAX_DURATION_S = 24 * 3600.0
MAX_CHANNELS = 64
MAX_SPOOL_BYTES = 8 << 30  # of a pipe or stream without a length
SAMPLE_RATES = (4_000, 768_000)

Source = str | os.PathLike | bytes | IO[bytes]

# FFmpeg's names of the containers that may be opened.
FORMATS = (
    "wav,w64,aiff,au,caf,flac,mp3,ogg,aac,loas,latm,mov,matroska,asf,amr,amrnb,amrwb,g722,avi,"
    "mpegts,mpeg,flv,ac3,eac3,wv,ape,tta,gsm,voc,rm,mpc,mpc8,tak,dsf,iff"
)
# Raw streams that carry no signature: opened by the ending of their name.
RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}
# Headers that state the length exactly; elsewhere FFmpeg may be guessing from the bit rate.
EXACT_LENGTH = {"w64", "aiff", "au", "caf", "flac", "mov", "matroska", "asf"}

# What a folder scan takes for audio by name; a file that is named outright is always tried.
SUFFIXES = frozenset(
    (
        ".wav .wave .w64 .aif .aiff .aifc .au .snd .caf .flac .mp3 .mp2 .ogg .oga .opus .spx .aac "
        ".m4a .m4b .mp4 .m4v .mov .qt .3gp .3g2 .mkv .mka .webm .wma .wmv .asf .amr .awb .g722 .gsm "
        ".avi .mpg .mpeg .ts .flv .ac3 .eac3 .wv .ape .tta .voc"
    ).split()
)

# Codecs whose frames carry time stamps to the sample; those of others (ADPCM in WAV) wander.
STAMPED = ("flac", "opus", "vorbis", "mp3", "aac")

SCALES = {"u8": 128.0, "s16": 32_768.0, "s32": 2_147_483_648.0, "s64": 2.0**63}


class Recording:
    """An opened sound track: `info`, `blocks()` once, then what was found on the way.

    That is `decoded_s`, `missing_s()` at the end, `skipped_s` inside, `bad_packets` of `packets`,
    and `notes` for people.
    """

    def __init__(self, container: Any, stream: Any, info: AudioInfo) -> None:
        self.container, self.stream, self.info = container, stream, info
        self.decoded_s = 0.0
        self.packets = self.bad_packets = 0
        self.skipped_s = 0.0  # by the time stamps of what was decoded
        self.expected_s: float | None = None
        self.notes: list[str] = []
        tracks = len(container.streams.audio)
        if tracks > 1:
            self.notes.append(f"holds {tracks} sound tracks; only the main one was heard")

    def blocks(self) -> Iterator[np.ndarray]:
        """Mono float32 (samples,) at 16 kHz, about half a second at a time.

        Raises:
            InputError: `bad-samples` (NaN, infinite, far outside [-1, 1]), `too-long`,
                `unsupported` (sample rate or channels out of bounds).
        """
        import soxr

        resampler, rate, pending, held = None, 0, [], 0
        for frame in self.frames():
            if frame.sample_rate != rate:
                if pending:
                    yield from self._resample(resampler, pending, last=True)
                    pending, held = [], 0
                rate = frame.sample_rate
                if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
                    raise InputError("unsupported", f"sample rate {rate} Hz is out of bounds")
                resampler = None
                if rate != SAMPLE_RATE:
                    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", "HQ")
            self._follow(frame)
            pending.append(self._mono(frame))
            held += frame.samples
            self.decoded_s += frame.samples / rate
            if self.decoded_s > MAX_DURATION_S:
                raise InputError("too-long", f"longer than {MAX_DURATION_S / 3600:.0f} h; split it")
            if held >= BLOCK_S * rate:
                yield from self._resample(resampler, pending, last=False)
                pending, held = [], 0
        if pending or resampler is not None:
            yield from self._resample(resampler, pending, last=True)

    def missing_s(self) -> float:
        """Seconds that the header promised and the file does not hold; call after `blocks`."""
        if self.info.promised_s is None:
            return 0.0
        gap = self.info.promised_s - self.decoded_s
        return gap if gap > max(0.5, 0.01 * self.info.promised_s) else 0.0

    def frames(self) -> Iterator[Any]:
        """Decoded frames as FFmpeg gives them, over damage; once, and not beside `blocks`."""
        import av.error

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except (av.error.FFmpegError, OSError):
                self.bad_packets += 1
                return
            self.packets += 1
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.bad_packets += 1

    def _follow(self, frame: Any) -> None:
        if frame.pts is None or frame.time_base is None or not self.info.codec.startswith(STAMPED):
            return
        starts_s = float(frame.pts * frame.time_base)
        if self.expected_s is not None and starts_s - self.expected_s > 0.02:
            self.skipped_s += starts_s - self.expected_s
        self.expected_s = starts_s + frame.samples / frame.sample_rate

    def _mono(self, frame: Any) -> np.ndarray:
        samples = frame.to_ndarray()
        kind = frame.format.name.removesuffix("p")
        channels = frame.layout.nb_channels
        if channels > MAX_CHANNELS:
            raise InputError("unsupported", f"{channels} channels; at most {MAX_CHANNELS} are read")
        if not frame.format.is_planar and channels > 1:
            samples = samples.reshape(-1, channels).T
        audio = samples.astype(np.float32)  # (channels, samples)
        if kind in SCALES:
            audio = (audio - 128.0 if kind == "u8" else audio) / SCALES[kind]
        else:
            self._check(audio)
        mixed = audio.mean(axis=0)
        if channels > 1:
            power = np.mean(audio**2, axis=1)
            # Channels of opposite polarity would cancel: hear the louder one instead.
            if np.mean(mixed**2) < 1e-3 * power.max() / channels:
                mixed = audio[int(power.argmax())]
        return mixed

    def _check(self, audio: np.ndarray) -> None:
        with np.errstate(invalid="ignore"):
            good = bool(np.all(np.abs(audio) <= 100.0))
        if not good:
            finite = audio[np.isfinite(audio)]
            found = (
                "NaN or infinite samples"
                if finite.size < audio.size
                else f"samples up to {np.abs(finite).max():.3g}, far outside [-1, 1]"
            )
            raise InputError(
                "bad-samples", f"{found} near {self.decoded_s:.2f} s; export the recording again"
            )

    @staticmethod
    def _resample(resampler: Any, parts: list[np.ndarray], last: bool) -> Iterator[np.ndarray]:
        audio = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if resampler is not None:
            audio = resampler.resample_chunk(audio, last=last)
        if len(audio):
            yield audio


@contextmanager
def open_file(source: Source) -> Iterator[IO[bytes]]:
    """A seekable binary file of any source; streams without a length are spooled to disk.

    Raises:
        InputError: `not-found`, `unreadable`, `not-a-file`, `empty-file`, `too-big`.
    """
    if isinstance(source, bytes):
        file: IO[bytes] = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        file = open_path(Path(source))
    elif source.seekable():
        file = source
    else:
        file = tempfile.TemporaryFile()
        shutil.copyfileobj(Limited(source, MAX_SPOOL_BYTES), file)  # type: ignore[arg-type]
    try:
        if file.seek(0, os.SEEK_END) == 0:
            raise InputError("empty-file", "the file holds 0 bytes; copy or export it again")
        file.seek(0)
        yield file
    finally:
        if file is not source:
            file.close()


class Limited:
    """A reader that stops with an error once more than `limit` bytes came."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.file, self.left = file, limit

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise InputError("too-big", f"more than {MAX_SPOOL_BYTES >> 30} GiB came; split it")
        return data


def open_path(path: Path) -> IO[bytes]:
    """Open a regular file without ever blocking on a pipe.

    Raises:
        InputError: `not-found`, `unreadable`, `not-a-file`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        gone = "a link to a file that is gone" if path.is_symlink() else "no such file"
        raise InputError("not-found", f"{gone}; check the name") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise InputError("unreadable", f"cannot be opened: {reason}") from None
    except ValueError:
        raise InputError("not-found", "no file can have this name: it holds a NUL byte") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise InputError("not-a-file", f"{kind}, not a regular file; save the audio to a file first")
    return os.fdopen(descriptor, "rb")


def digest(file: IO[bytes]) -> str:
    """SHA-256 of an open file, which is rewound."""
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return found


@contextmanager
def open_recording(file: IO[bytes], name: str = "") -> Iterator[Recording]:
    """Open the main sound track of a seekable file; `name` helps with raw formats only.

    Raises:
        InputError: `not-audio`, `damaged` (a known signature that will not open),
            `no-audio-track`, `unsupported`.
    """
    import av
    import av.error

    raw = RAW_FORMATS.get(Path(name).suffix.lower())
    head = file.read(4096)
    file.seek(0)
    try:
        container = av.open(
            file,
            format=raw,
            options={
                "format_whitelist": FORMATS,
                "protocol_whitelist": "none",
                "max_size": "65536",  # bytes in a packet of WAV; by default a sixteenth, and slow
            },
            metadata_errors="ignore",
            buffer_size=1 << 18,
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise refusal(head[:64]) from error
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise InputError("no-audio-track", "no sound track in this file; nothing to score")
        promised = promised_by_wav(head) or promised_by_mp3(head, stream)
        yield Recording(container, stream, describe(container, stream, promised))


def describe(container: Any, stream: Any, promised: float | None = None) -> AudioInfo:
    """`AudioInfo` of a stream; `promised` seconds, or those of a header that states them.

    Raises:
        InputError: `unsupported`: FFmpeg has no decoder for the track.
    """
    names = set(container.format.name.split(","))
    if names & EXACT_LENGTH and stream.duration is not None and stream.time_base is not None:
        promised = float(stream.duration * stream.time_base)
    elif "matroska" in names and container.duration is not None:
        promised = container.duration / 1e6
    context = stream.codec_context
    if context is None:
        raise InputError("unsupported", "the sound track's codec is unknown here; convert it to WAV")
    return AudioInfo(
        sample_rate=int(context.sample_rate or 0),
        channels=int(context.channels or 0),
        codec=str(context.name),
        promised_s=promised,
    )


def load(source: Source, name: str = "") -> np.ndarray:
    """A whole recording, (samples,) float32 mono 16 kHz.

    Raises:
        InputError: as `open_file`, `open_recording` and `Recording.blocks`; `no-samples` where
            the track is empty.
    """
    name = name or (str(source) if isinstance(source, str | os.PathLike) else "")
    with open_file(source) as file, open_recording(file, name) as recording:
        blocks = list(recording.blocks())
    if not blocks:
        raise InputError("no-samples", "the sound track holds no samples")
    return np.concatenate(blocks)


def load_part(path: Path, start: int, samples: int) -> np.ndarray:
    """Up to `samples` samples of a file from sample `start` on, both counted at 16 kHz.

    What lies before is decoded and let go, what lies behind is not decoded: memory stays small.

    Raises:
        InputError: as `load`.
    """
    kept, place = [], 0
    with open_file(path) as file, open_recording(file, path.name) as recording:
        for block in recording.blocks():
            wanted = block[max(0, start - place) : max(0, start + samples - place)]
            if len(wanted):  # an empty slice, too, would keep its whole block
                kept.append(wanted)
            place += len(block)
            if place >= start + samples:
                break
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)


def to_wav(audio: np.ndarray, sample_rate: int) -> bytes:
    """Audio (samples,) or (channels, samples) of floats as the bytes of a 32-bit float WAV file.

    Raises:
        ValueError: the array has another shape or holds nothing.
    """
    channels = np.atleast_2d(np.asarray(audio, dtype="<f4"))
    if channels.ndim != 2 or not channels.size or len(channels) > MAX_CHANNELS:
        raise ValueError(
            f"expected audio (samples,) or (channels, samples), got {audio.shape}; transpose it if "
            "the channels come last"
        )
    data = channels.T.tobytes()
    count = len(channels)
    layout = struct.pack("<HHIIHH", 3, count, sample_rate, sample_rate * 4 * count, 4 * count, 32)
    return b"".join(
        [
            b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE",
            b"fmt " + struct.pack("<I", len(layout)) + layout,
            b"data" + struct.pack("<I", len(data)) + data,
        ]
    )
