r"""A report as PDF: A4, fonts embedded, no dates; the same report gives the same bytes.

Text is in DejaVu Sans, which matplotlib brings. What that lacks is set in Adobe's fonts for Japanese, Chinese
and Korean, which are not embedded but known to PDF readers; what these lack too appears as \uXXXX.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from threading import Lock
from typing import Any

from earwitness.errors import needs_extra
from earwitness.evidence.report import Block, Figure, Points, Report, Table, Text
from earwitness.evidence.report_pictures import Picture
from earwitness.evidence.report_text import plain

SANS, BOLD, MONO = "EarwitnessSans", "EarwitnessSans-Bold", "EarwitnessMono"
FILES = {SANS: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf", MONO: "DejaVuSansMono.ttf"}
EASTERN = (  # font of a reader, and what it can show
    ("HeiseiKakuGo-W5", "shift_jis"),
    ("STSong-Light", "gb2312"),
    ("HYGothic-Medium", "euc_kr"),
)
MARGIN_MM, FOOT_MM = 16, 14
PADDING = 6  # points that reportlab's frames leave inside
LABEL = 0.24  # share of the width for names beside values
INK, GREY, PALE, LINE = "#1a1a1a", "#505050", "#fff4d6", "#b0b0b0"
SIDES = {"fake": "#a33c00", "genuine": "#00558a"}
WRITING = Lock()  # reportlab's registry of fonts is one for all threads


def pdf(report: Report) -> bytes:
    """The report as the bytes of a PDF file.

    Raises:
        MissingExtra: reportlab or matplotlib is not installed.
    """
    with needs_extra("report"):
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.units import mm
        from reportlab.platypus import SimpleDocTemplate
    with WRITING:
        fonts()
        file = io.BytesIO()
        document = SimpleDocTemplate(
            file,
            pagesize=A4,
            leftMargin=MARGIN_MM * mm,
            rightMargin=MARGIN_MM * mm,
            topMargin=FOOT_MM * mm,
            bottomMargin=(FOOT_MM + 4) * mm,
            title=report.title,
            author=f"earwitness {report.versions.get('earwitness', '')}".strip(),
            subject=f"{report.headline} Digest {report.digest}",
            creator="earwitness",
            lang="en-GB",
            displayDocTitle=True,
            invariant=1,
            initialFontName=SANS,
        )
        document.build(story(report, document.width - 2 * PADDING), canvasmaker=numbered(report))
        return file.getvalue()


@lru_cache(maxsize=1)
def fonts() -> None:
    """Register the fonts, once."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    for name, _ in EASTERN:
        pdfmetrics.registerFont(UnicodeCIDFont(name))


@lru_cache(maxsize=4_096)
def font_of(letter: str, base: str = SANS) -> str | None:
    """The font that shows a letter; None if none does."""
    from reportlab.pdfbase import pdfmetrics

    if ord(letter) in pdfmetrics.getFont(base).face.charToGlyph:  # type: ignore[attr-defined]
        return base
    for name, charset in EASTERN:
        try:
            letter.encode(charset)
        except UnicodeEncodeError:
            continue
        return name
    return None


def runs(words: str, base: str = SANS) -> list[tuple[str, str]]:
    """Text in pieces of one font each; letters that no font shows as their code."""
    pieces: list[tuple[str, str]] = []
    for letter in words:
        font = font_of(letter, base)
        shown = letter if font else f"\\u{ord(letter):04x}"
        font = font or base
        if pieces and pieces[-1][0] == font:
            pieces[-1] = (font, pieces[-1][1] + shown)
        else:
            pieces.append((font, shown))
    return pieces


def markup(words: str, base: str = SANS) -> str:
    """Text as reportlab's markup, escaped."""
    return "".join(
        escape(piece) if font == base else f'<font name="{font}">{escape(piece)}</font>'
        for font, piece in runs(words, base)
    )


def styles() -> dict[str, Any]:
    """Paragraph styles by name."""
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    plain_style = ParagraphStyle(
        "plain", fontName=SANS, fontSize=8, leading=10.4, textColor=HexColor(INK), spaceBefore=2, spaceAfter=2
    )

    def like(name: str, **changes: Any) -> ParagraphStyle:
        return ParagraphStyle(name, parent=plain_style, **changes)

    return {
        "plain": plain_style,
        "note": like("note", fontSize=7.2, leading=9.2, textColor=HexColor(GREY)),
        "warn": like("warn", backColor=HexColor(PALE), borderPadding=2.5, spaceBefore=5, spaceAfter=5),
        "title": like("title", fontName=BOLD, fontSize=13, leading=16.5, spaceAfter=6),
        "headline": like("headline", fontName=BOLD, fontSize=12.5, leading=16),
        "heading": like(
            "heading", fontName=BOLD, fontSize=10, leading=12.5, spaceBefore=8, spaceAfter=2, keepWithNext=1
        ),
        "lead": like("lead", keepWithNext=1),
        "point": like(
            "point",
            leftIndent=9,
            bulletIndent=1,
            bulletFontName=SANS,
            bulletFontSize=8,
            spaceBefore=0.5,
            spaceAfter=0.5,
        ),
        "cell": like("cell", spaceBefore=0, spaceAfter=0),
        "label": like("label", spaceBefore=0, spaceAfter=0, textColor=HexColor(GREY)),
        "number": like("number", spaceBefore=0, spaceAfter=0, alignment=2),
        "caption": like(
            "caption", fontSize=7.2, leading=9.2, textColor=HexColor(GREY), spaceAfter=1, keepWithNext=1
        ),
        "digest": like("digest", fontName=MONO, fontSize=7.6),
    }


def story(report: Report, width: float) -> list[Any]:
    """What flows over the pages, which are so many points wide."""
    from reportlab.platypus import KeepTogether, Paragraph, Spacer

    known = styles()
    pictures = {picture.name: picture for picture in report.pictures}
    flow: list[Any] = [Paragraph(markup(report.title, BOLD), known["title"]), box(report, known, width)]
    for section in report.sections:
        blocks = [flowables(block, pictures, known, width) for block in section.blocks]
        heading = Paragraph(markup(section.title, BOLD), known["heading"])
        flow.append(KeepTogether([heading, *(blocks[0] if blocks else [])]))
        flow += [KeepTogether(block) if len(block) > 1 else block[0] for block in blocks[1:] if block]
    flow += [Spacer(0, 4), Paragraph("Digest of this report (SHA-256):", known["plain"])]
    return [*flow, Paragraph(markup(report.digest, MONO), known["digest"])]


def box(report: Report, known: dict[str, Any], width: float) -> Any:
    """The verdict in a frame; dashed where nothing was decided."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Paragraph
    from reportlab.platypus import Table as Grid

    colour = HexColor(SIDES.get(report.verdict, INK))
    words = [Paragraph(markup(report.headline, BOLD), known["headline"])]
    words.append(Paragraph(markup(report.summary), known["plain"]))
    dash = None if report.verdict in SIDES else (4, 2)
    grid = Grid([[words]], colWidths=[width])
    grid.setStyle(
        [
            ("BOX", (0, 0), (-1, -1), 1.5, colour, 0, dash),
            ("LEFTPADDING", (0, 0), (-1, -1), 8),
            ("FONTNAME", (0, 0), (-1, -1), SANS),
        ]
    )
    return grid


def flowables(block: Block, pictures: dict[str, Picture], known: dict[str, Any], width: float) -> list[Any]:
    """One block."""
    from reportlab.platypus import Image, Paragraph

    if isinstance(block, Text):
        style = known["lead" if block.text.endswith(":") else block.tone if block.tone in known else "plain"]
        return [Paragraph(markup(block.text), style)]
    if isinstance(block, Points):
        return [Paragraph(markup(point), known["point"], bulletText="•") for point in block.points]
    if isinstance(block, Figure):
        if block.picture not in pictures:
            return []
        picture = pictures[block.picture]
        across, down = picture.size
        image = Image(io.BytesIO(picture.png), width, width * down / across)
        return [image, Paragraph(markup(picture.title), known["note"])]
    return grid(block, known, width)


def grid(table: Table, known: dict[str, Any], width: float) -> list[Any]:
    """A table that breaks over pages; its heads come again."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Paragraph
    from reportlab.platypus import Table as Grid

    if not table.rows:
        return []
    columns = len(table.rows[0])
    if table.heads:
        widths = [width * share for share in shares(table)]
        rows = [[Paragraph(markup(head, BOLD), style_of(n, known, BOLD)) for head, n in zip_heads(table)]]
        rows += [
            [Paragraph(markup(cell), known["number" if n else "cell"]) for cell, n in zip_row(row, table)]
            for row in table.rows
        ]
    else:
        widths = [width * LABEL] + [width * (1 - LABEL) / (columns - 1)] * (columns - 1)
        rows = [
            [Paragraph(markup(cell), known["cell" if i else "label"]) for i, cell in enumerate(row)]
            for row in table.rows
        ]
    made = Grid(rows, colWidths=widths, repeatRows=1 if table.heads else 0, hAlign="LEFT")
    made.setStyle(
        [
            ("FONTNAME", (0, 0), (-1, -1), SANS),  # of nothing, but it would be named in the file
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(LINE)),
            ("TOPPADDING", (0, 0), (-1, -1), 1.2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
        ]
    )
    return [Paragraph(markup(table.caption), known["caption"]), made] if table.heads else [made]


def shares(table: Table) -> list[float]:
    """Shares of the width for columns, by their longest cells within bounds."""
    rows = [table.heads, *table.rows]
    longest = [min(60, max(8, *(len(row[i]) for row in rows))) for i in range(len(table.heads))]
    return [one / sum(longest) for one in longest]


def zip_heads(table: Table) -> list[tuple[str, bool]]:
    """Heads, and whether numbers stand under them."""
    return list(zip(table.heads, table.numeric, strict=True))


def zip_row(row: Sequence[str], table: Table) -> list[tuple[str, bool]]:
    """Cells, and whether they are numbers."""
    return list(zip(row, table.numeric, strict=True))


def style_of(numeric: bool, known: dict[str, Any], font: str) -> Any:
    """The style of a head."""
    base = known["number" if numeric else "cell"]
    return base.clone(f"head-{base.name}", fontName=font)


def shortened(name: str, width: float, size: float = 7) -> list[tuple[str, str]]:
    """A name in pieces of one font each, the middle left out until it is so many points wide at most."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    for limit in range(max(12, len(name)), 11, -1):
        pieces = runs(plain(name, limit))
        if sum(stringWidth(piece, font, size) for font, piece in pieces) <= width:
            return pieces
    return runs(plain(name, 12))


def undated() -> Any:
    """What a PDF says of itself, without the dates that reportlab would make up."""
    from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFInfo, PDFString

    class Undated(PDFInfo):
        def format(self, document: Any) -> bytes:
            names = ("title", "author", "subject", "creator", "producer")
            told = {name.capitalize(): PDFString(getattr(self, name)) for name in names}
            return PDFDictionary(told).format(document)

    return Undated()


def numbered(report: Report) -> Any:
    """A canvas that writes the foot of each page once it knows how many there are."""
    from reportlab.lib.colors import HexColor
    from reportlab.lib.units import mm
    from reportlab.pdfgen.canvas import Canvas

    digest = report.digest[:16]

    class Numbered(Canvas):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._doc.info = undated()  # type: ignore[attr-defined]  # before title and author are set
            self.pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self.pages.append(dict(self.__dict__))
            self._startPage()  # type: ignore[attr-defined]

        def save(self) -> None:
            for number, page in enumerate(self.pages, 1):
                self.__dict__.update(page)
                self.foot(f"report {digest}   page {number} of {len(self.pages)}")
                super().showPage()
            super().save()

        def foot(self, right: str) -> None:
            width = self._pagesize[0]  # type: ignore[attr-defined]
            self.setFillColor(HexColor(GREY))
            across = MARGIN_MM * mm + PADDING
            for font, piece in shortened(report.name, width / 2):
                self.setFont(font, 7)
                self.drawString(across, FOOT_MM / 2 * mm, piece)
                across += self.stringWidth(piece, font, 7)
            self.setFont(SANS, 7)
            self.drawRightString(width - MARGIN_MM * mm - PADDING, FOOT_MM / 2 * mm, right)

    return Numbered
