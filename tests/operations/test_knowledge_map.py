"""The map: its geometry against a full decomposition, and hostile names against an HTML parser."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from earwitness.errors import InputError
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.operations import knowledge_map
from earwitness.operations.knowledge_map import MOST_NAMES, flatten, write_map
from earwitness.types import ModelId

MODEL = ModelId("tiny", "1", "ab" * 32)
SIZE = 16
TAGS = set(
    "html head meta title style body h1 h2 p svg circle rect div label input script".split()
)  # all that a map is made of


class Page(HTMLParser):
    """Elements in order: (tag, attributes, text directly within)."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.found, self.open = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])
        if tag not in ("meta", "input"):
            self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][2] += data

    def points(self):
        """(attributes, title) of each entry."""
        pairs = zip(self.found, self.found[1:], strict=False)
        return [(one[1], title[2]) for one, title in pairs if "data-g" in one[1]]


def name_of(number):
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:16]


def make(number, segments=2, **known):
    rng = np.random.default_rng(number)
    rows = rng.normal(size=(segments, SIZE)) + 2 * np.eye(SIZE)[number % 2]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    entry = Entry(
        **{"id": name_of(number), "bona_fide": bool(number % 2), "duration_s": 4.0, "score": 0.0} | known
    )
    return Item(entry, rows, np.arange(segments) * 4.0)


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "known.db", MODEL, SIZE) as made:
        yield made


def test_the_axes_are_those_of_a_full_decomposition():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 40)) * np.linspace(1, 2, 40)
    places, share = flatten(rows)
    centred = rows - rows.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * spread[:2]
    for i in range(2):
        sign = np.sign(places[:, i] @ expected[:, i])
        np.testing.assert_allclose(places[:, i], sign * expected[:, i], atol=1e-2 * spread[0])
    assert share == pytest.approx((spread[:2] ** 2).sum() / (spread**2).sum(), rel=1e-4)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    assert (apart <= np.linalg.norm(rows[:, None] - rows, axis=2) + 1e-9).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_next_to_nothing_can_be_drawn(base, tmp_path, count):
    base.add([make(i) for i in range(count)])
    write_map(base, tmp_path / "map.html")
    assert len(Page(tmp_path / "map.html").points()) == count


def test_recordings_that_are_all_alike_lie_in_one_place(base, tmp_path):
    rows = np.eye(SIZE, dtype=np.float32)[[0]]
    base.add([Item(make(i).entry, rows, np.zeros(1)) for i in range(5)])
    write_map(base, tmp_path / "map.html")
    places = {
        (one.get("cx"), one.get("cy")) for one, _ in Page(tmp_path / "map.html").points() if "cx" in one
    }
    assert places == {("500.0", "350.0")}


def test_every_entry_is_drawn_with_what_is_known_of_it(base, tmp_path):
    items = [make(i, generator=f"g{i}", path=f"/voices/{i}.wav", source="page") for i in range(30)]
    base.add(items)
    base.quarantine(name_of(7), "far inside the other class")
    write_map(base, tmp_path / "map.html")
    page = Page(tmp_path / "map.html")
    points = page.points()
    assert len(points) == 30
    for i, (found, title) in enumerate(points):
        label = "genuine" if i % 2 else "fake"
        assert found["class"] == (f"{label} quarantined" if i == 7 else label)
        assert ("cx" in found) == bool(i % 2)
        assert 0 < float(found.get("cx", found.get("x"))) < 1000
        lines = title.split("\n")
        assert lines[0] == f"{name_of(i)}: {label}"
        assert {f"generator: g{i}", "source: page", f"path: /voices/{i}.wav"} <= set(lines)
        alike = [(items[i].embeddings @ other.embeddings.T).max() for other in items]
        alike[i] = alike[7] = -np.inf
        nearest = np.argsort(alike)[::-1][:5]
        assert found["data-n"] == " ".join(map(str, nearest))
        assert [line.split()[1] for line in lines[-5:]] == [name_of(j) for j in nearest]
    boxes = [one[1]["value"] for one in page.found if one[0] == "input"]
    assert set(boxes) == {"all", *(found["data-g"] for found, _ in points)}
    written = (tmp_path / "map.html").read_bytes()
    write_map(base, tmp_path / "map.html")
    assert (tmp_path / "map.html").read_bytes() == written


EVIL = [
    "</script><img src=x onerror=alert(1)>",
    "</title></svg><script>alert(1)</script>",
    '"\' onload=alert(1) x="',
    "]]><!--",
    "&lt;img src=x&gt;",
    "\x1b[2J\u202egnp.exe\r\n\t",
    "${alert(1)}`\\",
]


def test_hostile_names_are_text_and_nothing_else(base, tmp_path):
    columns = ("generator", "source", "path", "speaker", "licence", "language", "quarantined")
    base.add([make(i, **dict.fromkeys(columns, evil)) for i, evil in enumerate(EVIL)])
    write_map(base, tmp_path / "map.html")
    page = Page(tmp_path / "map.html")
    assert not page.open
    assert {one[0] for one in page.found} <= TAGS
    assert sum(one[0] == "script" for one in page.found) == 1
    for _, attributes, _ in page.found:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes)
    titles = [title for _, title in page.points()]
    for evil, title in zip(EVIL[:5] + EVIL[6:], titles[:5] + titles[6:], strict=True):
        assert f"generator: {evil}" in title.split("\n")
        assert f"path: {evil}" in title.split("\n")
    assert r"generator: \x1b[2J\u202egnp.exe\r\n\t" in titles[5].split("\n")
    labels = "".join(one[2] for one in page.found if one[0] == "label")
    assert EVIL[0] in labels


def test_the_page_asks_for_nothing_and_runs_one_script_that_holds_no_data(base, tmp_path):
    base.add([make(i, generator="secret-name") for i in range(4)])
    write_map(base, tmp_path / "map.html")
    text = (tmp_path / "map.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    script = re.search(r"<script>(.*)</script>", text, re.S).group(1)
    assert "secret-name" not in script
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_a_large_base_is_sampled_and_says_so(base, tmp_path, monkeypatch):
    monkeypatch.setattr(knowledge_map, "MOST_POINTS", 50)
    base.add([make(i, generator=f"g{i}") for i in range(120)])
    write_map(base, tmp_path / "map.html")
    page = Page(tmp_path / "map.html")
    assert len(page.points()) == 50
    assert "A random 50 of 120 are drawn" in "".join(one[2] for one in page.found if one[0] == "p")


def test_rare_generators_share_a_box(base, tmp_path):
    base.add([make(i, generator=f"g{i}") for i in range(MOST_NAMES + 12)])
    write_map(base, tmp_path / "map.html")
    page = Page(tmp_path / "map.html")
    labels = [one[2].strip() for one in page.found if one[0] == "label"]
    assert len(labels) == MOST_NAMES + 2
    assert labels[-1] == "12 others (12)"
    assert sum(found["data-g"] == str(MOST_NAMES) for found, _ in page.points()) == 12


def test_a_long_name_is_cut_in_the_middle(base, tmp_path):
    base.add([make(0, path="/a" + "b" * 4_000 + "/end.wav")])
    write_map(base, tmp_path / "map.html")
    ((_, title),) = Page(tmp_path / "map.html").points()
    (path,) = [line for line in title.split("\n") if line.startswith("path: ")]
    assert len(path) <= len("path: ") + 200
    assert path.startswith("path: /abb")
    assert path.endswith("b/end.wav")


def test_a_map_that_cannot_be_written_is_one_sentence(base, tmp_path):
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_map(base, tmp_path / "none" / "map.html")
    assert caught.value.code == "unwritable"
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_map(base, tmp_path / "folder.html")
    assert {file.name for file in tmp_path.iterdir()} == {"known.db", "folder.html"} | {
        file.name for file in tmp_path.glob("known.db-*")
    }
