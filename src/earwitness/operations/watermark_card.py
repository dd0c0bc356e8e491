"""`earwitness watermark card`: how robust, faithful and fast watermarks are, on a protocol's recordings.

    card = measure(scheme, items)

Recordings, fake and genuine, are marked with a name (that of their generator where the scheme has it, else
one drawn), go through every distortion and attack, and are read. Unmarked ones say how often a mark is heard
where there is none. With a folder, each recording's answers are kept in a journal there: a run that was
killed goes on, and one that is repeated only writes its page. What failed is kept too and not tried again.
"""

import hashlib
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.augment.distortions import DISTORTIONS
from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.errors import InputError
from earwitness.evidence.watermark import Scheme
from earwitness.metrics.page import write_page
from earwitness.operations.corpus_copies import draws
from earwitness.operations.journal import Journal
from earwitness.operations.processes import in_processes
from earwitness.operations.show import visible
from earwitness.operations.watermark_figures import Answer, summarise
from earwitness.operations.watermark_page import Card, card_page
from earwitness.operations.watermark_trials import (
    SHORTEST_S,
    Averaging,
    CardOptions,
    Job,
    Source,
    Work,
    opened,
)
from earwitness.types import Failure

GENUINE = 0.25  # of what is marked
SPARE = 1.2  # times as many recordings as windows to average need, since some are short
LONGEST_S = 20.0  # of a recording: PESQ takes no more


def measure(
    scheme: Source,
    items: Sequence[Utterance],
    others: Sequence[Source] = (),
    distortions: Sequence[str] = tuple(DISTORTIONS),
    options: CardOptions = CardOptions(),
    folder: Path | None = None,
    processes: int = 1,
) -> Card:
    """The card of one scheme, fit for JSON.

    Args:
        scheme: a scheme, or a function that opens it in each process (it must be one that can be pickled and
            hashed). items: labelled recordings; under a second they are left out. others: schemes that
            overwrite its marks. distortions: names of the catalogue. options: how much.
        folder: of the journal; none: nothing is kept. processes: 0 is one for each processor; a scheme that
            is not opened by a function is measured in this one.

    Raises:
        InputError: `usage`: options that cannot be, no recording, an unknown distortion, two schemes of one
            name; `bad-journal`: the folder holds another card's.
    """
    own = opened(scheme)
    check(own, [opened(other) for other in others], distortions, options)
    usable = [item for item in items if (item.duration_s or SHORTEST_S) >= SHORTEST_S]
    marked = chosen(usable, options.limit, GENUINE, options.seed)
    if not marked:
        raise InputError("usage", f"none of {len(items)} recordings lasts {SHORTEST_S:g} s: nothing to mark")
    jobs = plan(own, usable, marked, options)
    if any(isinstance(one, Scheme) for one in (scheme, *others)):
        processes = 1
    with ExitStack() as stack:
        folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        work = Work(scheme, tuple(others), tuple(distortions), options, folder)
        journal = stack.enter_context(Journal(folder / "journal.jsonl", head_of(work, jobs, usable)))
        notes = average(work, own, usable, marked, jobs, processes)
        todo = [job for job in jobs if (job.key, None) not in journal.records]
        for job, found in in_processes(work, todo, processes, f"measuring {own.name}"):
            failed = isinstance(found, Failure)
            journal.append({"path": job.key, "failure": found.message} if failed else found)
        answers, left_out = [], []
        for job in jobs:
            record = journal.records[job.key, None]
            if "failure" in record:
                left_out.append({"id": job.item.id, "why": record["failure"]})
            else:
                is_own = job.kind == "marked" and job.name in (job.item.generator, job.item.architecture)
                answers.append(Answer(job, group_of(job.item), is_own, record))
        try:
            figures = summarise(own, answers, distortions, options)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                "bad-journal", f"{journal.path}: does not hold what was written; start a new folder"
            ) from None
    return head_of_card(own, work) | figures | {"left_out": left_out, "notes": notes}


def check(scheme: Scheme, others: Sequence[Scheme], distortions: Sequence[str], options: CardOptions) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: `usage`.
    """
    unknown = [name for name in distortions if name not in DISTORTIONS]
    if unknown:
        raise InputError(
            "usage", f"no distortion is called {unknown[0]!r}; known are {', '.join(DISTORTIONS)}"
        )
    names = [scheme.name, *(other.name for other in others)]
    if len(set(names)) < len(names):
        raise InputError("usage", f"two schemes have one name: {', '.join(names)}; give each its own")
    if not SHORTEST_S <= options.seconds <= LONGEST_S:
        raise InputError(
            "usage", f"clips are {SHORTEST_S:g} to {LONGEST_S:g} s long, found {options.seconds:g}"
        )
    if options.limit < 1 or min(options.unmarked, options.disturbed, options.quality, options.seed) < 0:
        raise InputError("usage", "counts and seed are 0 or more, and one recording at least is marked")
    if not all(1 <= times <= 10 for times in options.overwrite) or not all(n > 0 for n in options.average):
        raise InputError("usage", "marks are overwritten 1 to 10 times, and one window or more averaged")


def chosen(items: Iterable[Utterance], limit: int, genuine: float, seed: int) -> list[Utterance]:
    """At most so many recordings, this share of them genuine where there are as many, spread over groups."""
    real, fake = [], []
    for item in items:
        (real if item.bona_fide else fake).append(item)
    count = min(len(real), max(round(limit * genuine), limit - len(fake)))
    return spread(fake, limit - count, seed) + spread(real, count, seed)


def spread(items: Iterable[Utterance], count: int, seed: int) -> list[Utterance]:
    """At most so many, groups taking turns; both orders depend on ids and seed alone."""
    groups: dict[str, list[tuple[float, str, Utterance]]] = defaultdict(list)
    for item in items:
        groups[group_of(item)].append((draws(seed, item.id, "order").random(), item.id, item))
    turns = sorted(groups, key=lambda name: (draws(seed, name, "turn").random(), name))
    rows = [
        (place, turn, found[2])
        for turn, name in enumerate(turns)
        for place, found in enumerate(sorted(groups[name], key=lambda one: one[:2]))
    ]
    return [item for _, _, item in sorted(rows, key=lambda row: row[:2])[:count]]


def group_of(item: Utterance) -> str:
    """What is resampled: the group; without one the speaker, without either the recording."""
    return next((name for name in (item.group, item.speaker) if name != "-"), item.id)


def name_for(scheme: Scheme, item: Utterance, seed: int) -> str:
    """Whom a recording is marked with: who made it, or anybody; "" where a scheme names nobody."""
    if not scheme.names:
        return ""
    for name in (item.generator, item.architecture):
        if name in scheme.names:
            return name
    return scheme.names[int(draws(seed, item.id, "name").integers(len(scheme.names)))]


def plan(
    scheme: Scheme, usable: Sequence[Utterance], marked: Sequence[Utterance], options: CardOptions
) -> list[Job]:
    """What is to be done; those that are looked at more closely stand evenly among the others."""
    jobs = [
        Job(item, "marked", name_for(scheme, item, options.seed), more)
        for item, more in zip(marked, evenly(len(marked), options.quality), strict=True)
    ]
    clean = chosen(usable, options.unmarked, 0.5, options.seed)
    return jobs + [
        Job(item, "unmarked", "", more)
        for item, more in zip(clean, evenly(len(clean), options.disturbed), strict=True)
    ]


def evenly(count: int, some: int) -> list[bool]:
    """Which `some` of `count`, evenly spread."""
    return [(i + 1) * min(some, count) // count > i * min(some, count) // count for i in range(count)]


def average(
    work: Work,
    scheme: Scheme,
    usable: Sequence[Utterance],
    marked: Sequence[Utterance],
    jobs: Sequence[Job],
    processes: int,
) -> list[str]:
    """Write the patterns of every name that is used; returns what is to be said of them."""
    options, notes = work.options, []
    if not options.average:
        return notes
    need = ceil(SPARE * max(options.average) / max(1, int(options.seconds) - 1))
    taken = {item.id for item in marked}
    free = spread([item for item in usable if item.id not in taken], 2 * need, options.seed + 1)
    pool = free + spread(marked, max(0, 2 * need - len(free)), options.seed + 1)
    half = len(pool) // 2
    if len(pool) > len(free):
        notes.append(
            f"{len(pool) - len(free)} of {len(pool)} recordings that averages are taken of are measured too, "
            "which flatters the attacks"
        )
    names = sorted({job.name for job in jobs if job.kind == "marked"})
    asked = [Averaging(name, tuple(pool[:half]), tuple(pool[half:])) for name in names]
    for one, found in in_processes(work.average, asked, processes, f"averaging {scheme.name}"):
        if isinstance(found, Failure):
            notes.append(f"no averages of {one.name or 'marks'}: {found.message}")
            continue
        short = [n for n in options.average if f"grey-{n}" not in found]
        told = f"too few recordings to average {', '.join(map(str, short))} windows"
        if short and told not in notes:
            notes.append(told)
    return notes


def head_of(work: Work, jobs: Sequence[Job], usable: Sequence[Utterance]) -> dict[str, Any]:
    """What shapes the answers in a journal."""
    own = opened(work.scheme)
    what = [[job.kind, job.item.id, job.item.bona_fide, job.name, job.more] for job in jobs]
    shaping = asdict(work.options)
    for later in ("draws", "level"):  # of the summary alone
        del shaping[later]
    return {
        "scheme": own.name,
        "digest": own.digest,
        "others": [f"{opened(other).name} {opened(other).digest}" for other in work.others],
        "distortions": ", ".join(work.distortions),
        "options": ", ".join(f"{name} {value}" for name, value in shaping.items()),
        "recordings": digest([what, sorted(item.id for item in usable)]),
    }


def digest(value: object) -> str:
    """SHA-256 of something fit for JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def head_of_card(scheme: Scheme, work: Work) -> dict[str, Any]:
    """What was measured, and how."""
    from earwitness import __version__

    how = scheme.presence
    return {
        "schema": 1,
        "earwitness": __version__,
        "scheme": {
            "name": scheme.name,
            "digest": scheme.digest,
            "sample_rate": scheme.sample_rate,
            "names": list(scheme.names),
            "bits": None if scheme.bits is None else int(np.shape(scheme.bits)[1]),
            "places": scheme.step > 0,
            "threshold": how.threshold,
            "false_alarm": how.false_alarm,
        },
        "others": [opened(other).name for other in work.others],
        "options": json.loads(json.dumps(asdict(work.options))),
    }


@dataclass(frozen=True)
class Opener:
    """Opens a scheme of a name, or in a folder, wherever it is called."""

    name: str

    def __call__(self) -> Scheme:
        from earwitness.evidence.watermark_bundle import open_scheme

        return open_scheme(self.name)


@dataclass(frozen=True)
class Outputs:
    """Where cards go."""

    page: Path
    json: Path | None = None
    journals: Path | None = None  # a folder


def run_card(
    protocols: Sequence[Path],
    schemes: Sequence[str],
    outputs: Outputs,
    options: CardOptions = CardOptions(),
    distortions: Sequence[str] = (),
    root: Path | None = None,
    processes: int = 0,
) -> int:
    """`earwitness watermark card`: 0, or 1 where some recordings or conditions failed.

    `distortions`: of the catalogue; none: all of it.
    """
    wanted = tuple(dict.fromkeys(distortions)) or tuple(DISTORTIONS)
    items = read_protocols(protocols, root)
    sources = [Opener(name) for name in dict.fromkeys(schemes)]
    cards = []
    for source in sources:
        others = [other for other in sources if other != source]
        kept = outputs.journals and outputs.journals / digest(source.name)[:8]
        cards.append(measure(source, items, others, wanted, options, kept, processes))
    write_page(outputs.page, card_page(cards), "the card")
    if outputs.json:
        content = json.dumps({"schema": 1, "cards": cards}, indent=1, ensure_ascii=False) + "\n"
        write_page(outputs.json, content, "the card")
    for card in cards:
        sys.stdout.write(visible(sentence(card)) + "\n")
        for failure in card["failed"]:
            told = f"{card['scheme']['name']}: {failure['condition']} failed {failure['times']} times"
            sys.stderr.write(visible(f"{told}: {failure['why']}") + "\n")
        if card["left_out"]:
            first = card["left_out"][0]
            told = f"{card['scheme']['name']}: left out {len(card['left_out'])} recordings, the first"
            sys.stderr.write(visible(f"{told} {first['id']}: {first['why']}") + "\n")
    return int(any(card["failed"] or card["left_out"] for card in cards))


def sentence(card: Card) -> str:
    """A card in a line."""
    clean = card["conditions"][0]["all"]
    told = f"{card['scheme']['name']}: {clean['recordings']} marked recordings"
    for name, words in (("detected", "detected"), ("named", "rightly named")):
        if clean[name]:
            told += f", {clean[name]['value']:.1%} {words}"
    alarms = card["false_alarms"][0] if card["false_alarms"] else None
    if alarms:
        count = alarms["genuine"]["alarms"] + alarms["fake"]["alarms"]
        total = alarms["genuine"]["recordings"] + alarms["fake"]["recordings"]
        told += f"; {count} false alarms in {total}"
    return told
