r"""Drift and discovery, measured: false alarms, power, and a simulated year of new generators.

    python benchmarks/drift.py --stream STREAM

`STREAM` is what `benchmarks/stream.py` wrote. Writes `benchmarks/results/drift.json` and `docs/drift.svg`.

`null`: windows without drift, synthetic and real; power against a shift; the run length of the CUSUM.
`year`: 26 months of 80 samples, 46 genuine and 34 fake each (the mix of the development data), so that the
mix is no drift; `mix_varies`: with 20 to 60 fakes of the 80. In a new-generator month up to 28 fakes and up
to 40 samples in all are the generator's pages; in months of new speakers and languages 40 genuine samples are
theirs; codec, level and noise months are all changed, and of recordings some of which the development data
holds unchanged. What is left is from the quiet pool. The view of everything is judged in windows of 40, the
views by class in windows of 24, which is what a month holds; a month alarms where any of its windows does.
Statistics are in deviations of their own null. The baselines are the detector's own doubts, in windows of 40
at the same rate. References split the development data by row, or by source (a page on one side only).
`delay`: the generator stays, in that share, for 400 samples; samples until the first alarm.
`correction`: the last layer taught half of a generator's recordings; the other half is judged. Embeddings
stay as they are, so that only the distance of scores can fall.
`discovery`: proposals month by month; the labels of quiet months are known when they are over.

Intervals of shares are from a bootstrap over draws of the stream and over months of a kind; those of
correlations once over draws (the same recordings, drawn anew) and once over months (other generators).
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from drift_figures import Cell, draw_year, share, two_way
from drift_labels import corrections, discovery
from drift_year import (
    BASELINES,
    DRAWS,
    YEAR,
    Streamed,
    Watched,
    by_kind,
    by_month,
    correlations,
    cusum_of_year,
    delays,
    judged_month,
    kind_of,
    stream_of,
    watched,
)
from stream import read_stream

from earwitness.operations.drift import (
    cusum_bound,
    deviation,
    judge,
    make_reference,
    measure,
    sources_of,
    statistics_of,
)
from earwitness.operations.drift_options import VIEWS, DriftOptions
from earwitness.operations.samples import Samples, joined

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
SHIFTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # in standard deviations, of all dimensions
RUN_LENGTHS = (50, 200, 1_000)


def world(dimensions: int, seed: int) -> Callable[..., Samples]:
    """A source of correlated embeddings of two classes, with scores that tell them apart a little."""
    rng = np.random.default_rng([seed, dimensions])
    mixing = rng.standard_normal((dimensions, dimensions)) / np.sqrt(1 + np.arange(dimensions))[:, None]
    apart = rng.standard_normal(dimensions)
    spread = np.sqrt((mixing**2).sum(0) + apart**2 / 4)

    def draw(count: int, rng: np.random.Generator, shift: float = 0.0) -> Samples:
        genuine = rng.random(count) < 0.5
        rows = rng.standard_normal((count, dimensions)) @ mixing + genuine[:, None] * apart + shift * spread
        scores = rng.standard_normal(count) + 3 * (genuine - 0.5)
        return Samples([str(i) for i in range(count)], scores, rows.astype(np.float32), {})

    return draw


def synthetic(dimensions: int, window: int = 512, fresh: int = 1_000, seeds: int = 2) -> Cell:
    """False alarms and power. There are no labels, so there is one view, and it has the whole rate."""
    alarms, caught, each = 0, Counter(), []
    shifts = SHIFTS if dimensions < 100 else (0.2,)
    for seed in range(seeds):
        draw, rng = world(dimensions, seed), np.random.default_rng([1, seed])
        reference = make_reference(draw(20_000, rng), DriftOptions(window=window, rate=0.01, seed=seed))
        each.append(sum(judge(reference, draw(window, rng)).alarm for _ in range(fresh)))
        alarms += each[-1]
        if seed == 0:
            caught = {
                shift: sum(judge(reference, draw(window, rng, shift)).alarm for _ in range(300))
                for shift in shifts
            }
    found = {"false_alarms": share(alarms, seeds * fresh), "by_reference": [n / fresh for n in each]}
    return found | {"shift_caught": {str(key): share(n, 300) for key, n in caught.items()}}


def without(samples: Samples, name: str) -> Samples:
    """Without a column."""
    return replace(samples, columns={key: cells for key, cells in samples.columns.items() if key != name})


def quarter_of(samples: Samples, rng: np.random.Generator) -> np.ndarray:
    """A quarter of the sources, (n,) bool; of the samples where none are named."""
    sources = sources_of(samples)
    return rng.random(sources.max() + 1)[sources] < 0.25


def real(pool: Samples, by_source: bool, window: int = 64, splits: int = 8, fresh: int = 100) -> Cell:
    """False alarms of windows drawn from a third of the pool that the reference has not seen.

    The rate is three times 1 %, as there are three views, so that each view has 1 %.
    """
    told = pool if by_source else without(pool, "source")
    alarms: dict[str, list[int]] = {view: [] for view in VIEWS}
    for seed in range(splits):
        rng = np.random.default_rng(seed)
        unseen = quarter_of(told, rng)
        options = DriftOptions(window=window, rate=0.01 * len(VIEWS), seed=seed)
        reference, others = make_reference(told.take(~unseen), options), told.take(unseen)
        for view in reference.views:
            rows = np.flatnonzero(reference.in_view(others, view))
            picks = (rng.choice(rows, window, replace=len(rows) < window) for _ in range(fresh))
            alarms[view].append(sum(judge(reference, others.take(pick), view).alarm for pick in picks))
    return {
        view: two_way(np.array(counts)[:, None] / fresh) | {"by_split": [n / fresh for n in counts]}
        for view, counts in alarms.items()
    }


def run_length(references: int = 4, fresh: int = 4_000, window: int = 64, streams: int = 2_000) -> Cell:
    """Mean windows until the CUSUM alarms, of streams resampled from fresh windows' statistics."""
    lengths: dict[int, list[float]] = {setting: [] for setting in RUN_LENGTHS}
    for seed in range(references):
        draw, rng = world(4, seed), np.random.default_rng([2, seed])
        view = make_reference(draw(20_000, rng), DriftOptions(window=window, seed=seed))
        chosen, rows = view.views["all"], view.rows_of(draw(200_000, rng))
        picks = (rng.choice(len(rows), window, replace=False) for _ in range(fresh))
        seen = [measure(chosen.rows, chosen.inside, rows[pick]) for pick in picks]
        found = {name: np.array([one[name] for one in seen]) for name in chosen.null}
        null = statistics_of(chosen.null, chosen.null)
        steps, own = deviation(null, statistics_of(chosen.null, found)), deviation(null, null)
        for setting in RUN_LENGTHS:
            lengths[setting].append(simulated(steps, cusum_bound(own, setting), streams, rng))
    return {
        str(setting): two_way(np.array(values)[:, None]) | {"by_reference": [round(v, 1) for v in values]}
        for setting, values in lengths.items()
    }


def simulated(steps: np.ndarray, bound: float, streams: int, rng: np.random.Generator) -> float:
    """Mean run length of streams of steps drawn at random."""
    totals, ended, time = np.zeros(streams), [], 0
    while len(totals):
        time += 1
        totals = np.maximum(0, totals + rng.choice(steps, len(totals)) - 0.5)
        ended += [time] * int((totals > bound).sum())
        totals = totals[totals <= bound]
    return float(np.mean(ended))


def years_of(by: Watched, stream: Streamed, quiet_genuine: np.ndarray, varied: bool) -> list[list[Cell]]:
    """The months of every draw, judged."""
    years = []
    for seed in range(DRAWS):
        months = zip(YEAR, stream_of(stream, seed, varied), strict=True)
        years.append([judged_month(by, name, month, quiet_genuine) for name, month in months])
    return years


def the_year(stream: Streamed, picture: Path) -> Cell:
    """Both references: halves by row, and by source."""
    found: Cell = {}
    quiet = stream["quiet"]
    genuine = quiet.scores[quiet.labels == 1]
    for how in ("row", "source"):
        development = stream["development"] if how == "source" else without(stream["development"], "source")
        by = watched(development)
        years, varied = (years_of(by, stream, genuine, mixed) for mixed in (False, True))
        if how == "source":
            draw_year(YEAR, [kind_of(name) for name in YEAR], years[0], picture)
        found[f"reference split by {how}"] = {
            "by_kind": by_kind(years),
            "by_month": by_month(years),
            "cusum_alarm_a_month": cusum_of_year(by, years),
            "spearman": correlations(years),
            "delay": delays(by, stream),
            "mix_varies": {"by_kind": by_kind(varied), "spearman": correlations(varied)},
        }
        print(f"year, {how}", flush=True)
    return found


def show(found: Mapping[str, Any]) -> None:
    """A short table."""

    def line(what: str, one: Mapping[str, Any]) -> None:
        if one:
            print(f"{what:64} {one['value']:8.3f} [{one['low']:.3f}, {one['high']:.3f}]")

    null = found["null"]
    for name in ("synthetic, 64", "synthetic, 394"):
        line(f"{name}: false alarms (1 %)", null[name]["false_alarms"])
        for shift, one in null[name]["shift_caught"].items():
            line(f"{name}: shift {shift} caught", one)
    for name in ("real, by row", "real, by source"):
        for view, one in null[name].items():
            line(f"{name}, {view}: false alarms (1 %)", one)
    for setting, one in null["run_length"].items():
        line(f"run length set to {setting}", one)
    for name, year in found["year"].items():
        print(name)
        for kind, one in year["by_kind"].items():
            line(f"  {kind}: alarm at 1 %", one["alarm_at_0.01"]["any view"])
            line(f"  {kind}: mean |LLR| alarms at 1 %", one["alarm_at_0.01"][BASELINES[0]])
            line(f"  {kind}: CUSUM alarm", year["cusum_alarm_a_month"][kind])
        for about, table in (("", year["spearman"]), (", mix varies", year["mix_varies"]["spearman"])):
            for key in ("all: statistic", "all: energy", "all: score", "fake: statistic", *BASELINES):
                one = table["new_fakes"][key]
                line(f"  Spearman with EER of new fakes{about}, {key}", one["mean_of_draws_over_months"])
        for way in ("window at 1 %", "CUSUM", "either"):
            one = year["delay"][way]
            for key in ("noticed_within_80", "noticed_within_400", "quiet_alarms_within_400"):
                line(f"  {way}: {key}", one[key])
            print("    median delay", one["median_delay_where_noticed"])
    for part, one in found["correction"].items():
        if isinstance(one, dict) and "eer_new" in one:
            for key, value in one.items():
                line(f"correction, {part} of labels: {key}", value)
    line("correction: Spearman of falls", found["correction"]["fall_of_both"])
    line("discovery: new months with a proposal", found["discovery"]["new_months_with_a_proposal_of_it"])
    for kind, one in found["discovery"]["false_proposals_a_month"].items():
        line(f"discovery: false proposals in {kind}", one)


def main() -> None:
    parser = argparse.ArgumentParser(description="Drift and discovery over a simulated year.")
    parser.add_argument("--stream", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=DOCS)
    parser.add_argument("--only", nargs="*", help="year correction discovery null")
    given = parser.parse_args()
    target = given.results / "drift.json"
    stream = read_stream(given.stream)
    found = json.loads(target.read_text()) if target.exists() else {}
    parts: dict[str, Callable[[], Cell]] = {
        "year": lambda: the_year(stream, given.docs / "drift.svg"),
        "correction": lambda: corrections(stream),
        "discovery": lambda: discovery(stream),
        "null": lambda: without_drift(joined([stream["development"], stream["quiet"]])),
    }
    for name in given.only or parts:
        found[name] = parts[name]()
        target.write_text(json.dumps(found, indent=1) + "\n")
        print(name, "done", flush=True)
    if set(parts) <= set(found):
        show(found)


def without_drift(pool: Samples) -> Cell:
    """False alarms, power, run length."""
    return {
        **{f"synthetic, {size}": synthetic(size) for size in (64, 394)},
        "real, by row": real(pool, by_source=False),
        "real, by source": real(pool, by_source=True),
        "run_length": run_length(),
    }


if __name__ == "__main__":
    main()
