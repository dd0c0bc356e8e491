"""Scores meet their key: every trial once, nothing dropped in silence.

Trials are matched by id (in SASV: claimed speaker and id), by the path of the recording, or by its
file name without folder and ending, which then must be unique: by the first of these under which
all scores find their trial, else the one under which most do.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from earwitness.errors import InputError, needs_extra
from earwitness.metrics.scores import Trials

if TYPE_CHECKING:
    import polars as pl

ENDINGS = "wav|flac|mp3|m4a|mp4|ogg|oga|opus|aac|amr|wma|aif|aiff|webm|mkv|mov|sph|au|3gp"
STEM = rf"([^/\\]+?)(?:\.(?i:{ENDINGS}))?$"
SHOWN = 3  # ids that a message names


@dataclass(frozen=True)
class Matched:
    """Trials with score and label; and what was left out, by class where it is known."""

    frame: "pl.DataFrame"  # as `Trials.frame`; every row has a label and a finite score
    how: str  # id, path, file name, or "own labels"
    key_rows: int  # of the key, after `only`
    without_key: int  # scores that the key does not name
    without_score: int  # rows of the key without a line in the score file
    unscored: dict[str, dict[str, int]]  # no-speech, error: how many {bona_fide, spoof}


def match(
    scores: Trials,
    key: Trials | None,
    root: Path | None = None,
    only: Mapping[str, Sequence[str]] | None = None,
    allow_missing: bool = False,
) -> Matched:
    """Join scores with their key.

    Args:
        scores, key: as read; no key: the score file has its own labels.
        root: the folder that `$ROOT` and relative paths of the key stand for.
        only: keep trials whose column has one of these texts.
        allow_missing: go on where scores have no key or rows of the key no score.

    Raises:
        InputError: `usage`: no labels at all, or a column of `only` that is not there; `bad-scores`:
            the sets of trials differ, nothing matches, labels contradict each other, an id that
            stands twice, or no trials left.
    """
    with needs_extra("train"):
        import polars as pl
    if key is None:
        if not scores.has("label"):
            raise InputError("usage", f"{scores.file}: holds no labels; name its key with --key")
        how, left, whole = "own labels", scores.frame, scores.frame
        joined = scores.frame
    else:
        how, left, whole = link(scores, key, root)
        joined = meet(left, whole, "inner")
        check_labels(scores, key, joined)
    without_key, keyed = left.height - joined.height, whole
    for name, values in (only or {}).items():
        if name not in joined.columns:
            raise InputError("usage", f"--only {name}: neither the scores nor the key have such a column")
        wanted = pl.col(name).cast(pl.String).is_in(list(values))
        joined = joined.filter(wanted)
        keyed = keyed.filter(wanted) if name in keyed.columns else meet(keyed, joined, "semi")
    without_score = keyed.height - joined.height
    if (without_key or without_score) and not allow_missing:
        raise different(scores.file, left, whole, keyed)
    unscored = count_unscored(joined)
    joined = joined.filter(pl.col("score").is_not_null()) if "score" in joined.columns else joined
    if not joined.height:
        raise InputError("bad-scores", f"{scores.file}: no scored trial is left")
    return Matched(
        joined.rename({"link": "id"}, strict=False), how, keyed.height, without_key, without_score, unscored
    )


def link(scores: Trials, key: Trials, root: Path | None) -> tuple[str, "pl.DataFrame", "pl.DataFrame"]:
    """By what the two are matched, and both frames with it as column `link`.

    What both have is taken from the key; the scores' own labels are kept as `own_label`.

    Raises:
        InputError: `bad-scores`: nothing is common, or a link stands twice.
    """
    left = scores.frame.rename({"label": "own_label"}, strict=False)
    left = left.drop([name for name in left.columns if key.has(name)])
    right = key.frame.drop("id", "path", strict=False)
    best, chosen = 0, None
    for how, of_scores, of_key in links(scores, key, root):
        left, right = left.with_columns(link=of_scores), right.with_columns(link=of_key)
        count = meet(left, right, "semi").height
        if count > best:
            best, chosen = count, (how, left, right)
        if count == left.height:
            break
    if chosen:
        how, left, right = chosen
        if how != "id" or scores.has("claim") != key.has("claim"):  # else known from reading
            check_links(scores.file, left, how)
            check_links(key.file, right, how)
        return chosen
    shown, other = (", ".join(trials.frame["id"].head(SHOWN).to_list()) for trials in (scores, key))
    raise InputError(
        "bad-scores",
        f"{scores.file}: none of its trials is in {key.file}: scores of {shown}, a key of {other}",
    )


def meet(
    left: "pl.DataFrame", right: "pl.DataFrame", how: Literal["inner", "semi", "anti"]
) -> "pl.DataFrame":
    """Join by `link`, in the order of `left`."""
    joined = left.lazy().join(right.lazy(), on="link", how=how, maintain_order="left")
    return joined.collect(engine="streaming")


def check_links(file: Path, frame: "pl.DataFrame", how: str) -> None:
    """Refuse what would match several trials.

    Raises:
        InputError: `bad-scores`.
    """
    if frame["link"].n_unique() < frame.height:
        name = frame.filter(frame["link"].is_duplicated())["link"][0]
        raise InputError("bad-scores", f"{file}: several trials have the {how} {name!r}, by which to match")


def links(scores: Trials, key: Trials, root: Path | None) -> Iterator[tuple[str, "pl.Series", "pl.Series"]]:
    """Ways to match, the strictest first: its name, and for either side what must be equal."""
    import polars as pl

    names = ["claim", "id"] if scores.has("claim") and key.has("claim") else ["id"]
    joint = pl.concat_str(names, separator=" ").alias("link")
    yield "id", scores.frame.select(joint)["link"], key.frame.select(joint)["link"]
    located = key.frame["path"] if key.has("path") else key.frame["id"]
    if key.has("path"):
        base = os.path.abspath(root or key.file.parent)
        paths = [absolute(path or "", base) for path in located]
        yield "path", pl.Series([os.path.abspath(name) for name in scores.frame["id"]]), pl.Series(paths)
    yield "file name", scores.frame["id"].str.extract(STEM), located.str.extract(STEM)


def absolute(path: str, root: str) -> str:
    """A path of a key, `$ROOT` and what is relative taken from `root`."""
    if path.startswith("$ROOT/"):
        path = path.removeprefix("$ROOT/").lstrip("/")  # AntiDeepfake's scripts write `$ROOT//`
    return os.path.normpath(os.path.join(root, path))


def check_labels(scores: Trials, key: Trials, joined: "pl.DataFrame") -> None:
    """Refuse a score file whose own labels are not those of the key.

    Raises:
        InputError: `bad-scores`.
    """
    if "own_label" not in joined.columns:
        return
    other = joined.filter(joined["own_label"] != joined["label"])
    if other.height:
        shown = ", ".join(other["link"].head(SHOWN).to_list())
        raise InputError(
            "bad-scores",
            f"{scores.file}: its own labels contradict {key.file} in {other.height:,} trials ({shown})",
        )


def different(file: Path, left: "pl.DataFrame", whole: "pl.DataFrame", keyed: "pl.DataFrame") -> InputError:
    """What to say where the sets of trials differ: how many of either side, and the first ones."""
    parts = []
    for ours, theirs, what in (
        (left, whole, "trials have no row in the key"),
        (keyed, left, "rows of the key have no score"),
    ):
        missing = meet(ours, theirs, "anti")
        if missing.height:
            shown = ", ".join(missing["link"].head(SHOWN).to_list())
            parts.append(f"{missing.height:,} {what} ({shown}{', ...' if missing.height > SHOWN else ''})")
    return InputError(
        "bad-scores", f"{file}: {' and '.join(parts)}; --allow-missing evaluates the trials that match"
    )


def count_unscored(joined: "pl.DataFrame") -> dict[str, dict[str, int]]:
    """Trials that a scan answered without a score, by verdict and class."""
    if "unscored" not in joined.columns:
        return {}
    import polars as pl

    found: dict[str, dict[str, int]] = {}
    counts = joined.filter(pl.col("unscored").is_not_null()).group_by("unscored", "label").len()
    for verdict, label, count in counts.sort("unscored", "label").iter_rows():
        sides = found.setdefault(verdict, {"bona_fide": 0, "spoof": 0})
        sides["bona_fide" if label == 1 else "spoof"] = count
    return found
