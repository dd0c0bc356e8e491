"""The shortcut probe: can what is no voice tell genuine from fake?

Level, silence, bandwidth, noise floor, clipping, length and format differ between the classes of many
corpora (silence at both ends alone nearly solves ASVspoof 2019: Müller et al. 2021, arXiv 2106.12914),
and a detector may learn them instead. Boosted trees see these measures and nothing else, once tested on
a random split, once on groups (pages, speakers) that they were not trained on. An AUC of 0.5 is chance.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE, open_file, open_recording
from earwitness.audio.protocol import Utterance
from earwitness.audio.quality import SILENT, bandwidth, clipped_samples, decibels
from earwitness.audio.speech import CHUNK
from earwitness.errors import needs_extra
from earwitness.metrics.detection import auc
from earwitness.metrics.intervals import bootstrap
from earwitness.operations.corpus import in_threads
from earwitness.types import Failure

STEP = 160  # samples, 10 ms
PART = 2_560  # samples: a whole number of steps and of chunks
SILENCE_DB = 40.0  # below the loud steps (95 % are quieter)
FLOOR_DB = -100.0  # under the last bit of 16
FOLDS = 5
LEAST = 20  # files of a class: below this the probe says nothing
TELLING = 0.55  # AUC from which a measure is named
DECODE_GROUP = 4
SOUND = (
    "level_dbfs peak_dbfs noise_floor_dbfs leading_silence_s trailing_silence_s digital_silence clipped "
    "bandwidth_hz duration_s"
).split()
FORMAT = "sample_rate channels bits".split()


def nuisances(blocks: Iterable[np.ndarray]) -> dict[str, float]:
    """Measures that have nothing to do with the voice, by the names in `SOUND`.

    Args:
        blocks: (samples,) each, float32 mono at 16 kHz, in order. Memory grows by 8 bytes for 10 ms.
    """
    powers, silent, spectrum = [np.zeros(0)], [np.zeros(0, bool)], np.zeros(CHUNK // 2 + 1)
    peak = energy = 0.0
    samples = clipped = 0
    for part in in_parts(blocks):
        samples += len(part)
        energy += float(np.sum(part.astype(np.float64) ** 2))
        peak = max(peak, float(np.abs(part).max()))
        clipped += clipped_samples(part)
        padded = np.pad(part, (0, -len(part) % PART))
        steps = padded[: -(-len(part) // STEP) * STEP].reshape(-1, STEP)
        powers.append(np.mean(steps.astype(np.float64) ** 2, axis=1))
        silent.append(np.ptp(steps, axis=1) < SILENT)
        spectrum += (np.abs(np.fft.rfft(padded.reshape(-1, CHUNK) * np.hanning(CHUNK))) ** 2).sum(axis=0)
    power, quiet = np.concatenate(powers), np.concatenate(silent)
    floor = np.percentile(power[~quiet], 10) if not quiet.all() else 0.0
    before, after = silence_around(power)
    return {
        "level_dbfs": max(decibels(energy / max(samples, 1)), FLOOR_DB),
        "peak_dbfs": max(decibels(peak**2), FLOOR_DB),
        "noise_floor_dbfs": max(decibels(float(floor)), FLOOR_DB),
        "leading_silence_s": before * STEP / SAMPLE_RATE,
        "trailing_silence_s": after * STEP / SAMPLE_RATE,
        "digital_silence": float(quiet.mean()) if len(quiet) else 1.0,
        "clipped": clipped / max(samples, 1),
        "bandwidth_hz": float(bandwidth(spectrum)),
        "duration_s": samples / SAMPLE_RATE,
    }


def in_parts(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same samples in blocks of a multiple of `PART`; the last may be shorter."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // PART * PART
        if whole:
            yield rest[:whole]
            rest = rest[whole:]
    if len(rest):
        yield rest


def silence_around(power: np.ndarray) -> tuple[int, int]:
    """Steps before the first and after the last that is not silent, of mean powers (steps,)."""
    loud = np.percentile(power, 95) if len(power) else 0.0
    heard = np.flatnonzero(power > loud * 10 ** (-SILENCE_DB / 10))
    return (int(heard[0]), len(power) - 1 - int(heard[-1])) if len(heard) else (len(power), len(power))


def measure(item: Utterance) -> dict[str, float]:
    """All numbers of a row: those of its sound, and of its format by the protocol; 0 is not known.

    Raises:
        InputError: the recording cannot be decoded.
    """
    with open_file(item.path) as file, open_recording(file, item.path.name) as recording:
        found = nuisances(recording.blocks())
    of_format = (item.sample_rate, item.channels, item.bits)
    return found | {name: float(value or 0) for name, value in zip(FORMAT, of_format, strict=True)}


def sample(items: Sequence[Utterance], most: int, seed: int) -> list[Utterance]:
    """At most `most` rows of each class, drawn at random, in their order."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for bona_fide in (True, False):
        rows = [i for i, item in enumerate(items) if item.bona_fide == bona_fide]
        chosen += [rows[i] for i in rng.permutation(len(rows))[:most]]
    return [items[i] for i in sorted(chosen)]


def group_of(item: Utterance) -> str:
    """What must not stand on both sides of a split: group, else speaker, else source, else the row."""
    for kind, value in (("group", item.group), ("speaker", item.speaker), ("source", item.source)):
        if value not in ("", "-"):
            return f"{item.dataset}/{kind}/{value}"
    return f"{item.dataset}/row/{item.id}"


def find_shortcuts(items: Sequence[Utterance], most: int = 1000, seed: int = 0) -> dict[str, Any]:
    """What the probe finds: AUC of each measure, AUC and EER of all together, and a sentence.

    `random` and `grouped` hold `auc` and `eer`, each with the ends of its 95 % interval from a
    bootstrap over groups; null where the split cannot be made.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    with needs_extra("train"):
        import sklearn  # noqa: F401
    chosen = sample(items, most, seed)
    heard = [
        (item, found)
        for item, found in in_threads(measure, chosen, len(chosen), "probing", group=DECODE_GROUP)
        if not isinstance(found, Failure)
    ]
    rows = [item for item, _ in heard]
    bona_fide = np.array([item.bona_fide for item in rows], bool)
    result: dict[str, Any] = {
        "real": int(bona_fide.sum()),
        "fake": int((~bona_fide).sum()),
        "unreadable": len(chosen) - len(rows),
        "groups": len({group_of(item) for item in rows}),
        "measures": [],
        "random": None,
        "grouped": None,
    }
    if min(result["real"], result["fake"]) >= LEAST:
        names, features = table(rows, [found for _, found in heard])
        groups = np.array([group_of(item) for item in rows])
        result["measures"] = single(names, features, bona_fide)
        result["random"] = judge(features, bona_fide, groups, random_folds(bona_fide, seed), seed)
        folds = grouped_folds(bona_fide, groups, seed)
        result["grouped"] = None if folds is None else judge(features, bona_fide, groups, folds, seed)
    return result | {"says": sentence(result)}


def table(rows: Sequence[Utterance], found: Sequence[dict[str, float]]) -> tuple[list[str], np.ndarray]:
    """Names of the measures, and the measures (rows, names); each encoding is one of 0 and 1."""
    encodings = sorted({item.encoding or "-" for item in rows})
    names = [*SOUND, *FORMAT]
    numbers = [
        [one[name] for name in names] + [float((item.encoding or "-") == each) for each in encodings]
        for item, one in zip(rows, found, strict=True)
    ]
    return [*names, *(f"encoding {each}" for each in encodings)], np.array(numbers)


def single(names: Sequence[str], features: np.ndarray, bona_fide: np.ndarray) -> list[dict[str, Any]]:
    """AUC of each measure by itself, 0.5 to 1, worst first."""
    found = []
    for name, values in zip(names, features.T, strict=True):
        area = auc(values[bona_fide], values[~bona_fide])
        higher = "real" if area >= 0.5 else "fake"
        found.append({"measure": name, "auc": round(max(area, 1 - area), 4), "higher_in": higher})
    return sorted(found, key=lambda one: -one["auc"])


def random_folds(bona_fide: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each row (rows,), drawn row by row, classes in equal shares."""
    from sklearn.model_selection import StratifiedKFold

    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(bona_fide, bona_fide)
    return as_folds(splits, len(bona_fide))


def grouped_folds(bona_fide: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray | None:
    """Fold of each row (rows,), no group on two of them; None where a class stands in one group only."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(FOLDS, *(len(np.unique(groups[bona_fide == label])) for label in (True, False)))
    if count < 2:
        return None
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = as_folds(splitter.split(bona_fide, bona_fide, groups), len(bona_fide))
    whole = all(len(np.unique(bona_fide[folds != k])) == 2 for k in range(count))
    return folds if whole else None


def as_folds(splits: Iterable[tuple[np.ndarray, np.ndarray]], rows: int) -> np.ndarray:
    """Fold of each row, of pairs of training and test rows."""
    folds = np.zeros(rows, int)
    for k, (_, tested) in enumerate(splits):
        folds[tested] = k
    return folds


def out_of_fold(features: np.ndarray, bona_fide: np.ndarray, folds: np.ndarray, seed: int = 0) -> np.ndarray:
    """Scores (rows,) of boosted trees on features (rows, names), each fold by trees that never saw it.

    Higher is more bona fide; log-odds.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    with needs_extra("train"):
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

    scores = np.zeros(len(features))
    with threadpool_limits(1):  # so few rows are slower on several threads, by far on a busy machine
        for fold in np.unique(folds):
            model = HistGradientBoostingClassifier(random_state=seed, max_iter=150, learning_rate=0.05)
            model.fit(features[folds != fold], bona_fide[folds != fold])
            scores[folds == fold] = model.decision_function(features[folds == fold])
    return scores


def judge(
    features: np.ndarray, bona_fide: np.ndarray, groups: np.ndarray, folds: np.ndarray, seed: int
) -> dict[str, Any]:
    """AUC and EER of the trees, with 95 % intervals over groups."""
    scores = out_of_fold(features, bona_fide, folds, seed)
    found = bootstrap(scores, bona_fide, groups, ("auc", "eer"), seed=seed)
    return {
        name: {"value": round(one.value, 4), "low": round(one.low, 4), "high": round(one.high, 4)}
        for name, one in found.items()
    }


def sentence(result: dict[str, Any]) -> str:
    """What it means, for people."""
    if result["random"] is None:
        return f"Too few recordings to say: {LEAST} of each class that can be decoded are needed."
    by_chance, grouped = result["random"]["auc"], result["grouped"] and result["grouped"]["auc"]
    telling = [one["measure"] for one in result["measures"] if one["auc"] >= TELLING]
    worst = ", ".join(telling[:3]) or "none by itself"
    if grouped is None:
        across = (
            f"AUC {by_chance['value']:.2f} on a random split; whether that carries over to new groups "
            "cannot be told, since a class stands in one group only"
        )
        return f"Without the voice: {across}. What tells most: {worst}."
    figures = (
        f"AUC {by_chance['value']:.2f} on a random split, {grouped['value']:.2f} "
        f"[{grouped['low']:.2f}, {grouped['high']:.2f}] on groups not seen"
    )
    if grouped["low"] > 0.5:
        return (
            f"Shortcuts: without the voice, {figures}. A detector can score here by them; balance or "
            f"augment both classes. What tells most: {worst}."
        )
    if by_chance["low"] > 0.5:
        return (
            f"Without the voice, {figures}: shortcuts hold within groups, none is shown to carry over. "
            "Split by group, or a test flatters."
        )
    return f"No shortcut is shown: without the voice, {figures}."
