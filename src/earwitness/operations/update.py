"""`earwitness update`: what came in, to the next version of the detector.

A round is a folder. Its steps are done in order, each once: embed what came in since the last round, look
for drift, look for new generators, choose what is worth a label, read the labels, give them to the knowledge
base at once, teach a candidate, judge it, promote it or keep the champion. What a step found stands in
`round.json`; a stopped round goes on after the last step that is whole, and one that waits for labels when
they are there.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from earwitness.audio.protocol import read_protocol
from earwitness.errors import InputError
from earwitness.operations.loop_config import Loop
from earwitness.operations.show import visible
from earwitness.operations.update_candidate import step_gate, step_promote, step_train
from earwitness.operations.update_incoming import (
    Waiting,
    step_discover,
    step_drift,
    step_embed,
    step_labels,
    step_patch,
    step_select,
)
from earwitness.operations.update_round import Round, now, write_state

WAITING = 5  # exit code: labels are wanted
STEPS: dict[str, Callable[[Round], dict[str, Any]]] = {
    "embed": step_embed,
    "drift": step_drift,
    "discover": step_discover,
    "select": step_select,
    "labels": step_labels,
    "patch": step_patch,
    "train": step_train,
    "gate": step_gate,
    "promote": step_promote,
}


def run_update(loop: Loop, answers: Path | None, dry_run: bool, as_json: bool) -> int:
    """Go on with the open round, or begin one; the exit code.

    Raises:
        InputError: the registry has no champion, a table or answers cannot be used.
        MissingExtra: mlflow, scikit-learn or onnx is not installed.
    """
    turn = open_round(loop, answers)
    done = turn.state.setdefault("steps", {})
    if dry_run:
        say({"round": turn.number, "done": list(done), "to_do": [s for s in STEPS if s not in done]}, as_json)
        return 0
    check_protocols(loop)
    turn.folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, step in STEPS.items():
            if name in done:
                continue
            started, cpu = time.monotonic(), cpu_seconds()
            found = step(turn)
            done[name] = {
                **found,
                "seconds": round(time.monotonic() - started, 2),
                "cpu_s": round(cpu_seconds() - cpu, 2),
            }
            write_state(turn)
            say({"round": turn.number, "step": name, **done[name]}, as_json)
            if name == "embed" and not found["recordings"]:
                break
    except Waiting as waiting:
        say({"round": turn.number, "step": "labels", "waiting": str(waiting)}, as_json)
        return WAITING
    turn.state["finished"] = now()
    turn.state["cost"] = cost(done)
    write_state(turn)
    say({"round": turn.number, **turn.state["cost"]}, as_json)
    return 0


def check_protocols(loop: Loop) -> None:
    """Read the protocols before anything is heard.

    Raises:
        InputError: as `read_protocol`; `usage`: a recording to be judged by is among those to learn from.
    """
    taught = {item.path for item in read_protocol(loop.development)}
    for guard in loop.guards:
        shared = [item.path for item in read_protocol(guard) if item.path in taught]
        if shared:
            raise InputError("usage", f"{guard}: {shared[0]} stands in {loop.development} too")


def open_round(loop: Loop, answers: Path | None) -> Round:
    """The round that is not finished, or the next; it keeps the champion that it began with."""
    folders = sorted((loop.work / "rounds").glob("[0-9]*"))
    number = int(folders[-1].name) if folders else 1
    turn = Round(loop, number, answers)
    path = turn.folder / "round.json"
    if path.exists():
        try:
            turn.state = json.loads(path.read_text(encoding="utf-8"))
            finished = "finished" in turn.state
            began_with = turn.state.get("champion")
        except (ValueError, TypeError):
            raise InputError("bad-round", f"{path}: not the state of a round; restore or delete it") from None
        if finished:
            return Round(loop, number + 1, answers)
        if began_with and began_with != str(turn.used):
            raise InputError(
                "bad-round",
                f"{path}: began with {began_with}, and the champion is {turn.used} now: roll back, or delete "
                f"{turn.folder} to begin the round again",
            )
    return turn


def cost(done: dict[str, Any]) -> dict[str, Any]:
    """What a round cost."""
    return {
        "audio_hours": done["embed"]["audio_hours"],
        "labels": done.get("labels", {}).get("labels", 0),
        "listening_minutes": done.get("select", {}).get("listening_minutes", 0.0),
        "cpu_hours": round(sum(step["cpu_s"] for step in done.values()) / 3600, 4),
        "hours": round(sum(step["seconds"] for step in done.values()) / 3600, 4),
    }


def cpu_seconds() -> float:
    """Of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def say(found: dict[str, Any], as_json: bool) -> None:
    """A line on what was done."""
    if as_json:
        line = json.dumps(found)
    else:
        head = f"round {found.pop('round')}"
        step = found.pop("step", "cost" if "cpu_hours" in found else "plan")
        line = visible(f"{head}  {step:<9} " + ", ".join(f"{key} {value}" for key, value in found.items()))
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
