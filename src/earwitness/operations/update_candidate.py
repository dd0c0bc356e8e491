"""The last steps of a round: a candidate, taught, judged, and promoted or not."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.protocol import Utterance
from earwitness.decision.bundle import read_card
from earwitness.operations import promotion
from earwitness.operations.candidate import (
    calibrate_bundle,
    make_head,
    make_tuned,
    rates_of,
    training_protocols,
)
from earwitness.operations.gates import GateOptions
from earwitness.operations.registry import Version, add, fetch, version_of, versions
from earwitness.operations.samples import Samples
from earwitness.operations.update_round import Round, read_rows


def step_train(turn: Round) -> dict[str, Any]:
    """A candidate, taught by all labels so far; none where the champion has learnt them already.

    A correction is made anew each time, of the version that its embedding comes from: corrections of
    corrections would learn the same labels again and again.
    """
    root = turn.used
    if turn.loop.method == "head":
        made_by = [one for one in versions(turn.registry, turn.loop.name) if one.digest == root.embedding]
        root = next(iter(made_by), root)
    bundle = fetch(turn.registry, root)
    teach = turn.labelled("teach", bundle, root.digest)
    rounds = sorted({int(cell) for cell in teach.column("round")}) if teach else []
    if teach is None or set(rounds) <= set(read_card(turn.bundle).get("lineage", {}).get("rounds", [])):
        return {"candidate": None, "why": "no label teaches anything new"}
    out = turn.folder / "candidate"
    about = {
        "name": turn.loop.name,
        "version": f"{turn.used.number}.{turn.number}",
        "lineage": {"from": str(root), "digest": root.digest, "rounds": rounds},
    }
    if not (out / "model.json").exists():
        development = turn.table(turn.loop.development, bundle, root.digest)
        if turn.loop.method == "head":
            make_head(bundle, development, teach, out, about)
        else:
            protocols = training_protocols(utterances(teach), turn.loop.development, turn.folder)
            make_tuned(bundle, protocols, out, turn.loop.method, turn.loop.training, about)
            raw = turn.table(turn.loop.development, out, f"candidate-{turn.number}")
            calibrate_bundle(out, raw, rates_of(read_card(bundle)["thresholds"], development))
    return {"candidate": str(out), "from": str(root), "labels": len(teach), "method": turn.loop.method}


def utterances(samples: Samples) -> list[Utterance]:
    """Labelled samples as rows of a protocol."""
    paths, generators, sources = (samples.column(name) for name in ("path", "generator", "source"))
    return [
        Utterance(
            id=key,
            path=Path(paths[i]),
            bona_fide=bool(samples.labels[i] == 1),
            dataset="new",
            generator=generators[i],
            group=sources[i],
            duration_s=float(samples.numbers("duration_s")[i]),
        )
        for i, key in enumerate(samples.ids)
    ]


def step_gate(turn: Round) -> dict[str, Any]:
    """The candidate against the champion, on every guard and on the labels that judge."""
    if turn.state["steps"]["train"]["candidate"] is None:
        return {"promote": False, "why": "no candidate"}
    out = turn.folder / "candidate"
    about = {"round": str(turn.number), "labels": str(turn.state["steps"]["train"]["labels"])}
    version = next(
        (one for one in versions(turn.registry, turn.loop.name) if is_of(one, turn)),
        None,
    ) or add(turn.registry, turn.loop.name, out, turn.used.number, about)
    guards = [
        answers_table(turn, guard.stem, lambda b, d, g=guard: turn.table(g, b, d), out, version)
        for guard in turn.loop.guards
    ]
    new = answers_table(turn, "new-labels", lambda b, d: turn.labelled("judge", b, d), out, version)
    if new and min(Counter(row["label"] for row in read_rows(new)).values()) < GateOptions().min_trials:
        new = None  # too few to judge by: the guards decide
    gates, digests = promotion.judge_version(
        turn.registry,
        version,
        turn.used,
        [guard for guard in guards if guard],
        new,
        vectors=vectors_of_both(turn, out, version),
    )
    decision = promotion.decide(version, turn.used, gates, digests, "earwitness update")
    promotion.record(turn.registry, version, decision)
    (turn.folder / "decision.md").write_text(promotion.as_markdown(decision), encoding="utf-8")
    (turn.folder / "decision.json").write_text(decision.text, encoding="utf-8")
    return {
        "promote": decision.promote,
        "version": version.number,
        "refused_by": [gate.sentence for gate in gates if not gate.passed],
        "judged_on_new_labels": new is not None,
        "decision": str(turn.folder / "decision.md"),
    }


def vectors_of_both(turn: Round, candidate: Path, version: Version) -> tuple[Path, Path]:
    """Embeddings of the first guard by champion and candidate, row by row."""
    guard = turn.loop.guards[0]
    before = turn.table(guard, turn.bundle, turn.used.digest)
    after = turn.table(guard, candidate, version.digest)
    place = {key: i for i, key in enumerate(after.ids)}
    both = [i for i, key in enumerate(before.ids) if key in place]
    paths = turn.folder / "champion.npy", turn.folder / "candidate.npy"
    np.save(paths[0], before.embeddings[both])
    np.save(paths[1], after.embeddings[[place[before.ids[i]] for i in both]])
    return paths


def is_of(version: Version, turn: Round) -> bool:
    """Whether a version was added by this round already, before it was stopped."""
    return version.about.get("round") == str(turn.number) and version.parent == turn.used.number


def answers_table(
    turn: Round,
    name: str,
    scored: Callable[[Path, str], Samples | None],
    candidate: Path,
    version: Version,
) -> Path | None:
    """What champion and candidate say of the same items, as a table for the gates."""
    before, after = scored(turn.bundle, turn.used.digest), scored(candidate, version.digest)
    if before is None or after is None or set(before.column("label")) - {"-"} != {"real", "fake"}:
        return None
    place = {key: i for i, key in enumerate(after.ids)}
    path = turn.folder / f"answers-{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "champion", "candidate", "group"])
        rows = zip(before.ids, before.column("label"), before.scores, before.column("source"), strict=True)
        for key, label, score, source in rows:
            other = float(after.scores[place[key]]) if key in place else float("nan")
            writer.writerow([key, label, repr(float(score)), repr(other), source])
    return path


def step_promote(turn: Round) -> dict[str, Any]:
    """Make the candidate the champion, where the gates and the settings say so."""
    gate = turn.state["steps"]["gate"]
    if not gate["promote"]:
        return {"promoted": False, "champion": str(turn.used)}
    if not turn.loop.promote:
        return {"promoted": False, "champion": str(turn.used), "why": "settings: a person promotes"}
    decision = promotion.read_decision((turn.folder / "decision.json").read_text(encoding="utf-8"))
    version = version_of(turn.registry, turn.loop.name, gate["version"])
    promotion.promote(turn.registry, version, decision)
    todo = [command for _, command in promotion.pending(turn.registry, turn.loop.name)]
    return {"promoted": True, "champion": str(version), "to_do": todo}
