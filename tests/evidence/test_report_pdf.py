"""A report as PDF: letters are shown or spelt out, nothing steers the markup, the same bytes each time."""

import re
import shutil
import subprocess

import pytest

pytest.importorskip("reportlab")

from hypothesis import given, settings
from hypothesis import strategies as st
from report_of_tone import EVIL, made, record_of, write_tone

from earwitness.evidence import report_pdf
from earwitness.evidence.report_pdf import EASTERN, SANS, fonts, markup, pdf, runs
from earwitness.evidence.report_pictures import Picture, render


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("tone") / "tone.wav")


def picture():
    return Picture("timeline", "t", "a", render(lambda figure: figure.text(0.5, 0.5, "P"), (1, 0.5)))


def text_of(content, tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    (tmp_path / "a.pdf").write_bytes(content)
    command = ["pdftotext", "-layout", tmp_path / "a.pdf", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def bare(text):
    """Text without spaces, of which readers of PDF make what they like."""
    return "".join(text.split())


def test_a_pdf_embeds_its_fonts_names_itself_and_holds_no_date(file):
    report = made(record_of(file), (picture(),))
    content = pdf(report)
    assert content.startswith(b"%PDF-")
    assert b"CreationDate" not in content
    assert b"ModDate" not in content
    assert b"Helvetica" not in content
    assert b"DejaVuSans" in content
    assert b"/FontFile2" in content
    assert b"/Lang (en-GB)" in content
    assert b"(earwitness 9.9)" in content
    assert b"/JavaScript" not in content
    assert pdf(report) == content


def test_pages_are_numbered_with_name_and_digest(file, tmp_path):
    report = made(record_of(file), (picture(),))
    content = pdf(report)
    count = len(re.findall(rb"/Type /Page\b", content))
    assert 1 <= count <= 3
    text = text_of(content, tmp_path)
    pages = text.rstrip("\f").split("\f")
    assert len(pages) == count
    for number, page in enumerate(pages, 1):
        foot = page.rstrip().splitlines()[-1]
        assert foot.split()[0] == "tone.wav"
        assert foot.endswith(f"report {report.digest[:16]}   page {number} of {count}") or re.search(
            rf"report {report.digest[:16]}\s+page {number} of {count}$", foot
        )
    assert report.digest in text


def test_a_pdf_says_what_the_page_says(file, tmp_path):
    report = made(record_of(file), (picture(),))
    text = bare(text_of(pdf(report), tmp_path))
    for section in report.sections:
        assert bare(section.title) in text
        for block in section.blocks:
            for row in getattr(block, "rows", ()):
                assert bare(row[0]) in text
            if hasattr(block, "text"):
                assert bare(block.text) in text
    assert bare(report.headline) in text


@pytest.mark.parametrize(
    "name",
    [EVIL, "会議の録音 最終版.wav", "長" * 5_000, "录音文件 会议记录.wav",
     "회의 녹음.wav", "👍 \U0001f9e8.wav", "x" * 9_999,
     "</para><font size=99>&amp;", "שלום عالم"],
)  # fmt: skip
def test_no_name_brings_it_down(file, name):
    report = made({**record_of(file, warnings=[name], rule=name), "path": name})
    content = pdf(report)
    assert len(re.findall(rb"/Type /Page\b", content)) <= 4


def test_letters_outside_of_the_font_are_set_in_another_or_spelt_out(file, tmp_path):
    fonts()
    assert runs("a会b") == [(SANS, "a"), ("HeiseiKakuGo-W5", "会"), (SANS, "b")]
    assert runs("议") == [("STSong-Light", "议")]
    assert runs("의") == [("HYGothic-Medium", "의")]
    assert runs("👍") == [(SANS, "\\u1f44d")]
    record = record_of(file, rule="会議の録音")
    assert "会議の録音" in text_of(pdf(made(record)), tmp_path)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=40))
def test_markup_keeps_every_letter_in_a_font_that_has_it(text):
    from reportlab.platypus.paraparser import ParaParser

    fonts()
    printable = "".join(c for c in text if c.isprintable())
    spelt = "".join(piece for _, piece in runs(printable))
    assert spelt == "".join(c if report_pdf.font_of(c) else f"\\u{ord(c):04x}" for c in printable)
    known = {SANS, *(name for name, _ in EASTERN)}
    assert {font for font, _ in runs(printable)} <= known
    style = report_pdf.styles()["plain"]
    _, pieces, _ = ParaParser().parse(f"<para>{markup(printable)}</para>", style)
    assert "".join(piece.text for piece in pieces) == spelt


@pytest.mark.parametrize("name", ["call.wav", "長" * 500, "x" * 119 + ".wav", "W" * 60])
def test_the_name_at_the_foot_fits(name):
    from reportlab.pdfbase.pdfmetrics import stringWidth

    fonts()
    pieces = report_pdf.shortened(name, 200)
    assert sum(stringWidth(piece, font, 7) for font, piece in pieces) <= 200
    if name == "call.wav":
        assert pieces == [(SANS, name)]
