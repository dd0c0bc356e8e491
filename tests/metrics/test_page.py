"""The page: complete, self-contained, and proof against what files may hold."""

from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from earwitness.metrics.evaluation import Setup, compare_systems, evaluate
from earwitness.metrics.page import TITLES, interval, number, page
from earwitness.metrics.plots import draw_plots
from earwitness.metrics.subgroups import subgroup_table

pl = pytest.importorskip("polars")
pytest.importorskip("matplotlib")

EVIL = '<script>alert("x")</script>\x1b[2J\x00'
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Tags, attributes and texts of a page; fails where tags do not close."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def html():
    rng = np.random.default_rng(0)
    label = np.repeat([1, 0], 60).astype(np.int8)
    score = rng.normal(np.where(label == 1, 1.0, -1.0), 1.4)
    names = np.where(label == 1, "-", np.where(np.arange(120) % 2, EVIL, "=1+1"))
    frame = pl.DataFrame(
        {"score": score, "label": label, "generator": names, "other": score + rng.normal(0, 1, 120)}
    )
    setup = Setup(draws=400)
    rows, left_out = subgroup_table(frame, "generator", setup)
    report = evaluate(frame, setup) | {
        "version": "0",
        "files": {"scores": {"file": f"{EVIL}.tsv", "sha256": "ab"}, "key": None},
        "matched_by": "id",
        "coverage": {"share": 0.5, "key_rows": 240},
        "threshold_from": "as given",
        "subgroups": rows,
        "subgroups_left_out": {"generator": left_out},
        "against": {"file": "other & more.tsv", "metrics": compare_systems(frame, setup)},
        "warnings": [f"Beware of {EVIL}"],
    }
    sides = (score[label == 1], score[label == 0])
    return page(report, draw_plots({EVIL: sides})), report


def test_it_is_one_well_formed_page(html):
    reader = Reader()
    reader.feed(html[0])
    assert not reader.open
    assert html[0].startswith("<!doctype html>")
    assert html[0].count("<svg") == 4


def test_nothing_is_loaded_or_run(html):
    reader = Reader()
    reader.feed(html[0])
    assert not reader.tags & {"script", "link", "img", "iframe", "object", "image"}
    for name, value in reader.attributes:
        assert not name.startswith("on")
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#")
    assert "default-src 'none'" in html[0]
    assert "@import" not in html[0]
    assert "url(http" not in html[0]


def test_texts_from_files_are_escaped(html):
    assert "<script" not in html[0]
    assert "\x1b" not in html[0]
    assert "\x00" not in html[0]
    assert html[0].count("&lt;script&gt;") >= 3  # title, warning, generator


def test_all_figures_are_there(html):
    text, report = unescape(html[0]), html[1]
    for name, figure in report["metrics"].items():
        title, unit = TITLES[name]
        assert title in text
        assert number(figure["value"], unit) in text
        assert interval(figure, unit) in text
    assert "other & more.tsv" in text
    assert "50.0% of what the key names" in text


def test_colours_follow_light_and_dark_screens(html):
    assert "prefers-color-scheme: dark" in html[0]
    drawn = html[0][html[0].index("<svg") :]
    assert "var(--first)" in drawn
    assert "#0072b2" not in drawn
    assert "#000000" not in drawn


def test_units():
    assert number(0.0123456, "%") == "1.235 %"
    assert number(0.5, "bit") == "0.5000 bit"
    assert number(None, "") == "–"
    assert interval({"low": 0.01, "high": 0.02}, "%") == "1.000 – 2.000"
    assert interval({"low": None, "high": None}, "%") == ""
