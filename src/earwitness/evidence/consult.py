"""A verdict, considered again in the light of a knowledge base."""

from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any

from earwitness.evidence.fusion import Fusion
from earwitness.evidence.knowledge import Knowledge
from earwitness.evidence.neighbours import Neighbours, Retrieval, find, recording_retrieval
from earwitness.evidence.verdict import decide
from earwitness.types import Neighbour, Remembered, Verdict

SHOWN = 5  # neighbours of a verdict
EMBEDDED = Retrieval(k=1, floor=0.2), Fusion(15.5)
UNCOVERED = "kb_uncovered: nothing in the knowledge base is near; the detector decided alone"


def read_settings(base: Knowledge) -> tuple[Retrieval, Fusion]:
    """How a base is searched, and how its answer is fused with the detector's.

    What was learnt on the base itself; else what `benchmarks/zero_day.py` chose for the embedded model.
    Neighbours of other models are shown, and weigh nothing until `knowledge test --learn`.
    """
    settings = base.settings()
    if "retrieval" in settings:
        return Retrieval(**settings["retrieval"]), Fusion(**settings["fusion"])
    return EMBEDDED if base.model.name == "embedded" else (EMBEDDED[0], Fusion(0.0))


def write_settings(base: Knowledge, how: Retrieval, fusion: Fusion) -> None:
    """Keep them with the base."""
    base.set_settings({**base.settings(), "retrieval": asdict(how), "fusion": asdict(fusion)})


def consult(verdict: Verdict, base: Knowledge, without: Collection[str] = ()) -> Verdict:
    """The verdict with its neighbours and the fused LLR; unchanged where nothing was scored.

    An entry with the recording's own content does not count, nor those in `without`.

    Raises:
        InputError: `knowledge-model`: the base is of another model.
    """
    base.check_model(verdict.model)
    if verdict.heard is None or verdict.llr is None:
        return verdict
    how, fusion = read_settings(base)
    own = {verdict.sha256[:16]} if verdict.sha256 else set()
    near = find(
        base,
        verdict.heard.embeddings,
        verdict.heard.profile,
        replace(how, k=max(how.k, SHOWN)),
        own | set(without),
    )
    shown = closest(base, verdict, near)
    counts = base.counts()
    retrieval = recording_retrieval(near, how, counts) if shown else None
    covered = bool(shown) and max(one.similarity for one in shown) >= how.floor
    alone, _, _ = decide(verdict.llr, verdict.windows, verdict.prior, verdict.thresholds)
    remembered = Remembered(sum(counts), covered, verdict.llr, retrieval, "detector", shown)
    if not covered or retrieval is None:
        warnings = (*verdict.warnings, UNCOVERED)
        return replace(verdict, remembered=remembered, warnings=warnings)
    llr = verdict.llr + fusion.weight * retrieval
    name, p_fake, rule = decide(llr, verdict.windows, verdict.prior, verdict.thresholds)
    if name != alone:
        remembered = replace(remembered, decided_by="knowledge")
        rule += f"; the detector alone says {alone}"
    return replace(verdict, verdict=name, llr=llr, p_fake=p_fake, rule=rule, remembered=remembered)


def closest(base: Knowledge, verdict: Verdict, near: list[Neighbours]) -> tuple[Neighbour, ...]:
    """The nearest entries over all windows, each once, nearest first."""
    assert verdict.heard is not None
    best: dict[str, tuple[Any, float]] = {}
    for start_s, one in zip(verdict.heard.starts_s, near, strict=True):
        for hit in one.hits:
            if hit.id not in best or hit.similarity > best[hit.id][0].similarity:
                best[hit.id] = hit, float(start_s)
    chosen = sorted(best.values(), key=lambda pair: -pair[0].similarity)[:SHOWN]
    entries = base.entries([hit.id for hit, _ in chosen])
    return tuple(
        Neighbour(
            entry.id, entry.bona_fide, entry.generator, hit.similarity, entry.path, hit.start_s, window_s
        )
        for entry, (hit, window_s) in zip(entries, chosen, strict=True)
    )
