"""Source tracing by a network that learns nothing else: ResNet34 on filter banks, large-margin cosine loss.

    python benchmarks/attribution_baseline.py --corpus CORPUS --work FOLDER [--steps 2000]

Four networks of `training/tracing.py` are trained on the fakes of three page folds of `demos` each, to tell
architectures apart; recordings are embedded by the network that never saw their page, and heard as
`attribution.py` hears them: on seen and unseen pages, by the same tracers, with the same intervals. So the
figures stand beside those of `benchmarks/results/attribution.json`. Embeddings are kept in FOLDER, and a
run that was stopped goes on with the next fold. Writes `benchmarks/results/attribution_baseline.json`.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attribution import COPIES, DRAWS, RESULTS, architectures, families, show

from earwitness.audio.corpora import demos
from earwitness.audio.io import load_part
from earwitness.audio.protocol import Utterance
from earwitness.evidence.attribution import FALSE_REJECTION
from earwitness.training.embedded import FOLDS
from earwitness.training.tracing import LONGEST_S, TracingOptions, embed, reader, train

LAST = 50  # steps whose mean loss is noted
EVERY = 100  # steps between two lines
LONGEST = int(LONGEST_S * 16_000)


def fakes(corpus: Path) -> list[Utterance]:
    """The fakes of `demos` without the copies, as `attribution.py` takes them."""
    return [row for row in demos.read(corpus / "demos") if not row.bona_fide and row.id not in COPIES]


def embed_fold(items: Sequence[Utterance], fold: int, work: Path, options: TracingOptions) -> dict[str, Any]:
    """Embeddings of all recordings by a network that saw none of the fold's pages, kept in `work`.

    Returns:
        What there is to say of the training, fit for JSON.
    """
    kept, about = work / f"fold-{fold}.npy", work / f"fold-{fold}.json"
    told = {"options": json.loads(json.dumps(asdict(options)))}
    if about.exists():
        found = json.loads(about.read_text())
        if found["options"] != told["options"]:
            raise SystemExit(f"{about}: of other options; choose another folder")
        return found
    heard = [row for row in items if row.fold != fold]
    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % EVERY == 0 or step == options.steps - 1:
            spent = time.monotonic() - began
            print(f"fold {fold}  step {step}  loss {loss:.3f}  {spent:.0f} s", flush=True)

    names = [row.architecture for row in heard]
    trained = train(reader(heard, options.crop_s), names, options, report)
    np.save(kept, embed(trained, (load_part(row.path, 0, LONGEST) for row in items)))
    told |= {
        "recordings": len(heard),
        "classes": len(trained.names),
        "loss": round(float(np.mean(trained.losses[-LAST:])), 4),
        "hours": round((time.monotonic() - began) / 3600, 3),
    }
    about.write_text(json.dumps(told))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description="A network that learns who made it, on pages not heard.")
    for name in ("corpus", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=TracingOptions.steps)
    parser.add_argument("--out", type=Path, default=RESULTS / "attribution_baseline.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    items = fakes(given.corpus)
    options = TracingOptions(steps=given.steps)
    result: dict[str, Any] = {"false_rejection": FALSE_REJECTION, "draws": DRAWS, "folds": []}
    for fold in FOLDS:
        result["folds"].append(embed_fold(items, fold, given.work, options))
    embeddings = [np.load(given.work / f"fold-{fold}.npy") for fold in FOLDS]
    for level, judge in (("architecture", architectures), ("family", families)):
        result[level] = judge(items, embeddings)
        show("ResNet34", level, result[level])
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
