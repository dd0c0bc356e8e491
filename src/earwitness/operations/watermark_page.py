"""Cards of watermarks side by side, as one HTML page that needs nothing else.

Whatever comes from schemes and protocols (names, sentences) is escaped. Shares are coloured from vermillion
(0) to blue (1), which the colour-blind tell apart; the figures stand in the cells.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from earwitness.metrics.page import STYLE, table, text

Card = dict[str, Any]
Figure = Mapping[str, Any]

HEAT = """
.heat td.c { text-align: right; white-space: nowrap; } .heat small { color: var(--grey); }
.heat tr.family th { padding-top: .9rem; } .heat td.left { padding-left: 1.4rem; }
"""
FAMILIES = {
    "none": "As marked",
    "codec": "Codecs",
    "mobile-codec": "Codecs of mobile telephones",
    "re-synthesis": "Re-synthesis",
    "vocoder": "Vocoder",
    "chain": "What a recording meets on one way",
    "averaging": "Attack: averages of marked recordings taken off",
    "overwriting": "Attack: marked again",
    "mix": "A second voice",
    "reverb": "Rooms",
    "resample": "Sample rates",
    "requantise": "Coarser samples",
    "packets": "Lost packets",
}
MEASURES = {  # title, digits
    "snr_db": ("SNR, dB", 1),
    "si_snr_db": ("SI-SNR, dB", 1),
    "correlation": ("correlation", 4),
    "lag": ("lag, samples", 2),
    "pesq_wb": ("PESQ, wide band (to 4.64)", 2),
    "stoi": ("STOI (to 1)", 3),
    "lsd_db": ("log-spectral distance, dB", 2),
}


def card_page(cards: Sequence[Card]) -> str:
    """The page of one card or several, in their order."""
    title = "Watermarks: what they survive, cost and get wrong"
    parts = [
        f"<h1>{text(title)}</h1>",
        "<p>A mark says who marked a recording. It does not say that speech is fake: anybody with a scheme "
        "can mark genuine speech. Its absence says nothing: marks can be taken off.</p>",
        *(f'<p class="warn">{text(line)}</p>' for line in warnings(cards)),
        scheme_table(cards),
        heat(cards, "both", "Detected and rightly named"),
        heat(cards, "named", "Rightly named, whether detected or not"),
        heat(cards, "detected", "Detected"),
        heat(cards, "bits", "Bits read rightly (half are by chance)"),
        cost_table(cards),
        own_table(cards),
        forgery_table(cards),
        alarm_table(cards),
        naming_table(cards),
        quality_table(cards),
        speed_table(cards),
        f'<p class="note">{text(origin(cards))}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}{HEAT}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def warnings(cards: Sequence[Card]) -> list[str]:
    """What a reader has to know before the figures."""
    told = []
    for card in cards:
        name = card["scheme"]["name"]
        told += [f"{name}: {note}." for note in card["notes"]]
        told += [
            f"{name}: {one['condition']} failed on {one['times']} recordings: {one['why']}"
            for one in card["failed"]
        ]
        if card["left_out"]:
            first = card["left_out"][0]
            count = len(card["left_out"])
            told.append(f"{name}: {count} recordings were left out, first {first['id']}: {first['why']}")
    return told


def scheme_table(cards: Sequence[Card]) -> str:
    """What was measured on how much."""
    rows = []
    for card in cards:
        scheme, marked = card["scheme"], card["marked"]
        says = f"{len(scheme['names'])} names" if scheme["names"] else "presence only"
        says += f" in {scheme['bits']} bits" if scheme["bits"] else ""
        says += ", and where" if scheme["places"] else ""
        rows.append(
            [
                scheme["name"], says, f"{scheme['sample_rate']:,} Hz",
                f"{marked['fake']} fake ({marked['own']} by a name of its own), {marked['genuine']} genuine",
                f"{marked['groups']}", f"{card['options']['strength']:g}", scheme["digest"][:12],
            ]
        )  # fmt: skip
    heads = [("scheme", False), ("says", False), ("at", True), ("marked recordings", False)]
    return table([*heads, ("groups", True), ("strength", True), ("digest", False)], rows)


def conditions_of(cards: Sequence[Card]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Conditions of all cards by family, each by name; in the order in which they are first met."""
    families: dict[str, dict[str, Mapping[str, Any]]] = {}
    for card in cards:
        for row in card["conditions"]:
            families.setdefault(row["family"], {}).setdefault(row["name"], row)
    attacks = [name for name, rows in families.items() if next(iter(rows.values()))["kind"] == "attack"]
    return {name: families[name] for name in [*(one for one in families if one not in attacks), *attacks]}


def heat(cards: Sequence[Card], figure: str, title: str) -> str:
    """A share per condition and scheme; families stand together, under the means of their conditions."""
    found = [{row["name"]: row["all"] for row in card["conditions"]} for card in cards]
    if not any(part[figure] for card in found for part in card.values()):
        return ""
    body = ""
    for family, rows in conditions_of(cards).items():
        if len(rows) > 1:
            cells = "".join(
                mean_cell([part[name] for name in rows if name in part], figure) for part in found
            )
            body += f'<tr class="family"><th scope="row">{text(family_name(family))}</th>{cells}</tr>'
        for name, row in rows.items():
            mark = " †" if row["held_out"] else ""
            label = f"{family_name(family)}" if name == "none" else name
            cells = "".join(share_cell(part.get(name, {}).get(figure)) for part in found)
            kind = ' class="left"' if len(rows) > 1 else ""
            body += f"<tr><td{kind}>{text(label + mark)}</td>{cells}</tr>"
    heads = "".join(f'<th class="n">{text(card["scheme"]["name"])}</th>' for card in cards)
    note = (
        '<p class="note">In brackets 95 % intervals over groups. Rows in bold are means over a family. '
        "† held out: no scheme of ours is trained with it.</p>"
    ).replace("95 %", f"{cards[0]['options']['level'] * 100:g} %")
    return (
        f'<h2>{text(title)}</h2>{note}<div class="wide"><table class="heat"><thead><tr><th>after</th>{heads}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def family_name(family: str) -> str:
    """A family in words."""
    return FAMILIES.get(family, family.replace("-", " ").capitalize())


def share_cell(figure: Figure | None) -> str:
    """A coloured cell with a share and its interval."""
    if not figure or figure["value"] is None:
        return '<td class="c">–</td>'
    low, high = figure["low"], figure["high"]
    ends = "" if low is None or high is None else f" <small>[{low * 100:.0f}, {high * 100:.0f}]</small>"
    return f'<td class="c"{colour(figure["value"])}>{percent(figure["value"])}{ends}</td>'


def mean_cell(parts: Sequence[Mapping[str, Any]], figure: str) -> str:
    """A coloured cell with the mean of several shares."""
    values = [part[figure]["value"] for part in parts if part[figure] and part[figure]["value"] is not None]
    if not values:
        return '<td class="c">–</td>'
    mean = sum(values) / len(values)
    return f'<td class="c"{colour(mean)}><b>{percent(mean)}</b></td>'


def colour(share: float) -> str:
    """Background of a share."""
    red, green, blue = (0, 114, 178) if share >= 0.5 else (213, 94, 0)
    return f' style="background: rgba({red}, {green}, {blue}, {abs(share - 0.5) * 1.1:.2f})"'


def percent(share: float | None) -> str:
    """A share as a percentage; never rounded to all or nothing."""
    if share is None:
        return "–"
    shown = f"{share * 100:.0f} %"
    return f"{share * 100:.1f} %" if (shown in ("0 %", "100 %") and 0 < share < 1) else shown


def bounded(figure: Figure | None) -> str:
    """A share with its interval, as text."""
    if not figure or figure["value"] is None:
        return "–"
    low, high = figure["low"], figure["high"]
    return percent(figure["value"]) + ("" if low is None or high is None else f" [{low:.1%}, {high:.1%}]")


def cost_table(cards: Sequence[Card]) -> str:
    """How much of a marked recording attacks leave."""
    found = [
        {row["name"]: row["all"]["snr_db"] for row in card["conditions"] if row["kind"] == "attack"}
        for card in cards
    ]
    rows = []
    for name in dict.fromkeys(name for part in found for name in part):
        figures = [part.get(name) for part in found]
        shown = [f"{one['value']:.1f}" if one and one["value"] is not None else "–" for one in figures]
        rows.append([name, *shown])
    heads = [("attack", False), *((card["scheme"]["name"], True) for card in cards)]
    note = '<p class="note">Marked speech over what an attack changed, dB.</p>'
    return "<h2>What attacks leave of a recording</h2>" + note + table(heads, rows) if rows else ""


def own_table(cards: Sequence[Card]) -> str:
    """Speech of generators that a scheme has names of, and anyone else's."""
    rows = []
    for card in cards:
        if not card["scheme"]["names"]:
            continue
        families: dict[str, list[Mapping[str, Any]]] = {"distortion": [], "attack": []}
        for row in card["conditions"]:
            families.get(row["kind"], []).append(row)
        for label, name in (("own generators", "own"), ("anyone else", "other")):
            cells = [card["scheme"]["name"], label, str(card["conditions"][0][name]["recordings"])]
            cells.append(bounded(card["conditions"][0][name]["both"]))
            for some in families.values():
                values = [row[name]["both"]["value"] for row in some if row[name]["both"]]
                known = [value for value in values if value is not None]
                cells.append(percent(sum(known) / len(known) if known else None))
            rows.append(cells)
    heads = [("scheme", False), ("speech of", False), ("recordings", True), ("as marked", True)]
    heads += [("mean over distortions", True), ("mean over attacks", True)]
    title = "<h2>Detected and rightly named, by whose speech it is</h2>"
    return title + table(heads, rows) if rows else ""


def forgery_table(cards: Sequence[Card]) -> str:
    """What vendors never marked and is read as theirs."""
    rows = []
    for card in cards:
        for row in card["forgeries"]:
            for name in ("genuine", "fake"):
                found = row[name]
                if found["recordings"]:
                    shown = [bounded(found[figure]) for figure in ("detected", "named", "both")]
                    label = "marked by anybody" if row["name"] == "framed" else row["name"]
                    rows.append([card["scheme"]["name"], label, name, str(found["recordings"]), *shown])
    if not rows:
        return ""
    heads = [("scheme", False), ("how", False), ("speech", False), ("recordings", True), ("detected", True)]
    note = (
        '<p class="note">Framing: attribution then says what the mark says, and no verdict follows. Forged: '
        "the average of others' marked recordings is put on, without the scheme. Lower is better.</p>"
    )
    return (
        "<h2>False attribution on purpose</h2>"
        + note
        + table([*heads, ("named as wanted", True), ("both", True)], rows)
    )


def alarm_table(cards: Sequence[Card]) -> str:
    """Marks that were heard where there are none."""
    rows = []
    for card in cards:
        for row in card["false_alarms"]:
            cells = [card["scheme"]["name"], "as it is" if row["name"] == "none" else row["name"]]
            for name in ("genuine", "fake"):
                cells += [f"{row[name]['alarms']} of {row[name]['recordings']}", bounded(row[name])]
            if row["name"] == "none" or row["genuine"]["alarms"] or row["fake"]["alarms"]:
                rows.append([*cells, percent(card["scheme"]["false_alarm"])])
    heads = [("scheme", False), ("unmarked speech", False), ("genuine", True), ("share", True)]
    heads += [("fake", True), ("share", True), ("promised", True)]
    note = (
        '<p class="note">Intervals are Wilson\'s, recordings taken one by one. Distortions after which there '
        "was no alarm are not shown.</p>"
    )
    return "<h2>False alarms</h2>" + note + table(heads, rows) if rows else ""


def naming_table(cards: Sequence[Card]) -> str:
    """Names that would be given without any mark."""
    rows = []
    for card in cards:
        found = card["named_without_a_mark"]
        if found and found["recordings"]:
            shown = [percent(found["share"]), percent(found["chance"])]
            rows.append([card["scheme"]["name"], f"{found['recordings']}", str(found["most"]), *shown])
    heads = [("scheme", False), ("recordings", True), ("named most", False), ("share", True)]
    title = "<h2>Whom unmarked speech would name</h2>"
    return title + table([*heads, ("each by chance", True)], rows) if rows else ""


def quality_table(cards: Sequence[Card]) -> str:
    """How much of a recording a mark changes."""
    rows = []
    for name, (title, digits) in MEASURES.items():
        cells = [title]
        for card in cards:
            found = card["quality"][name]
            if found["missing"]:
                cells.append("not installed")
                continue
            if found["value"] is None:
                cells.append("unchanged" if found["unchanged"] else "–")
                continue
            shown = f"{found['value']:.{digits}f}"
            if found["low"] is not None and found["high"] is not None:
                shown += f" [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"
            shown += f", {found['failures']} without" if found["failures"] else ""
            cells.append(shown + (f", {found['unchanged']} unchanged" if found["unchanged"] else ""))
        rows.append(cells)
    for name, title in (("inverted", "polarity turned over, clips"), ("shifted", "out of step, clips")):
        rows.append([title, *(str(card["quality"][name]) for card in cards)])
    rows.append(["clips", *(str(card["quality"]["snr_db"]["recordings"]) for card in cards)])
    heads = [("marked against unmarked", False), *((card["scheme"]["name"], True) for card in cards)]
    return "<h2>Quality</h2>" + table(heads, rows)


def speed_table(cards: Sequence[Card]) -> str:
    """Time per second of audio."""
    rows = []
    for card in cards:
        values = [card["speed"][name] for name in ("embedding", "detection")]
        rows.append([card["scheme"]["name"], *("–" if one is None else f"{one:.4f}" for one in values)])
    note = '<p class="note">Processor seconds for a second of audio, one thread; medians over recordings.</p>'
    return "<h2>Speed</h2>" + note + table([("scheme", False), ("marking", True), ("reading", True)], rows)


def origin(cards: Sequence[Card]) -> str:
    """How the figures came about."""
    if not cards:
        return ""
    how = cards[0]["options"]
    return (
        f"Clips of up to {how['seconds']:g} s. Intervals: {how['draws']:,} draws of whole groups, seed "
        f"{how['seed']}; a share of all or none ends where Wilson's interval for as many groups does. "
        f"earwitness {cards[0]['earwitness']}."
    )
