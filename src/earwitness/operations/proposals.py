"""Proposals of new generators, and the JSON file that keeps them from one look to the next.

The file may come from anywhere: its size is bounded, every value's kind and length is checked, and nothing
in it is run. Paths in it are told apart from what they name only by whoever opens them.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earwitness.errors import InputError

STATES = ("proposed", "labelled", "dismissed")
SCHEMA = "earwitness-proposals-1"
MOST_BYTES = 256 << 20
MOST_ROWS = 1_000_000  # in any list
LONGEST = 4_096  # characters of any text


@dataclass(frozen=True)
class Member:
    """One recording of a proposal."""

    id: str
    path: str
    source: str
    score: float


@dataclass(frozen=True)
class Proposal:
    """A cluster that may be a new generator."""

    id: str
    first_seen: str
    members: list[Member]
    looks: list[tuple[str, int]]  # when, and how many members there were
    grew: int  # members that the last look added
    announced: bool  # whether the last look gave a reason to listen
    examples: list[str]  # ids of members: the medoid, then the most typical
    within: float  # mean cosine similarity of its members
    near: list[tuple[str, float]]  # known generators and voices, and the mean similarity to them
    called_genuine: list[tuple[float, float, float, float]]  # threshold, share, and the share's interval
    median_score: float
    one_source: tuple[str, float]  # the source of most of it, and its share; '-', 0 where none is known
    warning: str  # that it may be one speaker or channel
    centre: list[float]  # mean of unit embeddings
    model: str = "-"
    status: str = STATES[0]
    name: str = ""
    why: str = ""  # it was dismissed

    @property
    def ids(self) -> set[str]:
        return {member.id for member in self.members}

    def paths(self) -> dict[str, str]:
        """Where to listen, by id; without members that have no path."""
        return {member.id: member.path for member in self.members if member.path not in ("", "-")}


def text_of(value: Any) -> str:
    """A text that is not too long."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError("a text of at most 4,096 characters is expected")
    return value


def number_of(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(float(value)):
        raise ValueError("a number is expected")
    return float(value)


def count_of(value: Any) -> int:
    """A whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 53:
        raise ValueError("a count is expected")
    return value


def flag_of(value: Any) -> bool:
    """A truth value."""
    if not isinstance(value, bool):
        raise ValueError("true or false is expected")
    return value


def status_of(value: Any) -> str:
    """One of STATES."""
    if value not in STATES:
        raise ValueError(f"one of {', '.join(STATES)} is expected")
    return value


def list_of(kind: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """A reader of lists of a kind."""

    def read(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > MOST_ROWS:
            raise ValueError(f"a list of at most {MOST_ROWS:,} is expected")
        return [kind(one) for one in value]

    return read


def row_of(*kinds: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """A reader of lists with a kind for each place."""

    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(kinds):
            raise ValueError(f"a list of {len(kinds)} is expected")
        return tuple(kind(one) for kind, one in zip(kinds, value, strict=True))

    return read


def record_of(made: Callable[..., Any], kinds: dict[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """A reader of objects with exactly these keys."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict) or set(value) != set(kinds):
            raise ValueError(f"an object with {', '.join(kinds)} is expected")
        found = {}
        for key, kind in kinds.items():
            try:
                found[key] = kind(value[key])
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return made(**found)

    return read


MEMBER = record_of(Member, {"id": text_of, "path": text_of, "source": text_of, "score": number_of})
KINDS: dict[str, Callable[[Any], Any]] = {
    "id": text_of,
    "first_seen": text_of,
    "members": list_of(MEMBER),
    "looks": list_of(row_of(text_of, count_of)),
    "grew": count_of,
    "announced": flag_of,
    "examples": list_of(text_of),
    "within": number_of,
    "near": list_of(row_of(text_of, number_of)),
    "called_genuine": list_of(row_of(number_of, number_of, number_of, number_of)),
    "median_score": number_of,
    "one_source": row_of(text_of, number_of),
    "warning": text_of,
    "centre": list_of(number_of),
    "model": text_of,
    "status": status_of,
    "name": text_of,
    "why": text_of,
}
PROPOSAL = record_of(Proposal, KINDS)


def as_record(proposal: Proposal) -> dict[str, Any]:
    """A proposal fit for JSON."""
    return asdict(proposal)


def refuse(constant: str) -> None:
    """No NaN and no infinities."""
    raise ValueError(f"{constant} is no number")


def read_proposals(path: Path) -> list[Proposal]:
    """What `write_proposals` kept; nothing where the file is not there yet.

    Raises:
        InputError: `bad-proposals`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES >> 20} MiB")
        found = json.loads(data, parse_constant=refuse)
        if not isinstance(found, dict) or found.get("kind") != SCHEMA:
            raise ValueError(f"no {SCHEMA}")
        proposals = list_of(PROPOSAL)(found.get("proposals"))
        if len({proposal.id for proposal in proposals}) < len(proposals):
            raise ValueError("an id stands twice")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        why = str(error)[:200]
        raise InputError("bad-proposals", f"{path}: is no file of proposals: {why}") from None
    return proposals


def write_proposals(path: Path, proposals: Sequence[Proposal]) -> None:
    """Keep proposals, whole or not at all.

    Raises:
        InputError: `unwritable`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            json.dump({"kind": SCHEMA, "proposals": [as_record(one) for one in proposals]}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError("unwritable", f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def find_proposal(proposals: Sequence[Proposal], key: str) -> Proposal:
    """The one that is called that.

    Raises:
        InputError: `usage`.
    """
    for proposal in proposals:
        if proposal.id == key:
            return proposal
    raise InputError("usage", f"no proposal is called {key!r}; `discover show` lists them")
