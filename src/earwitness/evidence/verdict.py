"""From scores to a verdict, with the rule that decided, and from a verdict to JSON."""

import os
from collections.abc import Sequence
from typing import Any

from earwitness.decision.calibration import posterior_of_fake
from earwitness.types import Attribution, Remembered, Thresholds, Verdict, VerdictName, Watermark, Window

SCHEMA = 1


def decide(
    llr: float, windows: Sequence[Window], prior: float, thresholds: Thresholds
) -> tuple[VerdictName, float, str]:
    """Verdict, P(fake) at the prior, and the rule that decided.

    The recording's own P(fake) decides; but a recording is not called genuine while one of its
    windows would be called fake by itself.
    """
    p_fake = float(posterior_of_fake(llr, prior))
    if p_fake >= thresholds.fake:
        return "fake", p_fake, f"p_fake {p_fake:.3f} >= {thresholds.fake:.3f}"
    if p_fake > thresholds.genuine:
        return "uncertain", p_fake, f"{thresholds.genuine:.3f} < p_fake {p_fake:.3f} < {thresholds.fake:.3f}"
    worst = min(windows, key=lambda window: window.llr)
    p_worst = float(posterior_of_fake(worst.llr, prior))
    if len(windows) > 1 and p_worst >= thresholds.fake:
        rule = f"p_fake {p_fake:.3f}, but window {worst.start_s:.1f}-{worst.end_s:.1f} s has {p_worst:.3f}"
        return "uncertain", p_fake, rule
    return "genuine", p_fake, f"p_fake {p_fake:.3f} <= {thresholds.genuine:.3f}"


def printable_path(path: str | bytes | os.PathLike) -> tuple[str, str | None]:
    r"""A path as UTF-8 text, and its bytes in hex where the name is not UTF-8.

    Bytes that are not UTF-8 appear as \xNN in the text.
    """
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), raw.hex()


def to_record(verdict: Verdict) -> dict[str, Any]:
    """The JSON form of a verdict (`schema: 1`), keys in a fixed order."""
    info, quality, timeline = verdict.info, verdict.quality, verdict.timeline
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "path": verdict.path,
        **({"path_bytes": verdict.path_bytes} if verdict.path_bytes else {}),
        "sha256": verdict.sha256,
        "duration_s": rounded(quality.duration_s, 3) if quality else None,
        "sample_rate": info.sample_rate if info else None,
        "channels": info.channels if info else None,
        "codec": info.codec if info else None,
        "model": {key: value for key, value in vars(verdict.model).items() if value or key != "embedding"},
        "engine": verdict.engine,
        "verdict": verdict.verdict,
        "score": rounded(verdict.score),
        "llr": rounded(verdict.llr),
        "p_fake": rounded(verdict.p_fake),
        "prior": verdict.prior,
        "thresholds": vars(verdict.thresholds),
        "calibrated": verdict.calibrated,
        "rule": verdict.rule,
        "quality": {key: rounded(value, 4) for key, value in vars(quality).items()} if quality else None,
        "windows": [{key: rounded(value) for key, value in vars(w).items()} for w in verdict.windows],
        "spans": [{key: rounded(value, 3) for key, value in vars(s).items()} for s in verdict.spans],
        "worst": {key: rounded(v, 3) for key, v in vars(verdict.worst).items()} if verdict.worst else None,
        "warnings": list(verdict.warnings),
        "error": vars(verdict.error) if verdict.error else None,
    }
    if verdict.remembered:
        record["knowledge"] = remembered_record(verdict.remembered)
    if verdict.watermark:
        record["watermark"] = watermark_record(verdict.watermark)
    if verdict.attribution:
        record["attribution"] = attribution_record(verdict.attribution)
    if timeline:
        steps = [None if p is None else rounded(p, 3) for p in timeline.p_fake]
        record["timeline"] = {"step_s": timeline.step_s, "p_fake": steps}
    return record


def remembered_record(remembered: Remembered) -> dict[str, Any]:
    """The JSON form of what a knowledge base says."""
    values = {key: value for key, value in vars(remembered).items() if key != "neighbours"}
    near = [
        {key: rounded(value) if isinstance(value, float) else value for key, value in vars(one).items()}
        for one in remembered.neighbours
    ]
    numbers = {key: rounded(values[key]) for key in ("detector_llr", "retrieval")}
    return {**values, **numbers, "neighbours": near}


def watermark_record(found: Watermark) -> dict[str, Any]:
    """The JSON form of what was read of a watermark."""
    spans = [{"start_s": start_s, "end_s": end_s} for start_s, end_s in found.spans]
    numbers = {key: rounded(getattr(found, key)) for key in ("score", "confidence")}
    return {**vars(found), **numbers, "bits": list(found.bits), "spans": spans}


def attribution_record(found: Attribution) -> dict[str, Any]:
    """The JSON form of who made it, if it is fake."""
    near = [{**vars(one), "similarity": rounded(one.similarity)} for one in found.neighbours]
    numbers = {key: rounded(getattr(found, key)) for key in ("confidence", "known")}
    return {**vars(found), **numbers, "neighbours": near}


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A number fit for JSON."""
    return None if value is None else round(float(value), digits)
