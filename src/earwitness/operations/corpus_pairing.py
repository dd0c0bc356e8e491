"""Which recordings are spliced: bases with injectors of the other class that leak nothing.

Base and injector are of one split and one fold and, where the protocol has neither, of one group. Aligned
pairs are versions of one utterance (column Source) of which `check_aligned` found that they run in time.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from earwitness.audio.augment.clips import contain
from earwitness.audio.augment.codecs import CODECS, SHORTEST, find_codec
from earwitness.audio.augment.mixing import Splicing, check_aligned, check_splicing
from earwitness.audio.io import SAMPLE_RATE, open_file, open_recording
from earwitness.audio.probe import check_whole
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError
from earwitness.operations.corpus import in_threads
from earwitness.types import Failure

MAX_COUNT = 1_000_000
MAX_S = 300.0  # recordings are held whole
MAX_PAIRS = 2_000_000
CHUNK = 256  # pairs that are compared before it is asked whether more are needed
GROUP = 4  # recordings, or pairs, that a thread decodes before it reports
BASES = {"real": (True,), "fake": (False,), "both": (True, False)}

Item = TypeVar("Item")
Pools = dict[bool, list[Utterance]]  # by class: True is genuine
Reasons = list[tuple[str, Path, str]]  # ID and path of what is left out, and why


@dataclass(frozen=True)
class Request:
    """What to make."""

    count: int  # files in all
    seed: int = 0
    base: str = "real"  # class of what is spliced into: real, fake or both in turn
    aligned: bool = False  # segments from the same place of another version of the utterance
    whole: float = 0.0  # share of the files that are a whole genuine recording, and a whole fake one
    splicing: Splicing = field(default_factory=Splicing)


@dataclass(frozen=True)
class Job:
    """One file: a base whole, or with segments of an injector that runs `lag` samples late (aligned)."""

    number: int
    base: Utterance
    injector: Utterance | None = None
    lag: int | None = None


def check_request(request: Request) -> None:
    """Refuse what cannot be made.

    Raises:
        InputError: `usage`, naming the option; `unsupported`: an encoder is missing.
        MissingExtra: a package that a codec needs is absent.
    """
    check_splicing(request.splicing)
    if not 1 <= request.count <= MAX_COUNT:
        raise InputError("usage", f"--count {request.count}: expected 1 to {MAX_COUNT:,} files")
    if request.seed < 0:
        raise InputError("usage", f"--seed {request.seed}: expected 0 or more")
    if request.base not in BASES:
        raise InputError("usage", f"--base {request.base!r}: expected {', '.join(BASES)}")
    if not 0 <= request.whole < 0.5:
        raise InputError("usage", f"--whole {request.whole}: expected a share of each class, 0 to below 0.5")
    if request.splicing.codec:
        for codec in CODECS:
            find_codec(codec)


def sift(items: Sequence[Utterance], splicing: Splicing, reasons: Reasons) -> Iterator[Utterance]:
    """Recordings that can be base or injector; the others are listed."""
    least_s = max(splicing.fade_s, SHORTEST / SAMPLE_RATE) * splicing.segments[1] / splicing.share[0]
    for item in items:
        seconds = item.duration_s or 0.0
        if item.family == "edit" and not item.bona_fide:
            reasons.append(
                (item.id, item.path, "is fake in part already, and which part is not in the protocol")
            )
        elif seconds < least_s:
            reasons.append((item.id, item.path, f"lasts {seconds:.2f} s; such segments take {least_s:.2f} s"))
        elif seconds > MAX_S:
            reasons.append(
                (item.id, item.path, f"lasts {seconds:.0f} s, at most {MAX_S:.0f} s are spliced; cut it")
            )
        else:
            yield item


def place(item: Utterance) -> tuple:
    """What base and injector share: split and fold; where the protocol has neither, the group."""
    known = item.split != "-" or item.fold is not None
    return item.split, item.fold, "-" if known else item.group


def rounds(items: Sequence[Item], rng: np.random.Generator) -> Iterator[Item]:
    """Items without end, all of them in a random order before any comes again."""
    while items:
        for i in rng.permutation(len(items)):
            yield items[i]


def counts(request: Request) -> tuple[int, int]:
    """How many files are spliced, and how many of each class whole."""
    whole = min(round(request.whole * request.count), request.count // 2)
    return request.count - 2 * whole, whole


def plan(
    items: Sequence[Utterance], request: Request, rng: np.random.Generator, reasons: Reasons
) -> list[Job]:
    """Bases in turn, each with a random injector of the other class from the same place.

    Raises:
        InputError: `usage`: no place holds both classes, or too few recordings to be left whole.
    """
    by_place: dict[tuple, Pools] = defaultdict(lambda: {True: [], False: []})
    for item in items:
        by_place[place(item)][item.bona_fide].append(item)
    pools: Pools = {True: [], False: []}
    for item in items:
        if by_place[place(item)][not item.bona_fide]:
            pools[item.bona_fide].append(item)
        else:
            other = "fake" if item.bona_fide else "genuine"
            reasons.append((item.id, item.path, f"its split, fold or group holds no {other} recording"))
    if not pools[True]:
        raise InputError(
            "usage", "no split, fold or group of this protocol holds genuine and fake recordings"
        )
    turns = {genuine: rounds(pool, rng) for genuine, pool in pools.items()}
    drawn = []
    for i in range(counts(request)[0]):
        base = next(turns[BASES[request.base][i % len(BASES[request.base])]])
        partners = by_place[place(base)][not base.bona_fide]
        drawn.append(Job(0, base, partners[int(rng.integers(len(partners)))]))
    return in_any_order(drawn + wholes(pools, request, rng), rng)


def wholes(pools: Pools, request: Request, rng: np.random.Generator) -> list[Job]:
    """Jobs of files left whole, no recording twice.

    Raises:
        InputError: `usage`: there are too few.
    """
    count, jobs = counts(request)[1], []
    for genuine, pool in pools.items():
        if len(pool) < count:
            name = "genuine" if genuine else "fake"
            raise InputError(
                "usage",
                f"--whole {request.whole}: asks for {count} whole {name} files, there are {len(pool)}",
            )
        jobs += [Job(0, item) for item in islice(rounds(pool, rng), count)]
    return jobs


def in_any_order(jobs: Sequence[Job], rng: np.random.Generator) -> list[Job]:
    """Jobs shuffled and numbered from 1, so that a number tells nothing."""
    return [replace(jobs[i], number=n) for n, i in enumerate(rng.permutation(len(jobs)), start=1)]


Pair = tuple[Utterance, Utterance, int]  # genuine, fake, and how many samples the fake runs late


def find_pairs(
    items: Sequence[Utterance], request: Request, rng: np.random.Generator, reasons: Reasons
) -> tuple[list[Pair], dict[str, int]]:
    """Versions of one utterance (column Source) that run in time, until there are enough.

    Returns:
        The pairs, and how many were `found` by their source, `compared`, and `aligned`.

    Raises:
        InputError: `usage`: a source is shared by too many; no pair is aligned.
    """
    by_source: dict[tuple, Pools] = defaultdict(lambda: {True: [], False: []})
    for item in items:
        if item.source not in ("", "-"):
            by_source[item.source, place(item)][item.bona_fide].append(item)
    if sum(len(both[True]) * len(both[False]) for both in by_source.values()) > MAX_PAIRS:
        raise InputError("usage", f"--aligned: over {MAX_PAIRS:,} pairs by Source; it names no utterances")
    found = [(one, two) for both in by_source.values() for one in both[True] for two in both[False]]
    found = list(islice(rounds(found, rng), len(found)))
    pairs: list[Pair] = []
    compared = 0
    while compared < len(found) and not enough(pairs, request):
        some = found[compared : compared + CHUNK]
        compared += len(some)
        for (genuine, fake), lag in in_threads(compare, some, len(some), "comparing", group=GROUP):
            if isinstance(lag, Failure):
                reasons.append((fake.id, fake.path, f"not spliced with {genuine.id}: {lag.message}"))
            else:
                pairs.append((genuine, fake, lag))
    if not pairs:
        raise InputError(
            "usage",
            f"--aligned: {len(found)} pairs of genuine and fake have one Source, and none runs in time",
        )
    return pairs, {"found": len(found), "compared": compared, "aligned": len(pairs)}


def enough(pairs: Sequence[Pair], request: Request) -> bool:
    """Whether each splice can have a pair to itself, and each whole file a recording."""
    splices, whole = counts(request)
    return len(pairs) >= splices and min(map(len, recordings(pairs).values())) >= whole


def recordings(pairs: Sequence[Pair]) -> Pools:
    """The recordings of pairs, each once."""
    return {
        True: list({genuine.id: genuine for genuine, _, _ in pairs}.values()),
        False: list({fake.id: fake for _, fake, _ in pairs}.values()),
    }


def compare(pair: tuple[Utterance, Utterance]) -> int:
    """How many samples the second runs late.

    Raises:
        InputError: `not-aligned`; as `hear`.
    """
    return check_aligned(hear(pair[0]), hear(pair[1]))


def plan_aligned(pairs: Sequence[Pair], request: Request, rng: np.random.Generator) -> list[Job]:
    """Pairs in turn; wholes are recordings of them, so that they differ from the splices in nothing else."""
    jobs: list[Job] = []
    for i, (genuine, fake, lag) in enumerate(islice(rounds(pairs, rng), counts(request)[0])):
        real_base = BASES[request.base][i % len(BASES[request.base])]
        jobs.append(Job(0, genuine, fake, lag) if real_base else Job(0, fake, genuine, -lag))
    return in_any_order(jobs + wholes(recordings(pairs), request, rng), rng)


def hear(item: Utterance) -> np.ndarray:
    """All of a recording, (samples,); divided by its peak where that is above 1.

    Raises:
        InputError: as `earwitness.audio.io.load`; `damaged`, `truncated`; `too-long`.
    """
    blocks, held = [], 0
    try:
        with open_file(item.path) as file, open_recording(file, item.path.name) as recording:
            for block in recording.blocks():
                blocks.append(block)
                held += len(block)
                if held > (MAX_S + 1) * SAMPLE_RATE:
                    raise InputError("too-long", f"longer than the {item.duration_s:.0f} s of the protocol")
            check_whole(recording)
        if not blocks:
            raise InputError("no-samples", "the sound track holds no samples; export it again")
    except InputError as error:
        raise InputError(error.code, f"{item.path}: {error.message}") from None
    return contain(np.concatenate(blocks))
