"""What a report says, section by section: plain words for the figures of a verdict record.

All text from files, cards and knowledge bases goes through `plain`: no control characters, bounded length.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from earwitness.decision.calibration import posterior_of_fake
from earwitness.evidence.report import Block, Figure, FileFacts, Points, Section, Table, Text
from earwitness.evidence.report_credentials import Credentials
from earwitness.evidence.report_figures import model_section
from earwitness.evidence.report_pictures import Picture
from earwitness.evidence.report_text import NAME, clock, percent, plain
from earwitness.evidence.verdict import decide
from earwitness.types import Thresholds, Window

__all__ = ["HEADLINES", "NAME", "plain", "sections", "summary"]

HEADLINES = {
    "fake": "The speech sounds synthetic.",
    "genuine": "The speech sounds like that of a human being.",
    "uncertain": "Cannot tell whether the speech is synthetic or human.",
    "no-speech": "Not judged: there is too little speech.",
    "error": "Not judged: the file could not be heard.",
}
SCALE = (  # least likelihood ratio, what it supports; ENFSI's guideline, see `SOURCE`
    (10_000, "very strong support"),
    (1_000, "strong support"),
    (100, "moderately strong support"),
    (10, "moderate support"),
    (2, "weak support"),
    (1, "no support"),
)
SOURCE = "ENFSI Guideline for Evaluative Reporting in Forensic Science, 2015"
LADDER = (
    "1 to 2 none, to 10 weak, to 100 moderate, to 1,000 moderately strong, to 10,000 strong, "
    "above that very strong"
)
PRIORS = (0.01, 0.1, 0.5)
MOST_SPANS = 10
MOST_NEIGHBOURS = 5
LIMITS = (
    "It is about the sound of the voice alone. It does not say who speaks or who made the recording, why, or "
    "whether what is said is true.",
    "A real person imitating another, a recording of another day, or one that was cut and put together again "
    "from genuine speech is not fake in this sense.",
    "Genuine speech that went through a vocoder, voice conversion or a neural codec counts as synthetic.",
    "It is a measurement of a statistical model with known rates of error, not a proof. On recordings unlike "
    "those it was tested on, it errs more often than its figures say. It should not decide alone.",
)
DOUBTS = {
    "fake": "Genuine recordings are called fake at the rate under “The model”.",
    "genuine": "Fakes are called genuine at the rate under “The model”; unknown makers may pass more often.",
    "uncertain": "“Cannot tell” is no finding for either side.",
    "no-speech": "Nothing follows about the recording, neither that it is fake nor that it is genuine.",
    "error": "Nothing follows about the recording, neither that it is fake nor that it is genuine.",
}


def summary(record: Mapping[str, Any]) -> str:
    """One or two sentences under the headline."""
    if record["error"]:
        return plain(record["error"]["message"])
    if record["llr"] is None:
        return plain(record["rule"].split(": ", 1)[-1])
    p_fake, prior = record["p_fake"], record["prior"]
    if not record["calibrated"]:
        return f"The model gives P(fake) {p_fake:.2f}. It is not calibrated: that is no probability."
    said = (
        f"Of recordings that sound like this one, {per_hundred(p_fake)} in 100 are fake, if {percent(prior)} "
        "of all that are heard are fake to begin with (the prior). "
    )
    if record["spans"] and record["verdict"] != "fake":
        count = len(record["spans"])
        some = "one stretch of it sounds fake by itself"
        if count > 1:
            some = f"{count:,} stretches of it sound fake by themselves"
        return f"{said}{support(record['llr'])} But {some}, see “Over time”."
    return said + support(record["llr"])


def per_hundred(p_fake: float) -> str:
    """A probability in hundredths; never none and never all."""
    if p_fake < 0.01:
        return "fewer than 1"
    return "more than 99" if p_fake > 0.99 else f"about {100 * p_fake:.0f}"


def probability(p_fake: float) -> str:
    """A probability to three digits; never none and never all."""
    if p_fake < 0.001:
        return "< 0.001"
    return "> 0.999" if p_fake > 0.999 else f"{p_fake:.3f}"


def support(llr: float) -> str:
    """The likelihood ratio of an LLR for bona fide, in words."""
    ratio, word, side = weighed(llr)
    other = "human" if side == "synthetic" else "synthetic"
    if word == "no support":
        said = f"The sound is about as likely of synthetic as of human speech (ratio {ratio:.1f})"
        return f"{said}: no support for either."
    said = f"The sound is {times(ratio)} times more likely of {side} than of {other} speech"
    return f"{said}: {word} for {side} speech."


def weighed(llr: float) -> tuple[float, str, str]:
    """How much more likely the sound is on one side, the word for it, and the side."""
    ratio = math.exp(min(abs(llr), 700.0))
    word = next(word for least, word in SCALE if ratio >= least)
    return ratio, word, "synthetic" if llr < 0 else "human"


def times(ratio: float) -> str:
    """A ratio of 1 or more to two digits."""
    if ratio > 1e6:
        return "more than 1,000,000"
    digits = max(0, math.floor(math.log10(ratio)) - 1)
    return f"about {ratio:.1f}" if ratio < 9.95 else f"about {round(ratio, -digits):,.0f}"


def sections(
    record: Mapping[str, Any],
    facts: FileFacts,
    card: Mapping[str, Any] | None,
    pictures: Sequence[Picture],
    credentials: Credentials | None,
    versions: Mapping[str, str],
) -> tuple[Section, ...]:
    """Everything under the headline, in order."""
    there = {picture.name for picture in pictures}
    found = [
        Section("The file", file_blocks(record, facts)),
        strength_section(record) if record["llr"] is not None else None,
        Section("What this does not mean", (Points((DOUBTS[record["verdict"]], *LIMITS)),)),
        time_section(record, facts, there),
        neighbour_section(record["knowledge"]) if record.get("knowledge") else None,
        watermark_section(record["watermark"]) if record.get("watermark") else None,
        attribution_section(record) if record.get("attribution") else None,
        credentials_section(credentials),
        model_section(record, card),
        origin_section(record, versions),
    ]
    return tuple(section for section in found if section)


def file_blocks(record: Mapping[str, Any], facts: FileFacts) -> tuple[Block, ...]:
    """What file it is, and what is in it."""
    quality = record["quality"] or {}
    rows = [("name", plain(record["path"], 3 * NAME)), ("SHA-256", plain(record["sha256"] or "not known"))]
    if facts.size is not None:
        rows.append(("size", f"{facts.size:,} bytes"))
    kind = [plain(one) for one in (facts.container, record["codec"]) if one]
    if kind:
        rows.append(("container, codec" if facts.container else "codec", ", ".join(kind)))
    if record["sample_rate"]:
        many = record["channels"] or 0
        channels = f", {many:g} {'channel' if many == 1 else 'channels'}" if many else ""
        rows.append(("sound", f"{record['sample_rate']:,} Hz{channels}"))
    if record["duration_s"] is not None:
        length = f"{clock(record['duration_s'])} ({record['duration_s']:.2f} s)"
        if facts.promised_s is not None and abs(facts.promised_s - record["duration_s"]) > 0.5:
            length += f"; its header promises {facts.promised_s:.2f} s"
        rows.append(("length", length))
    if quality:
        said = f"{quality['speech_s']:.1f} s, at {quality['level_dbfs']:.0f} dBFS; sound up to "
        said += f"{quality['bandwidth_hz']:,.0f} Hz; {percent(quality['clipped'])} clipped, "
        rows.append(("speech", said + f"{percent(quality['digital_silence'])} digital silence"))
    warnings = tuple(Text(plain(line), "warn") for line in record["warnings"][:20])
    return (Table("The file", (), (False, False), tuple(rows)), *warnings)


def strength_section(record: Mapping[str, Any]) -> Section:
    """The figures behind the verdict, and what it would be at other priors."""
    llr, limits = record["llr"], record["thresholds"]
    rows = [
        ("verdict", plain(record["verdict"])),
        ("P(fake)", f"{probability(record['p_fake'])} at a prior of {percent(record['prior'])}"),
        ("thresholds", f"fake from {limits['fake']:.3f}, genuine up to {limits['genuine']:.3f}"),
        ("rule that decided", plain(record["rule"])),
        ("score", f"{record['score']:.3f} (the model's own, higher for human speech)"),
    ]
    blocks: list[Block] = []
    if record["calibrated"]:
        ratio, word, side = weighed(llr)
        shown = f"{times(ratio)} to 1 for {side} speech (natural logarithm {abs(llr):.2f}): {word}"
        rows.insert(1, ("likelihood ratio", shown))
        blocks.append(Text(f"Verbal scale of the likelihood ratio: {LADDER} ({SOURCE}).", "note"))
        blocks.append(priors_table(record))
    else:
        warn = "The model is not calibrated: its figures are no probabilities and no likelihood ratios."
        blocks.append(Text(warn, "warn"))
    return Section(
        "The finding and its strength", (Table("The finding", (), (False, False), tuple(rows)), *blocks)
    )


def priors_table(record: Mapping[str, Any]) -> Table:
    """The verdict at other shares of fakes."""
    windows = [Window(**{k: w[k] for k in ("start_s", "end_s", "score", "llr")}) for w in record["windows"]]
    limits, rows = Thresholds(record["thresholds"]["fake"], record["thresholds"]["genuine"]), []
    for prior in sorted({*PRIORS, record["prior"]}):
        name, p_fake, _ = decide(record["llr"], windows, prior, limits)
        shown = percent(prior) + (" (this report)" if prior == record["prior"] else "")
        rows.append((shown, probability(p_fake), name))
    heads = ("share of fakes expected beforehand", "P(fake)", "verdict would be")
    return Table("The same recording under other expectations", heads, (False, True, False), tuple(rows))


def time_section(record: Mapping[str, Any], facts: FileFacts, there: set[str]) -> Section:
    """When it sounds fake: pictures and the list of spans."""
    blocks: list[Block] = [Figure("timeline")] if "timeline" in there else []
    if facts.note:
        blocks.append(Text(facts.note, "note"))
    if record["spans"]:
        blocks.append(spans_table(record["spans"]))
        blocks.append(Text("Spans show where the model reacts, not proven edits; listen to them.", "note"))
    elif record["llr"] is not None and record.get("timeline"):
        blocks.append(Text("No stretch of a second or more is at or above the threshold by itself.", "note"))
    if "spectrogram" in there:
        blocks.append(Figure("spectrogram"))
    if record["llr"] is not None and len(record["windows"]) > 1:
        worst = min(record["windows"], key=lambda one: one["llr"])
        p_fake = float(posterior_of_fake(worst["llr"], record["prior"]))
        at = f"{clock(worst['start_s'])} to {clock(worst['end_s'])}"
        said = f"Scored in {len(record['windows']):,} windows; the lowest is {at}, P(fake) {p_fake:.3f}."
        blocks.append(Text(said, "note"))
    return Section("Over time", tuple(blocks) or (Text("Nothing to show.", "note"),))


def spans_table(spans: Sequence[Mapping[str, float]]) -> Table:
    """The spans with the highest P(fake), in order of time."""
    highest = sorted(spans, key=lambda one: (-one["p_fake"], one["start_s"] - one["end_s"], one["start_s"]))
    rows = tuple(
        (
            clock(one["start_s"]),
            clock(one["end_s"]),
            f"{one['end_s'] - one['start_s']:.2f}",
            f"{one['p_fake']:.3f}",
        )
        for one in sorted(highest[:MOST_SPANS], key=lambda one: one["start_s"])
    )
    more = len(spans) - len(rows)
    caption = "Stretches that sound fake" + (f" (highest {len(rows)}; {more:,} more)" if more > 0 else "")
    return Table(caption, ("from", "to", "seconds", "P(fake)"), (True,) * 4, rows)


def neighbour_section(found: Mapping[str, Any]) -> Section:
    """What a knowledge base of labelled recordings has that is like it."""
    decided = "Without them the verdict would be another." if found["decided_by"] == "knowledge" else ""
    near = "" if found["covered"] else "None is near enough to count."
    said = f"Compared with {found['entries']:,} recordings whose origin is known. {near} {decided}"
    rows = tuple(
        (
            "genuine" if one["bona_fide"] else "fake",
            plain(one["generator"] or "–", 80),
            f"{one['similarity']:.3f}",
            f"{clock(one['window_s'])}",
            plain(f"{one['path']} at {clock(one['start_s'])} [{one['id']}]", 120),
        )
        for one in found["neighbours"][:MOST_NEIGHBOURS]
    )
    heads = ("is", "made by", "similarity", "heard at", "known recording")
    table = Table("Nearest first", heads, (False, False, True, True, False), rows)
    return Section(
        "Known recordings that it is like", (Text(" ".join(said.split())), *([table] if rows else []))
    )


def watermark_section(found: Mapping[str, Any]) -> Section:
    """What was read of a watermark."""
    scheme = plain(found["scheme"], 80)
    if not found["marked"]:
        said = f"No mark of {scheme} was found. Its absence says nothing: marks can be taken off."
        return Section("Watermark", (Text(said),))
    said = f"A mark of {scheme} was found; such a score has a chance of {found['chance']:.1g} without one."
    if found["name"]:
        sure = "" if found["confidence"] is None else f" (confidence {found['confidence']:.2f})"
        said += f" It names {plain(found['name'], 80)}{sure}."
        said += "" if found["readable"] else " That name is not to be relied upon."
    if found["spans"]:
        shown = ", ".join(
            f"{clock(s['start_s'])} to {clock(s['end_s'])}" for s in found["spans"][:MOST_SPANS]
        )
        more = len(found["spans"]) - MOST_SPANS
        said += f" Marked: {shown}" + (f" and {more:,} more." if more > 0 else ".")
    caveat = "A mark says who marked a recording, not that it is fake: genuine speech can be marked, too."
    return Section("Watermark", (Text(said), Text(caveat, "note")))


def attribution_section(record: Mapping[str, Any]) -> Section:
    """Who made it, if it is fake."""
    found = record["attribution"]
    rows = [("if it is fake, made by", plain(found["label"] or "nobody is named", 80))]
    if found["confidence"] is not None:
        rows.append(("confidence", f"{found['confidence']:.2f}"))
    if found["known"] is not None:
        rows.append(("known recordings at least as strange", percent(found["known"])))
    if found["nearest_name"] and found["nearest_name"] != found["label"]:
        rows.append(("most like", plain(found["nearest_name"], 80)))
    rows.append(("by, names of", plain(f"{found['basis']}, {found['level']}", 80)))
    near = ", ".join(
        f"{plain(o['name'], 60)} {o['similarity']:.2f}" for o in found["neighbours"][:MOST_NEIGHBOURS]
    )
    if near:
        rows.append(("nearest", near))
    notes: list[Block] = [Text(plain(found["note"]), "warn")] if found["note"] else []
    caveat = (
        "A name holds only if the recording is fake, and only among the makers that the tracer knows; one "
        "that it does not know is often taken for one that it knows."
    )
    table = Table("Who made it, if it is fake", (), (False, False), tuple(rows))
    return Section("Who made it, if it is fake", (table, *notes, Text(caveat, "note")))


def credentials_section(found: Credentials | None) -> Section:
    """What the file says of its own making (C2PA)."""
    nothing = "Their absence proves nothing: most files have none, and they are easily taken off."
    if found is None:
        return Section(
            "Content credentials (C2PA)", (Text("Not looked for: the file was not at hand.", "note"),)
        )
    if found.state != "found":
        said = "None found." if found.state == "none" else f"{plain(found.note)}.".replace("..", ".")
        return Section(
            "Content credentials (C2PA)", (Text(f"{said[:1].upper()}{said[1:]} {nothing}", "note"),)
        )
    holds = {True: "signature and contents agree", False: "they do not hold", None: "not checked"}[
        found.holds
    ]
    failures = ", ".join(plain(code, 80) for code in found.failures)
    rows = [
        ("claimed to be made with", plain(found.generator or "not said")),
        ("signed by", plain(found.signer or "not said")),
        ("time of signing", plain(found.time or "no trusted time")),
        ("validation", holds + (f": {failures}" if failures else "")),
        ("manifests", str(found.manifests)),
        ("claims that an algorithm made it", "yes, it or a part of it" if found.claims_generated else "no"),
    ]
    blocks: list[Block] = [Table("What the file claims", (), (False, False), tuple(rows))]
    if found.actions:
        shown = tuple(
            tuple(plain(part or "–", 80) for part in (one.what, one.source, one.by, one.when))
            for one in found.actions
        )
        heads = ("action", "source type", "software", "time")
        blocks.append(Table("Actions", heads, (False,) * 4, shown))
    caveat = (
        "These are claims of whoever signed. If the signature holds, the file was not changed since; whether "
        "its signer may be trusted was not checked, and nothing was fetched. The verdict rests on none of it."
    )
    return Section("Content credentials (C2PA)", (*blocks, Text(caveat, "note")))


def origin_section(record: Mapping[str, Any], versions: Mapping[str, str]) -> Section:
    """What made the report, and what its digest is worth."""
    made = ", ".join(f"{plain(name, 40)} {plain(one, 40)}" for name, one in versions.items())
    digest = (
        "The digest is the SHA-256 of everything in this report, pictures by their own digests. Noted "
        "elsewhere, it shows later that nothing was altered (earwitness report --check); it is no signature. "
        "The report holds no date: the same file, model and settings give the same report."
    )
    return Section("How this report came about", (Text(f"Made by {made}."), Text(digest, "note")))
