"""What `earwitness update` works with: a TOML file, its paths relative to it."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from earwitness.errors import InputError

METHODS = ("head", "lora", "full")
MOST_BYTES = 1 << 20
EXAMPLE = """\
# earwitness update: what comes in makes the detector better. Paths are relative to this file.
name = "newsroom"                # of the detector in the registry
inbox = "inbox"                  # folder of recordings that come in
development = "development.csv"  # protocol of labelled recordings, none of them trained on
guards = ["guard.csv"]           # protocols of frozen test sets: no candidate may be worse on them
knowledge = "known.db"           # knowledge base that new labels go to at once
items = 50                       # recordings to label a round; or minutes = 30, of listening
# strategy = "energy"            # see `earwitness select --help`
# diversity = "none"
# per_source = 0.0
# balance = false
# method = "head"                # head: a second; lora or full: `earwitness train finetune`, with its extra
# training = []                  # its further arguments, such as ["--steps", "400"]
# promote = true                 # false: a candidate that passes the gates waits for `earwitness promote`
# start = "embedded"             # the detector that is in use before the first round: a name, or a folder
# registry = "registry"          # folder, or address of an MLflow server
# work = "update"                # where rounds are kept
"""


@dataclass(frozen=True)
class Loop:
    """Settings of a loop; `EXAMPLE` says what they are."""

    name: str
    inbox: Path
    development: Path
    guards: tuple[Path, ...]
    knowledge: str = ""
    items: int = 0
    minutes: float = 0.0
    strategy: str = "energy"
    diversity: str = "none"
    per_source: float = 0.0
    balance: bool = False
    method: str = "head"
    training: tuple[str, ...] = ()
    promote: bool = True
    start: str = "embedded"
    registry: str = "registry"
    work: Path = Path("update")


def read_loop(path: Path) -> Loop:
    """Settings of a file.

    Raises:
        InputError: `bad-config`: the file cannot be read, a setting is missing, not known or of another kind.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError("bad-config", f"{path}: not usable as TOML: {why}") from None
    kinds = {field.name: field for field in fields(Loop)}
    unknown = sorted(set(given) - set(kinds))
    missing = [name for name in ("name", "inbox", "development", "guards") if name not in given]
    if unknown or missing:
        what = f"no setting is called {unknown[0]!r}" if unknown else f"the setting {missing[0]} is missing"
        raise InputError("bad-config", f"{path}: {what}; `earwitness update --example` shows them all")
    try:
        loop = Loop(**{name: converted(name, value, path.parent) for name, value in given.items()})
    except (TypeError, ValueError) as error:
        raise InputError("bad-config", f"{path}: {error}") from None
    loop = Loop(**{**vars(loop), "work": path.parent / loop.work})
    if "registry" not in given:
        loop = Loop(**{**vars(loop), "registry": str(path.parent / loop.registry)})
    if loop.method not in METHODS:
        raise InputError("bad-config", f"{path}: method {loop.method!r}: one of {', '.join(METHODS)}")
    if bool(loop.items) == bool(loop.minutes):
        raise InputError("bad-config", f"{path}: give either items or minutes, what a round may cost")
    if not loop.guards:
        raise InputError("bad-config", f"{path}: guards: without one nothing would say what was forgotten")
    return loop


def converted(name: str, value: Any, folder: Path) -> Any:
    """A setting as the dataclass has it.

    Raises:
        ValueError: of another kind.
    """
    wanted = {field.name: field.type for field in fields(Loop)}[name]
    if wanted is float and type(value) is int:
        value = float(value)
    if name in ("registry", "knowledge") and type(value) is str and value and "://" not in value:
        return str(folder / value)
    if name == "start" and type(value) is str and (folder / value).is_dir():
        return str(folder / value)
    if wanted in (str, int, float, bool) and type(value) is wanted:
        return value
    if wanted is Path and type(value) is str:
        return folder / value
    if type(value) is list and all(type(one) is str for one in value):
        return tuple(folder / one for one in value) if name == "guards" else tuple(value)
    raise ValueError(f"{name} = {value!r:.60}: not what is expected there")
