"""Source tracing: which known system an embedding is like, and whether it is like any of them.

A tracer holds labelled embeddings of anything, at one level (architecture, or family), and two ways to name:

  knn     vote of the k nearest by cosine, each by the inverse of its distance (k = 21 as in TADA,
          arXiv:2506.05802, where classes are that large, else the size of the median class)
  linear  ridge regression onto the classes, each class of equal weight; its outputs times a scale are
          logits, and the scale is the one at which groups that were left out are predicted best

How strange an embedding is, higher = less like anything known:

  knn-distance    cosine distance to the nearest (TADA, k = 1)
  energy          -log sum exp z of logits z (Liu et al. 2020)
  softmax-energy  -log sum exp softmax(z) (SME, arXiv:2507.06470); not the same as `energy`
  nsd             -mean_i[(f . f_i) log sum exp z_i] log sum exp z, features f of unit length, i over the
                  labelled ones (the novel-similarity score of the REFD baseline, Interspeech 2025)
  max-softmax     minus the largest softmax probability (Hendrycks & Gimpel 2017), the baseline

"None of these" is an answer. Groups (recordings of one page, one data set) are left out in turn, and how
strange they are to a tracer without them is kept: `known` is the share of them at least as strange as what
is asked about (a conformal p-value, Vovk et al. 2005), and at the stated rate of false rejections or below
nothing known is said to have made it. A class of one group alone can be named, and teaches nothing here.
The promise is kept for groups like these: where the embedding was itself trained on the labelled
recordings, they are nearer to each other than what is asked about, and more of the known is rejected.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from earwitness.errors import InputError
from earwitness.types import Like

Level = Literal["architecture", "family"]
Method = Literal["knn", "linear"]
Strangeness = Literal["knn-distance", "energy", "softmax-energy", "nsd", "max-softmax"]
LEVELS: tuple[Level, ...] = get_args(Level)
METHODS: tuple[Method, ...] = get_args(Method)
STRANGENESS: tuple[Strangeness, ...] = get_args(Strangeness)
NONE = "none of these"
K = 21
RIDGE = 0.01  # in units of the mean squared distance from the middle; 0.003 to 0.1 name alike
SCALES = np.geomspace(0.1, 1000, 81)  # tried for the logits
FALSE_REJECTION = 0.05
NEAREST_DISTANCE = 1e-6  # nearer counts as this near
VERSION = 1
MAX_BYTES = 1 << 30  # of a file
KINDS = {"about": "|u1", "embeddings": "<f4", "codes": "<i4", "weights": "<f8", "offset": "<f8"}
KINDS |= {"toward": "<f8", "judged": "<f8"}
ABOUT = ("space", "level", "names", "ids", "method", "by", "false_rejection")
DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)


@dataclass(frozen=True)
class Traced:
    """Who is said to have made it."""

    label: str  # a name of the tracer, or `NONE`
    confidence: float  # of the label: the share of the vote or of the softmax; of `NONE`, 1 - known
    known: float  # how in-distribution: share of held-out known recordings at least as strange, (0, 1]
    nearest_name: str  # the name that would be given if one had to be
    neighbours: tuple[Like, ...]  # nearest first


@dataclass(frozen=True, eq=False)
class Reference:
    """Labelled rows and what is learnt from them. Classes are numbers, 0 to C - 1."""

    embeddings: np.ndarray  # (n, d) float32, unit length
    codes: np.ndarray  # (n,) class of each
    k: int
    weights: np.ndarray  # (d, C)
    offset: np.ndarray  # (C,)
    scale: float  # of what the weights give, to make logits of it
    toward: np.ndarray  # (d,): mean over rows of f_i log sum exp z_i, for `nsd`


HeldOut = list[tuple[Reference, np.ndarray]]  # with the rows (r,) that it is judged by


@dataclass(frozen=True, eq=False)
class Tracer:
    """A reference with the names, and how strange known recordings of other groups were to it."""

    space: str  # digest of the model whose embeddings these are (`ModelId.space`)
    level: Level
    names: tuple[str, ...]  # of the classes
    ids: tuple[str, ...]  # of the rows
    reference: Reference
    judged: np.ndarray  # (STRANGENESS, m), ascending in each row
    method: Method = "linear"
    by: Strangeness = "softmax-energy"
    false_rejection: float = FALSE_REJECTION

    @property
    def threshold(self) -> float:
        """What is stranger than this is none of these."""
        judged = self.judged[STRANGENESS.index(self.by)]
        return float(judged[-int(self.false_rejection * (len(judged) + 1))])


def build(
    embeddings: np.ndarray,
    names: Sequence[str],
    groups: Sequence[str],
    *,
    space: str,
    level: Level,
    ids: Sequence[str] | None = None,
    method: Method = "linear",
    by: Strangeness = "softmax-energy",
    k: int = K,
    false_rejection: float = FALSE_REJECTION,
) -> Tracer:
    """A tracer of labelled embeddings.

    Args:
        embeddings: (n, d), of any length. names: (n,) who made each, at `level`.
        groups: (n,) what must never stand on both sides (a page, a data set).
        space: digest of the model whose embeddings these are.
        ids: (n,) shown as neighbours; the row's number where there are none.
        method: by which a name is given. by: what decides whether there is one.
        k: neighbours that vote, where classes are that large.
        false_rejection: share of known recordings of another group that may be called none of these.

    Raises:
        InputError: `bad-embeddings`, `bad-labels`; `too-few-groups`: too few rows have their like in another
            group to learn this rate of false rejections.
    """
    rows = unit(embeddings)
    if not len(rows) == len(names) == len(groups) == len(ids if ids is not None else names):
        raise InputError("bad-labels", f"expected name, group and id for each of {len(rows)} embeddings")
    classes, codes = np.unique(np.asarray(names, str), return_inverse=True)
    if len(classes) < 2 or NONE in classes:
        raise InputError("bad-labels", f"expected two names or more, none of them {NONE!r}")
    held_out = leave_groups_out(rows, codes, np.asarray(groups, str), k)
    count = sum(len(part) for _, part in held_out)
    if not 0 < false_rejection < 1 <= int(false_rejection * (count + 1)):
        sentence = (
            f"{count} embeddings have their like in another group, too few to reject {false_rejection:.2%}"
        )
        raise InputError("too-few-groups", f"{sentence} of the known: add groups")
    scale = best_scale(held_out, rows, codes)
    judged = [
        [strangeness(with_scale(other, scale), rows[part], score) for score in STRANGENESS]
        for other, part in held_out
    ]
    judged = np.sort(np.concatenate(judged, axis=1), axis=1)
    whole = with_scale(fit(rows, codes, len(classes), k), scale)
    names, ids = tuple(map(str, classes)), tuple(map(str, range(len(rows)) if ids is None else ids))
    return Tracer(space, level, names, ids, whole, judged, method, by, false_rejection)


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Rows (n, d) as float32 of unit length; zeros stay.

    Raises:
        InputError: `bad-embeddings`: not finite, or no table.
    """
    rows = np.asarray(embeddings, np.float32)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise InputError("bad-embeddings", f"expected finite embeddings (n, d), found shape {rows.shape}")
    rows = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def fit(rows: np.ndarray, codes: np.ndarray, classes: int, k: int) -> Reference:
    """Learn from unit rows (n, d) and their classes (n,); the scale is 1.

    A class without a row is never named.
    """
    counts = np.bincount(codes, minlength=classes)
    there = counts > 0
    shares = 1 / (there.sum() * counts[codes])  # of sum one, as much for each class
    weights, offset = ridge(rows.astype(float), np.eye(classes)[codes], shares)
    offset = np.where(there, offset, -np.inf)
    few = min(k, int(np.median(counts[there])))
    return with_scale(Reference(rows, codes, few, weights, offset, 1.0, np.zeros(0)), 1.0)


def with_scale(reference: Reference, scale: float) -> Reference:
    """The same with logits of another scale."""
    scaled = replace(reference, scale=scale)
    volume = log_sum_exp(logits(scaled, reference.embeddings))
    return replace(scaled, toward=volume @ reference.embeddings.astype(float) / len(volume))


def ridge(rows: np.ndarray, wanted: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted ridge regression with a free offset (Hoerl & Kennard 1970): (d, C) and (C,).

    Args:
        rows: (n, d). wanted: (n, C). shares: (n,) weights of rows, of sum one.
    """
    middle, level = shares @ rows, shares @ wanted
    root = np.sqrt(shares)[:, None]
    left, right = root * (rows - middle), root * (wanted - level)
    penalty = RIDGE * max(float((left**2).sum()), 1e-12)
    if len(left) < left.shape[1]:
        weights = left.T @ np.linalg.solve(left @ left.T + penalty * np.eye(len(left)), right)
    else:
        weights = np.linalg.solve(left.T @ left + penalty * np.eye(left.shape[1]), left.T @ right)
    return weights, level - middle @ weights


def leave_groups_out(rows: np.ndarray, codes: np.ndarray, groups: np.ndarray, k: int) -> HeldOut:
    """For each group what is learnt without it, and its rows whose class stands in another group too."""
    found = []
    for group in np.unique(groups):
        rest = groups != group
        asked = np.flatnonzero(~rest & np.isin(codes, codes[rest]))
        if len(asked) and len(np.unique(codes[rest])) > 1:
            found.append((fit(rows[rest], codes[rest], int(codes.max()) + 1, k), asked))
    return found


def best_scale(held_out: HeldOut, rows: np.ndarray, codes: np.ndarray) -> float:
    """The scale of the logits at which the groups that were left out are most likely."""
    plain = np.concatenate([logits(other, rows[part]) for other, part in held_out])
    own = codes[np.concatenate([part for _, part in held_out])]
    costs = [np.mean(log_sum_exp(s * plain) - s * plain[np.arange(len(own)), own]) for s in SCALES]
    return float(SCALES[int(np.argmin(costs))])


def logits(reference: Reference, rows: np.ndarray) -> np.ndarray:
    """Logits (q, C) of unit rows (q, d)."""
    return reference.scale * (rows @ reference.weights + reference.offset)


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Log sum exp of each row (q, C), (q,)."""
    top = values.max(axis=1)
    return top + np.log(np.exp(values - top[:, None]).sum(axis=1))


def softmax(values: np.ndarray) -> np.ndarray:
    """Softmax of each row (q, C)."""
    return np.exp(values - log_sum_exp(values)[:, None])


def votes(reference: Reference, rows: np.ndarray) -> np.ndarray:
    """Share of the vote of the k nearest for each class, (q, C), of unit rows (q, d)."""
    similar = rows @ reference.embeddings.T
    near = np.argsort(-similar, axis=1, kind="stable")[:, : reference.k]
    weight = 1 / np.maximum(1 - np.take_along_axis(similar, near, 1), NEAREST_DISTANCE)
    shares = np.zeros((len(rows), len(reference.offset)))
    np.add.at(shares, (np.arange(len(rows))[:, None], reference.codes[near]), weight)
    return shares / shares.sum(axis=1, keepdims=True)


def strangeness(reference: Reference, rows: np.ndarray, by: Strangeness) -> np.ndarray:
    """How little unit rows (q, d) are like anything in the reference, (q,); see the module."""
    if by == "knn-distance":
        return 1 - (rows @ reference.embeddings.T).max(axis=1).astype(float)
    z = logits(reference, rows)
    if by == "nsd":
        return -(rows @ reference.toward) * log_sum_exp(z)
    if by == "max-softmax":
        return -softmax(z).max(axis=1)
    return energy(z) if by == "energy" else softmax_energy(z)


def energy(z: np.ndarray) -> np.ndarray:
    """-log sum exp z of logits (q, C), (q,): as in active learning."""
    return -log_sum_exp(z)


def softmax_energy(z: np.ndarray) -> np.ndarray:
    """-log sum exp softmax(z) of logits (q, C), (q,): from -log(e + C - 1), sure, to -log(C e^(1/C))."""
    return -log_sum_exp(softmax(z))


def posteriors(tracer: Tracer, embeddings: np.ndarray) -> np.ndarray:
    """Share of each name, (q, C), by the tracer's method, were one of them to be given.

    Raises:
        InputError: `bad-embeddings`.
    """
    rows = fitting(tracer, embeddings)
    if tracer.method == "knn":
        return votes(tracer.reference, rows)
    return softmax(logits(tracer.reference, rows))


def trace(tracer: Tracer, embeddings: np.ndarray, neighbours: int = 5) -> list[Traced]:
    """Who made what these embeddings (q, d) are of, each with so many neighbours.

    Raises:
        InputError: `bad-embeddings`.
    """
    rows = fitting(tracer, embeddings)
    shares = posteriors(tracer, rows)
    judged = tracer.judged[STRANGENESS.index(tracer.by)]
    strange = strangeness(tracer.reference, rows, tracer.by)
    at_least = len(judged) - np.searchsorted(judged, strange, side="left")
    similar = rows @ tracer.reference.embeddings.T
    names, found = [tracer.names[code] for code in tracer.reference.codes], []
    for i, best in enumerate(shares.argmax(axis=1)):
        known, name = float(1 + at_least[i]) / (1 + len(judged)), tracer.names[best]
        stranger = bool(strange[i] > tracer.threshold)
        sure = 1 - known if stranger else float(shares[i, best])
        order = np.argsort(-similar[i], kind="stable")[:neighbours]
        near = tuple(Like(tracer.ids[j], names[j], float(similar[i, j])) for j in order)
        found.append(Traced(NONE if stranger else name, sure, known, name, near))
    return found


def fitting(tracer: Tracer, embeddings: np.ndarray) -> np.ndarray:
    """Unit rows (q, d) that the tracer can compare.

    Raises:
        InputError: `bad-embeddings`: of another size, or not finite.
    """
    rows, size = unit(embeddings), tracer.reference.embeddings.shape[1]
    if rows.shape[1] != size:
        raise InputError("bad-embeddings", f"expected embeddings of {size} numbers, found {rows.shape[1]}")
    return rows


def save(tracer: Tracer, path: Path) -> None:
    """Write a tracer as npz, whole or not at all; nothing in it is pickled."""
    about = {key: getattr(tracer, key) for key in ABOUT} | {"version": VERSION}
    about |= {"k": tracer.reference.k, "scale": tracer.reference.scale}
    arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8), "judged": tracer.judged}
    arrays |= {name: getattr(tracer.reference, name) for name in KINDS if name not in arrays}
    arrays = {name: array.astype(KINDS[name], order="C") for name, array in arrays.items()}
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path, space: str) -> Tracer:
    """Read a tracer of the model whose embeddings have this digest.

    Raises:
        InputError: `bad-tracer`: absent, damaged, or no tracer; `tracer-space`: of another model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _member(archive, name, kind) for name, kind in KINDS.items()}
        tracer = _checked(json.loads(arrays.pop("about").tobytes()), arrays)
    except (*DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        sentence = f"{path}: no tracer of earwitness, or damaged ({error!s:.120})"
        raise InputError("bad-tracer", sentence) from None
    if tracer.space != space:
        sentence = f"{path}: traces embeddings of another model ({tracer.space:.16}, this one is {space:.16})"
        raise InputError("tracer-space", f"{sentence}: build it anew")
    return tracer


def _member(archive: zipfile.ZipFile, name: str, kind: str) -> np.ndarray:
    """An array of this kind; its size is that of its bytes, whatever its header promises."""
    with archive.open(f"{name}.npy") as file:
        data = io.BytesIO(file.read(MAX_BYTES + 1))
    if data.getbuffer().nbytes > MAX_BYTES or np.lib.format.read_magic(data) != (1, 0):
        raise ValueError(f"{name} is too large or of another format")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(data)
    array = np.frombuffer(data.read(), kind).reshape(shape)
    if dtype != np.dtype(kind) or columns_first or not np.isfinite(array).all():
        raise ValueError(f"{name} is not of kind {kind} in rows, or not finite")
    return array


def _checked(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Tracer:
    """A tracer whose parts fit each other; any of `DAMAGE` where they do not."""
    judged, known = arrays.pop("judged"), {key: about[key] for key in ABOUT}
    known |= {"names": tuple(about["names"]), "ids": tuple(about["ids"])}
    reference = Reference(k=int(about["k"]), scale=float(about["scale"]), **arrays)
    tracer = Tracer(reference=reference, judged=judged, **known)
    (n, d), c = reference.embeddings.shape, len(tracer.names)
    shapes = {"codes": (n,), "weights": (d, c), "offset": (c,), "toward": (d,)}
    same = len(tracer.ids) == n and len(set(tracer.names)) == c > 1
    same &= all(arrays[name].shape == shape for name, shape in shapes.items())
    same &= all(isinstance(text, str) for text in (*tracer.names, *tracer.ids, tracer.space))
    same &= judged.shape[0] == len(STRANGENESS) and bool((np.diff(judged, axis=1) >= 0).all())
    same &= tracer.level in LEVELS and tracer.method in METHODS and tracer.by in STRANGENESS
    rate = tracer.false_rejection
    usable = about["version"] == VERSION and 0 < rate < 1 <= int(rate * (judged.shape[1] + 1))
    usable &= 0 <= reference.codes.min() <= reference.codes.max() < c
    if not (same and usable and reference.k >= 1 and 0 < reference.scale < np.inf):
        raise ValueError("its parts do not fit each other")
    return tracer
