"""`earwitness bench`: what this machine does, measured section by section.

Each section stands in a module of its own (`bench_*.py`) and fills its part of one table of results, row by
row, so that an interrupted bench keeps what it has. What cannot run here says why and ends nothing.
"""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from earwitness.errors import EarwitnessError, InputError
from earwitness.operations import bench_engines, bench_knowledge, bench_scan, bench_stages
from earwitness.operations.bench_apart import MIB
from earwitness.operations.bench_setup import Setup, Step
from earwitness.operations.scan import available_processors, bundle_of

SECTIONS: dict[str, Callable[[Setup, dict[str, Any], Step], None]] = {
    "start": bench_scan.measure_start,
    "engines": bench_engines.measure,
    "decoding": bench_stages.measure,
    "cores": bench_scan.measure_cores,
    "length": bench_scan.measure_length,
    "knowledge": bench_knowledge.measure,
}
PACKAGES = ("numpy", "onnxruntime", "av", "openvino", "nncf", "torch", "transformers")
DIGITS = 4  # of figures in the file


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        kind = [f"{key} {said[key]}" for key in ("cpu family", "model") if key in said]
        if said.get("model name"):
            return ", ".join([said["model name"], *kind])
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    from earwitness import __version__

    versions = {"earwitness": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MIB / 1024, 1)
    cores = available_processors()
    return {
        "name": f"{cores} cores of {processor()}",
        "processor": processor(),
        "cores": cores,
        "memory_gib": memory,
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions,
    }


def bench(setup: Setup, only: Sequence[str], found: dict[str, Any], step: Step, done: Step) -> None:
    """Measure the sections named, each into its key of `found`; `done` is told of each.

    A section that fails is noted in `skipped` and the others go on.
    """
    found |= {
        "machine": machine(),
        "when": time.strftime("%Y-%m-%d"),
        "quick": setup.quick,
        "model": setup.name,
        "audio": "recordings" if setup.audio else "a made voice",
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "skipped": {},
    }
    for name in only:
        try:
            SECTIONS[name](setup, found, step)
        except (EarwitnessError, OSError, MemoryError) as error:
            found["skipped"][name] = setup.plain(error)
        done(name)


def rounded(value: Any) -> Any:
    """Figures with `DIGITS` digits, wherever they stand."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def parse_names(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """`a,b` -> names, each known, each once, in the order of `known`.

    Raises:
        InputError: `usage`.
    """
    wanted = {word.strip() for word in text.split(",") if word.strip()}
    unknown = sorted(wanted - set(known))
    if unknown:
        raise InputError("usage", f"{option} {unknown[0]!r}: one of {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def check_targets(files: Sequence[Path | None]) -> None:
    """Refuse before an hour is spent what could not be written after it.

    Raises:
        InputError: `unwritable`.
    """
    for file in files:
        if file is not None and (file.is_dir() or not os.access(file.resolve().parent, os.W_OK)):
            raise InputError("unwritable", f"{file}: not a file that can be written here")


def write_json(file: Path, found: dict[str, Any]) -> None:
    """Write results whole or not at all.

    Raises:
        InputError: `unwritable`.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=file.resolve().parent, delete=False) as part:
            part.write(json.dumps(rounded(found), indent=1) + "\n")
        os.chmod(part.name, 0o644)
        os.replace(part.name, file)
    except OSError as error:
        raise InputError("unwritable", f"{file}: cannot be written: {error.strerror or error}") from None


def run_bench(
    model: str | None,
    front_ends: str,
    only: str,
    quick: bool,
    audio: Path | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure, show and write; interrupted, it shows and writes what there is.

    Raises:
        InputError: `usage`, `unwritable`, or `too-few` recordings in the folder of audio.
        ModelError: the bundle cannot be used.
        MissingExtra: a plot is asked for and matplotlib is not installed.
    """
    from earwitness.decision.bundle import read_card
    from earwitness.features.frontends import FRONT_ENDS
    from earwitness.operations.bench_audio import speech_of
    from earwitness.operations.bench_show import check_plot, draw, progress_of, show

    names = parse_names("--only", only, list(SECTIONS)) or tuple(SECTIONS)
    wanted = parse_names("--front-end", front_ends, list(FRONT_ENDS))
    check_targets((out, plot))
    if plot:
        check_plot(plot)
    folder = bundle_of(model)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="earwitness-bench-") as work:
        setup = Setup(folder, read_card(folder)["name"], Path(work), quick, audio, wanted)
        if audio:
            speech_of(audio, 1.0)
        try:
            with progress_of(len(names)) as (step, done):
                bench(setup, names, found, step, lambda name: (done(name), out and write_json(out, found))[0])
        finally:
            if out and found:
                write_json(out, found)
            if as_json and found:
                sys.stdout.write(json.dumps(rounded(found)) + "\n")
            elif found:
                show(rounded(found))
    if plot:
        plot.write_bytes(draw(rounded(found), plot.suffix[1:].lower()))
