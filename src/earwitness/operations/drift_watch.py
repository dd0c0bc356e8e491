"""`earwitness drift watch`: a stream of samples, window by window, as it comes in.

The folder of a watch holds `state.json` (what was seen, and the running sums), `log.jsonl` (a line a window)
and `report.html`. A view's window closes when it holds as many samples as the reference's. A stopped watch
goes on where it was: the state is written after the log, and lines beyond the state are dropped.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from earwitness.errors import InputError
from earwitness.operations.drift import Reference, cusum, judge
from earwitness.operations.samples import Samples

IN_A_ROW = 2  # windows that alarm one after the other are an alarm of the stream


@dataclass
class Stream:
    """One view of a stream."""

    waiting: list[str] = field(default_factory=list)  # ids of the window that is not full yet
    windows: int = 0
    total: float = 0.0  # of the CUSUM
    rise: int = 0  # first window of its present rise: the change point, once it alarms
    in_a_row: int = 0  # alarms one after the other


@dataclass
class State:
    """How far a watch has come."""

    reference: str  # digest of the reference's file
    seen: int = 0  # rows of the table
    last: str = ""  # id of the last of them
    views: dict[str, Stream] = field(default_factory=dict)


def digest_of(path: Path) -> str:
    """Of a reference's file."""
    return sha256(path.read_bytes()).hexdigest()


def read_state(folder: Path, digest: str) -> State:
    """Where a watch stands; a new one where there is none.

    Raises:
        InputError: `bad-watch`: damaged, or of another reference.
    """
    path = folder / "state.json"
    if not path.exists():
        return State(digest)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        views = {name: Stream(**view) for name, view in found.pop("views").items()}
        state = State(**found, views=views)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError("bad-watch", f"{path}: not the state of a watch: {str(error)[:120]}") from None
    if state.reference != digest:
        raise InputError(
            "bad-watch", f"{folder}: watches against another reference; name another folder for this one"
        )
    return state


def write_state(folder: Path, state: State) -> None:
    """Whole or not at all."""
    part = folder / ".state.part"
    part.write_text(json.dumps(asdict(state)) + "\n", encoding="utf-8")
    part.replace(folder / "state.json")


def read_log(folder: Path, state: State) -> list[dict[str, Any]]:
    """The windows of a log that the state knows of.

    Raises:
        InputError: `bad-watch`: damaged.
    """
    path = folder / "log.jsonl"
    if not path.exists():
        return []
    try:
        lines = [
            json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")
        ]
        return [one for one in lines if one["window"] < state.views.get(one["view"], Stream()).windows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("bad-watch", f"{path}: not the log of a watch: {str(error)[:120]}") from None


def watch(reference: Reference, digest: str, samples: Samples, folder: Path) -> list[dict[str, Any]]:
    """Judge the rows of a growing table that are new; the windows that closed, as they stand in the log.

    Raises:
        InputError: `bad-watch`: the folder is of another reference, or the table is not the one of last time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = read_state(folder, digest)
    history = read_log(folder, state)
    if len(samples) < state.seen or (state.seen and samples.ids[state.seen - 1] != state.last):
        raise InputError(
            "bad-watch",
            f"{folder}: {state.seen} rows were seen of a table that is not this one; rows may only be added",
        )
    reference.check_model(samples)
    closed = list(follow(reference, state, samples))
    with (folder / "log.jsonl").open("w", encoding="utf-8") as file:
        for entry in [*history, *closed]:
            file.write(json.dumps(entry) + "\n")
    write_state(folder, state)
    return closed


def follow(reference: Reference, state: State, samples: Samples) -> Iterator[dict[str, Any]]:
    """Windows that close with the rows from `state.seen` on; moves the state."""
    place = {key: i for i, key in enumerate(samples.ids)}
    looks = {name: reference.in_view(samples, name) for name in reference.views}
    for row in range(state.seen, len(samples)):
        for name in reference.views:
            if not looks[name][row]:
                continue
            stream = state.views.setdefault(name, Stream())
            stream.waiting.append(samples.ids[row])
            if len(stream.waiting) == reference.options.window:
                window = samples.take([place[key] for key in stream.waiting])
                yield close(reference, name, stream, window)
                stream.waiting = []
    state.seen = len(samples)
    state.last = samples.ids[-1] if samples.ids else ""


def close(reference: Reference, name: str, stream: Stream, window: Samples) -> dict[str, Any]:
    """A line of the log for a full window; moves the stream."""
    found = judge(reference, window, name)
    stream.total = cusum(stream.total, found.step)
    if stream.total == 0:
        stream.rise = stream.windows + 1
    stream.in_a_row = stream.in_a_row + 1 if found.alarm else 0
    bound = reference.views[name].cusum_bound
    over = stream.total > bound
    times = window.column("time")
    entry = {
        "window": stream.windows,
        **{key: value for key, value in asdict(found).items() if key != "step"},
        "first": window.ids[0],
        "last": window.ids[-1],
        "t0": times[0],
        "t1": times[-1],
        "model": reference.model,
        "cusum": stream.total,
        "cusum_bound": bound,
        "cusum_alarm": over,
        "repeated_alarm": stream.in_a_row >= IN_A_ROW,
        "change": stream.rise if over else None,
    }
    stream.windows += 1
    return entry


def drifting(entry: Mapping[str, Any]) -> bool:
    """Whether a window of the log raises the alarm of the stream."""
    return bool(entry["cusum_alarm"] or entry["repeated_alarm"])
