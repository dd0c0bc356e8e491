"""`earwitness corpus check`: what is missing, damaged, double, or leaks from one side into another.

A side is a split (Proportion: train, valid, test) or, where that says nothing, a fold. A detector that
heard a test speaker, text or recording in training is flattered by the test; so is one judged on copies.
Work grows as n log n at most: files are hashed only where sizes are equal.
"""

import hashlib
import json
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from earwitness.audio.io import open_file, open_recording
from earwitness.audio.probe import check_whole, probe, stated_s
from earwitness.audio.protocol import Utterance, read_protocol
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError
from earwitness.operations.corpus import in_threads, show_table
from earwitness.operations.show import visible
from earwitness.types import Failure

TOLERANCE_S = 0.05
PADDING_S = 0.15  # what lossy codecs put around the sound: decoders leave a part of it in
EXAMPLES = 5
DECODE_GROUP = 4  # files that a thread decodes before it reports

Severity = Literal["error", "warning"]
KINDS: dict[str, tuple[Severity, str]] = {
    "missing": ("error", "files that are not there"),
    "unreadable": ("error", "files that cannot be read"),
    "duration": ("error", f"files whose length is off by more than {TOLERANCE_S} s"),
    "sample-rate": ("error", "files of another sample rate"),
    "channels": ("error", "files of another number of channels"),
    "same-id": ("error", "IDs that stand in several protocols"),
    "two-labels": ("error", "recordings that are called real here and fake there"),
    "duplicate-bytes": ("error", "files that stand several times on one side"),
    "duplicate-audio": ("error", "recordings that stand several times on one side, in different files"),
    "leak-bytes": ("error", "files on several sides"),
    "leak-audio": ("error", "recordings on several sides, in different files"),
    "leak-speaker": ("error", "speakers on several sides"),
    "leak-source": ("error", "source recordings on several sides"),
    "leak-group": ("error", "groups on several sides"),
    "fake-of-test-speaker": ("error", "training fakes whose speaker is heard in the test"),
    "fake-of-test-recording": ("error", "training fakes made from a genuine recording of the test"),
    "leak-text": ("warning", "texts on several sides"),
    "leak-speaker-name": ("warning", "names of speakers on several sides, in different data sets"),
}


@dataclass(frozen=True)
class Example:
    """What was found, and the rows it was found in: one of each side."""

    what: str
    rows: tuple[dict[str, str], ...]  # id, label, split, dataset


@dataclass(frozen=True)
class Finding:
    """One kind of fault, how often, and the first few."""

    kind: str
    severity: Severity
    what: str
    count: int  # files, IDs, recordings, speakers, ...: see `what`
    rows: int  # rows of the protocols that are concerned
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Heard:
    """What is known of a file."""

    size: int
    duration_s: float
    sample_rate: int
    channels: int
    sound: str | None  # equal for equal sound; None where that would cost decoding


def check(paths: Sequence[Path], root: Path | None = None, decode: bool = False) -> dict[str, Any]:
    """All findings in protocols taken together, as `earwitness corpus check --json` prints them.

    Raises:
        InputError: as `read_protocol`; `bad-protocol`: there is no row.
    """
    items = [item for path in paths for item in read_protocol(path, root)]
    if not items:
        raise InputError("bad-protocol", f"{', '.join(map(str, paths)) or 'no protocol'}: holds no row")
    heard, findings = listen(items, decode)
    findings += compare_files(items, heard) + leaks(items)
    order = list(KINDS)
    findings.sort(key=lambda one: order.index(one.kind))
    sides: dict[str, int] = defaultdict(int)
    for item in items:
        sides[side(item) or "-"] += 1
    return {
        "protocols": [str(path) for path in paths],
        "rows": len(items),
        "sides": dict(sorted(sides.items())),
        "decoded": decode,
        "errors": sum(one.severity == "error" for one in findings),
        "warnings": sum(one.severity == "warning" for one in findings),
        "findings": [asdict(one) for one in findings],
    }


def side(item: Utterance) -> str:
    """Where a row stands: its split, else its fold; '' if nowhere."""
    if item.split != "-":
        return item.split
    return "" if item.fold is None else f"fold {item.fold}"


def finding(kind: str, groups: Iterable[tuple[str, Sequence[Utterance]]]) -> list[Finding]:
    """A finding of what was found, each with its rows; none where nothing was."""
    count = rows = 0
    examples = []
    for what, members in groups:
        count, rows = count + 1, rows + len(members)
        if len(examples) < EXAMPLES:
            examples.append(Example(what, tuple(one_of_each_side(members))))
    severity, title = KINDS[kind]
    return [Finding(kind, severity, title, count, rows, tuple(examples))] if count else []


def one_of_each_side(members: Sequence[Utterance]) -> Iterator[dict[str, str]]:
    """The first row of each side, or the first two where all stand on one."""
    firsts = {(side(item), item.bona_fide): item for item in reversed(members)}
    shown = list(firsts.values())[::-1] if len(firsts) > 1 else members[:2]
    for item in shown:
        label = "real" if item.bona_fide else "fake"
        yield {"id": item.id, "label": label, "split": side(item) or "-", "dataset": item.dataset}


def listen(items: Sequence[Utterance], decode: bool) -> tuple[list[Heard | None], list[Finding]]:
    """What is known of each file, and findings about files by themselves."""
    heard: list[Heard | None] = []
    wrong: dict[str, list[tuple[str, Sequence[Utterance]]]] = defaultdict(list)
    hear, group = (hear_all, DECODE_GROUP) if decode else (hear_header, 64)
    for item, found in in_threads(hear, items, len(items), "checking", group=group):
        if isinstance(found, Failure):
            kind = "missing" if found.code == "not-found" else "unreadable"
            wrong[kind].append((f"{item.path}: {found.message}", [item]))
            heard.append(None)
            continue
        heard.append(found)
        for kind, what in contradictions(item, found):
            wrong[kind].append((what, [item]))
    return heard, [one for kind, groups in wrong.items() for one in finding(kind, groups)]


def hear_header(item: Utterance) -> Heard:
    """What the header says; the sound by the MD5 that FLAC states.

    Raises:
        InputError: as `probe`.
    """
    found = probe(item.path)
    sound = found.audio_md5 and f"{found.audio_md5} {found.sample_rate} {found.channels}"
    size = item.path.stat().st_size
    return Heard(size, found.duration_s, found.sample_rate, found.channels, sound)


def hear_all(item: Utterance) -> Heard:
    """What decoding all of it says; the sound by SHA-256 of its samples at 16 kHz.

    Raises:
        InputError: as `Recording.blocks`; `damaged`, `truncated`, `no-samples`.
    """
    sound = hashlib.sha256()
    with open_file(item.path) as file, open_recording(file, item.path.name) as recording:
        for block in recording.blocks():
            sound.update(block.tobytes())
        check_whole(recording)
        if not recording.decoded_s:
            raise InputError("no-samples", "the sound track holds no samples; export it again")
        info, duration_s, promised_s = recording.info, recording.decoded_s, stated_s(recording)
    if promised_s is not None and abs(promised_s - duration_s) <= PADDING_S:
        duration_s = promised_s
    size = item.path.stat().st_size
    return Heard(size, duration_s, info.sample_rate, info.channels, sound.hexdigest())


def contradictions(item: Utterance, found: Heard) -> Iterator[tuple[str, str]]:
    """Where a file and its row differ: kind, and what was found."""
    if item.duration_s is not None and abs(found.duration_s - item.duration_s) > TOLERANCE_S:
        yield "duration", f"{found.duration_s:.2f} s, the protocol says {item.duration_s:.2f} s"
    if item.sample_rate is not None and found.sample_rate != item.sample_rate:
        yield "sample-rate", f"{found.sample_rate} Hz, the protocol says {item.sample_rate} Hz"
    if item.channels is not None and found.channels != item.channels:
        yield "channels", f"{found.channels} channels, the protocol says {item.channels}"


def compare_files(items: Sequence[Utterance], heard: Sequence[Heard | None]) -> list[Finding]:
    """Findings about files that are equal by their bytes, or by their sound."""
    digests = digests_of_equal_sizes(items, heard)
    by_bytes = together(zip(digests, items, strict=True))
    by_sound = together(sounds_of_different_files(items, heard, digests))
    findings = two_labels(items, digests, heard)
    for kind, groups in (("bytes", by_bytes), ("audio", by_sound)):
        across = [members for members in groups if len({side(item) for item in members}) > 1]
        within = [members for members in groups if repeated(members)]
        findings += finding(f"leak-{kind}", ((names(members), members) for members in across))
        findings += finding(f"duplicate-{kind}", ((names(members), members) for members in within))
    return findings


def sounds_of_different_files(
    items: Sequence[Utterance], heard: Sequence[Heard | None], digests: Sequence[str | None]
) -> Iterator[tuple[str, Utterance]]:
    """Sound and row of each file; of files that are equal by their bytes, the first stands for all."""
    seen: set[str] = set()
    for item, file, digest in zip(items, heard, digests, strict=True):
        if file and file.sound and digest not in seen:
            yield file.sound, item
        if digest:
            seen.add(digest)


def repeated(members: Sequence[Utterance]) -> bool:
    """Whether a side holds two of them."""
    return len({side(item) for item in members}) < len(members)


def names(members: Sequence[Utterance]) -> str:
    """How many rows, for people."""
    return f"{len(members)} rows"


def digests_of_equal_sizes(items: Sequence[Utterance], heard: Sequence[Heard | None]) -> list[str | None]:
    """SHA-256 of files that share their size with another; None for the others."""
    sizes: dict[int, int] = defaultdict(int)
    for file in heard:
        sizes[file.size if file else -1] += 1
    asked = [i for i, file in enumerate(heard) if file and sizes[file.size] > 1]
    digests: list[str | None] = [None] * len(items)
    for i, found in in_threads(lambda i: file_digest(items[i].path), asked, len(asked), "comparing"):
        digests[i] = None if isinstance(found, Failure) else found
    return digests


def together(pairs: Iterable[tuple[Hashable | None, Utterance]], least: int = 2) -> list[list[Utterance]]:
    """Rows that share a key which is not None, where `least` or more do; in order of the first."""
    groups: dict[Hashable, list[Utterance]] = defaultdict(list)
    for key, item in pairs:
        if key is not None:
            groups[key].append(item)
    return [members for members in groups.values() if len(members) >= least]


def two_labels(
    items: Sequence[Utterance], digests: Sequence[str | None], heard: Sequence[Heard | None]
) -> list[Finding]:
    """Equal recordings with different labels."""
    keys = ((file and file.sound) or digest for file, digest in zip(heard, digests, strict=True))
    groups = together(zip(keys, items, strict=True))
    mixed = [members for members in groups if len({item.bona_fide for item in members}) > 1]
    return finding("two-labels", ((names(members), members) for members in mixed))


def leaks(items: Sequence[Utterance]) -> list[Finding]:
    """Findings about what stands on several sides by its description; '-' means not known."""
    placed = [item for item in items if side(item)]
    ids = together((item.id, item) for item in items)
    found = finding("same-id", ((members[0].id, members) for members in ids))
    keys: dict[str, Callable[[Utterance], Hashable | None]] = {
        "leak-speaker": lambda item: said(item.speaker) and (item.dataset, item.speaker),
        "leak-source": lambda item: said(item.source),
        "leak-group": lambda item: said(item.group) and (item.dataset, item.group),
        "leak-text": lambda item: said(item.text) and (plain_text(item.text) or None),
    }
    for kind, key in keys.items():
        column = kind.removeprefix("leak-")
        groups = [m for m in together((key(item), item) for item in placed) if on_several_sides(m)]
        found += finding(kind, ((getattr(members[0], column), members) for members in groups))
    return found + same_names(placed) + fakes_of_the_test(placed)


def said(value: str) -> str | None:
    """A value of a protocol, or None where it says nothing."""
    return None if value in ("", "-") else value


def on_several_sides(members: Sequence[Utterance]) -> bool:
    """Whether rows stand on more than one side."""
    first = side(members[0])
    return any(side(item) != first for item in members)


def same_names(placed: Sequence[Utterance]) -> list[Finding]:
    """Speakers of one name whose sides differ only between data sets: perhaps one person."""
    groups = together((said(item.speaker), item) for item in placed)
    between = []
    for members in groups:
        sides: dict[str, set[str]] = defaultdict(set)
        for item in members:
            sides[item.dataset].add(side(item))
        if len(set().union(*sides.values())) > max(map(len, sides.values())):
            between.append(members)
    return finding("leak-speaker-name", ((members[0].speaker, members) for members in between))


def fakes_of_the_test(placed: Sequence[Utterance]) -> list[Finding]:
    """Training fakes of a speaker who, or of a genuine recording that, the test holds.

    Among folds each is test to all others.
    """
    speakers: dict[Hashable, dict[str, Utterance]] = defaultdict(dict)  # the first of each side
    recordings: dict[Hashable, dict[str, Utterance]] = defaultdict(dict)
    for item in placed:
        if item.split in ("test", "-"):
            speakers[item.dataset, item.speaker].setdefault(side(item), item)
            for key in {item.id, item.source} if item.bona_fide else ():
                recordings[key].setdefault(side(item), item)
    of_speaker, of_recording = [], []
    for item in placed:
        if item.bona_fide or item.split not in ("train", "-"):
            continue
        heard = partner(item, speakers.get((item.dataset, item.speaker), {}))
        if said(item.speaker) and heard:
            of_speaker.append((item.speaker, [item, heard]))
        original = partner(item, recordings.get(item.source, {}))
        if said(item.source) and original:
            of_recording.append((item.source, [item, original]))
    return finding("fake-of-test-speaker", of_speaker) + finding("fake-of-test-recording", of_recording)


def partner(fake: Utterance, tested: dict[str, Utterance]) -> Utterance | None:
    """A row of the test, or of another fold."""
    if fake.split == "train":
        return tested.get("test")
    return next((item for name, item in tested.items() if name not in ("test", side(fake))), None)


def plain_text(text: str) -> str:
    """A text without regard to case, width, punctuation and spacing."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(separators()).split())


@cache
def separators() -> dict[int, str]:
    """Every character that is no letter, mark or digit, as a space."""
    return {i: " " for i in range(sys.maxunicode + 1) if unicodedata.category(chr(i))[0] in "PSZC"}


def run_check(paths: Sequence[Path], root: Path | None, decode: bool, as_json: bool) -> int:
    """`earwitness corpus check`: 0, or 1 where there are errors."""
    report = check(paths, root, decode)
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        show(report)
    return 1 if report["errors"] else 0


def show(report: dict[str, Any]) -> None:
    """Findings for people, and a few rows of each."""
    sides = ", ".join(f"{name} {count:,}" for name, count in report["sides"].items())
    sys.stdout.write(f"{report['rows']:,} rows: {visible(sides)}\n")
    if set(report["sides"]) <= {"-"} or len(report["sides"]) == 1:
        sys.stdout.write("One side only: leaks cannot be looked for.\n")
    rows = []
    for one in report["findings"]:
        head = f"{one['count']:,} {one['what']}"
        rows.append((one["severity"], one["kind"], f"{head} ({one['rows']:,} rows)"))
        for example in one["examples"]:
            where = "; ".join(f"{row['id']} ({row['split']}, {row['label']})" for row in example["rows"])
            rows.append(("", "", f"  {example['what'][:80]}: {where}"))
    if rows:
        show_table(("severity", "kind", "found"), rows)
    sys.stdout.write(f"{report['errors']} kinds of errors, {report['warnings']} of warnings\n")
