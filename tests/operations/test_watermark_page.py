"""Cards as a page: every figure in its cell, nothing from elsewhere, nothing of others' unescaped."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from toy_watermark import noises, spread
from typer import Typer
from typer.testing import CliRunner

from earwitness.audio.protocol import write_protocol
from earwitness.cli.watermark_card import card as command
from earwitness.operations import watermark_card as cards
from earwitness.operations.watermark_page import card_page, colour, percent
from earwitness.operations.watermark_trials import CardOptions

QUICK = CardOptions(seconds=2.0, limit=6, unmarked=6, disturbed=6, quality=2, average=(4,), draws=400)
EVIL = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Tables as rows of texts, and all tags."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.tags, self.open = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "table" in self.open and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    items = noises(tmp_path_factory.mktemp("noises"))
    bare = replace(spread(names=("alpha",)), name="presence", names=())
    first = cards.measure(spread(), items, [bare], ("inverted", "8-bit", "6-bit"), QUICK)
    second = cards.measure(bare, items, (), ("8-bit", "inverted", "echo"), replace(QUICK, quality=0))
    return [json.loads(json.dumps(one)) for one in (first, second)]


def test_every_share_stands_in_its_cell(two):
    page = Reader(card_page(two))
    assert not page.open
    (heat,) = [table for table in page.tables if table[0] == ["after", "toy", "presence"]][-1:]
    cells = {row[0].removesuffix(" †"): row[1:] for row in heat}
    for i, card in enumerate(two):
        for row in card["conditions"]:
            label = "As marked" if row["name"] == "none" else row["name"]
            shown, found = cells[label][i], row["all"]["detected"]
            low, high = round(found["low"] * 100), round(found["high"] * 100)
            assert shown == f"{percent(found['value'])} [{low}, {high}]"
    assert cells["echo"][0] == "–"
    assert "echo †" in [row[0] for row in heat]


def test_families_stand_together_and_attacks_last(two):
    heat = next(table for table in Reader(card_page(two)).tables if table[0][0] == "after")
    labels = [row[0] for row in heat]
    requantised = labels.index("Coarser samples")
    assert labels[requantised + 1 : requantised + 3] == ["8-bit", "6-bit"]
    assert labels[1] == "As marked"
    assert all(label.startswith(("overwritten", "averaged", "Attack")) for label in labels[-10:])


def test_a_scheme_without_names_has_no_figures_of_naming(two):
    page = card_page(two[1:])
    assert "rightly named" not in re.sub(r"<p.*?</p>", "", page)
    assert "presence only" in page
    assert "Whom unmarked speech would name" not in page


def test_the_page_needs_nothing_and_escapes_everything(two):
    card = json.loads(json.dumps(two[0]))
    card["scheme"]["name"] = card["conditions"][0]["name"] = card["named_without_a_mark"]["most"] = EVIL
    card["notes"], card["left_out"] = [EVIL], [{"id": EVIL, "why": EVIL}]
    card["failed"] = [{"condition": EVIL, "times": 1, "why": EVIL}]
    page = card_page([card, two[1]])
    tags = Reader(page).tags
    assert not [tag for tag, _ in tags if tag in ("script", "img", "link", "iframe")]
    assert not [
        name for _, attributes in tags for name in attributes if name in ("src", "href") or name[:2] == "on"
    ]
    assert page.count("&lt;script&gt;") >= 8
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1, "100 %"), (0.999, "99.9 %"), (0.001, "0.1 %"), (0.5, "50 %"), (None, "–")],
)
def test_few_are_not_none(share, shown):
    assert percent(share) == shown


def test_colours_run_from_one_end_to_the_other():
    strength = [float(re.search(r"([\d.]+)\)", colour(share))[1]) for share in (0, 0.3, 0.5, 0.8, 1)]
    assert strength == pytest.approx([0.55, 0.22, 0, 0.33, 0.55])
    assert colour(0).split(", ")[0] != colour(1).split(", ")[0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    bundle = pytest.importorskip("earwitness.evidence.watermark_bundle")
    asked = []

    def open_scheme(name):
        asked.append(name)
        return replace(spread(seed=len(name)), name=name)

    monkeypatch.setattr(bundle, "open_scheme", open_scheme)
    write_protocol(noises(tmp_path / "noises", 8), tmp_path / "protocol.csv", tmp_path)
    app = Typer()
    app.command()(command)

    def invoke(*arguments):
        fixed = ["--limit", "4", "--average", "2", "--distortion", "inverted", "--jobs", "1"]
        return CliRunner().invoke(app, [str(tmp_path / "protocol.csv"), *arguments, *fixed])

    invoke.asked = asked
    return invoke


def test_the_command_writes_page_and_figures_and_goes_on(run, tmp_path):
    outputs = ["--out", str(tmp_path / "card.html"), "--json", str(tmp_path / "card.json")]
    more = ["--scheme", "one", "--scheme", "other", "--resume", str(tmp_path / "kept")]
    first = run(*outputs, *more)
    assert first.exit_code == 0, first.output
    assert "one: 4 marked recordings, 100.0% detected, 100.0% rightly named" in first.output
    assert {"one", "other"} <= set(run.asked)
    written = json.loads((tmp_path / "card.json").read_text())
    assert [card["scheme"]["name"] for card in written["cards"]] == ["one", "other"]
    assert any(row["name"] == "overwritten-by-other-1" for row in written["cards"][0]["conditions"])
    page = (tmp_path / "card.html").read_bytes()
    assert run(*outputs, *more).exit_code == 0
    assert (tmp_path / "card.html").read_bytes() == page  # times too are of the first run
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_wrong_usage_is_one_line(run, tmp_path):
    found = run("--scheme", "one", "--out", str(tmp_path / "card.html"), "--seconds", "99")
    assert found.exit_code == 2
    assert "clips are 1 to 20 s long, found 99" in found.output
    assert not (tmp_path / "card.html").exists()
