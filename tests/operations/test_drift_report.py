"""The report of drift: what it says is so, and hostile names stay text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from earwitness.errors import InputError
from earwitness.operations.drift_report import clusters_of, to_reference, write_report
from earwitness.operations.samples import Samples

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

EVIL = "<script>alert(1)</script>\x1b[2J\u202e"
NAMES = [f"pc{i + 1}" for i in range(15)]


def row(window, view="all", **changed):
    found = {
        "window": window,
        "view": view,
        "first": f"{EVIL}a",
        "last": "b",
        "t0": "2024-01-01",
        "t1": "2024-01-31",
        "size": 64,
        "distances": {"wasserstein": 0.2, "$x$": 0.1},
        "deviations": {"wasserstein": 0.5, "$x$": -0.1},
        "statistic": 0.5,
        "p": 0.4,
        "bound": 3.0,
        "cusum": 0.0,
        "cusum_bound": 5.0,
        "alarm": False,
        "cusum_alarm": False,
        "change": None,
    }
    return {**found, **changed}


@pytest.fixture
def parts():
    """A reference, and a window whose dimension 3 moved by 2 and which has two clusters."""
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(300, 15))
    rows = rng.normal(size=(40, 15))
    rows[:, 3] += 2
    rows[30:] += 8
    ids = [f"i{i}" for i in range(40)]
    columns = {"path": [f"{EVIL}{i}.wav" for i in range(39)] + ["-"], "source": ["one"] * 30 + ["two"] * 10}
    return reference, Samples(ids, np.linspace(-2, 2, 40), rows.astype(np.float32), columns)


def report(path, history, parts):
    write_report(history, parts[1], parts[0], lambda rows: rows, NAMES, path)
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.paragraphs, self.tables, self.inside = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("p", "td", "th") else self.inside
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data):
        if self.inside == "p":
            self.paragraphs[-1] += data
        elif self.inside:
            self.tables[-1][-1][-1] += data


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_needs_nothing_else_and_obeys_nobody(tmp_path, parts):
    page = report(tmp_path / "r.html", [row(i, view) for i in range(3) for view in ("all", "fake")], parts)
    found = read(page)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in found.tags}
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    outside = [
        a
        for _, a in found.tags
        for key in ("href", "src", "xlink:href")
        if not a.get(key, "#").startswith("#")
    ]
    assert not outside
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"\son\w+=", page)
    assert sum(tag == "svg" for tag, _ in found.tags) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_no_drift_is_said_and_alarms_before_are_told(tmp_path, parts):
    told = read(report(tmp_path / "r.html", [row(0), row(1)], parts)).paragraphs[0]
    assert told == "Everything: no drift in the last window, window 1 (2024-01-01 to 2024-01-31)."
    history = [row(0), row(1, alarm=True, statistic=4.0), row(2)]
    told = read(report(tmp_path / "r.html", history, parts)).paragraphs[0]
    assert "no drift in the last window" in told
    assert "1 of 3 windows alarmed before, the last window 1" in told


def test_drift_is_dated_by_its_change_point_or_the_first_alarm_of_its_run(tmp_path, parts):
    history = [
        row(0, alarm=True),
        row(1),
        row(2, alarm=True),
        row(3, alarm=True, deviations={"energy": 7.25}),
    ]
    told = read(report(tmp_path / "r.html", history, parts)).paragraphs[0]
    assert told.startswith("Everything: drift since window 2 (")
    assert "this window alarmed at window 3" in told
    assert "most by energy, 7.2 deviations" in told
    history[-1] |= {"cusum_alarm": True, "change": 1}
    told = read(report(tmp_path / "r.html", history, parts)).paragraphs[0]
    assert told.startswith("Everything: drift since window 1 (")
    assert "this window and the CUSUM alarmed" in told


def test_the_tables_are_right(tmp_path, parts):
    reference, latest = parts
    found = read(report(tmp_path / "r.html", [row(0, alarm=True, cusum_alarm=True)], parts))
    alarms, dimensions, clusters, typical, farthest = found.tables
    assert alarms[1][2] == "window and CUSUM"
    by_hand = [wasserstein_distance(reference[:, i], latest.embeddings[:, i]) for i in range(15)]
    order = np.argsort(by_hand)[::-1][:10]
    assert [cells[0] for cells in dimensions[1:]] == [NAMES[i] for i in order]
    assert dimensions[1][0] == "pc4"
    assert [cells[1] for cells in dimensions[1:]] == [f"{by_hand[i]:.2f}" for i in order]
    shift = latest.embeddings[:, 3].mean() - reference[:, 3].mean()
    assert dimensions[1][2] == f"{shift:+.2f}"
    assert [cells[0] for cells in clusters[1:]] == ["10", "30"]
    assert clusters[1][3] == "two 100%"
    assert len(typical) == len(farthest) == 11
    assert {re.findall(r"\d+", cells[0])[-1] for cells in farthest[1:]} == {str(i) for i in range(30, 40)}
    assert "i39" in {cells[0] for cells in farthest[1:]}
    assert not {"30.wav", "i39"} & {cells[0][-6:] for cells in typical[1:]}


def test_distances_to_the_reference_are_those_of_all_pairs(parts):
    reference, latest = parts
    pairs = np.sqrt(((latest.embeddings[:, None].astype(float) - reference[None]) ** 2).sum(-1))
    by_hand = np.sort(pairs, axis=1)[:, :5].mean(1) / np.sqrt(15)
    np.testing.assert_allclose(to_reference(reference, latest.embeddings), by_hand, rtol=1e-6)


def test_clusters_are_found_where_there_are_any():
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(20, 6)) + shift for shift in (0, 9, 30)])
    labels = clusters_of(rows)
    assert len(set(labels.tolist())) == 3
    assert all(len(set(labels[i : i + 20].tolist())) == 1 for i in (0, 20, 40))
    assert set(clusters_of(np.ones((30, 4))).tolist()) == {0}


def test_a_window_of_hardly_anything_is_reported(tmp_path, parts):
    for count in (0, 1, 5):
        page = report(tmp_path / "r.html", [row(0)], (parts[0], parts[1].take(np.arange(count))))
        assert ("Farthest" in page) == bool(count)
        assert "Clusters" not in page


def test_what_does_not_fit_is_refused(tmp_path, parts):
    with pytest.raises(InputError, match="no window"):
        report(tmp_path / "r.html", [], parts)
    with pytest.raises(InputError, match="3 are named"):
        write_report([row(0)], parts[1], parts[0], lambda rows: rows, NAMES[:3], tmp_path / "r.html")
    with pytest.raises(InputError) as caught:
        report(tmp_path / "none" / "r.html", [row(0)], parts)
    assert caught.value.code == "unwritable"
