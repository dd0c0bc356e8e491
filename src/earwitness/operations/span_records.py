"""Records of `earwitness scan --timeline --json` (docs/records.md) meet the truth about parts (RTTM).

A step of a timeline in which nobody speaks (null) has p(fake) 0: whoever edits a pause is not found
there. Recordings of the two are matched by path, by file name without folder and ending, or by the ID that
a protocol has for the file: by the first of these under which all records find their reference, else the
one under which most do.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.audio.rttm import Part
from earwitness.errors import InputError
from earwitness.metrics.matching import ENDINGS, SHOWN
from earwitness.metrics.records import MAX_RECORD, UNSCORED
from earwitness.metrics.spans import Recording

if TYPE_CHECKING:
    from earwitness.metrics.scores import Trials

TAIL_S = 0.1  # a recording may be so much longer or shorter than its reference: codecs pad


@dataclass(frozen=True)
class Answer:
    """What a scan says of one recording."""

    row: int  # of the file
    path: str
    verdict: str
    duration_s: float = 0.0
    llr: float = 0.0
    fake_at: float = 1.0  # P(fake) from which its model calls a recording fake
    step_s: float = 1.0
    p_fake: np.ndarray | None = None  # (steps,), NaN where nobody speaks
    spans: np.ndarray | None = None  # (K, 3) start, end, P(fake)

    @property
    def scored(self) -> bool:
        """Whether there is a score; else the verdict is one of `records.UNSCORED`."""
        return self.verdict not in UNSCORED


def read_answers(path: Path) -> list[Answer]:
    """Every record of a scan.

    Raises:
        InputError: `not-found`; `bad-scores`, with the row: no record, no timeline, a recording there twice.
    """
    if not path.is_file():
        raise InputError("not-found", f"{path}: {'not a file' if path.exists() else 'no such file'}")
    answers: list[Answer] = []
    rows: dict[str, int] = {}
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_RECORD + 1):
            number += 1
            if not line.strip():
                continue
            try:
                if len(line) > MAX_RECORD:
                    raise ValueError(f"longer than {MAX_RECORD:,} bytes")
                answer = parse_answer(json.loads(line.decode("utf-8-sig")), number)
                if answer.path in rows:
                    raise ValueError(f"{answer.path} stands in row {rows[answer.path]} already")
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                why = str(error)[:200]
                raise InputError("bad-scores", f"{path}, row {number}: no record of a scan: {why}") from None
            rows[answer.path] = number
            answers.append(answer)
    if not answers:
        raise InputError("bad-scores", f"{path}: holds no records")
    return answers


def parse_answer(record: Mapping[str, Any], row: int) -> Answer:
    """One record.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    path, verdict = str(record["path"]), str(record["verdict"])
    if verdict in UNSCORED and record["llr"] is None:
        return Answer(row, path, verdict)
    if verdict in UNSCORED:
        raise ValueError(f"the verdict is {verdict} and there is a score")
    timeline = record.get("timeline")
    if not timeline:
        raise ValueError("it has no timeline; scan again with --timeline, and a model that has one")
    p_fake = np.array([np.nan if p is None else number(p, "p_fake") for p in timeline["p_fake"]], float)
    if np.any((p_fake < 0) | (p_fake > 1)):
        raise ValueError("p_fake of the timeline is not between 0 and 1")
    spans = [[number(span[key], key) for key in ("start_s", "end_s", "p_fake")] for span in record["spans"]]
    answer = Answer(
        row=row,
        path=path,
        verdict=verdict,
        duration_s=number(record["duration_s"], "duration_s"),
        llr=number(record["llr"], "llr"),
        fake_at=number(record["thresholds"]["fake"], "thresholds"),
        step_s=number(timeline["step_s"], "step_s"),
        p_fake=p_fake,
        spans=np.array(spans, float).reshape(-1, 3),
    )
    if not (answer.step_s > 0 and answer.duration_s > 0):
        raise ValueError("durations and steps are above 0 s")
    return answer


def number(value: object, name: str) -> float:
    """A finite number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} is {str(value)[:40]!r}")
    return float(value)


def as_recording(answer: Answer, parts: Sequence[Part], file: Path) -> Recording:
    """An answer and its reference; scores are -P(fake). What the reference does not name is bona fide.

    Raises:
        InputError: `bad-spans`: spans of the record that cannot be.
    """
    end = parts[-1].end_s
    duration = end if answer.duration_s <= end + TAIL_S else answer.duration_s
    spoof = np.array([[part.start_s, part.end_s] for part in parts if not part.bona_fide], float)
    edges, scores = timeline_frames(answer, duration)
    spans = np.empty((0, 3)) if answer.spans is None else answer.spans
    spans = spans[spans[:, 0] < duration]
    try:
        return Recording(duration, spoof, edges, scores, spans[:, :2], -spans[:, 2], answer.llr)
    except InputError as error:
        raise InputError(error.code, f"{file}, row {answer.row}: {error.message}") from None


def timeline_frames(answer: Answer, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges and scores of a timeline. What is missing of it by more than a step was not scored: bona fide."""
    p_fake = np.empty(0) if answer.p_fake is None else answer.p_fake
    edges = np.arange(len(p_fake) + 1) * answer.step_s
    scores = -np.nan_to_num(p_fake)
    if edges[-1] + answer.step_s < duration_s or not len(scores):
        edges, scores = np.append(edges, duration_s), np.append(scores, 0.0)
    return edges, scores


def bare(path: str) -> str:
    """A path without the ending of an audio file."""
    return re.sub(rf"\.(?i:{ENDINGS})$", "", path)


def stem(path: str) -> str:
    """A file's name without folder and the ending of an audio file."""
    return bare(re.split(r"[/\\]", path)[-1])


@dataclass(frozen=True)
class Linked:
    """Which answer belongs to which recording of the reference."""

    how: str  # path, file name, ID
    pairs: list[tuple[Answer, str]]  # scored or not
    without_reference: list[str]  # paths of records
    without_record: list[str]  # names of the reference


def link(
    answers: Sequence[Answer], reference: Mapping[str, Any], protocol: "Trials | None", file: Path, key: Path
) -> Linked:
    """Match answers with the recordings of a reference.

    Args:
        answers: of `file`.
        reference: by name, of the file `key`.
        protocol: which has IDs of files, perhaps.

    Raises:
        InputError: `bad-scores`: nothing matches, or one name fits several recordings.
    """
    ids = {} if protocol is None else ids_by_stem(protocol)
    ways = {
        "path": ([bare(one.path) for one in answers], [bare(name) for name in reference]),
        "file name": ([stem(one.path) for one in answers], [stem(name) for name in reference]),
        "ID": ([ids.get(stem(one.path)) for one in answers], list(reference)),
    }
    counts = {how: len(set(ours) & set(theirs)) for how, (ours, theirs) in ways.items()}
    how = max(counts, key=lambda name: counts[name])  # the first of the best
    if not counts[how]:
        ours, theirs = (", ".join(names[:SHOWN]) for names in ([a.path for a in answers], list(reference)))
        raise InputError(
            "bad-scores",
            f"{file}: none of its recordings is in {key}: records of {ours}, a reference of {theirs}",
        )
    ours, theirs = ways[how]
    for names, where in ((ours, file), (theirs, key)):
        name, count = Counter(name for name in names if name is not None).most_common(1)[0]
        if count > 1:
            raise InputError("bad-scores", f"{where}: {count:,} recordings have the {how} {name!r}")
    names = dict(zip(theirs, reference, strict=True))
    pairs = [(one, names[name]) for one, name in zip(answers, ours, strict=True) if name in names]
    known = {name for _, name in pairs}
    unknown = [one.path for one, name in zip(answers, ours, strict=True) if name not in names]
    return Linked(how, pairs, unknown, [name for name in reference if name not in known])


def ids_by_stem(protocol: "Trials") -> dict[str, str]:
    """ID of each file's name in a protocol; names that several rows have are left out."""
    ids = protocol.frame["id"].to_list()
    paths = protocol.frame["path"].to_list() if protocol.has("path") else ids
    found: dict[str, str] = {}
    twice: set[str] = set()
    for name, path in zip(ids, paths, strict=True):
        short = stem(path or name)
        twice |= {short} & found.keys()
        found[short] = name
    return {short: name for short, name in found.items() if short not in twice}
