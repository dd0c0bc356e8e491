"""Measurements in processes of their own: what one needs or loads does not weigh on the next.

A job is a function of this package and what it is given; it runs alone in a fresh interpreter, on one thread
unless it is told otherwise, and its answer comes back as JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from earwitness.errors import EarwitnessError

ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
}
CODE = (
    "import sys; from earwitness.operations.bench_apart import answer; answer(sys.argv[1], sys.stdin.read())"
)
MARK = "\nanswer: "  # before the answer, for libraries print too
MIB = 2**20


class Unmeasured(EarwitnessError):
    """A measurement that could not be made here; the others go on."""


def apart(function: str, alone: bool = True, **given: Any) -> Any:
    """What a function gives in a fresh interpreter.

    Args:
        function: `module:name`, the module beside this one.
        alone: on one thread, and without a GPU.
        given: its arguments, as JSON takes them.

    Raises:
        Unmeasured: it failed, was killed, or ran out of memory.
    """
    environment = {**os.environ, **(ONE_THREAD | {"CUDA_VISIBLE_DEVICES": ""} if alone else {})}
    done = subprocess.run(
        [sys.executable, "-c", CODE, function],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=environment,
    )
    _, mark, found = done.stdout.rpartition(MARK)
    if not mark:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        killed = "killed: not enough memory, perhaps" if done.returncode == -9 else lines[-1][:300]
        raise Unmeasured(killed)
    result = json.loads(found)
    if "why" in result:
        raise Unmeasured(result["why"])
    return result["found"]


def answer(function: str, given: str) -> None:
    """The other side of `apart`: call, and print what comes of it."""
    from importlib import import_module

    module, name = function.split(":")
    try:
        call = getattr(import_module(f"earwitness.operations.{module}"), name)
        result = {"found": call(**json.loads(given))}
    except EarwitnessError as error:
        result = {"why": str(error)[:300]}
    except (OSError, MemoryError, RuntimeError) as error:
        result = {"why": f"{type(error).__name__}: {str(error)[:300]}"}
    sys.stdout.write(MARK + json.dumps(result))


def command(*words: str, importing: bool = False) -> dict[str, Any]:
    """One whole `earwitness` process, as a user starts it.

    Args:
        words: of its command line.
        importing: also sum up its imports, which takes a little longer.

    Returns:
        `wall_s`, and with `importing` also `importing_s`.

    Raises:
        Unmeasured: it failed.
    """
    line = [sys.executable, *(["-X", "importtime"] if importing else []), "-m", "earwitness.cli", *words]
    began = time.perf_counter()
    done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall_s = time.perf_counter() - began
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if not text.startswith("import time:")]
        raise Unmeasured(f"`earwitness {words[0]}` ended with {done.returncode}: {' '.join(said[-1:])[:200]}")
    return {"wall_s": wall_s, **({"importing_s": importing_s(done.stderr)} if importing else {})}


def importing_s(report: str) -> float:
    """Seconds of all imports together, from what `-X importtime` writes."""
    spent = 0
    for line in report.splitlines():
        own = line.removeprefix("import time:").split("|")[0].strip()
        if line.startswith("import time:") and own.isdecimal():
            spent += int(own)
    return spent / 1e6


def peak_mib() -> float | None:
    """The most memory that this process held so far; None where the system does not say."""
    try:  # not ru_maxrss: on Linux it begins at the size of the process that forked
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (MIB if sys.platform == "darwin" else 1024)


def free_memory_mib() -> float | None:
    """Memory that a new process may take; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
        return int(text.split("MemAvailable:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return None


def cpu_times(calls: Sequence[Callable[[], Any]], seconds: float, least: int = 3) -> list[list[float]]:
    """CPU seconds of each of some calls, taken in turn, so that what else runs here slows all alike.

    Args:
        calls: what to time; each has run once already.
        seconds: of CPU time to spend on all of them, about.
        least: rounds, at least.

    Returns:
        A list for each call.
    """
    spent: list[list[float]] = [[] for _ in calls]
    while len(spent[0]) < least or sum(map(sum, spent)) < seconds:
        for call, times in zip(calls, spent, strict=True):
            began = time.process_time()
            call()
            times.append(max(time.process_time() - began, 1e-9))
    return spent
