"""`earwitness corpus splice`: recordings that are fake in part, with the truth about which part.

From protocols comes a folder: `audio/`, `reference.rttm` (the parts of every file), `manifest.jsonl`
(what each was made of), `protocol.csv` with its JSON, and `left-out.csv`. Base and injector are of
opposite class, of one split and one fold, and, where neither is known, of one group, so that splices leak
nothing into another side; label `fake` stands for fake in part. All files went the same way (decoded to
16 kHz mono, perhaps a codec, FLAC of 16 bits), wholes too, so that format tells nothing. The same seed
gives the same folder.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.augment.codecs import SHORTEST
from earwitness.audio.augment.mixing import Span, splice, splice_aligned, through_codec
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.protocol import Utterance, read_protocols, write_protocol
from earwitness.audio.rttm import Part, write_rttm
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError
from earwitness.operations.corpus import in_threads, show_table, write_about
from earwitness.operations.corpus_memory import LeftOut
from earwitness.operations.corpus_pairing import (
    GROUP,
    Job,
    Reasons,
    Request,
    check_request,
    find_pairs,
    hear,
    plan,
    plan_aligned,
    sift,
)
from earwitness.operations.show import visible
from earwitness.types import Failure


@dataclass(frozen=True)
class Made:
    """One file that was written."""

    item: Utterance
    parts: tuple[Part, ...]
    row: dict[str, Any]  # of the manifest


def splice_corpus(protocols: Sequence[Path], out: Path, request: Request) -> dict[str, Any]:
    """Write the folder, from one protocol of both classes or from several; returns what `protocol.json` says.

    Raises:
        InputError: `usage`: an option that cannot be, `out` is there and not empty, or nothing can be
            made of these protocols; as `read_protocols`.
        MissingExtra: a codec needs a package that is absent.
    """
    check_request(request)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("usage", f"{out}: is there and not empty; name a new folder, or remove it")
    rng = np.random.default_rng([request.seed, 0])
    reasons: Reasons = []
    items = list(sift(read_protocols(protocols), request.splicing, reasons))
    compared = None
    if request.aligned:
        pairs, compared = find_pairs(items, request, rng, reasons)
        jobs = plan_aligned(pairs, request, rng)
    else:
        jobs = plan(items, request, rng, reasons)
    (out / "audio").mkdir(parents=True, exist_ok=True)
    made: list[Made] = []
    for job, one in in_threads(lambda job: make(job, out, request), jobs, len(jobs), "splicing", group=GROUP):
        if isinstance(one, Failure):
            reasons.append((job.base.id, job.base.path, one.message))
        else:
            made.append(one)
    with LeftOut(out / "left-out.csv") as left_out:
        for reason in reasons:
            left_out.add(*reason)
    write_rttm(out / "reference.rttm", {one.item.id: one.parts for one in made})
    with (out / "manifest.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(one.row) + "\n" for one in made)
    write_protocol((one.item for one in made), out / "protocol.csv", out)
    about = describe(protocols, out, request, made) | {"left_out": len(reasons), "pairs": compared}
    write_about(about, out / "protocol.json")
    return about


def make(job: Job, out: Path, request: Request) -> Made:
    """Write one file.

    Raises:
        InputError: as `hear`; `too-short`: segments would last under 20 ms; what a codec raises.
    """
    rng = np.random.default_rng([request.seed, 1, job.number])
    audio = hear(job.base)
    spans: list[Span] = []
    if job.injector is None:
        audio = through_codec(audio, rng, request.splicing)
    else:
        other = hear(job.injector)
        if job.lag is None:
            audio, spans = splice(audio, other, rng, request.splicing)
        else:
            audio, spans = splice_aligned(audio, other, rng, request.splicing, job.lag)
        if min((stop - start for start, stop in spans), default=0) < SHORTEST:
            raise InputError("too-short", f"{job.base.path}: {len(audio)} samples hold no such segments")
    name = re.sub(r"[^\w.-]+", "_", out.resolve().name, flags=re.ASCII) or "splices"
    name = f"{name}-{job.number:06d}"
    path = out / "audio" / f"{name}.flac"
    write_flac(path, audio)
    parts = tuple(parts_of(len(audio), spans, job.base.bona_fide))
    return Made(row_of(job, name, path, len(audio)), parts, manifest_row(job, name, spans, len(audio)))


def write_flac(path: Path, audio: np.ndarray) -> None:
    """Audio (samples,) at 16 kHz as FLAC of 16 bits, whole or not at all."""
    import av

    part = path.with_name(f".{path.name}.part")
    pcm = np.clip(np.rint(audio * 32_768.0), -32_768, 32_767).astype(np.int16)
    try:
        with av.open(str(part), "w", format="flac") as container:
            stream: Any = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
            stream.codec_context.format = "s16"
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def parts_of(samples: int, spans: Sequence[Span], base_bona_fide: bool) -> Iterator[Part]:
    """The parts of a file, which cover it: of the base, and foreign ones of the other class."""
    edges = [0, *(edge for span in spans for edge in span), samples]
    for i, (start, stop) in enumerate(pairwise(edges)):
        if stop > start:
            yield Part(start / SAMPLE_RATE, stop / SAMPLE_RATE, base_bona_fide == (i % 2 == 0))


def row_of(job: Job, name: str, path: Path, samples: int) -> Utterance:
    """The row of a file in the protocol: all of the base but what the fake part is, if there is one."""
    base = replace(
        job.base,
        id=name,
        path=path,
        source=job.base.id if job.base.source in ("", "-") else job.base.source,
        duration_s=samples / SAMPLE_RATE,
        sample_rate=SAMPLE_RATE,
        channels=1,
        encoding="FLAC",
        bits=16,
    )
    if job.injector is None:
        return base
    fake = job.injector if base.bona_fide else job.base
    return replace(
        base,
        bona_fide=False,
        generator=fake.generator,
        architecture=fake.architecture,
        family="edit",
        licence=" + ".join(dict.fromkeys((job.base.licence, job.injector.licence))),
    )


def manifest_row(job: Job, name: str, spans: Sequence[Span], samples: int) -> dict[str, Any]:
    """What a file was made of; spans and lag in samples at 16 kHz."""
    label = {True: "real", False: "fake"}
    mode = "whole" if job.injector is None else "cut" if job.lag is None else "aligned"
    return {
        "id": name,
        "path": f"audio/{name}.flac",
        "mode": mode,
        "samples": samples,
        "spans": [list(span) for span in spans],
        "base": job.base.id,
        "base_label": label[job.base.bona_fide],
        "injector": job.injector and job.injector.id,
        "injector_label": job.injector and label[job.injector.bona_fide],
        "lag": job.lag,
    }


def describe(protocols: Sequence[Path], out: Path, request: Request, made: Sequence[Made]) -> dict[str, Any]:
    """What `protocol.json` says."""
    from earwitness import __version__

    kinds = Counter((one.row["mode"], one.row["base_label"]) for one in made)
    hours = {"real": 0.0, "fake": 0.0}
    for one in made:
        for part in one.parts:
            hours["real" if part.bona_fide else "fake"] += (part.end_s - part.start_s) / 3600
    return {
        "corpus": "splices",
        "root": ".",
        "made_from": [{"protocol": path.name, "sha256": file_digest(path)} for path in protocols],
        "request": asdict(request),
        "earwitness": __version__,
        "rows": len(made),
        "kinds": [
            {"mode": mode, "base": label, "files": kinds[mode, label]} for mode, label in sorted(kinds)
        ],
        "hours": {label: round(value, 4) for label, value in hours.items()},
        "sha256": file_digest(out / "protocol.csv"),
    }


def run_splice(protocols: Sequence[Path], out: Path, request: Request, as_json: bool) -> int:
    """`earwitness corpus splice`: 0, or 1 where there are fewer files than asked for."""
    about = splice_corpus(protocols, out, request)
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
    else:
        show_table(("mode", "base", "files"), [list(kind.values()) for kind in about["kinds"]], 1)
        hours = about["hours"]
        sys.stdout.write(
            visible(
                f"{out}: {about['rows']:,} files, {hours['real']:.2f} h genuine parts, "
                f"{hours['fake']:.2f} h fake parts"
            )
            + "\n"
        )
        if about["pairs"]:
            sys.stdout.write("{aligned:,} of {compared:,} pairs run in time\n".format(**about["pairs"]))
    if about["left_out"]:
        listed = out / "left-out.csv"
        sys.stderr.write(visible(f"left out: {about['left_out']:,}; {listed} says why of each") + "\n")
    return 0 if about["rows"] == request.count else 1
