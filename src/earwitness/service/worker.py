"""A process of its own that decodes and scores what strangers sent, within limits of memory and time.

Reads requests from its standard input and answers on its standard output, a line of JSON each; between
them it tells how far it is. It knows nothing of the database, of keys or of other requests, and ends with
its input, so also when the service is killed. What takes too long is ended from outside (`crew.py`).

The first line is its `Settings`: as an argument, all of the machine could read an address with its password.
"""

import base64
import io
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE, Recording, open_file, open_recording
from earwitness.decision.detector import Detector
from earwitness.errors import EarwitnessError, InputError
from earwitness.evidence.verdict import to_record
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.scan import check, consulted, open_detector, scan_group
from earwitness.types import Heard, Verdict

Consult = Callable[[Verdict], Verdict]
ELSEWHERE = "elsewhere"  # code of what the short lane leaves to the long one
TICK_S = 0.5
PEAKS = 1_200
PLACE = re.compile(r"\w+://[^\s'\",;<>|]+|(?<![\w.])(?:[A-Za-z]:)?[\\/][^\s'\",:;<>|]+")
MOST_HEARD = 4 << 20  # bytes of embeddings that are kept of one recording
WRITES = 4 << 30  # bytes of a file made here: a day of audio at 16 kHz


@dataclass(frozen=True)
class Settings:
    """What a worker may do, and with what."""

    memory: int  # bytes of address space
    max_duration_s: float
    model: str | None = None  # that answers where none is asked for
    knowledge: str | None = None
    tracer: str | None = None
    short_s: float | None = None  # of longer recordings this worker says so, and leaves them
    niceness: int = 0


def main() -> None:
    """Work until the input ends."""
    settings = Settings(**json.loads(sys.stdin.buffer.readline()))
    confine(settings)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        serve(sys.stdin.buffer, answers, settings)
    except BrokenPipeError:  # the service is gone
        os._exit(0)


def confine(settings: Settings) -> None:
    """Limit memory, files and core dumps, where the system can. Where its memory ends, workers go first."""
    try:
        import resource
    except ImportError:  # Windows
        return
    os.nice(settings.niceness)
    limits = (
        (resource.RLIMIT_AS, settings.memory),
        (resource.RLIMIT_FSIZE, WRITES),
        (resource.RLIMIT_CORE, 0),
    )
    for what, most in limits:
        resource.setrlimit(what, (most, most))
    with suppress(OSError):  # Linux: whom to kill first
        Path("/proc/self/oom_score_adj").write_text("1000")


def serve(requests: IO[bytes], answers: IO[str], settings: Settings) -> None:
    """Answer each request: `{"done": ...}` or `{"failed": {code, message}}`."""

    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    say({"ready": True})
    with Consultants() as consultants:
        for line in requests:
            request = json.loads(line)
            try:
                if request["do"] == "scan":
                    say({"done": scan(request, settings, say, consultants)})
                else:
                    say({"done": MAKERS[request["do"]](request, settings, say)})
            except EarwitnessError as error:
                code = error.code if isinstance(error, InputError) else "model"
                say({"failed": {"code": code, "message": without_paths(str(error))}})
            except MemoryError:
                raise  # nothing can be relied on any more
            except Exception as error:
                traceback.print_exc()
                say({"failed": {"code": "internal", "message": foreign(type(error).__name__)}})


class Consultants(ExitStack):
    """Opened bases and tracers, one set for what was asked last; each client may ask for other options."""

    def __init__(self) -> None:
        super().__init__()
        self.key: Any = None
        self.one: Consult | None = None

    def of(self, detector: Detector, options: ScanOptions) -> Consult:
        """What adds to a verdict what base, tracer and watermark say."""
        key = (detector.id, options)
        if self.one is not None and self.key == key:
            return self.one
        self.close()
        self.one = None
        try:
            self.one = self.enter_context(consulted(detector, options))
        except InputError as error:
            if error.code != "no-knowledge":
                raise
            # The base is made with its first entry; until then the others speak.
            return self.of(detector, replace(options, knowledge=None))
        self.key = key
        return self.one


def foreign(kind: str) -> str:
    """What is said of an error that nobody foresaw; the rest stands in the service's log."""
    return f"an error that nobody foresaw ({kind}); please report this file"


def without_paths(sentence: str) -> str:
    """A sentence for strangers: of the paths and addresses of this machine, the last names only."""
    return PLACE.sub(lambda found: found[0].rstrip("/\\").replace("\\", "/").rpartition("/")[2], sentence)


def watcher(settings: Settings, say: Callable[[dict[str, Any]], None]) -> Callable[[Recording], None]:
    """Tells how far a recording is heard, and ends what is too long here."""
    last = 0.0

    def watch(recording: Recording) -> None:
        nonlocal last
        promised_s = recording.info.promised_s or 0.0
        if max(promised_s, recording.decoded_s) > settings.max_duration_s:
            hours = settings.max_duration_s / 3600
            raise InputError("too-long", f"longer than the {hours:.3g} h that this service takes; split it")
        if settings.short_s and max(promised_s, recording.decoded_s) > settings.short_s:
            raise InputError(ELSEWHERE, "left to a worker of its own")
        if time.monotonic() - last >= TICK_S:
            last = time.monotonic()
            share = min(recording.decoded_s / promised_s, 1.0) if promised_s else None
            say({"heard": share})

    return watch


def scan(
    request: dict[str, Any], settings: Settings, say: Any, consultants: Consultants
) -> list[dict[str, Any]]:
    """Of each file in the request a record with embeddings, or that it is too long for this lane."""
    options = scan_options(request["options"], settings)
    check(options)
    detector = open_detector(request["options"]["model"] or settings.model, options, 1)
    files = [Path(job["path"]) for job in request["jobs"]]
    names = [job["name"] for job in request["jobs"]]
    ask, done = consultants.of(detector, options), []
    for verdict in scan_group(detector, files, options, watcher(settings, say), names):
        if verdict.error and verdict.error.code == ELSEWHERE:
            done.append({ELSEWHERE: True})
            continue
        answer = ask(plainly(verdict))
        done.append({"record": without_places(to_record(answer)), "heard": packed(answer)})
    return done


def without_places(record: dict[str, Any]) -> dict[str, Any]:
    """A record that does not say where on this machine the neighbours are."""
    for neighbour in record.get("knowledge", {}).get("neighbours", ()):
        neighbour["path"] = "-"
    return record


def plainly(verdict: Verdict) -> Verdict:
    """A verdict whose error tells strangers nothing of this machine."""
    if verdict.error is None or verdict.error.code != "internal":
        return verdict
    sys.stderr.write(f"{verdict.sha256}: {verdict.error.message}\n")
    message = foreign(verdict.error.message.partition(":")[0])
    return replace(verdict, error=replace(verdict.error, message=message))


def scan_options(asked: dict[str, Any], settings: Settings) -> ScanOptions:
    """What a client asks for, with the service's own base and tracer."""
    return ScanOptions(
        prior=asked["prior"],
        timeline=True,
        threads=1,
        voice=settings.knowledge is not None,  # a label may take it into the base later
        knowledge=settings.knowledge if asked["knowledge"] else None,
        tracer=settings.tracer if asked["attribution"] else None,
        watermark=asked["watermark"],
    )


def packed(verdict: Verdict) -> str | None:
    """Embeddings and profile of a recording as text."""
    if verdict.heard is None:
        return None
    file = io.BytesIO()
    heard = verdict.heard
    profile = np.zeros(0, np.float32) if heard.profile is None else heard.profile
    np.savez(file, embeddings=heard.embeddings, starts_s=heard.starts_s, profile=profile)
    return base64.b64encode(file.getvalue()).decode() if file.tell() <= MOST_HEARD else None


def unpacked(data: bytes) -> Heard:
    """What `packed` packed, from its bytes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        profile = arrays["profile"]
        return Heard(arrays["embeddings"], arrays["starts_s"], profile if len(profile) else None)


def make_wav(request: dict[str, Any], settings: Settings, say: Any) -> dict[str, Any]:
    """Write a recording as mono 16-bit WAV at 16 kHz, which every browser plays."""
    import wave

    out, part = Path(request["out"]), Path(request["out"] + ".part")
    watch = watcher(replace(settings, short_s=None), say)
    with (
        open_file(request["path"]) as file,
        open_recording(file, request["name"]) as recording,
        wave.open(str(part), "wb") as wav,
    ):
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        for block in recording.blocks():
            watch(recording)
            wav.writeframes((np.clip(block, -1, 1) * 32767).astype("<i2").tobytes())
    part.replace(out)
    return {}


def make_peaks(request: dict[str, Any], settings: Settings, say: Any) -> dict[str, Any]:
    """Write the outline of a recording: its length, and the loudest sample of each stretch."""
    out, loudest, step, samples = Path(request["out"]), [], 160, 0
    rest, watch = np.zeros(0, np.float32), watcher(replace(settings, short_s=None), say)
    with open_file(request["path"]) as file, open_recording(file, request["name"]) as recording:
        for block in recording.blocks():
            watch(recording)
            samples += len(block)
            rest = np.concatenate([rest, np.abs(block)])
            whole = len(rest) // step * step
            loudest += rest[:whole].reshape(-1, step).max(axis=1).tolist()
            rest = rest[whole:]
    loudest += [float(rest.max())] if len(rest) else []
    parts = [part for part in np.array_split(np.array(loudest or [0.0]), PEAKS) if len(part)]
    peaks = [round(min(float(part.max()), 1.0), 3) for part in parts]
    write(out, json.dumps({"duration_s": round(samples / SAMPLE_RATE, 3), "peaks": peaks}).encode())
    return {}


def make_report(request: dict[str, Any], settings: Settings, say: Any) -> dict[str, Any]:
    """Write a report on an answer, with pictures where the audio is still there."""
    from earwitness.operations import report as reports

    path, record = Path(request["path"]) if request["path"] else None, request["record"]
    report = reports.make(path, record, reports.card_of(record, None), lambda _: say({"heard": None}))
    forms = {
        "html": lambda: reports.html(report).encode(),
        "pdf": lambda: reports.pdf(report),
        "json": lambda: json.dumps(reports.to_json(report), indent=1).encode(),
    }
    write(Path(request["out"]), forms[request["form"]]())
    return {}


def write(out: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = out.with_name(f"{out.name}.part")
    part.write_bytes(data)
    part.replace(out)


MAKERS = {"wav": make_wav, "peaks": make_peaks, "report": make_report}

if __name__ == "__main__":
    main()
