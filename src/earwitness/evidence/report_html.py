"""A report as one HTML page that needs nothing else, and prints on two or three sheets of A4.

The page holds the report as JSON in a script element that is data and never runs. From it and the pictures
the page can be set again: what was altered in it shows, whether in the data or in what is read.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from earwitness.errors import InputError
from earwitness.evidence.report import (
    MOST,
    Block,
    Figure,
    Points,
    Report,
    Section,
    Table,
    Text,
    digest_of,
    from_json,
    to_json,
)
from earwitness.evidence.report_pictures import Picture
from earwitness.evidence.report_text import plain
from earwitness.metrics.page import text

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 "DejaVu Sans", Verdana, system-ui, sans-serif; color: #1a1a1a; background: #ffffff;
  margin: 2rem auto; max-width: 50rem; padding: 0 1rem; }
h1 { font-size: 1.45em; overflow-wrap: anywhere; margin: 0 0 .8rem; }
h2 { font-size: 1.18em; margin: 1.4em 0 .4em; border-bottom: 1px solid #8a8a8a; padding-bottom: .15rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; } ul { margin: .4rem 0; padding-left: 1.2rem; }
.verdict { border: 2px solid #1a1a1a; border-left-width: 10px; padding: .5rem .9rem; }
.verdict p { margin: .2rem 0; } .verdict .headline { font-size: 1.4em; font-weight: bold; }
.fake { border-color: #a33c00; } .genuine { border-color: #00558a; } .uncertain { border-style: dashed; }
.warn { background: #fff4d6; border-left: 4px solid #a33c00; padding: .3rem .7rem; }
.note, caption { color: #505050; font-size: .88em; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .15rem; }
th, td { text-align: left; vertical-align: top; padding: .15rem .5rem .15rem 0;
  border-bottom: 1px solid #d0d0d0; overflow-wrap: anywhere; }
.facts th { width: 26%; font-weight: normal; color: #505050; }
.facts caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th.n, td.n { text-align: right; padding-right: 1rem; white-space: nowrap; }
figure { margin: .5rem 0; break-inside: avoid; } img { width: 100%; height: auto; }
.digest { font-family: "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
@page { size: A4; margin: 13mm 15mm; }
@media print { body { font-size: 8pt; line-height: 1.3; margin: 0; max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: .7em; }
  h2 + * { break-before: avoid; } img { width: 94%; } tr, li, .verdict { break-inside: avoid; }
  thead { display: table-header-group; } }
"""
DATA = re.compile(r'<script type="application/json" id="report">([^<]*)</script>')
IMAGE = re.compile(r'<img src="data:image/png;base64,([A-Za-z0-9+/=]*)" ')


def html(report: Report) -> str:
    """The page of a report."""
    pictures = {picture.name: picture for picture in report.pictures}
    body = "\n".join(section_html(section, pictures) for section in report.sections)
    data = json.dumps(to_json(report), ensure_ascii=True, allow_nan=False)
    for letter in "<>&":  # so that nothing in it can end the element
        data = data.replace(letter, f"\\u{ord(letter):04x}")
    kind = report.verdict if report.verdict in ("fake", "genuine", "uncertain") else "none"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{text(report.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text(report.title)}</h1>\n"
        f'<div class="verdict {kind}">\n<p class="headline">{text(report.headline)}</p>\n'
        f"<p>{text(report.summary)}</p>\n</div>\n{body}\n"
        f'<p>Digest of this report (SHA-256): <span class="digest">{text(report.digest)}</span></p>\n'
        f'</main>\n<script type="application/json" id="report">{data}</script>\n</body>\n</html>\n'
    )


def section_html(section: Section, pictures: dict[str, Picture]) -> str:
    """A heading and its blocks."""
    blocks = "\n".join(block_html(block, pictures) for block in section.blocks)
    return f"<section>\n<h2>{text(section.title)}</h2>\n{blocks}\n</section>"


def block_html(block: Block, pictures: dict[str, Picture]) -> str:
    """One block."""
    if isinstance(block, Text):
        kind = f' class="{block.tone}"' if block.tone in ("note", "warn") else ""
        return f"<p{kind}>{text(block.text)}</p>"
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{text(point)}</li>" for point in block.points) + "</ul>"
    if isinstance(block, Figure):
        return figure_html(pictures[block.picture]) if block.picture in pictures else ""
    return table_html(block)


def figure_html(picture: Picture) -> str:
    """A picture with its words."""
    data = base64.b64encode(picture.png).decode("ascii")
    width, height = picture.size
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
        f'alt="{text(picture.alt)}"><figcaption class="note">{text(picture.title)}</figcaption></figure>'
    )


def table_html(table: Table) -> str:
    """A table with heads, or names beside values."""
    caption = f"<caption>{text(table.caption)}</caption>"
    if not table.heads:
        rows = (
            f'<tr><th scope="row">{text(row[0])}</th>{cells(row[1:], table.numeric[1:])}</tr>'
            for row in table.rows
        )
        return f'<table class="facts">{caption}<tbody>{"".join(rows)}</tbody></table>'
    heads = "".join(
        f'<th scope="col"{" class=" + chr(34) + "n" + chr(34) if numeric else ""}>{text(head)}</th>'
        for head, numeric in zip(table.heads, table.numeric, strict=True)
    )
    body = "".join(f"<tr>{cells(row, table.numeric)}</tr>" for row in table.rows)
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def cells(row: Sequence[str], numeric: Sequence[bool]) -> str:
    """Cells of a row."""
    return "".join(
        f'<td class="n">{text(cell)}</td>' if number else f"<td>{text(cell)}</td>"
        for cell, number in zip(row, numeric, strict=True)
    )


@dataclass(frozen=True)
class Checked:
    """What a check of a report found: `wrong` is empty where all holds."""

    digest: str  # as stated
    name: str  # of the file that it is about
    wrong: tuple[str, ...]
    note: str = ""  # what could not be compared


def check(page: str, version: str) -> Checked:
    """Whether the digest of a report holds, and in HTML whether the page says what the data says.

    Args:
        page: the text of a report in HTML or JSON.
        version: of earwitness; the words of a page by another are not compared.

    Raises:
        InputError: `bad-report`: it is neither.
    """
    data = DATA.findall(page) if len(page) <= MOST else []
    try:
        found = json.loads(data[0] if data else page[:MOST])
        report, actual = from_json(found), digest_of(found)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InputError("bad-report", "no report of earwitness in HTML or JSON, or damaged") from None
    wrong = []
    if actual != report.digest:
        wrong.append(f"the data was altered: its digest is {actual}, the report says {plain(report.digest)}")
    if not data:
        return Checked(report.digest, report.name, tuple(wrong))
    pngs = {hashlib.sha256(png).hexdigest(): png for png in map(decoded, IMAGE.findall(page))}
    shown = {str(one["name"]): pngs.get(str(one.get("sha256"))) for one in found["pictures"]}
    if missing := sorted(plain(name) for name, png in shown.items() if png is None):
        wrong.append(f"altered or missing pictures: {', '.join(missing)}")
    made = report.versions.get("earwitness", "")
    note = ""
    if made != version:
        note = f"the page is by earwitness {plain(made)}: its words were not compared with the data"
    elif not wrong:
        again = from_json(found, {name: png for name, png in shown.items() if png is not None})
        if html(again) != page:
            wrong.append("the data is as it was made, but the page around it was altered")
    return Checked(report.digest, report.name, tuple(wrong), note)


def decoded(data: str) -> bytes:
    """Bytes of base64; none where it is not."""
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return b""
