"""One genuine recording to its twin and its fakes: what each process of `corpus synthesise` does."""

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.protocol import Utterance
from earwitness.audio.synthesis.methods import METHODS, Method
from earwitness.audio.synthesis.neural import draw_neural, neural, read_facts
from earwitness.audio.synthesis.pairing import Twin, finish, prepare_twin
from earwitness.errors import InputError
from earwitness.operations.corpus import attempt
from earwitness.operations.corpus_pairing import hear
from earwitness.operations.corpus_splice import write_flac
from earwitness.types import Failure

NEURAL = "neural"  # the method of `--vocoder`
TWIN = "genuine"  # stands for a method in names and manifest


@dataclass(frozen=True)
class Request:
    """What to make."""

    count: int  # fakes in all, shared evenly by the methods
    methods: tuple[str, ...] = ()  # none: all that need no file, and `neural` where a vocoder is named
    seed: int = 0
    vocoder: Path | None = None


@dataclass(frozen=True)
class Job:
    """What is still to be made of one genuine recording."""

    source: Utterance
    methods: tuple[str, ...]  # TWIN among them


@dataclass(frozen=True)
class Made:
    """What was made of one recording."""

    rows: list[dict[str, Any]]  # of the manifest
    failures: list[tuple[str, str]]  # method and message


def draws(seed: int, source: str, what: str) -> np.random.Generator:
    """Random numbers that depend on these three alone."""
    digest = hashlib.sha256(f"{source}\0{what}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32).tolist()])


@dataclass(frozen=True)
class Work:
    """A function of jobs that other processes can be handed."""

    out: Path
    request: Request

    def __call__(self, job: Job) -> Made | Failure:
        ((_, made),) = attempt(self.make, [job])
        return made

    def make(self, job: Job) -> Made:
        """Write the files of a job; the twin last, and only where a fake was made.

        Raises:
            InputError: as `hear` and `prepare_twin`.
        """
        try:
            twin = prepare_twin(hear(job.source), draws(self.request.seed, job.source.id, "crop"))
        except InputError as error:
            raise InputError(error.code, f"{job.source.path}: {error.message}") from None
        fakes = [method for method in job.methods if method != TWIN]
        answers = attempt(lambda method: self.make_fake(job.source, twin, method), fakes)
        rows = [row for _, row in answers if not isinstance(row, Failure)]
        failures = [(method, row.message) for method, row in answers if isinstance(row, Failure)]
        if TWIN in job.methods and (rows or not fakes):
            rng = draws(self.request.seed, job.source.id, TWIN)
            rows.append(self.write(job.source, TWIN, finish(twin.audio, twin, rng), {}))
        return Made(rows, failures)

    def make_fake(self, source: Utterance, twin: Twin, name: str) -> dict[str, Any]:
        """One fake, written."""
        method = find_method(name, self.request)
        rng = draws(self.request.seed, source.id, name)
        settings = method.draw(rng)
        made = finish(method.make(twin.audio, settings, rng), twin, rng)
        return self.write(source, name, made, asdict(settings))

    def write(
        self, source: Utterance, method: str, audio: np.ndarray, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Write a file; returns its row of the manifest."""
        folder = re.sub(r"[^\w.-]+", "_", self.out.resolve().name, flags=re.ASCII) or "synthesised"
        key = hashlib.sha256(source.id.encode()).hexdigest()[:12]
        name = f"{folder}-{key}-{method}"
        write_flac(self.out / "audio" / f"{name}.flac", audio)
        return {
            "id": name,
            "path": f"audio/{name}.flac",
            "label": "real" if method == TWIN else "fake",
            "method": method,
            "source": source.id,
            "twin": f"{folder}-{key}-{TWIN}",
            "seed": self.request.seed,
            "samples": len(audio),
            "settings": settings,
        }


def find_method(name: str, request: Request) -> Method:
    """The method of a name, `neural` included."""
    if name != NEURAL or request.vocoder is None:
        return METHODS[name]
    path, called = request.vocoder, vocoder_name(request.vocoder)
    return Method(draw_neural, lambda audio, how, rng: neural(audio, how, rng, path), called, "vocoder")


def vocoder_name(path: Path) -> str:
    """What protocols call a vocoder."""
    name = read_facts(path).name
    return path.stem if name == "-" else name
