"""Small networks trained on three page folds and judged on the fourth, for the benchmarks of training.

A log-mel network of AASIST's size (0.31 M parameters) is trained on three of the four page folds of
`demos` and on `packages`; every page is scored by the runs that never saw it, as it is and through MP3
at 32 kbit/s, Opus at 12 kbit/s and a band of 4 kHz (8 kHz sample rate). Runs go on where they stopped;
scores are kept as `NAME.npz` beside the runs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from quality import unseen

from earwitness.audio.augment.channel import lower_rate
from earwitness.audio.augment.codecs import transmit
from earwitness.audio.corpora import demos, packages
from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance, write_protocol
from earwitness.metrics.detection import eer

ROOT = Path(__file__).parents[1]
CONDITIONS = ("clean", "MP3 32 kbit/s", "Opus 12 kbit/s", "8 kHz")
NEW = "clean, generator and speaker unseen"
FOLDS = (0, 1, 2, 3)
NETWORK = ["--head", "logmel-cnn", "--head-options", json.dumps({"widths": [16, 32, 64, 96]})]


def write_folds(corpus: Path, work: Path) -> tuple[list[Utterance], list[Utterance]]:
    """One protocol a fold, of what may be trained on; the rows of `demos` by fold, and of `packages`."""
    rows = list(demos.read(corpus / "demos"))
    engines = list(packages.read(corpus / "packages"))
    work.mkdir(parents=True, exist_ok=True)
    for fold in FOLDS:
        train = [replace(item, split="train") for item in rows if item.fold != fold] + engines
        protocol = work / f"fold-{fold}.csv"
        write_protocol(train, protocol, corpus)
        protocol.with_suffix(".json").write_text(json.dumps({"root": str(corpus)}))
    return sorted(rows, key=lambda row: row.fold or 0), engines


def train(out: Path, *arguments: str) -> None:
    """One run into `out` by the command that a user would give, on one thread; a finished one stays."""
    if (out / "result.json").exists():
        return
    command = [sys.executable, "-m", "earwitness.cli", "train", *arguments, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{out.name}: {done.stderr.strip()}")
    print(out.name, *done.stdout.strip().splitlines()[:1], flush=True)


def disturbed(audio: np.ndarray, condition: str) -> np.ndarray:
    """A clip as it arrives under a condition, (samples,)."""
    if condition == "MP3 32 kbit/s":
        return transmit(audio, "mp3", 16_000, 32_000)
    if condition == "Opus 12 kbit/s":
        return transmit(audio, "opus", 16_000, 12_000)
    return lower_rate(audio, 8_000) if condition == "8 kHz" else audio


def score(
    work: Path, rows: Sequence[Utterance], names: Sequence[str], conditions: Sequence[str] = CONDITIONS
) -> None:
    """Scores of some recordings by some runs, all conditions, into `NAME.npz`; those that exist are kept."""
    import torch

    from earwitness.decision.network import load_network, read_blueprint

    torch.set_num_threads(1)  # two wait for each other where other jobs run
    todo = [name for name in names if not (work / f"{name}.npz").exists()]
    found = {name: {} for name in todo}
    for condition in conditions if todo else ():
        clips = [disturbed(load(row.path), condition) for row in rows]
        for name in todo:
            folder = work / name / "bundle"
            card = json.loads((folder / "model.json").read_text())
            network = load_network(read_blueprint(card, folder), folder / "model.safetensors")
            with torch.no_grad():
                waves = (torch.from_numpy(clip[: 30 * 16_000])[None] for clip in clips)
                scores = [float(network(wave, torch.tensor([wave.shape[1]]))[0][0]) for wave in waves]
            found[name][condition] = np.array(scores)
    for name, scores in found.items():
        np.savez(work / f"{name}.npz", allow_pickle=False, id=np.array([row.id for row in rows]), **scores)


def score_all(
    work: Path,
    plans: Sequence[tuple[Sequence[Utterance], Sequence[str]]],
    jobs: int,
    conditions: Sequence[str] = CONDITIONS,
) -> None:
    """`score` of each (recordings, runs), in so many processes."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for done in [pool.submit(score, work, *plan, conditions) for plan in plans]:
            done.result()


def mean_eer(scores: np.ndarray, bona_fide: np.ndarray) -> float:
    """Mean over seeds of the EER, scores (seeds, clips)."""
    return float(np.mean([eer(row[bona_fide], row[~bona_fide]) for row in scores]))


def compare_arms(
    arms: Mapping[str, Sequence[Sequence[Path]]],
    rows: Sequence[Utterance],
    engines: Sequence[Utterance],
    draws: int = 1_000,
) -> dict:
    """EERs by arm and condition, with intervals over pages, and differences to the first arm.

    `arms` hold, for each seed, the scores' files of all folds, in the order of `rows`. The condition `NEW`
    is clean, of clips whose architecture and named speaker stand nowhere in training.
    """
    bona_fide = np.array([row.bona_fide for row in rows])
    pages = np.array([row.group for row in rows])
    parts = {condition: np.ones(len(rows), bool) for condition in CONDITIONS}
    parts[NEW] = unseen(list(rows), list(engines))
    members = [np.flatnonzero(pages == page) for page in np.unique(pages)]
    tables: dict[tuple[str, str], np.ndarray] = {}
    for arm, seeds in arms.items():
        for condition in parts:
            column = "clean" if condition == NEW else condition
            loaded = [np.concatenate([np.load(path)[column] for path in seed]) for seed in seeds]
            tables[arm, condition] = np.stack(loaded)
    rng = np.random.default_rng(0)
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in tables}
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        for key, scores in tables.items():
            part = chosen[parts[key[1]][chosen]]
            samples[key].append(mean_eer(scores[:, part], bona_fide[part]))
    result: dict = {"clips": len(rows), "pages": len(members), "draws": draws, "eer": []}
    first = next(iter(arms))
    for (arm, condition), scores in tables.items():
        part = parts[condition]
        real, fake = part & bona_fide, part & ~bona_fide
        low, high = np.quantile(samples[arm, condition], [0.025, 0.975])
        entry = {"arm": arm, "condition": condition, "bona_fide": real.sum(), "spoof": fake.sum()}
        entry |= {"eer": mean_eer(scores[:, part], bona_fide[part]), "low": low, "high": high}
        entry["by_seed"] = [eer(row[real], row[fake]) for row in scores]
        if arm != first:
            gaps = np.array(samples[arm, condition]) - np.array(samples[first, condition])
            plain = mean_eer(tables[first, condition][:, part], bona_fide[part])
            entry["against_first"] = [entry["eer"] - plain, *np.quantile(gaps, [0.025, 0.975])]
        result["eer"].append(entry)
    return json.loads(json.dumps(result, default=float))


def table(result: dict, heading: str) -> str:
    """The result as Markdown: EER % with intervals; in brackets the difference to the first arm."""
    conditions = list(dict.fromkeys(entry["condition"] for entry in result["eer"]))
    lines = [f"| {heading} | " + " | ".join(conditions) + " |", "|---|" + "---|" * len(conditions)]
    for arm in dict.fromkeys(entry["arm"] for entry in result["eer"]):
        cells = []
        for entry in (entry for entry in result["eer"] if entry["arm"] == arm):
            cell = f"{100 * entry['eer']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
            if "against_first" in entry:
                gap, low, high = (100 * value for value in entry["against_first"])
                cell += f" ({gap:+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(cell)
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def put(page: Path, name: str, text: str) -> None:
    """Write generated text between the two marks of that name in a page."""
    start, end = f"<!-- {name}: written by benchmarks/{name}.py -->", f"<!-- end of {name} -->"
    head, rest = page.read_text().split(start, 1)
    page.write_text(f"{head}{start}\n{text}\n{end}{rest.split(end, 1)[1]}")
