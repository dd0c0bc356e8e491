"""A knowledge base as a picture: one HTML page that needs nothing else, readable without its script.

Whatever the base says (names, paths) is written as text with its special characters escaped; the script
is always the same, holds none of it, and is the only one that the page's policy lets run.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from earwitness.evidence.knowledge import Entry, Knowledge
from earwitness.metrics.page import STYLE, text, write_page
from earwitness.operations.knowledge_matrix import Matrix, best, likeness, load
from earwitness.operations.knowledge_stats import LABELS, label_of

MOST_POINTS = 5_000
NEIGHBOURS = 5
MOST_NAMES = 60  # generators in the legend
LONGEST = 200  # characters of a name or path that are shown
WIDTH, HEIGHT, MARGIN, RADIUS = 1000, 700, 20, 5
DIRECTIONS, ROUNDS = 12, 60  # of the iteration that finds the axes
LOOK = """
.map { border: 1px solid var(--line); }
.genuine { fill: var(--first); stroke: var(--first); } .fake { fill: var(--second); stroke: var(--second); }
.map .genuine, .map .fake { fill-opacity: .55; cursor: pointer; }
.quarantined { fill: none; stroke-width: 1.5; stroke-dasharray: 2 1.5; pointer-events: all; }
.off { display: none; } .near { stroke: currentColor; stroke-width: 3; }
.here { stroke: currentColor; stroke-width: 4; fill-opacity: 1; }
.key { width: 1rem; height: 1rem; vertical-align: middle; }
.names { display: flex; flex-wrap: wrap; gap: .2rem 1rem; } .names label { overflow-wrap: anywhere; }
#told { white-space: pre-wrap; overflow-wrap: anywhere; min-height: 12rem; }
"""
SCRIPT = """
const map = document.querySelector('.map'), told = document.getElementById('told');
const points = [...map.querySelectorAll('[data-g]')], boxes = [...document.querySelectorAll('.names input')];
let pinned = null;
const show = point => {
  points.forEach(one => one.classList.remove('near', 'here'));
  point.classList.add('here');
  point.dataset.n.split(' ').filter(Boolean).forEach(n => points[n].classList.add('near'));
  told.textContent = point.querySelector('title').textContent;
};
map.addEventListener('pointerover', event => {
  const point = event.target.closest('[data-g]');
  if (point && !pinned) show(point);
});
map.addEventListener('click', event => {
  pinned = event.target.closest('[data-g]');
  if (pinned) show(pinned);
});
const sift = () => {
  const on = new Map(boxes.map(box => [box.value, box.checked]));
  points.forEach(point => point.classList.toggle('off', on.get(point.dataset.g) === false));
};
boxes.forEach(box => {
  box.disabled = false;
  box.addEventListener('change', event => {
    if (box.value === 'all') boxes.forEach(one => { one.checked = box.checked; });
    sift();
  });
});
"""


def write_map(base: Knowledge, path: Path, seed: int = 0) -> None:
    """Draw the entries of a base, or a random 5,000 of them, into one HTML file.

    Args:
        base: not changed.
        path: written whole or not at all; what was there is replaced.
        seed: of the sample.

    Raises:
        InputError: `unwritable`.
    """
    matrix = load(base, MOST_POINTS, seed=seed)
    write_page(path, page(base, matrix), "the map")


def page(base: Knowledge, matrix: Matrix) -> str:
    """The page of the entries in a matrix."""
    places, share = flatten(matrix.mean_of_rows(matrix.rows))
    groups, names = legend(matrix.entries)
    title = f"Knowledge base {base.path.name}"
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    parts = [
        f"<h1>{text(title)}</h1>",
        *(f"<p>{text(line)}</p>" for line in explained(base, matrix, share)),
        keys(),
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Map of the entries">',
        *points(matrix, fit(places), groups),
        "</svg>",
        '<div id="told" class="warn">Point at an entry to read what is known of it; click to keep it, and '
        "beside the map to let it go. Its nearest neighbours are outlined.</div>",
        "<h2>Generators</h2>",
        f'<div class="names">{names}</div>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{LOOK}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + f"\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def explained(base: Knowledge, matrix: Matrix, share: float) -> list[str]:
    """What is drawn, and what the picture can and cannot show."""
    genuine = int(matrix.bona_fide.sum())
    entries = len(matrix.entries)
    drawn = f"{entries:,} entries: {genuine:,} genuine, {entries - genuine:,} fake, of {base.model.name}"
    if not entries:
        return ["The base is empty."]
    if matrix.known > entries:
        drawn += f". A random {entries:,} of {matrix.known:,} are drawn, and neighbours are sought among them"
    return [
        f"{drawn}.",
        f"Each point is the mean embedding of a recording, {base.size} numbers flattened to the two "
        "directions in which the entries differ most (principal components). They hold "
        f"{share:.0%} of the variation. Points far apart are different recordings to the detector; points "
        "that lie together may still be far apart in what was flattened away, so trust the similarities "
        "listed with a point, which are computed in full, between the most similar windows. The directions "
        "have no meaning of their own, and no place on the map proves that a recording is fake.",
    ]


def flatten(means: np.ndarray) -> tuple[np.ndarray, float]:
    """Principal components: rows (entries, size) -> places (entries, 2) and the share of variance they hold.

    The axes come from orthogonal iteration from a fixed start, so that a large base takes seconds; each
    points to where its largest component is positive.
    """
    rows = np.asarray(means, float)
    rows = rows - (rows.mean(axis=0) if len(rows) else 0)
    total = float((rows**2).sum())
    if total < 1e-12 * max(len(rows), 1):
        return np.zeros((len(rows), 2)), 1.0
    width = min(DIRECTIONS, rows.shape[1])
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(rows.shape[1], width)))[0]
    for _ in range(ROUNDS):
        axes = np.linalg.qr(rows.T @ (rows @ axes))[0]
    _, spread, turned = np.linalg.svd(rows @ axes, full_matrices=False)
    axes = (axes @ turned.T)[:, :2]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    places = np.zeros((len(rows), 2))
    places[:, : axes.shape[1]] = rows @ axes
    return places, min(1.0, float((spread[:2] ** 2).sum()) / total)


def fit(places: np.ndarray) -> np.ndarray:
    """Places (entries, 2) in the picture, at one scale for both axes."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    scale = float((room / np.maximum(high - low, 1e-12)).min())
    scale = scale if (high > low).any() else 1.0
    return (places - (low + high) / 2) * scale * [1, -1] + np.array([WIDTH, HEIGHT]) / 2


def legend(entries: Sequence[Entry]) -> tuple[list[str], str]:
    """The group of each entry by its generator, and boxes (HTML) to show or hide each group.

    The commonest generators have their own group, the others one together.
    """
    counts = Counter(entry.generator for entry in entries)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    numbers = {name: str(min(i, MOST_NAMES)) for i, name in enumerate(ordered)}
    titles = [(short(name) if name != "-" else "none named", counts[name]) for name in ordered[:MOST_NAMES]]
    if len(ordered) > MOST_NAMES:
        rest = sum(counts[name] for name in ordered[MOST_NAMES:])
        titles.append((f"{len(ordered) - MOST_NAMES:,} others", rest))
    rows = [("all", "all", len(entries)), *((str(i), *title) for i, title in enumerate(titles))]
    boxes = (
        f'<label><input type="checkbox" value="{value}" checked disabled autocomplete="off"> '
        f"{text(name)} ({count:,})</label>"
        for value, name, count in rows
    )
    return [numbers[entry.generator] for entry in entries], "\n".join(boxes)


def points(matrix: Matrix, places: np.ndarray, groups: Sequence[str]) -> list[str]:
    """An SVG element for each entry; what is known of it is its title, which browsers show by themselves."""
    found: list[str] = []
    voters = np.flatnonzero(matrix.votes)
    for part, block in likeness(matrix):
        block = np.maximum.reduceat(block, matrix.edges[part] - matrix.edges[part.start], axis=0)
        own = np.arange(part.start, part.stop)
        block[own - part.start, own] = -np.inf
        for i, near, values in zip(own, *best(block, voters, NEIGHBOURS), strict=True):
            there = [(int(j), float(v)) for j, v in zip(near, values, strict=True) if np.isfinite(v)]
            entry = matrix.entries[i]
            kind = f"{label_of(entry)} quarantined" if entry.quarantined else label_of(entry)
            indices = " ".join(str(j) for j, _ in there)
            known = "\n".join(map(text, described(entry, [(matrix.entries[j], v) for j, v in there])))
            title = f'class="{kind}" data-g="{groups[i]}" data-n="{indices}"><title>{known}</title>'
            found.append(drawn(entry.bona_fide, places[i], title))
    return found


def drawn(bona_fide: bool, place: np.ndarray, rest: str) -> str:
    """A disc for genuine, a square for fake, so that colour is not needed to tell them apart."""
    x, y = place
    if bona_fide:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" {rest}</circle>'
    corner = f'x="{x - RADIUS + 0.5:.1f}" y="{y - RADIUS + 0.5:.1f}"'
    return f'<rect {corner} width="{2 * RADIUS - 1}" height="{2 * RADIUS - 1}" {rest}</rect>'


def described(entry: Entry, near: Sequence[tuple[Entry, float]]) -> list[str]:
    """What is known of an entry and of its neighbours, in lines."""
    lines = [f"{entry.id}: {label_of(entry)}{', reviewed' if entry.reviewed else ''}"]
    named = {"generator": entry.generator, "source": entry.source, "path": entry.path}
    lines += [f"{name}: {short(value)}" for name, value in named.items() if value != "-"]
    if entry.quarantined:
        lines.append(f"quarantined: {short(entry.quarantined)}")
    if near:
        lines.append("nearest that vote:")
    for other, similarity in near:
        made_by = "" if other.generator == "-" else f", {short(other.generator)}"
        lines.append(f"  {min(similarity, 1.0):.3f}  {other.id}  {label_of(other)}{made_by}")
    return lines


def short(name: str) -> str:
    """A name or a path of bearable length: its beginning and its end."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2 - 1]}…{name[-LONGEST // 2 :]}"


def keys() -> str:
    """What the shapes mean."""
    shapes = []
    for label in LABELS:
        for kind in ("", " quarantined"):
            rest = f'class="{label}{kind}">'
            mark = drawn(label == "genuine", np.array([8.0, 8.0]), rest)
            svg = f'<svg class="key" viewBox="0 0 16 16" aria-hidden="true">{mark}</svg>'
            shapes.append(f"{svg} {label}{kind and ', quarantined: may not vote'}")
    return f"<p>{' &nbsp; '.join(shapes)}</p>"
