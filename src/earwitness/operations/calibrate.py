"""`earwitness calibrate`: turn a model's raw scores into log-likelihood ratios, and set its thresholds.

The affine map is that of `decision.calibration`; thresholds lie on P(fake) at a stated prior, where
stated shares of either class are called the other. Both are written on the model's card, with what
they were fitted on. The figures beside them are cross-validated: each fold of groups is judged with
a map and thresholds fitted on the other folds, so none comes from its own training data.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.decision.bundle import EMBEDDED, file_digest, find_bundle, read_card, write_card
from earwitness.decision.calibration import Calibration, fit_affine, posterior_of_fake
from earwitness.decision.detector import model_digest, read_settings
from earwitness.errors import InputError, ModelError
from earwitness.metrics.detection import eer
from earwitness.metrics.evaluation import group_codes
from earwitness.metrics.intervals import bootstrap
from earwitness.metrics.matching import match
from earwitness.metrics.reliability import ece, wilson
from earwitness.metrics.scores import Trials, read_key, read_scores
from earwitness.metrics.sweep import operating_points
from earwitness.operations.evaluate import root_for
from earwitness.operations.show import visible
from earwitness.types import Thresholds

FEWEST = 50  # trials of either class
FOLDS = 5
LEVEL = 0.95
KEPT = 20  # calibrations in the history of a card
SHOWN = (("Cllr (bit)", "cllr"), ("min Cllr", "min_cllr"), ("actDCF", "act_dcf"), ("ECE", "ece"))
SIDES = {"bona_fide": True, "spoof": False}


@dataclass(frozen=True)
class CalibrationOptions:
    """How to calibrate."""

    prior: float = 0.5  # share of fakes among what will be scanned
    miss_rate: float = 0.10  # of genuine recordings, called fake
    false_alarm_rate: float = 0.10  # of fakes, called genuine
    groups: str = "utterance"  # what never stands in two folds, and what intervals draw
    draws: int = 1_000
    seed: int = 0


@dataclass(frozen=True)
class Data:
    """Raw scores (N,), classes (N,) and groups (N,; None: each trial its own) to calibrate on."""

    scores: np.ndarray
    bona_fide: np.ndarray
    groups: np.ndarray | None

    def part(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the bona fide and of the spoofed trials among `chosen` (N,)."""
        return self.scores[chosen & self.bona_fide], self.scores[chosen & ~self.bona_fide]


def run_calibrate(
    model: str,
    scores: Path,
    key: Path | None,
    root: Path | None,
    only: Mapping[str, tuple[str, ...]],
    options: CalibrationOptions,
    allow_missing: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Calibrate a bundle and say what became of it.

    Raises:
        InputError: the options or the scores cannot be used.
        ModelError: the bundle cannot be used or written, or is the one inside the package.
        MissingExtra: polars is not installed.
    """
    check_options(options)
    folder = find_bundle(model)
    if folder.resolve() == EMBEDDED.resolve():
        raise ModelError(
            f"the embedded model is part of the package; copy its folder and calibrate the copy: {folder}"
        )
    card = read_card(folder)
    read_settings(card, folder)
    trials, data = read_data(scores, key, root, only, options.groups, allow_missing, card)
    found = calibrate(data, options, card)
    found["fitted_on"] = {"scores": origin(scores), "key": origin(key) if key else None, **found["fitted_on"]}
    if not dry_run:
        try:
            write_card(folder, renewed(card, found))
        except OSError as error:
            raise ModelError(f"{folder}: the card cannot be written: {error.strerror or error}") from None
    place = None if dry_run else str(folder)
    if as_json:
        sys.stdout.write(json.dumps({"model": card["name"], "written_to": place, **found}) + "\n")
        return
    for line in lines(card["name"], trials, found, place):
        sys.stdout.write(visible(line) + "\n")


def check_options(options: CalibrationOptions) -> None:
    """Refuse what is no prior or no rate.

    Raises:
        InputError: `usage`.
    """
    for name, value, most in (
        ("--prior", options.prior, 1),
        ("--miss-rate", options.miss_rate, 0.5),
        ("--false-alarm-rate", options.false_alarm_rate, 0.5),
    ):
        if not 0 < value < most:
            raise InputError("usage", f"{name} {value}: expected a share above 0 and below {most}")


def read_data(
    scores: Path,
    key: Path | None,
    root: Path | None,
    only: Mapping[str, tuple[str, ...]],
    groups: str,
    allow_missing: bool,
    card: dict[str, Any],
) -> tuple[Trials, Data]:
    """Raw scores of this model with their classes.

    Raises:
        InputError: `bad-scores`: LLRs, another model's scores, too few trials, or the wrong way round.
    """
    want = ["model_digest", *only, *([] if groups == "utterance" else [groups, "dataset"])]
    trials = read_scores(scores, want, raw=True)
    if trials.score_column == "llr" or not trials.has("score"):
        raise InputError("bad-scores", f"{scores}: holds no raw scores; `earwitness scan --json` writes them")
    if trials.has("model_digest"):
        others = set(trials.frame["model_digest"].unique()) - {model_digest(card), "-"}
        if others:
            raise InputError(
                "bad-scores",
                f"{scores}: scores of another model ({sorted(others)[0][:12]}), not of {card['name']} "
                f"({model_digest(card)[:12]})",
            )
    labels = read_key(key, want) if key else None
    frame = match(trials, labels, root_for(labels, root), only, allow_missing).frame
    data = Data(frame["score"].to_numpy(), frame["label"].to_numpy() == 1, group_codes(frame, groups))
    check_data(scores, data)
    return trials, data


def check_data(file: Path, data: Data) -> None:
    """Refuse what cannot carry a calibration.

    Raises:
        InputError: `bad-scores`: too few trials, or scores the wrong way round.
    """
    sides = data.part(np.ones(len(data.scores), bool))
    for name, side in zip(SIDES, sides, strict=True):
        if len(side) < FEWEST:
            words = name.replace("_", " ")
            raise InputError(
                "bad-scores", f"{file}: {len(side)} {words} trials; at least {FEWEST} are needed"
            )
    rate = eer(*sides)
    if rate >= 0.5:
        raise InputError(
            "bad-scores",
            f"{file}: the EER is {rate:.1%}: higher scores must mean bona fide, and do not here; are the "
            "labels turned round?",
        )


def calibrate(data: Data, options: CalibrationOptions, card: Mapping[str, Any]) -> dict[str, Any]:
    """What will stand on the card: the map, thresholds, data, and cross-validated figures.

    Raises:
        InputError: `bad-scores`: the classes cannot be spread over folds, or the map is inverted.
    """
    everything = np.ones(len(data.scores), bool)
    clip, thresholds = fit(*data.part(everything), options)
    folds = spread_over_folds(data, options.seed)
    llr, verdicts = transferred(data, folds, options)
    old = card["calibration"]
    before = Calibration(**old["clip"]) if old else Calibration(1.0, 0.0)
    return {
        "clip": asdict(clip),
        "thresholds": asdict(thresholds),
        "prior": options.prior,
        "rates": {"miss": options.miss_rate, "false_alarm": options.false_alarm_rate},
        "fitted_on": {
            **{name: int((data.bona_fide == side).sum()) for name, side in SIDES.items()},
            "groups_by": options.groups,
            "groups": len(data.scores) if data.groups is None else len(np.unique(data.groups)),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "figures": {
            "split": f"{folds.max() + 1} folds by {options.groups}; each judged with what the others gave",
            "before": measures(np.asarray(before.apply(data.scores)), data, options),
            "after": measures(llr, data, options),
            "called": called(verdicts, data),
        },
    }


def fit(
    bona_fide: np.ndarray, spoof: np.ndarray, options: CalibrationOptions, ridge: float = 1e-6
) -> tuple[Calibration, Thresholds]:
    """The map of raw scores (N,), (M,) to LLRs, and thresholds on P(fake) at the prior.

    At or above `fake` lie `miss_rate` of the bona fide trials, at or below `genuine`
    `false_alarm_rate` of the spoofs. Where a good model keeps both with room to spare, the two
    would cross; then they are one threshold, as far below either rate as below the other.

    Raises:
        InputError: `bad-scores`: the fitted scale is not above 0.
    """
    clip = fit_affine(bona_fide, spoof, ridge)
    if clip.scale <= 0:
        raise InputError(
            "bad-scores", f"the fitted scale is {clip.scale:.3g}: higher scores must mean bona fide"
        )
    sides = [np.asarray(clip.apply(side)) for side in (bona_fide, spoof)]
    lowest = float(np.quantile(sides[0], options.miss_rate))  # LLR at which `fake` begins
    highest = float(np.quantile(sides[1], 1 - options.false_alarm_rate))
    if highest < lowest:
        points, miss, false_alarm = operating_points(*sides)
        i = int(np.argmin(np.maximum(miss / options.miss_rate, false_alarm / options.false_alarm_rate)))
        lowest = highest = float(points[i])
    at = (float(f"{posterior_of_fake(llr, options.prior):.9g}") for llr in (lowest, highest))
    return clip, Thresholds(*at)


def spread_over_folds(data: Data, seed: int) -> np.ndarray:
    """Fold of each trial (N,): groups are dealt at random, bona fide, mixed and spoofed ones apart.

    Raises:
        InputError: `bad-scores`: all trials of a class are of one group.
    """
    groups = np.arange(len(data.scores)) if data.groups is None else data.groups
    _, named = np.unique(groups, return_inverse=True)
    share = np.bincount(named, data.bona_fide) / np.bincount(named)
    kind = np.where(share == 1, 0, np.where(share == 0, 2, 1))
    holding = [int((kind != other).sum()) for other in (2, 0)]  # groups with bona fide trials, with spoofs
    folds = min(FOLDS, *holding)
    if folds < 2:
        raise InputError(
            "bad-scores",
            "all trials of a class are of one group, so nothing can be held out; use other --groups",
        )
    shuffled = np.random.default_rng(seed).permutation(len(kind))
    dealt = np.empty(len(kind), int)
    dealt[shuffled[np.argsort(kind[shuffled], kind="stable")]] = np.arange(len(kind)) % folds
    return dealt[named]


def transferred(data: Data, folds: np.ndarray, options: CalibrationOptions) -> tuple[np.ndarray, np.ndarray]:
    """LLRs (N,) and verdicts (N,), each fold by the map and thresholds of the others."""
    llr, verdicts = np.empty(len(folds)), np.empty(len(folds), dtype=object)
    for fold in range(folds.max() + 1):
        clip, thresholds = fit(*data.part(folds != fold), options)
        here = np.flatnonzero(folds == fold)
        llr[here] = clip.apply(data.scores[here])
        p_fake = np.asarray(posterior_of_fake(llr[here], options.prior))
        verdicts[here] = np.where(p_fake <= thresholds.genuine, "genuine", "uncertain")
        verdicts[here[p_fake >= thresholds.fake]] = "fake"
    return llr, verdicts


def measures(llr: np.ndarray, data: Data, options: CalibrationOptions) -> dict[str, Any]:
    """How well LLRs (N,) are calibrated; actDCF and minDCF at the costs of ASVspoof 5."""
    names = ("cllr", "min_cllr", "act_dcf", "min_dcf")
    found = bootstrap(llr, data.bona_fide, data.groups, names, options.draws, LEVEL, options.seed)
    figures: dict[str, Any] = {name: vars(interval) for name, interval in found.items()}
    return figures | {
        "ece": {"value": ece(llr[data.bona_fide], llr[~data.bona_fide]), "low": None, "high": None}
    }


def called(verdicts: np.ndarray, data: Data) -> dict[str, Any]:
    """Share of either class that gets each verdict, with Wilson's interval."""
    found: dict[str, Any] = {}
    for name, side in SIDES.items():
        given = verdicts[data.bona_fide == side]
        for verdict in ("fake", "uncertain", "genuine"):
            count = int((given == verdict).sum())
            low, high = wilson(count, len(given), LEVEL)
            found[f"{name}_{verdict}"] = {"value": count / len(given), "low": low, "high": high}
    return found


def origin(path: Path) -> dict[str, str]:
    """A file's name and digest; not its folder, for a card travels."""
    return {"file": path.name, "sha256": file_digest(path)}


def renewed(card: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The card with the new calibration, and the old one in its history."""
    old = {name: card.get(name) for name in ("calibration", "thresholds", "thresholds_rule")}
    old["replaced"] = found["fitted_on"]["when"]
    history = card.get("calibration_history")
    before, rates = card["calibration"], found["rates"]
    return {
        **card,
        "calibration": {
            "clip": found["clip"],
            "timeline": before["timeline"] if before else found["clip"],
            "timeline_from": "the calibration before" if before else "clip",
            **{name: found[name] for name in ("fitted_on", "figures", "prior", "rates")},
        },
        "thresholds": found["thresholds"],
        "thresholds_rule": f"at prior {found['prior']:g} about {rates['miss']:.3g} of genuine recordings are "
        f"called fake and {rates['false_alarm']:.3g} of fakes genuine, or fewer",
        "calibration_history": [*(history if isinstance(history, list) else []), old][-KEPT:],
    }


def lines(name: str, trials: Trials, found: Mapping[str, Any], place: str | None) -> Iterator[str]:
    """What a person reads."""
    data, clip, figures = found["fitted_on"], found["clip"], found["figures"]
    yield f"{name}: {data['bona_fide']:,} bona fide and {data['spoof']:,} spoofed trials of {trials.file}"
    yield f"llr = {clip['scale']:.6g} * score {clip['offset']:+.6g}"
    yield ""
    yield f"{'':<10}{'before':>22}{'after':>22}   {figures['split']}"
    for title, metric in (
        ("Cllr (bit)", "cllr"),
        ("min Cllr", "min_cllr"),
        ("actDCF", "act_dcf"),
        ("ECE", "ece"),
    ):
        yield f"{title:<10}" + "".join(f"{shown(figures[when][metric]):>22}" for when in ("before", "after"))
    yield ""
    yield f"verdicts at prior {found['prior']:g} (cross-validated)"
    thresholds = found["thresholds"]
    for verdict, rule in (
        ("fake", f"p(fake) from {thresholds['fake']:.4g}"),
        ("genuine", f"p(fake) to {thresholds['genuine']:.4g}"),
        ("uncertain", "between"),
    ):
        shares = (figures["called"][f"{side}_{verdict}"]["value"] for side in SIDES)
        yield "{:<10}{:<22}{:>8.1%} of genuine, {:>6.1%} of fakes".format(verdict, rule, *shares)
    yield ""
    if found["prior"] != CalibrationOptions.prior:
        yield f"The thresholds are for this prior: scan with --prior {found['prior']:g}."
    yield f"written to {place}; what was there is kept in its history" if place else "nothing was written"


def shown(figure: Mapping[str, float | None]) -> str:
    """A figure with its interval."""
    if figure["low"] is None:
        return f"{figure['value']:.4f}"
    return f"{figure['value']:.4f} ({figure['low']:.3f}–{figure['high']:.3f})"
