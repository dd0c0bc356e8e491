"""Who made it, by watermark and by sound together: what the rule of `evidence/origin.py` brings.

    python benchmarks/mixture.py --work FOLDER --front-end MODELS/whisper-tiny [--scheme fakemark-t]

FOLDER is that of `watermarks.py`: its protocols and bundles are used. Recordings of its test pages are
marked, those by a named architecture as its own, others (genuine speech among them) with a name drawn; and
read, marked and unmarked, as they are and after codecs, noise, re-synthesis and a second mark. The tracer
knows the named architectures from the training pages, by a frozen front end that no label went into. For each
condition: how often the name is right, and by which basis it was given, beside watermark and tracer alone. Of
unmarked recordings by nobody known, genuine ones apart, no name is right. 95 % intervals over pages. Writes
`benchmarks/results/mixture.json`.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from watermarks import NAMED, RESULTS, interval

from earwitness.audio.augment.distortions import distort
from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.evidence.attribution import NONE, Tracer, build, trace
from earwitness.evidence.origin import found_mark, origin
from earwitness.evidence.watermark import Scheme, embed, listen
from earwitness.evidence.watermark_bundle import open_scheme
from earwitness.operations.watermark_card import chosen, group_of
from earwitness.training.collaborator import Collaborator, make_collaborator
from earwitness.training.marking_hosts import name_of
from earwitness.types import Attribution

DISTORTED = ("mp3-32k", "opus-12k", "opus-8k", "white-noise-20dB", "griffin-lim", "room", "pitch-up-1")
GENUINE = 0.25
SECONDS = 5.0
Sound = Callable[[np.ndarray], np.ndarray]  # audio (samples,) -> embedding


def sound_of(front_end: Path) -> Sound:
    """Mean frames of the frozen front end."""
    network: Collaborator = make_collaborator(front_end, 2, "waveform", 2, 2).eval()

    def run(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network.embed(torch.from_numpy(np.ascontiguousarray(audio, np.float32))[None])[0].numpy()

    return run


def clip_of(item: Utterance) -> np.ndarray:
    """The begin of a recording."""
    return load(item.path)[: round(SECONDS * SAMPLE_RATE)]


def learn(items: Sequence[Utterance], sound: Sound) -> tuple[Tracer, tuple[np.ndarray, np.ndarray]]:
    """A tracer of the named architectures, and what embeddings are standardised by."""
    known = [item for item in items if not item.bona_fide and name_of(item) in NAMED]
    rows = np.stack([sound(clip_of(item)) for item in known])
    middle, spread = rows.mean(0), rows.std(0) + 1e-6
    names, groups = [name_of(item) for item in known], [group_of(item) for item in known]
    tracer = build(
        (rows - middle) / spread, names, groups, space="-", level="architecture", false_rejection=0.1
    )
    return tracer, (middle, spread)


def answers(item: Utterance, scheme: Scheme, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, str]]:
    """What is heard of a recording, by condition, and the name that would be right ("" for nobody)."""
    clip, mine = clip_of(item), name_of(item) if not item.bona_fide else ""
    own = mine if mine in scheme.names else ""
    name, other = own or str(rng.choice(scheme.names)), str(rng.choice(scheme.names))
    marked = embed(scheme, clip, SAMPLE_RATE, scheme.messages[scheme.names.index(name)])
    twice = embed(scheme, marked, SAMPLE_RATE, scheme.messages[scheme.names.index(other)])
    found = {"unmarked": (clip, own), "marked": (marked, name), "marked twice": (twice, name)}
    return found | {f"marked, {kind}": (distort(marked, kind, rng), name) for kind in DISTORTED}


def judge(
    audio: np.ndarray, scheme: Scheme, tracer: Tracer, by: Callable[[np.ndarray], np.ndarray]
) -> dict[str, str]:
    """The names by the rule, by the watermark alone and by the tracer alone, and the basis of the rule's."""
    (said,) = trace(tracer, by(audio)[None])
    traced = Attribution(
        said.label, said.confidence, said.known, said.nearest_name, "architecture", "acoustic"
    )
    mark = found_mark(scheme, listen(scheme, audio, SAMPLE_RATE))
    both = origin(mark, traced)
    return {
        "rule": both.label or "",
        "basis": both.basis,
        "watermark": mark.name or "" if mark.readable else "",
        "tracer": "" if said.label == NONE else said.label,
    }


def summary(rows: Sequence[tuple[dict[str, str], str, str]]) -> dict[str, Any]:
    """Figures of one condition, of what was said, the right name and the page."""
    pages = np.array([page for _, _, page in rows])
    found: dict[str, Any] = {"recordings": len(rows)}
    for who in ("rule", "watermark", "tracer"):
        right = np.array(
            [float((said[who] or "") == ("" if name == NONE else name)) for said, name, _ in rows]
        )
        found[f"right by {who}"] = interval(right, pages)
    for basis in ("watermark", "acoustic", "conflict", "unknown"):
        some = [said["rule"] == name for said, name, _ in rows if said["basis"] == basis]
        found[basis] = {"share": len(some) / len(rows), "right": float(np.mean(some)) if some else None}
    return found


def main() -> None:
    """Parse, listen, and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--front-end", type=Path, required=True)
    parser.add_argument("--scheme", default="fakemark-t")
    parser.add_argument("--limit", type=int, default=120)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sound, scheme = sound_of(given.front_end), open_scheme(given.work / "bundles" / given.scheme)
    tracer, (middle, spread) = learn(read_protocols([given.work / "train.csv"]), sound)
    items = [item for item in read_protocols([given.work / "test.csv"]) if (item.duration_s or 0) >= 1]
    rows: dict[str, list[tuple[dict[str, str], str, str]]] = {}
    for item in chosen(items, given.limit, GENUINE, 0):
        rng = np.random.default_rng([0, *item.id.encode()])
        for condition, (audio, name) in answers(item, scheme, rng).items():
            if condition == "unmarked":
                condition = "unmarked, genuine" if item.bona_fide else "unmarked, generated"
            said = judge(audio, scheme, tracer, lambda clip: (sound(clip) - middle) / spread)
            rows.setdefault(condition, []).append((said, name, group_of(item)))
    content = {
        "command": "python benchmarks/mixture.py --work FOLDER --front-end whisper-tiny",
        "scheme": given.scheme,
        "tracer": {"names": list(tracer.names), "recordings": len(tracer.ids)},
        "conditions": {condition: summary(found) for condition, found in rows.items()},
    }
    (RESULTS / "mixture.json").write_text(json.dumps(content, indent=1) + "\n")
    for condition, found in content["conditions"].items():
        told = "  ".join(
            f"{who} {found[f'right by {who}']['value']:.2f}" for who in ("rule", "watermark", "tracer")
        )
        print(f"{condition:<28}{told}  {found['conflict']['share']:.2f} conflict")


if __name__ == "__main__":
    main()
