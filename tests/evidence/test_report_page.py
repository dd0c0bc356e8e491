"""Pages of a report: complete, harmless, and any alteration shows."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_of_tone import CARD, EVIL, made, record_of, write_tone

from earwitness.errors import InputError
from earwitness.evidence.report import from_json, to_json
from earwitness.evidence.report_html import check, html
from earwitness.evidence.report_pictures import Picture, render


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("tone") / "tone.wav")


@pytest.fixture(scope="module")
def picture():
    png = render(lambda figure: figure.text(0.5, 0.5, "P"), (1, 0.5))
    return Picture("timeline", "Over time", 'A "picture" & more', png)


@pytest.fixture(scope="module")
def report(file, picture):
    return made(record_of(file), (picture,))


class Reader(HTMLParser):
    """Tags, texts by tag; every element is closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag] = self.texts.get(tag, "") + data


# pages


def test_a_page_is_closed_named_and_runs_nothing(report):
    page = Reader(html(report))
    assert page.texts["h1"] == report.title
    policy = next(found["content"] for tag, found in page.tags if found.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    scripts = [found for tag, found in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "report"}]
    images = [found for tag, found in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ['A "picture" & more']
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert not re.search(r'(?:src|href|url)\s*[=(]\s*"?(?!data:)(?:https?:)?//', html(report))
    assert ("html", {"lang": "en"}) in page.tags
    assert all(found.get("scope") for tag, found in page.tags if tag == "th")
    levels = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == "h1"
    assert set(levels[1:]) == {"h2"}
    assert json.loads(page.texts["script"])["digest"] == report.digest


def test_a_hostile_name_stays_text(file):
    report = made(
        {**record_of(file, rule=EVIL, codec=EVIL, warnings=[EVIL]), "path": EVIL},
        card={**CARD, "limits": [EVIL]},
    )
    page = html(report)
    assert "alert(1)</script>" not in page.replace("&lt;", "<!")
    assert [tag for tag, _ in Reader(page).tags].count("script") == 1
    assert "<b>" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    assert len(report.title) < 300
    assert check(page, "9.9").wrong == ()


# the digest


def test_the_digest_is_that_of_the_json_without_it(report):
    found = to_json(report)
    stated = found.pop("digest")
    text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == stated == report.digest
    assert found["pictures"][0]["sha256"] == hashlib.sha256(report.pictures[0].png).hexdigest()


def test_a_report_comes_back_from_json(report):
    pngs = {picture.name: picture.png for picture in report.pictures}
    assert from_json(json.loads(json.dumps(to_json(report))), pngs) == report
    assert check(json.dumps(to_json(report), indent=3), "9.9").wrong == ()


def shows(page):
    """Whether a check finds it altered, or no report at all."""
    try:
        return bool(check(page, "9.9").wrong)
    except InputError as error:
        return error.code == "bad-report"


def leaves(found, path=()):
    """Paths to all values of a JSON tree."""
    if isinstance(found, dict | list) and found:
        items = found.items() if isinstance(found, dict) else enumerate(found)
        for key, value in items:
            yield from leaves(value, (*path, key))
    else:
        yield path


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_altered_value_shows(report, data):
    found = json.loads(json.dumps(to_json(report)))
    path = data.draw(st.sampled_from(sorted(leaves(found), key=str)))
    place = found
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    place[path[-1]] = f"{old}!" if isinstance(old, str) else 7.25
    assert shows(json.dumps(found))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_altered_letter_of_a_page_shows(report, data):
    page = html(report)
    place = data.draw(st.integers(0, len(page) - 1))
    letter = data.draw(st.sampled_from('aZ0<>&" \n').filter(lambda one: one != page[place]))
    assert shows(page[:place] + letter + page[place + 1 :])


def test_words_and_pictures_of_a_page_cannot_be_exchanged(report, picture):
    page = html(report)
    visible = page.replace(f'"headline">{report.headline}', '"headline">All is well.')
    assert visible != page
    around = "the data is as it was made, but the page around it was altered"
    assert check(visible, "9.9").wrong == (around,)
    other = replace(picture, png=render(lambda figure: figure.text(0.1, 0.5, "Q"), (1, 0.5)))
    old, new = (base64.b64encode(one.png).decode() for one in (picture, other))
    assert old in page
    assert "pictures: timeline" in check(page.replace(old, new), "9.9").wrong[0]


def test_a_page_of_another_version_is_checked_as_far_as_it_can_be(report):
    found = check(html(report), "1.0")
    assert found.wrong == ()
    assert "9.9" in found.note
    assert check(html(report), "9.9").note == ""


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "<p>", '{"kind":"earwitness-report"}', "[" * 100_000]
)
def test_what_is_no_report_is_refused(text):
    with pytest.raises(InputError) as caught:
        check(text, "9.9")
    assert caught.value.code == "bad-report"
