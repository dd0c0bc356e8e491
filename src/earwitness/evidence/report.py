"""A report on one recording: everything that is printed, as plain data, with a digest of it.

What a report says is built by `report_words`; `report_html` and `report_pdf` only set it. There is no date in
it: the same file, record and card give the same bytes. The digest is the SHA-256 of the report as JSON with
sorted keys, without the digest itself; pictures take part by their own digests.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from earwitness.errors import InputError
from earwitness.evidence.report_pictures import Picture
from earwitness.types import VERDICTS

SCHEMA = 1
KIND = "earwitness-report"
MOST = 64 << 20  # characters of a report or a record


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is plain, note or warn."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    points: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text under heads; `numeric` columns stand to the right. Without heads: names and values."""

    caption: str
    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """The place of a picture."""

    picture: str


Block = Text | Points | Table | Figure
BLOCKS: dict[str, type[Block]] = {"text": Text, "points": Points, "table": Table, "figure": Figure}


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """Everything that is printed. `record` is the verdict record, without folders' names."""

    title: str
    verdict: str
    headline: str  # the verdict in plain words
    summary: str
    name: str  # of the file, as shown
    sections: tuple[Section, ...]
    record: dict[str, Any]
    pictures: tuple[Picture, ...]
    versions: dict[str, str]
    digest: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True)
class FileFacts:
    """What is known of the file itself, where it was at hand."""

    size: int | None = None
    container: str | None = None
    promised_s: float | None = None
    note: str = ""  # why there are no pictures, or why decoding ended early


def build(
    record: Mapping[str, Any],
    facts: FileFacts,
    card: Mapping[str, Any] | None,
    pictures: tuple[Picture, ...],
    credentials: Any,
    versions: Mapping[str, str],
) -> Report:
    """The report on a recording.

    Args:
        record: of `verdict.to_record`.
        facts: of the file.
        card: of the model that answered; None where it is not at hand.
        pictures: of `report_pictures.draw`.
        credentials: `report_credentials.Credentials`; None where the file was not at hand.
        versions: of what made the report, by name.

    Raises:
        InputError: `bad-record`.
    """
    from earwitness.evidence import report_words as words

    kept = without_folders(check_record(record))
    name = words.plain(kept["path"], words.NAME)
    report = Report(
        title=f"Report on {name}",
        verdict=kept["verdict"],
        headline=words.HEADLINES[kept["verdict"]],
        summary=words.summary(kept),
        name=name,
        sections=words.sections(kept, facts, card, pictures, credentials, versions),
        record=kept,
        pictures=pictures,
        versions=dict(versions),
    )
    return replace(report, digest=digest_of(to_json(report)))


def to_json(report: Report) -> dict[str, Any]:
    """The report as a dict fit for JSON; pictures by their digests."""
    return {
        "kind": KIND,
        "schema": report.schema,
        **{key: getattr(report, key) for key in ("title", "verdict", "headline", "summary", "name")},
        "sections": [
            {"title": section.title, "blocks": [block_json(block) for block in section.blocks]}
            for section in report.sections
        ],
        "record": report.record,
        "pictures": [picture_json(picture) for picture in report.pictures],
        "versions": report.versions,
        "digest": report.digest,
    }


def block_json(block: Block) -> dict[str, Any]:
    """A block as a dict, its kind first."""
    kind = next(name for name, known in BLOCKS.items() if isinstance(block, known))
    return {"kind": kind, **asdict(block)}


def picture_json(picture: Picture) -> dict[str, Any]:
    """A picture without its bytes."""
    width, height = picture.size
    sha256 = hashlib.sha256(picture.png).hexdigest()
    told = {"name": picture.name, "title": picture.title, "alt": picture.alt}
    return {**told, "width": width, "height": height, "sha256": sha256}


def digest_of(report: Mapping[str, Any]) -> str:
    """SHA-256 of a report as JSON, but for the digest that stands in it."""
    told = {key: value for key, value in report.items() if key != "digest"}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def from_json(found: Any, pngs: Mapping[str, bytes] | None = None) -> Report:
    """A report of its JSON form; with the bytes of its pictures, by name, it can be set again.

    Raises:
        InputError: `bad-report`.
    """
    try:
        if found["kind"] != KIND or found["schema"] != SCHEMA:
            raise ValueError(f"kind {found['kind']!r:.40}, schema {found['schema']!r:.10}")
        texts: dict[str, Any] = {key: str(found[key]) for key in TEXTS}
        return Report(
            **texts,
            sections=tuple(
                Section(str(one["title"]), tuple(block_of(block) for block in one["blocks"]))
                for one in found["sections"]
            ),
            record=dict(found["record"]),
            pictures=tuple(
                Picture(
                    str(one["name"]), str(one["title"]), str(one["alt"]), (pngs or {}).get(one["name"], b"")
                )
                for one in found["pictures"]
            ),
            versions={str(key): str(value) for key, value in found["versions"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError("bad-report", f"no report of earwitness, or damaged ({error!s:.100})") from None


def block_of(found: Mapping[str, Any]) -> Block:
    """A block of its JSON form.

    Raises:
        KeyError, TypeError: it is none.
    """
    kind = BLOCKS[found["kind"]]
    return kind(**{field.name: frozen(found[field.name]) for field in fields(kind)})


def frozen(value: Any) -> Any:
    """Lists as tuples."""
    return tuple(frozen(one) for one in value) if isinstance(value, list) else value


TEXTS = ("title", "verdict", "headline", "summary", "name", "digest")
LARGEST = 1e15  # of a number in a record
NUMBER = (int, float)
MAYBE = (int, float, type(None))
QUALITY = ("speech_s", "level_dbfs", "clipped", "digital_silence", "bandwidth_hz")
TOP = {
    "path": str,
    "sha256": (str, type(None)),
    "duration_s": MAYBE,
    "sample_rate": MAYBE,
    "channels": MAYBE,
    "codec": (str, type(None)),
    "model": dict,
    "score": MAYBE,
    "llr": MAYBE,
    "p_fake": MAYBE,
    "prior": NUMBER,
    "thresholds": dict,
    "calibrated": bool,
    "rule": str,
    "quality": (dict, type(None)),
    "windows": list,
    "spans": list,
    "worst": (dict, type(None)),
    "warnings": list,
    "error": (dict, type(None)),
}
INNER: dict[str, dict[str, Any]] = {
    "model": {"name": str, "version": str, "digest": str},
    "thresholds": {"fake": NUMBER, "genuine": NUMBER},
    "quality": dict.fromkeys(QUALITY, NUMBER),
    "windows": dict.fromkeys(("start_s", "end_s", "score", "llr"), NUMBER),
    "spans": dict.fromkeys(("start_s", "end_s", "p_fake"), NUMBER),
    "worst": dict.fromkeys(("start_s", "end_s", "p_fake"), NUMBER),
    "error": {"code": str, "message": str},
    "timeline": {"step_s": NUMBER, "p_fake": list},
    "knowledge": {"entries": NUMBER, "covered": bool, "detector_llr": NUMBER, "retrieval": MAYBE,
                  "decided_by": str, "neighbours": list},
    "watermark": {"scheme": str, "marked": bool, "score": NUMBER, "chance": NUMBER, "name": (str, type(None)),
                  "confidence": MAYBE, "readable": bool, "spans": list},
    "attribution": {"label": (str, type(None)), "confidence": MAYBE, "known": MAYBE,
                    "nearest_name": (str, type(None)), "level": str, "basis": str, "note": str,
                    "neighbours": list},
}  # fmt: skip
NEIGHBOUR = {"id": str, "bona_fide": bool, "generator": str, "similarity": NUMBER, "path": str,
             "start_s": NUMBER, "window_s": NUMBER}  # fmt: skip
DEEPER = {
    ("knowledge", "neighbours"): NEIGHBOUR,
    ("watermark", "spans"): {"start_s": NUMBER, "end_s": NUMBER},
    ("attribution", "neighbours"): {"id": str, "name": str, "similarity": NUMBER},
}


def check_record(record: Any) -> dict[str, Any]:
    """A verdict record of which every part is of its kind; parts that are not known here are left out.

    Raises:
        InputError: `bad-record`.
    """
    shape(record, "the record", TOP)
    if record.get("schema") != 1 or record.get("verdict") not in VERDICTS:
        raise InputError("bad-record", "no verdict record of schema 1; `earwitness scan --json` prints them")
    for key, kinds in INNER.items():
        found = record.get(key)
        if found is not None:
            for one in found if isinstance(found, list) else [found]:
                shape(one, key, kinds)
    for (key, inner), kinds in DEEPER.items():
        for one in (record.get(key) or {}).get(inner, []):
            shape(one, f"{key}.{inner}", kinds)
    if not 0 < record["prior"] < 1 or not all(isinstance(one, str) for one in record["warnings"]):
        raise InputError("bad-record", "a prior that is none, or warnings that are no text")
    judged = record["verdict"] in ("fake", "genuine", "uncertain")
    missing = [record[key] is None for key in ("llr", "p_fake", "score")] + [not record["windows"]]
    if any(missing) if judged else record["llr"] is not None:
        raise InputError("bad-record", f"verdict {record['verdict']} and score do not go together")
    if record["p_fake"] is not None and not within(record["p_fake"]):
        raise InputError("bad-record", "p_fake is no probability")
    steps = record.get("timeline") or {"step_s": 1, "p_fake": []}
    if not steps["step_s"] > 0 or not all(p is None or within(p) for p in steps["p_fake"]):
        raise InputError("bad-record", "a timeline that is none")
    known = ["schema", "path", "path_bytes", "verdict", *TOP, *INNER]
    return {key: record[key] for key in record if key in known}


def within(value: Any) -> bool:
    """Whether a value is a probability."""
    return isinstance(value, int | float) and 0 <= value <= 1


def shape(found: Any, what: str, kinds: Mapping[str, Any]) -> None:
    """Refuse what is no object with values of these kinds.

    Raises:
        InputError: `bad-record`.
    """
    if not isinstance(found, dict):
        raise InputError("bad-record", f"{what}: expected an object, found {type(found).__name__}")
    for key, kind in kinds.items():
        value = found.get(key, ...)
        good = isinstance(value, kind)
        if kind in (NUMBER, MAYBE) and good and value is not None:
            good = not isinstance(value, bool) and abs(value) < LARGEST and math.isfinite(value)
        if not good:
            raise InputError("bad-record", f"{what}: {key} is missing or not of its kind")


def without_folders(record: dict[str, Any]) -> dict[str, Any]:
    """The record with names of files in place of paths: what a paper says to strangers."""
    kept = {key: value for key, value in record.items() if key != "path_bytes"}
    kept["path"] = file_name(record["path"])
    if record.get("knowledge"):
        near = [{**one, "path": file_name(one["path"])} for one in record["knowledge"]["neighbours"]]
        kept["knowledge"] = {**record["knowledge"], "neighbours": near}
    return kept


def file_name(path: str) -> str:
    """The last part of a path of any system."""
    posix = PurePosixPath(path).name
    windows = PureWindowsPath(path)
    return (windows.name if windows.drive or windows.root else posix) or path[-200:]
