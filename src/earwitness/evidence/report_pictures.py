"""The two pictures of a report, as PNG: when a recording sounds fake, and the spectrum of its worst moment.

A file is read once, and memory does not grow with its length. The same file gives the same bytes: the
pictures hold no dates and no names of software.
"""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE, open_recording
from earwitness.audio.synthesis.spectra import stft
from earwitness.decision.calibration import posterior_of_fake
from earwitness.errors import InputError, needs_extra
from earwitness.metrics.plots import BLUE, GREY, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 1_200  # of the envelope, and at most of a timeline
CONTEXT_S = 2.0  # on each side of the worst moment
MOST_S = 8.0  # of the moment itself
SIZE, HOP = 512, 80  # samples of the spectrogram's frames
RANGE_DB = 80.0
NARROWEST = 0.003  # share of the width that a span gets at least
DPI = 150
TOLD = 64  # blocks between two calls of what follows the progress
SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "path.simplify": True,
}
DRAWING = Lock()  # matplotlib's settings are one for all threads


@dataclass(frozen=True)
class Heard:
    """What is drawn of a recording."""

    low: np.ndarray  # (BINS,) least sample of each
    high: np.ndarray  # (BINS,)
    part: np.ndarray  # (samples,) around the worst moment
    part_start_s: float
    container: str  # FFmpeg's name of the format
    promised_s: float | None  # length by the header
    duration_s: float  # as decoded
    note: str = ""  # why decoding ended early


@dataclass(frozen=True)
class Picture:
    """A PNG with what it shows, in words for those who do not see it."""

    name: str
    title: str
    alt: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the header."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


def moment(record: Mapping[str, Any]) -> tuple[float, float] | None:
    """Start and end of what sounds most fake, seconds: by the record, else the middle of its worst window."""
    if record["worst"]:
        start_s, end_s = record["worst"]["start_s"], record["worst"]["end_s"]
    elif record["windows"]:
        window = min(record["windows"], key=lambda one: one["llr"])
        start_s, end_s = window["start_s"], window["end_s"]
        middle = (start_s + end_s) / 2
        start_s, end_s = max(start_s, middle - CONTEXT_S), min(end_s, middle + CONTEXT_S)
    else:
        return None
    return start_s, min(end_s, start_s + MOST_S)


def listen(
    file: IO[bytes], name: str, record: Mapping[str, Any], watch: Callable[[float], None] | None = None
) -> Heard:
    """Envelope and worst moment of an opened file.

    Args:
        name: of the file; helps with raw formats only.
        record: of the same file.
        watch: told now and then how many seconds were decoded.

    Raises:
        InputError: as `audio.io.open_recording`. What ends the decoding later is told in `note`.
    """
    worst, place, note = moment(record), 0, ""
    start = max(0, round((worst[0] - CONTEXT_S) * SAMPLE_RATE)) if worst else 0
    stop = round((worst[1] + CONTEXT_S) * SAMPLE_RATE) if worst else 0
    low, high, part = np.zeros(BINS, np.float32), np.zeros(BINS, np.float32), []
    with open_recording(file, name) as recording:
        stated_s = record["duration_s"] or recording.info.promised_s or 0.0
        each = max(1, -(-round(stated_s * SAMPLE_RATE) // BINS))  # samples in a bin
        try:
            for count, block in enumerate(recording.blocks()):
                bins = np.minimum((place + np.arange(len(block))) // each, BINS - 1)
                np.minimum.at(low, bins, block)
                np.maximum.at(high, bins, block)
                if place < stop and place + len(block) > start:
                    part.append(block[max(0, start - place) : stop - place].copy())  # lets the block go
                place += len(block)
                if watch and count % TOLD == 0:
                    watch(place / SAMPLE_RATE)
        except InputError as error:
            note = error.message
        kept = np.concatenate(part) if part else np.zeros(0, np.float32)
        formats = recording.container.format.name
        seconds = place / SAMPLE_RATE
        return Heard(low, high, kept, start / SAMPLE_RATE, formats, recording.info.promised_s, seconds, note)


def draw(heard: Heard, record: Mapping[str, Any]) -> tuple[Picture, ...]:
    """The pictures of a recording: the timeline, and the worst moment where one was scored.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    duration_s = record["duration_s"] or heard.duration_s
    if not duration_s > 0 or not heard.duration_s > 0:
        return ()
    pictures = [timeline(heard, record, duration_s)]
    if moment(record) and len(heard.part) > SIZE:
        pictures.append(spectrogram(heard, record))
    return tuple(pictures)


def render(make: Callable[["Figure"], None], size: tuple[float, float]) -> bytes:
    """A figure of so many inches as PNG without any metadata.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with needs_extra("report"):
        import matplotlib.style
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image
    with DRAWING, matplotlib.style.context(["default", SETTINGS], after_reset=True):  # nobody's own settings
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        make(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).quantize(128).save(file, "PNG", optimize=True)
    return file.getvalue()


def timeline(heard: Heard, record: Mapping[str, Any], duration_s: float) -> Picture:
    """The waveform, and P(fake) below it; what sounds fake is shaded."""
    track = steps(record, duration_s)
    thresholds, spans = record["thresholds"], record["spans"]

    def make(figure: "Figure") -> None:
        rows = list(figure.subplots(2 if track else 1, 1, sharex=True, squeeze=False)[:, 0])
        times = (np.arange(BINS) + 0.5) * max(1, -(-round(duration_s * SAMPLE_RATE) // BINS)) / SAMPLE_RATE
        rows[0].fill_between(times, heard.low, heard.high, color=GREY, linewidth=0.4)
        loudest = max(0.05, float(np.abs([heard.low, heard.high]).max()))
        rows[0].set(ylim=(-1.05 * loudest, 1.05 * loudest), ylabel="amplitude")
        if track:
            draw_track(rows[1], track, thresholds, record)
        shade(rows, spans, duration_s)
        rows[-1].set(xlim=(0, duration_s))
        clock_axis(rows[-1], duration_s)

    said = f"Waveform of {duration_s:.1f} s."
    if track:
        known = track[1][np.isfinite(track[1])]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
        said += f" Below it P(fake) over time, between {low:.2f} and {high:.2f}, with the thresholds "
        said += f"{thresholds['genuine']:.2f} and {thresholds['fake']:.2f} as dashed lines."
        said += f" Shaded as fake: {len(spans)} {'stretch' if len(spans) == 1 else 'stretches'}."
    else:
        said += " Nothing of it was scored."
    title = "The recording over time"
    return Picture("timeline", title, said, render(make, (7.2, 2.5 if track else 1.4)))


Track = tuple[np.ndarray, np.ndarray, np.ndarray]  # edges (n + 1,), mean (n,), highest (n,); NaN: not scored


def steps(record: Mapping[str, Any], duration_s: float) -> Track | None:
    """P(fake) over time, thinned to what an eye can see; None where only windows, or nothing, was scored."""
    found = record.get("timeline")
    if not found or not found["p_fake"]:
        return windows_as_steps(record)
    values = np.array([np.nan if p is None else p for p in found["p_fake"]], float)
    each = -(-len(values) // BINS)
    padded = np.pad(values, (0, -len(values) % each), constant_values=np.nan).reshape(-1, each)
    there = np.isfinite(padded)
    mean = np.where(there, padded, 0).sum(1) / np.where(there.any(1), there.sum(1), np.nan)
    highest = np.where(there.any(1), np.where(there, padded, -1).max(1), np.nan)
    edges = np.minimum(np.arange(len(mean) + 1) * each * found["step_s"], duration_s)
    return edges, mean, highest


def windows_as_steps(record: Mapping[str, Any]) -> Track | None:
    """P(fake) of the windows, each up to the start of the next."""
    windows = record["windows"]
    if not windows:
        return None
    edges, values = [windows[0]["start_s"]], []
    for window, after in zip(windows, [*windows[1:], None], strict=True):
        if window["start_s"] > edges[-1]:
            values.append(np.nan)
            edges.append(window["start_s"])
        values.append(float(posterior_of_fake(window["llr"], record["prior"])))
        edges.append(min(window["end_s"], after["start_s"]) if after else window["end_s"])
    p_fake = np.array(values)
    return np.array(edges), p_fake, p_fake


def draw_track(
    axes: "Axes", track: Track, thresholds: Mapping[str, float], record: Mapping[str, Any]
) -> None:
    """P(fake) as steps, with the thresholds."""
    edges, mean, highest = track
    if np.nanmax(np.nan_to_num(highest - mean)) > 0:
        axes.stairs(highest, edges, color=BLUE, alpha=0.25, fill=True, baseline=0, label="highest")
    axes.stairs(mean, edges, color=BLUE, linewidth=1.1, baseline=None, label="P(fake)")
    for name, line in (("fake", (0, (5, 2))), ("genuine", (0, (1, 1.5)))):
        at = thresholds[name]
        axes.axhline(at, color="#1a1a1a", linewidth=0.8, linestyle=line)
        sign = "≥" if name == "fake" else "≤"
        axes.annotate(
            f"{name} {sign} {at:.2f}",
            (1.005, at),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
            annotation_clip=False,
        )
    what = "P(fake)" if record.get("timeline") else "P(fake) of windows"
    axes.set(ylim=(-0.02, 1.02), ylabel=f"{what},\nprior {record['prior']:g}")


def shade(rows: Sequence["Axes"], spans: Sequence[Mapping[str, float]], duration_s: float) -> None:
    """Shade what sounds fake, wide enough to be seen."""
    for span in spans[: 2 * BINS]:
        end_s = max(span["end_s"], span["start_s"] + NARROWEST * duration_s)
        for axes in rows:
            axes.axvspan(span["start_s"], end_s, facecolor=VERMILLION, alpha=0.3, linewidth=0, zorder=0)
    if spans:
        rows[0].plot([], [], color=VERMILLION, alpha=0.4, linewidth=6, label="sounds fake")
        rows[0].legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0, handlelength=1.2, fontsize=7)


def clock_axis(axes: "Axes", duration_s: float, ticks: Any = None) -> None:
    """Times along the axis: seconds, m:ss or h:mm:ss by the latest of them."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

    def shown(seconds: float, _: object) -> str:
        minutes, rest = divmod(round(seconds), 60)
        if duration_s < 3_600:
            return f"{minutes}:{rest:02}"
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"

    if duration_s < 60:
        axes.set_xlabel("seconds")
        return
    unit = next((u for u in (10, 30, 60, 300, 600, 1_800, 3_600) if duration_s / u <= 12), 7_200)
    even = MaxNLocator(10) if duration_s / unit > 24 else MultipleLocator(unit)
    axes.xaxis.set_major_locator(ticks or even)
    axes.xaxis.set_major_formatter(FuncFormatter(shown))
    axes.set_xlabel("minutes:seconds" if duration_s < 3_600 else "hours:minutes:seconds")


def spectrogram(heard: Heard, record: Mapping[str, Any]) -> Picture:
    """Power over time and frequency around the moment that sounds most fake."""
    worst = moment(record) or (0.0, 0.0)
    power = np.abs(stft(heard.part, SIZE, HOP)) ** 2
    level = 10 * np.log10(np.maximum(power, 1e-12))
    level = np.maximum(level - level.max(), -RANGE_DB)
    start_s, end_s = heard.part_start_s, heard.part_start_s + len(heard.part) / SAMPLE_RATE

    def make(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        image = axes.imshow(
            level.T,
            origin="lower",
            aspect="auto",
            extent=(start_s, end_s, 0, SAMPLE_RATE / 2_000),
            cmap="gray_r",
            interpolation="nearest",
        )
        for at in (max(worst[0], start_s), min(worst[1], end_s)):
            axes.axvline(at, color=VERMILLION, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.set(ylabel="kHz")
        clock_axis(axes, end_s, MaxNLocator(8, integer=True))
        figure.colorbar(image, ax=axes, label="dB below the peak", pad=0.01)

    said = (
        f"Spectrogram from {start_s:.1f} to {end_s:.1f} s, 0 to 8 kHz, darker is louder. Dashed lines stand "
        f"around what sounds most fake, {worst[0]:.1f} to {worst[1]:.1f} s."
    )
    return Picture("spectrogram", "The moment that sounds most fake", said, render(make, (7.2, 2.1)))


def size_of(file: IO[bytes]) -> int:
    """Bytes of an open file, which is rewound."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
