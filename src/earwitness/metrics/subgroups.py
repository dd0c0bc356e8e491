"""For whom does it fail? Error rates of parts of the trials, worst first.

A generator is set against all bona fide trials of the data sets it occurs in (of all, where the data
set is not known or has none), and so is whatever else is only said of fakes. Any other column cuts
both classes: trials in Italian against trials in Italian. A part with one class only has no EER,
but an error rate at the threshold. Parts with fewer than `FEW` trials of a class stand behind the
others and have no bootstrap: a handful cannot show how it varies. The worst of many parts is partly
chance: look at its interval.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.counted import Setting
from earwitness.metrics.evaluation import Figure, Setup, bands, figures, group_codes, sides_of
from earwitness.metrics.reliability import wilson

if TYPE_CHECKING:
    import polars as pl

MOST = 200  # parts of one column that are tabulated: those with the most trials
FEW = 10  # trials of a class
NAMES = ("eer", "min_dcf", "act_dcf", "cllr")


def subgroup_table(
    frame: "pl.DataFrame", by: str, setup: Setup = Setup()
) -> tuple[list[dict[str, Any]], int]:
    """Figures of each part of the trials, worst EER first, and how many parts were left out.

    Args:
        frame: as for `evaluation.evaluate`, with column `by` (`duration` for `by="length"`).
        by: generator, language, codec, dataset, length, or any column.
        setup: as there; intervals are drawn by its groups.

    Returns:
        Rows of `by`, `name`, `bona_fide`, `spoof` (counts), `eer`, `min_dcf`, `act_dcf`, `cllr`
        (figures; None with one class), `miss`, `false_alarm` (at the threshold, with Wilson's interval).

    Raises:
        InputError: `usage`: no such column.
    """
    scores, bona_fide = sides_of(frame)
    groups = group_codes(frame, setup.groups)
    texts = texts_of(frame, by)
    of_fakes = by == "generator" or only_of_fakes(texts, bona_fide)
    names, codes, left_out = parts_of(texts, ~bona_fide if of_fakes else np.ones(len(scores), bool))
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
    datasets = dataset_codes(frame)
    rows = []
    for part, name in enumerate(names):
        members = order[starts[part] : starts[part + 1]]
        if of_fakes:
            members = np.concatenate([pool(datasets, bona_fide, members), members])
        members.sort()
        some = None if groups is None else groups[members]
        rows.append({"by": by, "name": name, **row_of(scores[members], bona_fide[members], some, setup)})
    return sorted(rows, key=badness, reverse=True), left_out


def texts_of(frame: "pl.DataFrame", by: str) -> "pl.Series":
    """The column that trials are parted by, as text; length bands for `length`.

    Raises:
        InputError: `usage`: no such column.
    """
    import polars as pl

    column = "duration" if by == "length" else by
    if column not in frame.columns:
        raise InputError("usage", f"--by {by}: neither the scores nor the key have such a column")
    if by == "length":
        return pl.Series(bands(frame[column].to_list()))
    return frame[column].cast(pl.String).fill_null("-")


def only_of_fakes(texts: "pl.Series", bona_fide: np.ndarray) -> bool:
    """Whether all bona fide trials have one text and no spoof has it, as with '-' for no vocoder."""
    of_bona_fide = texts.filter(bona_fide)
    return of_bona_fide.n_unique() == 1 and not (texts.filter(~bona_fide) == of_bona_fide[0]).any()


def parts_of(texts: "pl.Series", among: np.ndarray) -> tuple[list[str], np.ndarray, int]:
    """Names of the largest parts, the part of each trial (N,), -1 for none, and how many are left out.

    `among` (N,): the trials that are cut into parts.
    """
    import polars as pl

    table = pl.DataFrame({"name": texts, "among": among})
    sizes = table.filter("among").group_by("name").len().sort(["len", "name"], descending=[True, False])
    chosen = sizes.head(MOST).select("name", among=True).with_row_index("part")
    parts = table.join(chosen, on=["name", "among"], how="left", maintain_order="left")["part"]
    codes = parts.cast(pl.Int64).fill_null(-1).to_numpy()
    return chosen["name"].to_list(), codes, sizes.height - chosen.height


def dataset_codes(frame: "pl.DataFrame") -> np.ndarray:
    """Data set of each trial as a number, (N,); all alike where it is not known."""
    import polars as pl

    if "dataset" not in frame.columns:
        return np.zeros(frame.height, np.int64)
    return frame["dataset"].cast(pl.String).fill_null("-").rank("dense").to_numpy().astype(np.int64)


def pool(datasets: np.ndarray, bona_fide: np.ndarray, spoofs: np.ndarray) -> np.ndarray:
    """Bona fide trials that the trials `spoofs` are set against: of their data sets, else all."""
    own = bona_fide & np.isin(datasets, np.unique(datasets[spoofs]))
    return np.flatnonzero(own if own.any() else bona_fide)


def row_of(
    scores: np.ndarray, bona_fide: np.ndarray, groups: np.ndarray | None, setup: Setup
) -> dict[str, Any]:
    """Figures of one part."""
    count = int(bona_fide.sum())
    least = min(count, len(scores) - count)
    found: dict[str, Any] = dict.fromkeys(NAMES)
    if least:
        drawn = setup if least >= FEW else replace(setup, draws=0)
        found = figures(scores, bona_fide, groups, drawn, Setting(setup.costs), NAMES)
    missed, accepted = scores[bona_fide] < setup.threshold, scores[~bona_fide] >= setup.threshold
    rates = {"miss": rate_of(missed, setup.level), "false_alarm": rate_of(accepted, setup.level)}
    return {"bona_fide": count, "spoof": len(scores) - count, **found, **rates}


def rate_of(errors: np.ndarray, level: float) -> Figure | None:
    """Share of errors (N,) with its interval; None for no trials."""
    if not len(errors):
        return None
    count = int(errors.sum())
    low, high = wilson(count, len(errors), level)
    return {"value": count / len(errors), "low": low, "high": high}


def badness(row: dict[str, Any]) -> tuple[int, float]:
    """What the table is sorted by: EER; parts with few trials behind, then those of one class."""
    if row["eer"]:
        return 2 if min(row["bona_fide"], row["spoof"]) >= FEW else 1, row["eer"]["value"]
    return 0, max(row[name]["value"] for name in ("miss", "false_alarm") if row[name])
