"""`earwitness evaluate-spans`: a scan with timelines and the truth about parts in; a table or JSON out."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.audio.rttm import Part, read_rttm
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError
from earwitness.metrics.cautions import FEW_GROUPS, of_groups
from earwitness.metrics.evaluation import Setup, count_groups, group_codes
from earwitness.metrics.localisation import DECISION_S, RESOLUTIONS_MS, measures
from earwitness.metrics.measures import figures
from earwitness.metrics.page import interval, number, spread
from earwitness.metrics.scores import Trials, read_key
from earwitness.metrics.spans import Pool, pooled
from earwitness.operations.evaluate import of_coverage
from earwitness.operations.evaluation_table import aligned
from earwitness.operations.show import clock, visible
from earwitness.operations.span_records import (
    TAIL_S,
    Answer,
    Linked,
    as_recording,
    ids_by_stem,
    link,
    read_answers,
    stem,
)

if TYPE_CHECKING:
    import polars as pl

SCHEMA = 1
SHOWN = 10  # names of what was left out that a terminal gets, of each kind
SATURATED = 0.05  # share of spoken steps at 0 or 1 that is worth a warning
OVERALL = {  # title and unit of metrics
    **{f"segment_eer_{ms}ms": (f"segment EER, {ms} ms", "%") for ms in RESOLUTIONS_MS},
    "range_eer": ("range EER", "%"),
    "utterance_eer": ("utterance EER, by LLR", "%"),
    "utterance_eer_lowest": ("utterance EER, by the worst step", "%"),
}
DECIDED = {
    "segment_precision": ("precision", "%"),
    "segment_recall": ("recall", "%"),
    "segment_f1": ("F1", ""),
}
LISTED = {
    "span_precision": ("precision, in seconds", "%"),
    "span_recall": ("recall, in seconds", "%"),
    "span_f1": ("F1, in seconds", ""),
    "span_iou": ("IoU, all seconds", ""),
    "span_mean_iou": ("IoU, mean of recordings with fakes", ""),
    "ap_50": ("average precision, IoU 0.5", ""),
    "ap_75": ("average precision, IoU 0.75", ""),
    "ap_90": ("average precision, IoU 0.9", ""),
    "boundary_error_s": ("median distance of boundaries", "s"),
}


@dataclass(frozen=True)
class SpanRequest:
    """What was asked for; file names as they were given."""

    records: Path
    reference: Path
    protocol: Path | None = None
    groups: str = "utterance"
    threshold: float | None = None  # P(fake); None: what the records name
    draws: int = Setup.draws
    seed: int = Setup.seed
    allow_missing: bool = False


def run_evaluate_spans(request: SpanRequest, as_json: bool) -> None:
    """Evaluate and show.

    Raises:
        InputError: what was asked for cannot be done; one sentence says why.
        MissingExtra: polars, which reads the protocol, is not installed.
    """
    report = span_report(request)
    text = (
        json.dumps(report, allow_nan=False) if as_json else "\n".join(visible(line) for line in lines(report))
    )
    sys.stdout.write(f"{text}\n")


def span_report(request: SpanRequest) -> dict[str, Any]:
    """The report: what was read and matched, `metrics` with their intervals, `warnings`.

    Raises:
        InputError: as `run_evaluate_spans`.
    """
    from earwitness import __version__

    answers, reference = read_answers(request.records), read_rttm(request.reference)
    protocol = read_protocol_of(request)
    linked = link(answers, reference, protocol, request.records, request.reference)
    check_missing(request, linked)
    pairs = [(answer, name) for answer, name in linked.pairs if answer.scored]
    if not pairs:
        raise InputError("bad-scores", f"{request.records}: no scored recording is left")
    codes = codes_of(request, protocol, pairs)
    recordings = [as_recording(answer, reference[name], request.records) for answer, name in pairs]
    pool = pooled(recordings, codes, request.seed)
    threshold, threshold_from = choose_threshold(request, pairs)
    made = measures(pool, np.nextafter(-threshold, np.inf))  # at or above it is fake, as in a scan
    found = figures(made, pool.units, request.draws, Setup.level, request.seed)
    genuine = ~pool.holds_spoof
    report = {
        "schema": SCHEMA,
        "version": __version__,
        "files": files_of(request),
        "matched_by": linked.how,
        "coverage": coverage(linked, reference),
        **contents(pool, pairs),
        "threshold": threshold,
        "threshold_from": threshold_from,
        "thresholds": thresholds_of(made),
        "resolution_s": DECISION_S,
        "intervals": {
            "level": Setup.level,
            "draws": request.draws,
            "by": request.groups,
            "groups": len(pairs) if codes is None else count_groups(codes, genuine),
            "seed": request.seed,
        },
        "metrics": {name: found[name] for name in {**OVERALL, **DECIDED, **LISTED}},
    }
    report["warnings"] = [*of_coverage(report), *span_cautions(report, pairs, reference), *of_groups(report)]
    return report


def read_protocol_of(request: SpanRequest) -> Trials | None:
    """The protocol, if there is one.

    Raises:
        InputError: `usage`: groups without a protocol; as `metrics.scores.read_key`.
    """
    if request.protocol is None:
        if request.groups != "utterance":
            raise InputError("usage", f"--groups {request.groups}: needs the table that has it, --protocol")
        return None
    return read_key(request.protocol, [request.groups, "dataset"] if request.groups != "utterance" else [])


def check_missing(request: SpanRequest, linked: Linked) -> None:
    """Refuse records and a reference of different recordings, unless that was allowed.

    Raises:
        InputError: `bad-scores`.
    """
    parts = []
    for names, what in (
        (linked.without_reference, "recordings have no line in the reference"),
        (linked.without_record, "recordings of the reference have no record"),
    ):
        if names:
            parts.append(f"{len(names):,} {what} ({', '.join(names[:3])}{', ...' if names[3:] else ''})")
    if parts and not request.allow_missing:
        raise InputError(
            "bad-scores",
            f"{request.records}: {' and '.join(parts)}; --allow-missing evaluates the recordings that match",
        )


def codes_of(
    request: SpanRequest, protocol: Trials | None, pairs: Sequence[tuple[Answer, str]]
) -> np.ndarray | None:
    """Group of each recording as a number, (R,); None where recordings are drawn one by one.

    Raises:
        InputError: `usage`: the protocol has no such column; `bad-scores`: it lacks recordings.
    """
    if protocol is None or request.groups == "utterance":
        return None
    row_of = {name: row for row, name in enumerate(protocol.frame["id"].to_list())}
    ids = ids_by_stem(protocol)
    rows = [row_of.get(name, row_of.get(ids.get(stem(answer.path), ""))) for answer, name in pairs]
    unknown = [name for (_, name), row in zip(pairs, rows, strict=True) if row is None]
    if unknown and not request.allow_missing:
        raise InputError(
            "bad-scores",
            f"{protocol.file}: {len(unknown):,} recordings have no row there ({', '.join(unknown[:3])}); "
            "--allow-missing takes each for a group of its own",
        )
    return group_codes(rows_of(protocol.frame, rows), request.groups)


def rows_of(frame: "pl.DataFrame", rows: Sequence[int | None]) -> "pl.DataFrame":
    """Rows of a frame of text, '-' throughout where there is none."""
    import polars as pl

    columns = {name: [*frame[name].cast(pl.String).to_list(), "-"] for name in frame.columns}
    return pl.DataFrame(
        {name: [values[-1 if row is None else row] for row in rows] for name, values in columns.items()}
    )


def choose_threshold(request: SpanRequest, pairs: Sequence[tuple[Answer, str]]) -> tuple[float, str]:
    """P(fake) from which a segment is called fake, and where it comes from.

    Raises:
        InputError: `usage`: it is not between 0 and 1, or the records name several.
    """
    if request.threshold is not None:
        if not 0 <= request.threshold <= 1:
            raise InputError("usage", f"--threshold {request.threshold:g}: P(fake) is between 0 and 1")
        return request.threshold, "as given"
    named = sorted({answer.fake_at for answer, _ in pairs})
    if len(named) > 1:
        raise InputError(
            "usage",
            f"{request.records}: the records name {len(named)} thresholds; choose one with --threshold",
        )
    return named[0], "`fake` of the records"


def thresholds_of(made: Mapping[str, Any]) -> dict[str, float | None]:
    """Where equal error rates lie: P(fake), and an LLR for that of recordings."""
    found = {name: made[name].threshold for name in OVERALL}
    return {
        name: value if value is None or name == "utterance_eer" else -value for name, value in found.items()
    }


def files_of(request: SpanRequest) -> dict[str, Any]:
    """What was read, with digests."""
    named = {"records": request.records, "reference": request.reference, "protocol": request.protocol}
    return {
        name: None if path is None else {"file": str(path), "sha256": file_digest(path)}
        for name, path in named.items()
    }


def coverage(linked: Linked, reference: Mapping[str, Sequence[Part]]) -> dict[str, Any]:
    """How much of what the reference names was evaluated, and the names of what was not."""
    unscored: dict[str, dict[str, int]] = {}
    left_out: dict[str, list[str]] = {}
    for answer, name in linked.pairs:
        if not answer.scored:
            sides = unscored.setdefault(answer.verdict, {"bona_fide": 0, "spoof": 0})
            sides["bona_fide" if all(part.bona_fide for part in reference[name]) else "spoof"] += 1
            left_out.setdefault(answer.verdict, []).append(answer.path)
    evaluated = sum(answer.scored for answer, _ in linked.pairs)
    return {
        "key_rows": len(reference),
        "evaluated": evaluated,
        "share": evaluated / len(reference),
        "unscored": unscored,
        "key_rows_without_score": len(linked.without_record),
        "scores_without_key": len(linked.without_reference),
        "left_out": left_out
        | {"without_record": linked.without_record, "without_reference": linked.without_reference},
    }


def contents(pool: Pool, pairs: Sequence[tuple[Answer, str]]) -> dict[str, Any]:
    """What the recordings hold, in numbers."""
    steps = [answer.p_fake for answer, _ in pairs if answer.p_fake is not None]
    p_fake = np.concatenate(steps) if steps else np.empty(0)
    spoken = p_fake[~np.isnan(p_fake)]
    lengths = [answer.step_s for answer, _ in pairs]
    return {
        "recordings": len(pairs),
        "genuine": int((~pool.holds_spoof).sum()),
        "with_spoof": int(pool.holds_spoof.sum()),
        "seconds": float(pool.durations.sum()),
        "seconds_spoof": float((pool.spoof.end - pool.spoof.start).sum()),
        "spans": len(pool.spoof.of),
        "spans_found": 0 if pool.found is None else len(pool.found.of),
        "steps_s": [min(lengths), max(lengths)],
        "steps": len(p_fake),
        "steps_without_speech": len(p_fake) - len(spoken),
        "steps_at_0_or_1": int(((spoken == 0) | (spoken == 1)).sum()),
    }


def span_cautions(
    report: Mapping[str, Any], pairs: Sequence[tuple[Answer, str]], reference: Mapping[str, Sequence[Part]]
) -> list[str]:
    """What a reader should know before believing the figures."""
    found = []
    off = [
        name
        for answer, name in pairs
        if abs(answer.duration_s - reference[name][-1].end_s) > TAIL_S
        and (answer.duration_s < reference[name][-1].end_s or any(part.bona_fide for part in reference[name]))
    ]
    if off:
        found.append(
            f"{len(off):,} recordings do not end when their reference does ({', '.join(off[:3])}): is it "
            "theirs?"
        )
    if report["with_spoof"] < FEW_GROUPS:
        found.append(
            f"Only {report['with_spoof']} recordings hold anything spoofed: intervals from fewer than "
            f"{FEW_GROUPS} are too narrow, and there are none from one."
        )
    if not report["genuine"]:
        found.append(
            "No recording is genuine throughout: there is no utterance EER, and nothing here says how often "
            "a genuine recording is called fake in part."
        )
    spoken = report["steps"] - report["steps_without_speech"]
    if report["steps_at_0_or_1"] > SATURATED * spoken:
        share = report["steps_at_0_or_1"] / spoken
        found.append(
            f"{share:.1%} of the steps with speech have a p(fake) of 0 or 1, as records round it: what they "
            "tie cannot be told apart, and error rates may be too high."
        )
    return found


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report for a terminal."""
    files, drawn = report["files"], report["intervals"]
    yield f"{files['records']['file']} with {files['reference']['file']}, matched by {report['matched_by']}"
    yield (
        f"{report['recordings']:,} recordings: {report['genuine']:,} genuine, {report['with_spoof']:,} with "
        f"fakes; {clock(report['seconds'])} in all, {clock(report['seconds_spoof'])} of it fake in "
        f"{report['spans']:,} spans"
    )
    shortest, longest = report["steps_s"]
    steps = f"{shortest:g} s" if shortest == longest else f"{shortest:g} to {longest:g} s"
    silent = report["steps_without_speech"] / report["steps"] if report["steps"] else 0.0
    yield f"timeline in steps of {steps}; {silent:.1%} of them without speech, which counts as p(fake) 0"
    yield ""
    head = f"{spread(report)} by {drawn['by']}" if drawn["draws"] else ""
    rows = [("metric", "value", head)]
    for name, (title, unit) in {**OVERALL, **DECIDED, **LISTED}.items():
        figure = report["metrics"][name]
        rows.append((title, number(figure["value"], unit), ends(figure, unit)))
    shown = list(aligned(rows))
    first, second = 1 + len(OVERALL), 1 + len(OVERALL) + len(DECIDED)
    yield from shown[:first]
    yield ""
    where = f"at p(fake) {report['threshold']:.4g} ({report['threshold_from']})"
    yield f"segments of {report['resolution_s'] * 1000:g} ms called fake {where}"
    yield from shown[first:second]
    yield ""
    yield f"the {report['spans_found']:,} spans of the records"
    yield from shown[second:]
    yield from left_out_lines(report["coverage"]["left_out"])
    for line in report["warnings"]:
        yield ""
        yield f"! {line}"


def ends(figure: Mapping[str, float | None], unit: str) -> str:
    """The ends of an interval, of which the upper one may be infinite."""
    if figure["low"] is not None and figure["high"] is None:
        return f"{figure['low']:.4f} – ∞"
    return interval(figure, unit)


def left_out_lines(left_out: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Names of what was left out, if anything was."""
    if any(left_out.values()):
        yield ""
        yield "not evaluated"
    for kind, names in left_out.items():
        if names:
            more = f" and {len(names) - SHOWN:,} more (--json has all)" if names[SHOWN:] else ""
            yield f"  {kind.replace('_', ' ')}: {', '.join(names[:SHOWN])}{more}"
