"""Nouns that cross stages, frozen. Times are seconds, spans half open, higher score = bona fide."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

VerdictName = Literal["fake", "genuine", "uncertain", "no-speech", "error"]
VERDICTS: tuple[VerdictName, ...] = ("fake", "genuine", "uncertain", "no-speech", "error")
Basis = Literal["acoustic", "watermark", "conflict", "unknown"]


@dataclass(frozen=True)
class AudioInfo:
    """What a container says about its sound track."""

    sample_rate: int
    channels: int
    codec: str
    promised_s: float | None  # length by the header; None where the header does not know


@dataclass(frozen=True)
class Quality:
    """What is in a recording, before anyone asks whether it is fake."""

    duration_s: float
    speech_s: float
    level_dbfs: float  # RMS of the speech, or of everything where there is none
    peak_dbfs: float
    clipped: float  # share of samples in flat runs at the rail
    digital_silence: float  # share of samples in 32 ms chunks that hold one constant value
    bandwidth_hz: int  # highest frequency within 60 dB of the spectrum's peak


@dataclass(frozen=True)
class Window:
    """A scored stretch. `llr` is the calibrated log-likelihood ratio in nats."""

    start_s: float
    end_s: float
    score: float
    llr: float


@dataclass(frozen=True)
class Span:
    """A stretch that sounds fake, or the moment that sounds most so."""

    start_s: float
    end_s: float
    p_fake: float


@dataclass(frozen=True)
class Timeline:
    """P(fake) of consecutive stretches of `step_s` seconds; None where nobody speaks."""

    step_s: float
    p_fake: tuple[float | None, ...]


@dataclass(frozen=True)
class ModelId:
    """Which model answered; the digest is that of its weights, or of its graph where it has no others.

    Where only what follows the embedding was learnt anew, `embedding` is the digest of the model whose
    embeddings these still are.
    """

    name: str
    version: str
    digest: str
    embedding: str = ""

    @property
    def space(self) -> str:
        """The digest that models with the same embeddings share."""
        return self.embedding or self.digest


@dataclass(frozen=True)
class Thresholds:
    """P(fake) at or above `fake` is called fake, at or below `genuine` genuine."""

    fake: float
    genuine: float


@dataclass(frozen=True)
class Failure:
    """Why a file got no verdict: a stable code, and one sentence for a person."""

    code: str
    message: str


@dataclass(frozen=True)
class Heard:
    """What the detector and the profile make of a recording, to be compared with others."""

    embeddings: "np.ndarray"  # (windows, size) float32, unit length
    starts_s: "np.ndarray"  # (windows,)
    profile: "np.ndarray | None"  # (profile size,) float32, unit length


@dataclass(frozen=True)
class Neighbour:
    """A recording of a knowledge base that one window of another is near to."""

    id: str
    bona_fide: bool
    generator: str
    similarity: float
    path: str
    start_s: float  # in the neighbour
    window_s: float  # in the recording asked about


@dataclass(frozen=True)
class Remembered:
    """What a knowledge base says of a recording."""

    entries: int
    covered: bool  # whether anything in the base is near enough to count
    detector_llr: float
    retrieval: float | None  # the score of the neighbours, higher for bona fide; None without any
    decided_by: Literal["detector", "knowledge"]  # knowledge: the detector alone would say otherwise
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Like:
    """A labelled recording of a tracer that another is like."""

    id: str
    name: str  # who made it
    similarity: float  # cosine


@dataclass(frozen=True)
class Watermark:
    """What was read of a watermark; it says who marked a recording, not whether that is fake."""

    scheme: str
    marked: bool
    score: float
    chance: float  # of such a score without a mark
    name: str | None  # whom it names; None without a mark, or where the scheme names nobody
    confidence: float | None
    readable: bool  # whether the name can be relied upon
    bits: tuple[int, ...]
    spans: tuple[tuple[float, float], ...]  # marked stretches, seconds, where the scheme can say


@dataclass(frozen=True)
class Attribution:
    """Who made a recording if it is fake; whether it is fake is for the verdict to say."""

    label: str | None  # a name of the tracer, or "none of these"; None where nothing could be heard
    confidence: float | None  # of the label, 0 to 1
    known: float | None  # share of held-out known recordings at least as strange, (0, 1]
    nearest_name: str | None  # the name that would be given if one had to be
    level: str  # of a tracer's names: architecture or family
    basis: Basis  # unknown: nothing was heard; conflict: watermark and sound name two, so nobody is named
    note: str = ""  # what the verdict has against it; "" where it is fake
    neighbours: tuple[Like, ...] = ()  # nearest first


@dataclass(frozen=True)
class Verdict:
    """The answer for one recording; `earwitness.evidence.verdict.to_record` gives its JSON form."""

    path: str
    verdict: VerdictName
    rule: str
    model: ModelId
    prior: float
    thresholds: Thresholds
    calibrated: bool
    path_bytes: str | None = None  # hex, where the name is not UTF-8 and `path` not exact
    sha256: str | None = None
    info: AudioInfo | None = None
    quality: Quality | None = None
    score: float | None = None
    llr: float | None = None
    p_fake: float | None = None
    windows: tuple[Window, ...] = ()
    spans: tuple[Span, ...] = ()
    worst: Span | None = None
    timeline: Timeline | None = None
    warnings: tuple[str, ...] = ()
    error: Failure | None = None
    remembered: Remembered | None = None
    watermark: Watermark | None = None
    attribution: Attribution | None = None
    heard: Heard | None = field(default=None, repr=False, compare=False)
    engine: str = ""  # what ran the model, and in which arithmetic
