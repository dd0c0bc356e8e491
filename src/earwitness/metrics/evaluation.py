"""Everything that can be said of scored, labelled trials: every metric with its interval.

The report is a dictionary with stable keys, fit for JSON. Rates and costs are fractions. A figure is
`{"value", "low", "high"}`; the ends are None where no draws were asked for, or where the metric
has no bootstrap: `eer_asvspoof`, which is there to be compared with published tables, and `a_dcf`
and `t_eer` above `TANDEM_TRIALS` trials.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.counted import METRICS, Setting
from earwitness.metrics.detection import Costs, eer_asvspoof, eer_threshold, min_dcf
from earwitness.metrics.intervals import bootstrap, bootstrap_sides, compare
from earwitness.metrics.reliability import wilson
from earwitness.metrics.resampling import count_trials
from earwitness.metrics.tandem import AsvRates, TandemCosts, a_dcf, asv_rates, t_eer

if TYPE_CHECKING:
    import polars as pl

SCHEMA = 1
COMPARED = ("eer", "auc", "min_dcf", "act_dcf", "cllr")
TANDEM_TRIALS = 100_000  # with more, a draw of a_dcf or t_eer takes too long to take a thousand

Figure = dict[str, float | None]


@dataclass(frozen=True)
class Setup:
    """How to evaluate. Defaults: costs of ASVspoof 5, 95 % intervals from 1,000 draws of trials."""

    costs: Costs = field(default_factory=Costs)
    threshold: float = 0.0  # of accuracy, F1 and HTER: a log-likelihood ratio's even odds
    groups: str = "utterance"  # what is drawn: each trial, or the trials that share a column's text
    draws: int = 1_000  # 0: no intervals
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Asv:
    """Scores of speaker verification, (N,) each: target speakers, others, spoofs."""

    target: np.ndarray
    nontarget: np.ndarray
    spoof: np.ndarray
    paired: bool = False  # they are column `asv_score` of the trials themselves


def evaluate(frame: "pl.DataFrame", setup: Setup = Setup(), asv: Asv | None = None) -> dict[str, Any]:
    """Metrics of trials (`matching.Matched.frame`: `score`, `label`, perhaps `sasv_score`, groups).

    Returns:
        `trials`, `bona_fide`, `spoof` (counts), `costs`, `threshold`, `thresholds` (where the EER and
        the least cost lie), `intervals` (level, draws, by, groups), `asv`, `metrics`.

    Raises:
        InputError: `bad-scores`: a class is absent; `usage`: no such column to group by; `few-draws`.
    """
    scores, bona_fide = sides_of(frame)
    groups = group_codes(frame, setup.groups)
    rates = asv_rates(asv.target, asv.nontarget, asv.spoof) if asv else AsvRates()
    setting = Setting(setup.costs, rates, tandem_costs(setup.costs), setup.threshold)
    metrics = figures(scores, bona_fide, groups, setup, setting, tuple(METRICS))
    asvspoof, asvspoof_threshold = eer_asvspoof(scores[bona_fide], scores[~bona_fide])
    metrics["eer_asvspoof"] = {"value": asvspoof, "low": None, "high": None}
    metrics |= tandem_figures(frame, scores, bona_fide, asv, setup)
    return {
        "schema": SCHEMA,
        "trials": len(scores),
        "bona_fide": int(bona_fide.sum()),
        "spoof": int((~bona_fide).sum()),
        "costs": vars(setup.costs),
        "threshold": setup.threshold,
        "thresholds": {
            "eer": eer_threshold(scores[bona_fide], scores[~bona_fide])[1],
            "eer_asvspoof": asvspoof_threshold,
            "min_dcf": min_dcf(scores[bona_fide], scores[~bona_fide], setup.costs)[1],
            "bayes": setup.costs.bayes_threshold,
        },
        "intervals": {
            "level": setup.level,
            "draws": setup.draws,
            "by": setup.groups,
            "groups": len(scores) if groups is None else count_groups(groups, bona_fide),
            "seed": setup.seed,
        },
        "asv": {"given": asv is not None, **vars(rates)},
        "metrics": {name: metrics[name] for name in ORDER if name in metrics},
    }


ORDER = (
    "eer eer_asvspoof auc min_dcf act_dcf cllr min_cllr calibration_loss min_tdcf a_dcf t_eer "
    "hter accuracy f1_bona_fide f1_spoof"
).split()


def sides_of(frame: "pl.DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """Scores (N,) and whether they are of bona fide trials (N,).

    Raises:
        InputError: `bad-scores`: no scores of the countermeasure, or one class only.
    """
    if "score" not in frame.columns:
        raise InputError("bad-scores", "the scores have no column cm-score, or nothing in it")
    bona_fide = frame["label"].to_numpy() == 1
    if bona_fide.all() or not bona_fide.any():
        what = "bona fide" if bona_fide.all() else "spoofed"
        raise InputError("bad-scores", f"all {len(bona_fide):,} trials are {what}; both classes are needed")
    return frame["score"].to_numpy(), bona_fide


def tandem_costs(costs: Costs) -> TandemCosts:
    """Costs of detector and speaker verification together: one bona fide trial in 100 is another speaker."""
    if costs == Costs():
        return TandemCosts()
    genuine = 1 - costs.p_spoof
    return TandemCosts(0.99 * genuine, 0.01 * genuine, costs.p_spoof, costs.c_miss, costs.c_fa, costs.c_fa)


def group_codes(frame: "pl.DataFrame", groups: str) -> np.ndarray | None:
    """Group of each trial as a number, (N,); None where trials are drawn one by one.

    A trial whose group is not known ('-') is a group of its own. Groups of the same name in
    different data sets are different ones.

    Raises:
        InputError: `usage`: no such column.
    """
    import polars as pl

    if groups == "utterance":
        return None
    if groups not in frame.columns:
        raise InputError("usage", f"--groups {groups}: neither the scores nor the key have such a column")
    names = [groups] if groups == "dataset" or "dataset" not in frame.columns else ["dataset", groups]
    codes = frame.select(pl.struct(names).rank("dense"))[names[0]].to_numpy().astype(np.int64)
    unknown = frame.select(pl.col(groups).cast(pl.String).fill_null("-") == "-").to_series().to_numpy()
    codes[unknown] = codes.max(initial=0) + 1 + np.arange(unknown.sum())
    return codes


def count_groups(groups: np.ndarray, bona_fide: np.ndarray) -> dict[str, int]:
    """How many groups there are, and how many hold trials of either class."""
    sides = {"all": groups, "bona_fide": groups[bona_fide], "spoof": groups[~bona_fide]}
    return {name: len(np.unique(side)) for name, side in sides.items()}


def figures(
    scores: np.ndarray,
    bona_fide: np.ndarray,
    groups: np.ndarray | None,
    setup: Setup,
    setting: Setting,
    names: Sequence[str],
) -> dict[str, Figure]:
    """Metrics of `counted.METRICS` with their intervals, or without if there are no draws.

    Where no error was made, no draw can make one: the EER's interval then ends where Wilson's does for
    no error in the smaller class.

    Raises:
        InputError: `few-draws`.
    """
    if not setup.draws:
        every = count_trials(scores, bona_fide)
        return {name: plain(float(METRICS[name](every, setting)[0])) for name in names}
    found = bootstrap(scores, bona_fide, groups, names, setup.draws, setup.level, setup.seed, setting)
    shown: dict[str, Figure] = {name: vars(interval) for name, interval in found.items()}
    if shown.get("eer", {}).get("high") == 0:
        least = int(min(bona_fide.sum(), (~bona_fide).sum()))
        shown["eer"]["high"] = wilson(0, least, setup.level)[1]
    return shown


def plain(value: float) -> Figure:
    """A figure without an interval."""
    return {"value": value, "low": None, "high": None}


def tandem_figures(
    frame: "pl.DataFrame", scores: np.ndarray, bona_fide: np.ndarray, asv: Asv | None, setup: Setup
) -> dict[str, Figure]:
    """`a_dcf` where trials have a single SASV score, `t_eer` where ASV scores are given.

    Trials are drawn one by one, whatever `groups` says. ASV and CM scores of the same trials are drawn
    together where they stand in one table.
    """
    found = {}
    labels = frame["asv_label"].to_numpy() if "asv_label" in frame.columns else None
    if labels is not None and "sasv_score" in frame.columns:
        single = frame["sasv_score"].to_numpy()
        costs = tandem_costs(setup.costs)
        three = [single[labels == code] for code in (1, 2, 0)]
        found["a_dcf"] = drawn(lambda t, n, s: a_dcf(t, n, s, costs)[0], three, setup, optimised=True)
    if asv is None:
        return found
    if asv.paired and labels is not None:
        both = np.stack([frame["asv_score"].to_numpy(), scores], axis=1)
        three = [both[labels == code] for code in (1, 2, 0)]
        found["t_eer"] = drawn(
            lambda t, n, s: t_eer(t[:, 0], n[:, 0], s[:, 0], t[:, 1], n[:, 1], s[:, 1]), three, setup
        )
    else:
        sides = [asv.target, asv.nontarget, asv.spoof, scores[bona_fide], scores[~bona_fide]]
        found["t_eer"] = drawn(lambda t, n, s, b, f: t_eer(t, n, s, b, b, f), sides, setup)
    return found


def drawn(
    metric: Callable[..., float], sides: Sequence[np.ndarray], setup: Setup, optimised: bool = False
) -> Figure:
    """A metric of several classes, with its interval unless there are too many trials."""
    if not setup.draws or sum(map(len, sides)) > TANDEM_TRIALS:
        return plain(metric(*sides))
    draws = {"draws": setup.draws, "level": setup.level, "seed": setup.seed}
    return vars(bootstrap_sides(metric, sides, optimised, **draws))


def compare_systems(frame: "pl.DataFrame", setup: Setup = Setup()) -> dict[str, Any]:
    """Metrics of a second system (column `other`) on the same trials, and first minus second.

    Returns:
        A metric each: `value` of the second; `difference`, `low`, `high`, `p_value` on the same draws.

    Raises:
        InputError: as `evaluate`.
    """
    scores, bona_fide = sides_of(frame)
    other = frame["other"].to_numpy()
    groups = group_codes(frame, setup.groups)
    setting = Setting(setup.costs)
    both = [count_trials(side, bona_fide) for side in (scores, other)]
    found: dict[str, Any] = {}
    for name in COMPARED:
        first, second = (float(METRICS[name](every, setting)[0]) for every in both)
        row = {"difference": first - second, "low": None, "high": None, "p_value": None}
        if setup.draws:
            draws = {"draws": setup.draws, "level": setup.level, "seed": setup.seed, "setting": setting}
            row = vars(compare(scores, other, bona_fide, groups, name, **draws))
        found[name] = {"value": second, **row}
    return found


def bands(durations: Sequence[float | None]) -> list[str]:
    """Length band of each recording; '-' where its length is not known."""
    edges = np.array([2, 4, 8, 16, 30])
    names = ["under 2 s", "2 to 4 s", "4 to 8 s", "8 to 16 s", "16 to 30 s", "30 s and more"]
    return ["-" if d is None or d < 0 else names[int(np.searchsorted(edges, d, "right"))] for d in durations]
