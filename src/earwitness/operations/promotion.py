"""Promotion: a written decision, then one step that makes a version the champion; and the way back.

The champion is one row of a table, MLflow's alias, and what moves it is one transaction: at any moment
there is one champion, the old or the new. All else is written before that or follows from it. A move is
noted first, as a tag of the version that it is about, with the champion it found and the one it makes; a
note whose move never came (the process was killed) is known by the next one having found the same champion,
or by the alias standing there still, and does not count. The notes that count are the history that a
rollback goes back along.

What is to be made again after a change of embeddings is not written at a promotion but follows from what
hangs on a name: each base and drift reference is noted with the embeddings it was made with, and is to be
done as long as the champion gives others. So no kill can lose it, and a rollback takes it back.
"""

import hashlib
import json
import math
import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from earwitness.decision.bundle import file_digest, read_card
from earwitness.errors import InputError
from earwitness.evidence.places import is_server
from earwitness.operations.gates import Embeddings, Gate, GateOptions, judge, read_answers
from earwitness.operations.registry import (
    CHALLENGER,
    CHAMPION,
    Registry,
    Version,
    add,
    aliased,
    champion,
    fetch,
    locked,
    now,
    put_text,
    version_of,
    versions,
)
from earwitness.operations.samples import read_array

MOVE, DEPENDANT = "move.", "dependant."
MOST_WHY = 1_000  # characters


@dataclass(frozen=True)
class Decision:
    """Whether a version takes the champion's place, and why; good for one promotion."""

    promote: bool
    name: str
    candidate: int
    model: str  # digest of the candidate's model
    champion: int | None  # the version it was judged against
    gates: tuple[Gate, ...]
    tables: dict[str, str]  # the digest of each table of answers
    embedding_changes: bool
    when: str
    by: str

    @property
    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @property
    def id(self) -> str:
        """What it is known by: of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Move:
    """A note of the champion's alias being moved."""

    kind: str  # promote or rollback
    before: int | None
    after: int
    decision: str
    when: str
    by: str
    why: str = ""


@dataclass(frozen=True)
class Reign:
    """A version that is champion, or that a rollback may go back to."""

    version: int
    decision: str  # '-': the alias was moved by other means


def judge_version(
    registry: Registry,
    version: Version,
    used: Version | None,
    guards: Sequence[Path],
    new: Path | None = None,
    speeds: tuple[float, float] | None = None,
    vectors: tuple[Path, Path] | None = None,
    options: GateOptions = GateOptions(),
) -> tuple[list[Gate], dict[str, str]]:
    """What the gates say of a version, and the digest of each table that they judged on.

    Thresholds and embeddings are those of the cards. Where there is no champion, only gates that need
    none are asked.

    Args:
        used: the champion.
        guards, new: tables of `gates.read_answers`.
        speeds: of champion and candidate, in seconds of audio a second of CPU.
        vectors: npy files of embeddings (n, size) of the same items by champion and candidate, for a
            candidate whose card says that its embeddings are the champion's.

    Raises:
        InputError: `refused`: it is the champion already; `bad-answers`, `no-guard`, `usage`.
    """
    if used and used.number == version.number:
        raise InputError("refused", f"{version}: is the champion already")
    tables = [*guards, *([new] if new else [])]
    answers = [read_answers(table) for table in tables]
    names = [one.name for one in answers]
    if len(set(names)) < len(names):
        raise InputError("usage", f"tables of answers need different names, found {', '.join(names)}")
    for i, one in enumerate(answers):
        if used is None:
            answers[i] = replace(one, champion=None)
        elif one.champion is None:
            raise InputError("bad-answers", f"{tables[i]}: holds no answers of the champion, {used}")
    threshold = llr_threshold(fetch(registry, version))
    gates = judge(
        answers[: len(guards)],
        answers[-1] if new else None,
        (llr_threshold(fetch(registry, used)) if used else threshold, threshold),
        speeds if used else None,
        embeddings_of(used, version, vectors) if used else None,
        options,
    )
    return gates, {table.name: file_digest(table) for table in tables}


def llr_threshold(bundle: Path) -> float:
    """The LLR at or below which the detector of a bundle calls a recording fake, at even odds."""
    fake = float(read_card(bundle)["thresholds"]["fake"])
    fake = min(max(fake, 1e-12), 1 - 1e-12)
    return math.log((1 - fake) / fake)


def embeddings_of(used: Version, version: Version, vectors: tuple[Path, Path] | None) -> Embeddings:
    """What is known of the embeddings of champion and candidate.

    Raises:
        InputError: `bad-samples`: a file is no array of numbers.
    """
    arrays = [read_array(path) for path in vectors] if vectors else [None, None]
    return Embeddings(used.embedding, version.embedding, used.digest == version.digest, arrays[0], arrays[1])


def decide(
    version: Version, used: Version | None, gates: Sequence[Gate], tables: Mapping[str, str], by: str = ""
) -> Decision:
    """The decision that the gates ask for, with `used` as the champion: promote if every one is passed."""
    return Decision(
        promote=bool(gates) and all(gate.passed for gate in gates),
        name=version.name,
        candidate=version.number,
        model=version.digest,
        champion=used.number if used else None,
        gates=tuple(gates),
        tables=dict(tables),
        embedding_changes=used is not None and used.embedding != version.embedding,
        when=now(),
        by=by,
    )


def read_decision(text: str) -> Decision:
    """A decision out of its text."""
    saved = json.loads(text)
    return Decision(**{**saved, "gates": tuple(Gate(**gate) for gate in saved["gates"])})


def record(registry: Registry, version: Version, decision: Decision) -> None:
    """Write a decision, for or against, beside the bundle it is about: JSON, and text for people."""
    put_text(registry, version, f"decisions/{decision.id}.md", as_markdown(decision))
    put_text(registry, version, f"decisions/{decision.id}.json", decision.text)


def promote(registry: Registry, version: Version, decision: Decision) -> None:
    """Make a version the champion. Again with the same decision does nothing.

    Raises:
        InputError: `refused`: the decision is against it, or about another version; `stale-decision`: the
            champion is not the one it was judged against, or it was used and rolled back.
        ModelError: the bundle in the registry is not what was added.
    """
    about = (decision.name, decision.candidate, decision.model)
    if not decision.promote or about != (version.name, version.number, version.digest):
        raise InputError("refused", f"{version}: decision {decision.id} does not say to promote it")
    fetch(registry, version)
    with locked(registry.root):
        history = moves(registry, version.name)
        past = reigns(registry, version.name)
        if past and past[-1] == Reign(version.number, decision.id):
            return
        number = past[-1].version if past else None
        if number == version.number:
            raise InputError("refused", f"{version}: is the champion already")
        if number != decision.champion:
            raise InputError(
                "stale-decision",
                f"{version}: judged against version {decision.champion}, but the champion is {number}; "
                "judge it again",
            )
        if any(move.decision == decision.id for move in took_effect(history, number)):
            raise InputError(
                "stale-decision",
                f"{version}: decision {decision.id} was used and rolled back; a new one is needed",
            )
        record(registry, version, decision)
        note(registry, version, Move("promote", number, version.number, decision.id, now(), decision.by))
        registry.ask("set_registered_model_alias", version.name, CHAMPION, str(version.number))


def begin(registry: Registry, name: str, bundle: Path, by: str = "") -> Version:
    """Add what is in use already as the first version and the champion: there is nothing to judge it by."""
    version = next(iter(versions(registry, name)), None) or add(registry, name, bundle)
    decision = replace(decide(version, None, (), {}, by), promote=True)
    promote(registry, version, decision)
    return version


def rollback(registry: Registry, name: str, why: str = "", by: str = "") -> Version:
    """Make the version that was champion before the champion again, and return it.

    Raises:
        InputError: `no-version`: there is no champion, or none before it.
        ModelError: the bundle to go back to is missing or altered.
    """
    with locked(registry.root):
        past = reigns(registry, name)
        if len(past) < 2:
            raise InputError("no-version", f"{registry.where}: {name} has no earlier champion to go back to")
        used, target = past[-1], version_of(registry, name, past[-2].version)
        fetch(registry, target)
        said = Move("rollback", used.version, target.number, used.decision, now(), by, why[:MOST_WHY])
        note(registry, version_of(registry, name, used.version), said)
        registry.ask("set_registered_model_alias", name, CHAMPION, str(target.number))
        registry.ask("set_registered_model_alias", name, CHALLENGER, str(used.version))
    return target


def note(registry: Registry, version: Version, move: Move) -> None:
    """Note a move on the version it is about, before it is made."""
    key = f"{MOVE}{time.time_ns():020d}.{secrets.token_hex(4)}"
    registry.ask("set_model_version_tag", version.name, str(version.number), key, json.dumps(asdict(move)))


def moves(registry: Registry, name: str) -> list[Move]:
    """Every move that was noted, made or not, oldest first."""
    noted: dict[str, str] = {}
    for version in versions(registry, name):
        noted |= version.starting(MOVE)
    return [Move(**json.loads(noted[key])) for key in sorted(noted)]


def took_effect(history: Sequence[Move], used: int | None) -> list[Move]:
    """The moves that were made, of those noted; `used` is the champion's number."""
    found_later = [move.before for move in history[1:]] + [used]
    return [move for move, later in zip(history, found_later, strict=False) if later != move.before]


def reigns(registry: Registry, name: str) -> list[Reign]:
    """The champion, last, and before it those that rollbacks would go back to."""
    now_used = aliased(registry, name, CHAMPION)
    used = now_used.number if now_used else None
    past: list[Reign] = []
    for move in took_effect(moves(registry, name), used):
        if move.before is not None and (not past or past[-1].version != move.before):
            past.append(Reign(move.before, "-"))
        if move.kind == "promote":
            past.append(Reign(move.after, move.decision))
        else:
            past.pop()
    if used is not None and (not past or past[-1].version != used):
        past.append(Reign(used, "-"))
    return past


def depend(
    registry: Registry, name: str, place: str | Path, instead: str | Path | None = None, command: str = ""
) -> None:
    """Note that a base or a drift reference holds embeddings of the champion of `name`.

    Args:
        place: a file, or the address of a base on a server. Noted again, it is up to date again.
        instead: what it was made to replace, which is then forgotten.
        command: what makes it again; that of bases and drift references is known.

    Raises:
        InputError: `no-version`: there is no champion.
    """
    used = champion(registry, name)
    if used is None:
        raise InputError(
            "no-version", f"{registry.where}: {name} has no champion that anything could hang on"
        )
    said = {"place": plain(place), "embedding": used.embedding, "version": used.number, "command": command}
    registry.ask("set_registered_model_tag", name, key_of(place), json.dumps(said))
    if instead is not None and plain(instead) != plain(place):
        registry.ask("delete_registered_model_tag", name, key_of(instead))


def pending(registry: Registry, name: str) -> list[tuple[str, str]]:
    """What was made with other embeddings than the champion's: places, and the command for each."""
    used = champion(registry, name)
    if used is None:
        return []
    tags = registry.ask("get_registered_model", name).tags
    noted = [json.loads(tags[key]) for key in sorted(tags) if key.startswith(DEPENDANT)]
    return [
        (one["place"], one["command"] or again(one["place"], used))
        for one in noted
        if one["embedding"] != used.embedding
    ]


def again(place: str, used: Version) -> str:
    """The command that makes a dependant for a version, and notes it.

    A base gets a new file, so that the old one serves until the new is whole.
    """
    model, old = f"{used.name}@champion", shlex.quote(place)
    if is_server(place):
        new = "NEW"
    elif place.endswith(".db"):
        new = shlex.quote(str(Path(place).with_name(f"{Path(place).stem}-{used.name}-{used.number}.db")))
    else:
        return f"make {old} again: earwitness embed, drift reference with --model {model}; registry depend"
    return (
        f"earwitness knowledge rebuild {new} --base {old} --model {model} && "
        f"earwitness registry depend {used.name} {new} --instead {old}"
    )


def plain(place: str | Path) -> str:
    """A place as it is noted: an address, or a whole path."""
    return str(place) if is_server(place) else str(Path(place).resolve())


def key_of(place: str | Path) -> str:
    """The tag that notes a dependant."""
    return DEPENDANT + hashlib.sha256(plain(place).encode()).hexdigest()[:16]


def as_markdown(decision: Decision) -> str:
    """A decision for people."""
    verdict = "promoted" if decision.promote else "not promoted"
    against = "no champion" if decision.champion is None else f"version {decision.champion}"
    lines = [
        f"# {decision.name}@{decision.candidate}: {verdict}",
        "",
        f"Judged {decision.when} by {cell(decision.by) or 'nobody named'} against {against}; decision "
        f"{decision.id}.",
        "",
        "| gate | | limit | found |",
        "|---|---|---|---|",
    ]
    for gate in decision.gates:
        passed = "passed" if gate.passed else "**refused**"
        lines.append(f"| {cell(gate.name)} | {passed} | {cell(gate.limit)} | {cell(gate.sentence)} |")
    if decision.champion is None:
        lines += ["", "There was no champion: gates that compare with one were not asked."]
    if decision.embedding_changes:
        lines += ["", "The embeddings change: `earwitness registry pending` lists what must be made again."]
    lines += ["", "Tables judged on:", ""]
    lines += [f"- {cell(name)}: SHA-256 {digest}" for name, digest in decision.tables.items()]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """A text in a table of Markdown: one line, no markup of its own."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return one_line.replace("|", "\\|").replace("<", "&lt;")
