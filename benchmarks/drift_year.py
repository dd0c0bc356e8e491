"""The simulated year of `drift.py`: its months, how they are judged, and what comes of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from drift_figures import Cell, correlation, share, two_way
from stream import EPISODES

from earwitness.metrics.detection import eer
from earwitness.operations.drift import Reference, cusum, judge, make_reference
from earwitness.operations.drift_options import VIEWS, DriftOptions
from earwitness.operations.samples import Samples, joined

YEAR = (
    "quiet|quiet|2021 end-to-end|quiet|2021 Thorsten|benign speakers|2021 YourTTS|quiet|2022 small|"
    "2022 FreeVC|benign codec|2022 BigVGAN|quiet|2023 Piper|benign languages|2023 StyleTTS 2|"
    "2023 Vocos|benign level|2024 LanguageCodec|2024 VoiceCraft|quiet|2024 MaskGCT|2024 E1 TTS|"
    "2024 Kokoro|benign noise|quiet"
).split("|")
GENUINE, FAKE = 46, 34  # of a month
MIXES = (20, 61)  # fakes of the 80, drawn evenly, where the mix varies
FROM_NEW, OF_CLASS = 40, 28  # samples of a new generator's pages in a month, and of one class
WINDOWS = {"all": 40, "fake": 24, "genuine": 24}
RATES = (0.01, 0.05)
DRAWS = 20
STAYS = 5  # months of samples by a generator whose delay is measured
SURE = np.log(9)  # |LLR| below which the detector is not sure: 10 to 90 %
BASELINES = ("mean |LLR|, falling", "share uncertain")
Streamed = dict[str, Samples]


def kind_of(name: str) -> str:
    """Quiet, new, or what changed."""
    return "new" if name in EPISODES else name


class Deck:
    """Samples dealt without repeat until all were dealt; by class."""

    def __init__(self, samples: Samples, rng: np.random.Generator) -> None:
        self.samples, self.rng = samples, rng
        self.left: dict[int, list[int]] = {0: [], 1: []}

    def deal(self, label: int, count: int) -> Samples:
        """So many of a class; they differ from each other."""
        rows: list[int] = []
        while len(rows) < count:
            if not self.left[label]:
                of_class = self.rng.permutation(np.flatnonzero(self.samples.labels == label))
                self.left[label] = [int(row) for row in of_class if row not in rows]
            rows.append(self.left[label].pop())
        return self.samples.take(rows)


def month_of(
    name: str, stream: Streamed, quiet: Deck, rng: np.random.Generator, fakes_of_all: int = FAKE
) -> Samples:
    """The samples of a month, in random order."""
    other, genuine, fakes = None, 0, 0
    genuine_of_all = GENUINE + FAKE - fakes_of_all
    if name in EPISODES:
        episode = np.array(stream["new"].column("episode")) == name
        other = Deck(stream["new"].take(episode), rng)
        fakes = min(OF_CLASS, fakes_of_all, int((other.samples.labels == 0).sum()))
        genuine = int((other.samples.labels == 1).sum())
        genuine = min(FROM_NEW - fakes, OF_CLASS, genuine_of_all, genuine)
    elif name != "quiet":
        other = Deck(stream[name.replace(" ", "-")], rng)
        whole = name.split()[1] not in ("speakers", "languages")
        genuine, fakes = (genuine_of_all, fakes_of_all) if whole else (min(FROM_NEW, genuine_of_all), 0)
    parts = [quiet.deal(1, genuine_of_all - genuine), quiet.deal(0, fakes_of_all - fakes)]
    if other:
        parts += [other.deal(1, genuine), other.deal(0, fakes)]
    month = joined([part for part in parts if len(part)])
    return month.take(rng.permutation(len(month)))


def stream_of(stream: Streamed, seed: int, varied: bool = False) -> list[Samples]:
    """The months of a year; varied: with MIXES of fakes."""
    rng = np.random.default_rng([3, seed])
    quiet = Deck(stream["quiet"], rng)
    fakes = rng.integers(*MIXES, len(YEAR)).tolist() if varied else [FAKE] * len(YEAR)
    return [month_of(name, stream, quiet, rng, count) for name, count in zip(YEAR, fakes, strict=True)]


@dataclass(frozen=True)
class Watched:
    """A reference of each window size, and the null of the baselines."""

    references: dict[str, Reference]  # by view
    baselines: np.ndarray  # (windows, baselines)

    def bound(self, view: str) -> float:
        """Of the view's CUSUM."""
        return self.references[view].views[view].cusum_bound


def unsure(scores: np.ndarray) -> np.ndarray:
    """The baselines of a window: how unsure the detector is by itself, (baselines,)."""
    return np.array([-np.abs(scores).mean(), (np.abs(scores) < SURE).mean()])


def watched(development: Samples) -> Watched:
    """References of development data."""
    made = {size: make_reference(development, DriftOptions(window=size)) for size in set(WINDOWS.values())}
    whole = made[WINDOWS["all"]]
    scores = whole.rows[:, -1] * whole.score[1] + whole.score[0]
    rng, size = np.random.default_rng(4), WINDOWS["all"]
    drawn = [unsure(rng.choice(scores, size, replace=False)) for _ in range(whole.options.windows)]
    return Watched({view: made[size] for view, size in WINDOWS.items()}, np.array(drawn))


def windows_of(by: Watched, samples: Samples) -> Iterator[tuple[int, str, Samples]]:
    """Full windows in the order in which they close: samples seen so far, view, window."""
    closed = []
    for view, size in WINDOWS.items():
        rows = np.flatnonzero(by.references[view].in_view(samples, view))
        whole = rows[: len(rows) // size * size].reshape(-1, size)
        closed += [(int(window[-1]) + 1, view, window) for window in whole]
    for end, view, window in sorted(closed, key=lambda one: one[0]):
        yield end, view, samples.take(window)


def judged_month(by: Watched, name: str, month: Samples, quiet_genuine: np.ndarray) -> Cell:
    """One month: signals (distances, statistics, baselines), alarms by rate, EERs, windows."""
    found = [(end, judge(by.references[view], window, view)) for end, view, window in windows_of(by, month)]
    signals: dict[str, float] = {}
    for view in VIEWS:
        here = [one for _, one in found if one.view == view]
        if here:
            signals[f"{view}: statistic"] = float(np.mean([one.step for one in here]))
            for key in here[0].distances:
                signals[f"{view}: {key}"] = float(np.mean([one.distances[key] for one in here]))
    size = WINDOWS["all"]
    own = np.array([unsure(month.scores[i : i + size]) for i in range(0, len(month) - size + 1, size)])
    p = ((by.baselines[None] >= own[:, None]).sum(1) + 1) / (len(by.baselines) + 1)
    signals |= dict(zip(BASELINES, own.mean(0).tolist(), strict=True))
    new = (np.array(month.column("episode")) == name) & (month.labels == 0)
    alarms = {}
    for rate in RATES:
        hit = {one.view for _, one in found if one.p <= rate / len(VIEWS)}
        alarms[rate] = {"any view": bool(hit), **{view: view in hit for view in VIEWS}}
        alarms[rate] |= {key: bool((p[:, i] <= rate).any()) for i, key in enumerate(BASELINES)}
    return {
        "signals": signals,
        "alarms": alarms,
        "eer": eer(month.scores[month.labels == 1], month.scores[month.labels == 0]),
        "eer_new": eer(quiet_genuine, month.scores[new]) if new.any() else float("nan"),
        "found": found,
    }


def table_of(years: Sequence[Sequence[Cell]], pick: Callable[[Cell], float], kind: str = "") -> np.ndarray:
    """(draws, months of the kind; all months where none is named)."""
    kept = [i for i, name in enumerate(YEAR) if not kind or kind_of(name) == kind]
    return np.array([[pick(year[i]) for i in kept] for year in years], float)


def by_kind(years: Sequence[Sequence[Cell]]) -> Cell:
    """Share of months with an alarm, and the mean statistic, for each kind of month."""
    found = {}
    for kind in dict.fromkeys(map(kind_of, YEAR)):
        entry: Cell = {"months": sum(kind_of(name) == kind for name in YEAR)}
        for rate in RATES:
            entry[f"alarm_at_{rate}"] = {
                key: two_way(table_of(years, lambda one, r=rate, k=key: one["alarms"][r][k], kind))
                for key in ("any view", *VIEWS, *BASELINES)
            }
        for view in VIEWS:
            signal = partial(signal_of, f"{view}: statistic")
            entry[f"statistic, {view}"] = two_way(table_of(years, signal, kind))
        entry["eer"] = two_way(table_of(years, lambda one: one["eer"], kind))
        found[kind] = entry
    return found


def by_month(years: Sequence[Sequence[Cell]]) -> list[Cell]:
    """Means over draws for each month of the year."""
    lines = []
    for i, name in enumerate(YEAR):
        here = [year[i] for year in years]
        line = {"month": name, "eer": np.mean([one["eer"] for one in here])}
        line["eer_new"] = np.mean([one["eer_new"] for one in here])
        line["alarm_at_0.01"] = np.mean([one["alarms"][0.01]["any view"] for one in here])
        for view in VIEWS:
            values = [signal_of(f"{view}: statistic", one) for one in here]
            line[f"statistic, {view}"] = np.nanmean(values) if np.isfinite(values).any() else np.nan
        lines.append({key: tidy(value) for key, value in line.items()})
    return lines


def tidy(value: str | float) -> str | float | None:
    """As JSON can hold it."""
    return value if isinstance(value, str) else None if np.isnan(value) else round(float(value), 4)


def signal_of(name: str, month: Cell) -> float:
    """A signal; NaN where the month held no window of the view."""
    return month["signals"].get(name, float("nan"))


def correlations(years: Sequence[Sequence[Cell]]) -> Cell:
    """Every signal with the EER: all months, new-generator months, and the new fakes alone."""
    names = dict.fromkeys(key for year in years for month in year for key in month["signals"])
    wanted = {"all_months": ("eer", ""), "new_months": ("eer", "new"), "new_fakes": ("eer_new", "new")}
    return {
        what: {
            name: correlation(
                table_of(years, partial(signal_of, name), kind),
                table_of(years, lambda one, target=target: one[target], kind),
            )
            for name in names
        }
        for what, (target, kind) in wanted.items()
    }


def cusum_of_year(by: Watched, years: Sequence[Sequence[Cell]]) -> Cell:
    """Alarms a month of the CUSUM that runs through the year and begins anew after each alarm."""
    counts = np.zeros((len(years), len(YEAR)))
    for draw, year in enumerate(years):
        totals: dict[str, float] = dict.fromkeys(VIEWS, 0.0)
        for i, month in enumerate(year):
            for _, one in month["found"]:
                totals[one.view] = cusum(totals[one.view], one.step)
                if totals[one.view] > by.bound(one.view):
                    counts[draw, i], totals[one.view] = 1, 0.0
    kinds = np.array([kind_of(name) for name in YEAR])
    return {kind: two_way(counts[:, kinds == kind]) for kind in dict.fromkeys(kinds.tolist())}


def delays(by: Watched, stream: Streamed) -> Cell:
    """Samples until the first alarm since a generator appeared, and none where it stayed unnoticed."""
    each: Cell = {}
    for name in ("quiet", *EPISODES):
        lines = []
        for seed in range(DRAWS):
            rng = np.random.default_rng([5, seed])
            quiet = Deck(stream["quiet"], rng)
            samples = repeated([month_of(name, stream, quiet, rng) for _ in range(STAYS)])
            lines.append(first_alarms(by, samples))
        each[name] = np.array(lines)
    length = STAYS * (GENUINE + FAKE)
    found: Cell = {"samples_watched": length, "by_generator": {}}
    for i, way in enumerate(("window at 1 %", "CUSUM", "either")):
        table = np.array([each[name][:, i] for name in EPISODES]).T
        found[way] = {
            "noticed_within_80": two_way(table <= GENUINE + FAKE),
            "noticed_within_400": two_way(np.isfinite(table)),
            "median_delay_where_noticed": float(np.median(table[np.isfinite(table)])),
            "quiet_alarms_within_400": share(int(np.isfinite(each["quiet"][:, i]).sum()), DRAWS),
        }
    for name in EPISODES:
        either = each[name][:, 2]
        median = float(np.median(either))
        found["by_generator"][name] = {
            "noticed": float(np.isfinite(either).mean()),
            "median_delay": median if np.isfinite(median) else None,
        }
    return found


def repeated(parts: Sequence[Samples]) -> Samples:
    """One after the other, with ids of their own, so that a recording may come twice."""
    numbered = [replace(one, ids=[f"{i} {key}" for key in one.ids]) for i, one in enumerate(parts)]
    return joined(numbered)


def first_alarms(by: Watched, samples: Samples) -> list[float]:
    """Samples until a window alarms, the CUSUM does, either does; infinity where none does."""
    totals: dict[str, float] = dict.fromkeys(VIEWS, 0.0)
    first = [np.inf, np.inf]
    for end, view, window in windows_of(by, samples):
        one = judge(by.references[view], window, view)
        totals[view] = cusum(totals[view], one.step)
        for i, alarm in enumerate((one.p <= RATES[0] / len(VIEWS), totals[view] > by.bound(view))):
            first[i] = min(first[i], end) if alarm else first[i]
    return [*first, min(first)]
