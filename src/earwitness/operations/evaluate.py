"""`earwitness evaluate`: score files and keys in; a table, a page, plots and JSON out."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.audio.protocol import root_of
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError
from earwitness.metrics.cautions import cautions
from earwitness.metrics.detection import Costs, eer_threshold
from earwitness.metrics.evaluation import Asv, Setup, compare_systems, evaluate
from earwitness.metrics.matching import Matched, match
from earwitness.metrics.page import page
from earwitness.metrics.plots import draw_plots, save_plots
from earwitness.metrics.scores import Trials, read_key, read_scores
from earwitness.metrics.subgroups import subgroup_table
from earwitness.operations.evaluation_table import lines, table_text
from earwitness.operations.inputs import real_name
from earwitness.operations.show import visible

if TYPE_CHECKING:
    import polars as pl

EVEN = "even odds of a log-likelihood ratio, as none was given"


@dataclass(frozen=True)
class Request:
    """What was asked for; file names as they were given."""

    scores: Path
    key: Path | None = None
    against: Path | None = None
    asv: Path | None = None
    root: Path | None = None
    groups: str = "utterance"
    by: tuple[str, ...] = ()
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()
    threshold: float | None = None
    threshold_from: Path | None = None
    dev_key: Path | None = None
    costs: Costs = field(default_factory=Costs)
    draws: int = Setup.draws
    seed: int = Setup.seed
    allow_missing: bool = False
    html: Path | None = None
    plots: Path | None = None
    csv: Path | None = None

    @property
    def columns(self) -> list[str]:
        """What is needed of the tables beside scores and labels."""
        names = ["duration" if name == "length" else name for name in self.by]
        names += [] if self.groups == "utterance" else [self.groups]
        names += ["dataset"] if names else []
        return list(dict.fromkeys([*names, *(name for name, _ in self.only)]))


def costs_of(prior: float | None, costs: tuple[float, float] | None) -> Costs:
    """Costs from what was given of them, the rest as ASVspoof 5 has it.

    Raises:
        InputError: a prior outside (0, 1), or a cost that is not above 0.
    """
    usual = Costs()
    miss, false_alarm = costs or (usual.c_miss, usual.c_fa)
    return Costs(usual.p_spoof if prior is None else prior, miss, false_alarm)


def parse_only(texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`["split=eval,progress"]` -> `(("split", ("eval", "progress")),)`.

    Raises:
        InputError: `usage`: no `=`, or nothing on a side of it.
    """
    found = []
    for text in texts:
        name, _, values = text.partition("=")
        if not (name.strip() and values):
            raise InputError("usage", f"--only {text!r}: expected COLUMN=TEXT, as in split=eval")
        found.append((name.strip(), tuple(values.split(","))))
    return tuple(found)


def run_evaluate(request: Request, as_json: bool) -> None:
    """Evaluate and show.

    Raises:
        InputError: what was asked for cannot be done; one sentence says why.
        MissingExtra: polars, or matplotlib for plots, is not installed.
    """
    guard_outputs(request)
    report, systems = make_report(request)
    thresholds = {"EER threshold": report["thresholds"]["eer"], "decision": report["threshold"]}
    if request.plots:
        save_plots(request.plots, systems, thresholds)
    if request.html:
        write_whole(request.html, page(report, draw_plots(systems, thresholds)))
    if request.csv:
        write_whole(request.csv, table_text(report))
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write("\n".join(visible(line) for line in lines(report)) + "\n")


def make_report(request: Request) -> tuple[dict[str, Any], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The report, and the scores of the one or two systems by class.

    The report is that of `metrics.evaluation.evaluate` and `files`, `matched_by`, `coverage`,
    `threshold_from`, `subgroups` (rows of `metrics.subgroups.subgroup_table`), `subgroups_left_out`,
    `against` and `warnings`.
    """
    from earwitness import __version__

    columns, only = request.columns, dict(request.only)
    scores, key, found = read_and_match(request, request.scores, request.key, columns, only=only)
    frame = found.frame
    threshold, threshold_from = choose_threshold(request)
    setup = Setup(request.costs, threshold, request.groups, request.draws, seed=request.seed)
    asv = read_asv(request, key, frame)
    against = None
    if request.against:
        frame, against = add_other(request, request.against, frame)
    report = evaluate(frame, setup, asv)
    parts = {by: subgroup_table(frame, by, setup) for by in request.by}
    report |= {
        "version": __version__,
        "files": files_of(request, scores, key),
        "matched_by": found.how,
        "coverage": coverage(found),
        "threshold_from": threshold_from,
        "subgroups": [row for rows, _ in parts.values() for row in rows],
        "subgroups_left_out": {by: left_out for by, (_, left_out) in parts.items()},
        "against": against and {**against, "metrics": compare_systems(frame, setup)},
    }
    report["warnings"] = [*of_coverage(report), *cautions(report, frame["score"].to_numpy())]
    report["warnings"] += of_groups(request, scores, key)
    bona_fide = frame["label"].to_numpy() == 1
    systems = {request.scores.stem: frame["score"].to_numpy()}
    if request.against:
        name = request.against.stem
        systems[name if name not in systems else f"{name} (other)"] = frame["other"].to_numpy()
    return report, {name: (values[bona_fide], values[~bona_fide]) for name, values in systems.items()}


def read_and_match(
    request: Request, file: Path, key_file: Path | None, columns: Sequence[str] = (), **choice: Any
) -> tuple[Trials, Trials | None, Matched]:
    """A score file, its key, and both matched; `choice` is for `match`.

    Raises:
        InputError: as reading and matching, and `bad-scores`: no cm-score, or one class only.
    """
    scores = read_scores(file, columns)
    key = read_key(key_file, columns) if key_file else None
    root = root_for(key, request.root)
    found = match(scores, key, root, allow_missing=request.allow_missing, **choice)
    if "score" not in found.frame.columns:
        raise InputError("bad-scores", f"{file}: nothing in a column cm-score, which is what is evaluated")
    labels = found.frame["label"].unique().to_list()
    if len(labels) < 2:
        only = "bona fide" if labels == [1] else "spoofed"
        raise InputError(
            "bad-scores", f"{file}: all {found.frame.height:,} trials are {only}; both classes are needed"
        )
    return scores, key, found


def root_for(key: Trials | None, root: Path | None) -> Path | None:
    """The folder that paths of a key start from: as given, or as the file beside the key says."""
    return root_of(key.file) if root is None and key is not None and key.has("path") else root


def choose_threshold(request: Request) -> tuple[float, str]:
    """The threshold of decisions and where it comes from.

    Raises:
        InputError: `usage`: two sources were named, or a development key without scores.
    """
    if request.threshold is not None and request.threshold_from:
        raise InputError("usage", "--threshold and --threshold-from: name one of them")
    if request.dev_key and not request.threshold_from:
        raise InputError("usage", "--dev-key: needs the development scores, --threshold-from")
    if request.threshold is not None:
        return request.threshold, "as given"
    if not request.threshold_from:
        return 0.0, EVEN
    frame = read_and_match(request, request.threshold_from, request.dev_key)[2].frame
    bona_fide = frame["label"].to_numpy() == 1
    values = frame["score"].to_numpy()
    return eer_threshold(values[bona_fide], values[~bona_fide])[1], f"EER of {request.threshold_from.name}"


def read_asv(request: Request, key: Trials | None, frame: "pl.DataFrame") -> Asv | None:
    """Scores of speaker verification by class.

    Raises:
        InputError: `usage`: the file has no ASV scores, or no labels target, nontarget, spoof.
    """
    if not request.asv:
        return None
    paired = real_name(request.asv) == real_name(request.scores)
    if not paired:
        table = read_scores(request.asv)
        if not table.has("asv_label") and key is not None and key.has("asv_label"):
            frame = match(table, key, allow_missing=True).frame
        else:
            frame = table.frame
    column = next((name for name in ("asv_score", "score") if name in frame.columns), None)
    if column is None or "asv_label" not in frame.columns or (paired and column == "score"):
        raise InputError(
            "usage", f"--asv {request.asv}: needs a column asv-score, and labels target, nontarget, spoof"
        )
    labels, values = frame["asv_label"].to_numpy(), frame[column].to_numpy()
    target, nontarget, spoof = (values[labels == code] for code in (1, 2, 0))
    return Asv(target, nontarget, spoof, paired)


def add_other(
    request: Request, against: Path, frame: "pl.DataFrame"
) -> tuple["pl.DataFrame", dict[str, Any]]:
    """The trials with the second system's scores as column `other`.

    Raises:
        InputError: `bad-scores`: its trials are not the same.
    """
    columns, only = request.columns, dict(request.only)
    other = read_and_match(request, against, request.key, columns, only=only)[2].frame
    other = other.select("id", other="score")
    both = frame.join(other, on="id", how="inner", maintain_order="left")
    missing = frame.height + other.height - 2 * both.height
    if (missing and not request.allow_missing) or not both.height:
        raise InputError(
            "bad-scores",
            f"{against}: {missing:,} trials are scored by one system only; --allow-missing compares "
            "the others",
        )
    return both, {"file": str(against), "trials": both.height, "scored_by_one_only": missing}


def files_of(request: Request, scores: Trials, key: Trials | None) -> dict[str, Any]:
    """What was read, with digests."""
    named: dict[str, Path | None] = {
        "scores": request.scores,
        "key": request.key,
        "against": request.against,
        "asv": request.asv,
        "threshold_from": request.threshold_from,
        "dev_key": request.dev_key,
    }
    layouts = {"scores": scores, "key": key}
    found: dict[str, Any] = dict.fromkeys(named)
    for name, path in named.items():
        if path:
            found[name] = {"file": str(path), "sha256": file_digest(path)}
        if trials := layouts.get(name):
            found[name] |= {"layout": trials.layout, "column": trials.score_column or "-"}
    return found


def coverage(found: Matched) -> dict[str, Any]:
    """How much of what the key names was evaluated, and what was not."""
    evaluated = found.frame.height
    return {
        "key_rows": found.key_rows,
        "evaluated": evaluated,
        "share": evaluated / found.key_rows if found.key_rows else 0.0,
        "unscored": found.unscored,
        "key_rows_without_score": found.without_score,
        "scores_without_key": found.without_key,
    }


def of_coverage(report: Mapping[str, Any]) -> list[str]:
    """A warning where not all was evaluated."""
    found = report["coverage"]
    parts = [
        f"{sum(sides.values()):,} {verdict} ({sides['bona_fide']:,} bona fide, {sides['spoof']:,} spoofed)"
        for verdict, sides in found["unscored"].items()
    ]
    if found["key_rows_without_score"]:
        parts.append(f"{found['key_rows_without_score']:,} rows of the key without a score")
    if found["scores_without_key"]:
        parts.append(f"{found['scores_without_key']:,} scores without a row in the key")
    if not parts:
        return []
    return [
        f"Left out: {'; '.join(parts)}. {found['share']:.1%} of {found['key_rows']:,} recordings are "
        "evaluated, and nothing here speaks for the others."
    ]


def of_groups(request: Request, scores: Trials, key: Trials | None) -> list[str]:
    """A hint where trials share speakers and the intervals do not know it."""
    columns = {*scores.columns, *(key.columns if key else ())}
    known = [name for name in ("speaker", "group", "page") if name in columns]
    if request.groups != "utterance" or not request.draws or not known:
        return []
    return [
        f"Intervals take trials one by one, and the table has a column {known[0]}: trials that share it are "
        f"alike, and --groups {known[0]} gives intervals that know it."
    ]


def guard_outputs(request: Request) -> None:
    """Never write over what is read, nor two outputs into one.

    Raises:
        InputError: `usage`.
    """
    read = (
        request.scores,
        request.key,
        request.against,
        request.asv,
        request.threshold_from,
        request.dev_key,
    )
    taken = {real_name(path) for path in read if path}
    for option, path in (("--html", request.html), ("--csv", request.csv), ("--plots", request.plots)):
        if path is None:
            continue
        if real_name(path) in taken:
            raise InputError("usage", f"{option} {path}: is already read or written here; name another file")
        taken.add(real_name(path))


def write_whole(path: Path, content: str) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: `unwritable`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(content, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError("unwritable", f"{path}: cannot be written: {error.strerror or error}") from None
