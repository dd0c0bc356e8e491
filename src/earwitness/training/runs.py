"""The folder of a run: what it was told, where it ran, on what data, and what came of it.

config.json       recipe and every option; a run that is started again must be told the same
environment.json  versions, machine, processes
log.jsonl         a line every few steps: loss, rate, audio; a line for each validation
checkpoint.pt     all that the next step depends on
best/             weights of the best validations
unreadable.csv    recordings that could not be decoded, where there were any
valid-scores.tsv  scores of the validation, for `earwitness evaluate` and `calibrate`
result.json       figures of the finished run
bundle/           the detector, for `earwitness scan --model RUN/bundle`
"""

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

PACKAGES = ("earwitness", "torch", "transformers", "peft", "accelerate", "numpy", "av", "soxr")
MAY_DIFFER = {"workers", "track"}  # between a run and its continuation


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def read_json(path: Path) -> Any:
    """JSON of a run's own file.

    Raises:
        InputError: `bad-run`: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("bad-run", f"{path}: cannot be read: {error}; start in another folder") from None


def check_same(run: Path, config: dict[str, Any]) -> None:
    """A folder may be new, empty, or that of a run with the same configuration.

    Raises:
        InputError: `bad-run`: another run lives there, or the folder holds something else.
    """
    known = run / "config.json"
    if known.exists():
        before, now = read_json(known), json.loads(json.dumps(config))  # which makes lists of tuples
        odd = [name for name in sorted(set(before) | set(now)) if before.get(name) != now.get(name)]
        odd = [name for name in odd if name not in MAY_DIFFER]
        if odd:
            was, wanted = (json.dumps(each.get(odd[0]))[:80] for each in (before, now))
            raise InputError(
                "bad-run",
                f"{run}: holds a run with {odd[0]} {was}, not {wanted}; choose another folder, or the same "
                "options and data to go on",
            )
    elif run.exists() and any(not path.name.startswith(".") for path in run.iterdir()):
        raise InputError("bad-run", f"{run}: holds other files and no run; choose a new folder")


def begin(run: Path, config: dict[str, Any]) -> None:
    """Make the folder of a run, or find it begun; an interruption at any moment leaves it usable."""
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "config.json").exists():
        write_json(run / "config.json", config)
    (run / "best").mkdir(exist_ok=True)
    if not (run / "environment.json").exists():
        write_json(run / "environment.json", environment())


def environment() -> dict[str, Any]:
    """What the figures of a run may depend on besides its configuration."""
    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": versions,
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def digest_of(items: Sequence[Utterance]) -> str:
    """SHA-256 over what training reads of its protocols: IDs, labels, paths, durations, groups."""
    found = hashlib.sha256()
    for item in items:
        fields = (item.dataset, item.id, item.bona_fide, item.path.name, item.duration_s, item.group)
        found.update(repr(fields).encode())
    return found.hexdigest()


def describe(items: Sequence[Utterance]) -> dict[str, Any]:
    """Counts and hours of the two classes, data sets, and the digest."""
    sides = {}
    for label, name in ((True, "bona_fide"), (False, "spoof")):
        side = [item for item in items if item.bona_fide == label]
        hours = sum(item.duration_s or 0.0 for item in side) / 3600
        sides[name] = {"recordings": len(side), "hours": round(hours, 3)}
    return {**sides, "datasets": sorted({item.dataset for item in items}), "sha256": digest_of(items)}


class Log:
    """`log.jsonl`: lines that a resumed run would write again are taken off first."""

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # cut off when the run was killed
                    continue
                if entry["step"] <= step:
                    kept.append(line)
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.path = path

    def __call__(self, entry: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
