"""Which engines say the same of a model as its graph in float32, measured on this machine.

`earwitness models tune` tries each engine on real speech and notes what it found here; `--engine auto` takes
the fastest that passed. An engine passes where no LLR moves by more than 0.005; or else, on recordings with
labels, where the EER moves by at most 0.1 points and no recording goes over from fake to genuine or back. In
either case embeddings must point the same way, for knowledge bases compare them.
"""

import json
import os
import platform
import tempfile
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from earwitness.decision.bundle import MAX_JSON, models_home

MAX_LLR = 5e-3
MAX_EER = 1e-3  # 0.1 points
MIN_COSINE = 0.99
TRIALS, INT8 = "engines.json", "int8.xml"


@dataclass(frozen=True)
class Trial:
    """What was found of an engine."""

    engine: str
    precision: str
    times_real_time: float  # a core
    llr_moved: float  # the most
    cosine: float  # of embeddings, the least
    flips: int  # recordings that went over from fake to genuine or back
    eer_moved: float | None  # None: no labels
    refused: str = ""  # why it cannot run at all

    @property
    def passed(self) -> bool:
        """Whether `auto` may take it."""
        return not self.why

    @property
    def why(self) -> str:
        """Why it did not pass; '' where it did."""
        if self.refused:
            return self.refused
        if self.cosine < MIN_COSINE:
            return f"an embedding turned (cosine {self.cosine:.3f}, at least {MIN_COSINE} is asked)"
        if self.llr_moved <= MAX_LLR:
            return ""
        if self.eer_moved is None:
            return f"an LLR moved by {self.llr_moved:.3f}, and without labels {MAX_LLR} is allowed"
        if self.flips:
            return f"{self.flips} recordings went over from fake to genuine or back"
        if abs(self.eer_moved) > MAX_EER:
            return (
                f"the EER moved by {100 * self.eer_moved:+.2f} points, at most {100 * MAX_EER:g} is allowed"
            )
        return ""


@lru_cache(maxsize=1)
def machine() -> dict[str, str]:
    """What trials depend on besides the model: they are read again only where all of it is the same."""
    from importlib import metadata  # with the reader of e-mails; not for every start

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        flags = set(said.get("flags", "").split())
        kinds = sorted(flags & {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8"})
        name = " ".join([said.get("model name", name), *kinds])
    except OSError:
        pass
    versions = {}
    for package in ("onnxruntime", "openvino", "torch"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "-"
    return {"processor": name, **versions}


def engines_home(digest: str) -> Path:
    """Where trials of a model are noted, and the graphs that were made for them."""
    return models_home().parent / "engines" / digest[:32]


def read_trials(digest: str) -> list[Trial]:
    """Trials of the model with this digest on this machine; none where there are none, or it changed."""
    file = engines_home(digest) / TRIALS
    try:
        if file.stat().st_size > MAX_JSON:
            return []
        noted = json.loads(file.read_text())
        if noted["machine"] != machine() or noted["model"] != digest:
            return []
        names = {field.name for field in fields(Trial)}
        return [Trial(**{key: one[key] for key in names}) for one in noted["engines"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def write_trials(digest: str, trials: list[Trial], about: dict[str, Any]) -> Path:
    """Note trials; `about` says what they were made with."""
    home = engines_home(digest)
    home.mkdir(parents=True, exist_ok=True)
    engines = [asdict(one) | {"passed": one.passed, "why": one.why} for one in trials]
    content = {"model": digest, "machine": machine(), **about, "engines": engines}
    with tempfile.NamedTemporaryFile("w", dir=home, delete=False) as part:
        part.write(json.dumps(content, indent=1) + "\n")
    os.replace(part.name, home / TRIALS)
    return home / TRIALS


def fastest(trials: list[Trial]) -> Trial | None:
    """The fastest that passed."""
    return max((one for one in trials if one.passed), key=lambda one: one.times_real_time, default=None)
