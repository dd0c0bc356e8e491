"""Watermarks: embed, detect, decode, attribute, over any scheme that can mark and read.

A `Scheme` is two functions at a sample rate of its own: what marking adds to a stretch, and what a stretch
says. The four verbs are written once, over both: any sample rate and any number of channels in and the same
out, any length in bounded memory, the mark of a given strength, silence left as it is.

    marked = embed(scheme, audio, 44_100, scheme.messages[scheme.names.index("my-voice")])
    heard = listen(scheme, marked, 44_100)
    detect(scheme, heard), decode(scheme, heard), attribute(scheme, heard)

Presence is judged by the window that shows most of a mark. The more windows a recording has, the more often
one looks marked by chance: scores of unmarked speech fall off exponentially (`Presence`), and the threshold
of a recording of n windows is higher by log n tails, so that its false alarms are as rare as those of a clip.

A watermark says who marked, not what is real: genuine speech can be marked by anybody, and marks can be taken
off. `earwitness.evidence.origin` says what follows from one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from earwitness.errors import InputError

WINDOW_S = 10.0  # of a stretch that is marked or read at once
OVERLAP_S = 1.0  # over which the marks of two stretches pass into each other
LEAST_S = 1.0  # a shorter last stretch is read with the one before
SMOOTH_S = 0.5  # over which presence is averaged to find where a mark lies
LONGEST_RATE = 384_000  # Hz


@dataclass(frozen=True)
class Presence:
    """What scores of unmarked windows look like: of those beyond `threshold`, e^-x lie x tails up."""

    threshold: float  # of one window
    tail: float
    false_alarm: float  # share of unmarked windows beyond the threshold


@dataclass(frozen=True, eq=False)
class Scheme:
    """A watermark that can be used. Audio is float32 (samples,) at `sample_rate`."""

    name: str
    digest: str
    sample_rate: int
    names: tuple[str, ...]  # whom a mark can name; none where it only says that it is there
    messages: np.ndarray  # (names, size): what a name is written as
    bits: np.ndarray | None  # (names, bits) of -1 and 1 where messages are read back as bits
    step: int  # samples from one value of presence to the next; 0 where the scheme cannot say where
    presence: Presence
    residual: Callable[[np.ndarray, np.ndarray], np.ndarray]  # host, message -> what is added
    read: Callable[[np.ndarray], "Window"]


@dataclass(frozen=True, eq=False)
class Window:
    """What was read in one stretch."""

    score: float  # more where there is a mark
    says: np.ndarray  # (outputs,): logits of names, or soft bits
    where: np.ndarray  # (steps,) log-odds of a mark; empty where the scheme cannot say


@dataclass(frozen=True, eq=False)
class Heard:
    """What was read in a recording."""

    score: float  # of the window that shows most, less what as many windows show by chance
    says: np.ndarray  # (outputs,), over the windows that look marked, or all
    spans: tuple[tuple[float, float], ...]  # marked stretches, seconds
    duration_s: float


@dataclass(frozen=True)
class Detection:
    """Whether there is a mark."""

    marked: bool
    score: float
    threshold: float
    chance: float  # of such a score, or a higher one, without a mark
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Named:
    """Whom a mark names, were there one."""

    name: str
    confidence: float  # posterior among the names, 0 to 1
    valid: bool  # the message is exactly that of the name; always, where names are read directly


def embed(
    scheme: Scheme, audio: np.ndarray, sample_rate: int, message: np.ndarray, strength: float = 1.0
) -> np.ndarray:
    """Audio (samples,) or (channels, samples) with a mark, float32, of the same shape; each channel its own.

    Args:
        scheme: who marks. audio: floats in [-1, 1]. sample_rate: of the audio, in Hz.
        message: (size,), a row of `scheme.messages`. strength: factor on what is added; 0 adds nothing.

    Raises:
        InputError: `bad-samples`, `usage`: a rate, a message or a strength that is none.
    """
    channels = np.atleast_2d(np.asarray(audio, np.float32))
    blocks = embed_stream(scheme, [channels], sample_rate, message, strength)
    return np.concatenate([*blocks], axis=1).reshape(np.shape(audio))


def embed_stream(
    scheme: Scheme,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    message: np.ndarray,
    strength: float = 1.0,
) -> Iterator[np.ndarray]:
    """Blocks (channels, samples) with a mark, as many samples in all; memory does not grow with them.

    Raises:
        InputError: as `embed`.
    """
    check(scheme, sample_rate, message, strength)
    hop, overlap = round(WINDOW_S * sample_rate), round(OVERLAP_S * sample_rate)
    rise = np.linspace(0, 1, overlap, dtype=np.float32)
    tail: np.ndarray | None = None  # of the residual of the stretch before, falling
    for audio, last in stretches(blocks, hop, overlap):
        added = strength * residual(scheme, audio, sample_rate, message)
        if tail is not None:
            added[:, :overlap] = added[:, :overlap] * rise[: added.shape[1]] + tail[:, : added.shape[1]]
        if not last:
            tail = added[:, hop:] * rise[::-1]
        keep = audio.shape[1] if last else hop
        yield np.clip(audio + added, np.minimum(audio, -1), np.maximum(audio, 1))[:, :keep]


def check(scheme: Scheme, sample_rate: int, message: np.ndarray, strength: float) -> None:
    """Refuse what cannot be embedded."""
    if not 1_000 <= sample_rate <= LONGEST_RATE:
        raise InputError(
            "usage", f"expected a sample rate of 1,000 to {LONGEST_RATE} Hz, found {sample_rate}"
        )
    if np.shape(message) != scheme.messages.shape[1:]:
        size = scheme.messages.shape[1]
        raise InputError("usage", f"{scheme.name}: a message has {size} numbers, found {np.shape(message)}")
    if not 0 <= strength <= 10:
        raise InputError("usage", f"expected a strength of 0 to 10, found {strength}")


def stretches(blocks: Iterable[np.ndarray], hop: int, overlap: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Stretches (channels, hop + overlap), `hop` apart, and whether each is the last, of whatever length.

    A last stretch is never all overlap.

    Raises:
        InputError: `bad-samples`: not finite, or no (channels, samples).
    """
    held: np.ndarray | None = None
    for block in blocks:
        if np.ndim(block) != 2 or not np.isfinite(block).all():
            raise InputError(
                "bad-samples", f"expected finite samples (channels, samples), found {np.shape(block)}"
            )
        held = block if held is None else np.concatenate([held, block], axis=1)
        while held.shape[1] > 2 * hop + overlap:
            yield held[:, : hop + overlap], False
            held = held[:, hop:]
    if held is None:
        return
    while held.shape[1] > hop + overlap:
        yield held[:, : hop + overlap], False
        held = held[:, hop:]
    yield held, True


def residual(scheme: Scheme, audio: np.ndarray, sample_rate: int, message: np.ndarray) -> np.ndarray:
    """What is added to (channels, samples), float32; nothing where the host is silent."""
    rows = []
    for channel in audio:
        if not channel.any():
            rows.append(np.zeros(len(channel), np.float32))
            continue
        host = converted(channel, sample_rate, scheme.sample_rate)
        added = converted(scheme.residual(host, message), scheme.sample_rate, sample_rate)
        added = np.nan_to_num(added[: len(channel)], posinf=0.0, neginf=0.0)
        rows.append(np.pad(added, (0, len(channel) - len(added))))
    return np.stack(rows) if rows else np.zeros_like(audio)


def converted(audio: np.ndarray, sample_rate: int, wanted: int) -> np.ndarray:
    """Audio (samples,) at another rate, float32."""
    if sample_rate == wanted:
        return np.asarray(audio, np.float32)
    return soxr.resample(np.asarray(audio, np.float32), sample_rate, wanted)


def listen(scheme: Scheme, audio: np.ndarray, sample_rate: int) -> Heard:
    """What a scheme reads in audio (samples,) or (channels, samples).

    Raises:
        InputError: `bad-samples`.
    """
    return listen_stream(scheme, [np.atleast_2d(np.asarray(audio, np.float32))], sample_rate)


def listen_stream(scheme: Scheme, blocks: Iterable[np.ndarray], sample_rate: int) -> Heard:
    """What a scheme reads in blocks (channels, samples), window by window.

    Raises:
        InputError: `bad-samples`.
    """
    listener = Listener(scheme, sample_rate)
    for block in blocks:
        listener.update(block)
    return listener.finish()


class Listener:
    """Reads a recording window by window as it comes; a short last stretch joins the one before."""

    def __init__(self, scheme: Scheme, sample_rate: int) -> None:
        self.scheme, self.sample_rate = scheme, sample_rate
        self.held: list[np.ndarray] = []
        self.windows: list[tuple[float, np.ndarray]] = []  # score, says
        self.spans: list[list[tuple[float, float]]] = []  # of each window, whose `where` may be long
        self.read = 0  # samples

    def update(self, block: np.ndarray) -> None:
        """Take more of it, (samples,) or (channels, samples).

        Raises:
            InputError: `bad-samples`.
        """
        block = np.asarray(block, np.float32)
        if block.ndim > 2 or not np.isfinite(block).all():
            raise InputError(
                "bad-samples", f"expected finite samples (channels, samples), found {block.shape}"
            )
        self.held.append(block.mean(axis=0) if block.ndim == 2 else block)
        hop = round(WINDOW_S * self.sample_rate)
        if sum(map(len, self.held)) < hop + round(LEAST_S * self.sample_rate):
            return
        audio = np.concatenate(self.held)
        while len(audio) >= hop + round(LEAST_S * self.sample_rate):
            self.take(audio[:hop])
            audio = audio[hop:]
        self.held = [audio]

    def take(self, audio: np.ndarray) -> None:
        """Read one window (samples,)."""
        self.read += len(audio)
        window = self.scheme.read(converted(audio, self.sample_rate, self.scheme.sample_rate))
        self.windows.append((window.score, window.says))
        self.spans.append(spans_of(self.scheme, window.where, self.read / self.sample_rate))

    def finish(self) -> Heard:
        """What was read."""
        rest = np.concatenate(self.held) if self.held else np.zeros(0, np.float32)
        if len(rest):
            self.take(rest)
            self.held = []
        duration_s, how = self.read / self.sample_rate, self.scheme.presence
        if not self.windows:
            outputs = len(self.scheme.names) if self.scheme.bits is None else self.scheme.bits.shape[1]
            return Heard(-np.inf, np.zeros(outputs, np.float32), (), duration_s)
        scores = np.array([score for score, _ in self.windows])
        chance = how.tail * np.log(len(scores))
        showing = scores - chance >= how.threshold
        chosen = showing if showing.any() else np.ones_like(showing)
        says = np.mean([said for (_, said), yes in zip(self.windows, chosen, strict=True) if yes], axis=0)
        shown = [span for spans, yes in zip(self.spans, showing, strict=True) if yes for span in spans]
        return Heard(float(scores.max() - chance), says, joined(self.scheme, shown), duration_s)


def spans_of(scheme: Scheme, where: np.ndarray, end_s: float) -> list[tuple[float, float]]:
    """Stretches, in seconds, where presence (steps,) is positive in a window that ends at this time."""
    if not scheme.step or not len(where):
        return []
    step_s = scheme.step / scheme.sample_rate
    width = max(1, min(len(where), round(SMOOTH_S / step_s)))
    total = np.cumsum(np.pad(where.astype(float), (width // 2 + 1, width - 1 - width // 2), mode="edge"))
    yes = np.pad((total[width:] - total[:-width])[: len(where)] > 0, 1)
    start_s = end_s - len(where) * step_s
    return [
        (max(0.0, start_s + begin * step_s), min(end_s, start_s + stop * step_s))
        for begin, stop in np.flatnonzero(np.diff(yes.astype(np.int8))).reshape(-1, 2).tolist()
    ]


def joined(scheme: Scheme, spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Spans in order of time, those that are a step apart as one, to the millisecond."""
    found: list[tuple[float, float]] = []
    for start_s, end_s in spans:
        if found and start_s - found[-1][1] <= 1.5 * scheme.step / scheme.sample_rate:
            start_s = found.pop()[0]
        found.append((start_s, end_s))
    return tuple((round(start_s, 3), round(end_s, 3)) for start_s, end_s in found)


def detect(scheme: Scheme, heard: Heard) -> Detection:
    """Whether there is a mark, and where."""
    how = scheme.presence
    over = (heard.score - how.threshold) / how.tail
    chance = float(min(1.0, how.false_alarm * np.exp(-over))) if np.isfinite(over) else 1.0
    return Detection(over >= 0, heard.score, how.threshold, chance, heard.spans if over >= 0 else ())


def decode(scheme: Scheme, heard: Heard) -> tuple[int, ...]:
    """The bits that were read, 0 and 1; none where a scheme has none."""
    return () if scheme.bits is None else tuple(int(soft > 0) for soft in heard.says)


def attribute(scheme: Scheme, heard: Heard) -> Named | None:
    """Whom the mark names; None where a scheme names nobody."""
    if not scheme.names:
        return None
    if scheme.bits is None:
        logits, valid = heard.says, True
    else:
        logits = -np.logaddexp(0, -scheme.bits * heard.says).sum(axis=1)  # soft bits are logits
        best = scheme.bits[int(logits.argmax())]
        valid = bool(((heard.says > 0) == (best > 0)).all())
    shares = np.exp(logits - logits.max())
    return Named(scheme.names[int(logits.argmax())], float(shares.max() / shares.sum()), valid)


def fit_presence(scores: np.ndarray, false_alarm: float) -> Presence:
    """A threshold beyond which this share of unmarked windows lies, by the exponential tail of their scores.

    The tail is fitted to the top twentieth (peaks over threshold, with the exponential as the limit law).

    Args:
        scores: (n,) of windows without a mark, 100 or more. false_alarm: under a twentieth.

    Raises:
        InputError: `too-few-scores`.
    """
    scores = np.sort(np.asarray(scores, float))
    if len(scores) < 100 or not 0 < false_alarm < 0.05:
        raise InputError("too-few-scores", f"expected 100 scores of unmarked speech, found {len(scores)}")
    base = float(np.quantile(scores, 0.95))
    tail = max(float((scores[scores > base] - base).mean()), 1e-6)
    return Presence(base + tail * float(np.log(0.05 / false_alarm)), tail, false_alarm)
