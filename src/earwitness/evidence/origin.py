"""Who made it, when two witnesses may speak: a watermark, and how the recording sounds.

The rule (after the talk "Detecting the Undetectable", Yamagishi, 2025: the watermark where it can be read,
else the source tracer), with what a rule for courts and newsrooms needs besides:

  a watermark that can be read                     names who marked it         basis `watermark`
  watermark and tracer sure of different names     nobody, both are shown      basis `conflict`
  no watermark, or one that cannot be read         what the tracer says        basis `acoustic`
  neither                                          nobody                      basis `unknown`

A conflict is what overwriting and forging leave behind; it calls for a person. Nothing here touches the
verdict: anybody can mark genuine speech, so a watermark never makes a recording fake, and marks can be taken
off, so that none is there makes nothing genuine.
"""

from dataclasses import replace

from earwitness.evidence.attribution import NONE
from earwitness.evidence.watermark import Heard, Scheme, attribute, decode, detect
from earwitness.types import Attribution, Verdict, Watermark

SURE = 0.9  # posterior from which a name is relied upon, of a mark and of a tracer
WHO = "who marked it, which says nothing of whether it is fake"


def found_mark(scheme: Scheme, heard: Heard) -> Watermark:
    """What a scheme says of a recording."""
    there, named = detect(scheme, heard), attribute(scheme, heard) if len(heard.says) else None
    return Watermark(
        scheme=scheme.name,
        marked=there.marked,
        score=there.score,
        chance=there.chance,
        name=named.name if there.marked and named else None,
        confidence=named.confidence if there.marked and named else None,
        readable=there.marked and named is not None and named.valid and named.confidence >= SURE,
        bits=decode(scheme, heard) if there.marked else (),
        spans=there.spans,
    )


def origin(mark: Watermark, traced: Attribution | None) -> Attribution:
    """Who made a recording if it is fake, of a mark and of what a tracer says, where it was asked."""
    if not mark.marked or mark.name is None:
        return traced or Attribution(None, None, None, None, "", "unknown", "no watermark that names anybody")
    if not mark.readable:
        note = f"a watermark of {mark.scheme} is there, but cannot be read"
        if traced is None:
            return Attribution(None, None, None, mark.name, "", "unknown", note)
        return replace(traced, note=f"{traced.note}; {note}" if traced.note else note)
    sure = traced is not None and traced.label not in (None, NONE) and (traced.confidence or 0) >= SURE
    if traced is not None and sure and traced.label != mark.name:
        note = f"the watermark says {mark.name}, the sound {traced.label}: marked over, forged, or mistaken"
        return replace(traced, label=None, confidence=None, basis="conflict", note=note)
    found = traced or Attribution(None, None, None, None, "", "watermark")
    return replace(found, label=mark.name, confidence=mark.confidence, basis="watermark", note=WHO)


def with_origin(verdict: Verdict) -> Verdict:
    """The verdict with who made it by both witnesses; as it is where no watermark was looked for."""
    if verdict.watermark is None:
        return verdict
    return replace(verdict, attribution=origin(verdict.watermark, verdict.attribution))
