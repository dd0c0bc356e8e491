"""What RawBoost and codecs in training do to a small network, clean and through channels.

A log-mel network of AASIST's size (0.31 M parameters) is post-trained from scratch on three of the
four page folds of `demos` and on `packages`, with three seeds, under each augmentation; every page
is scored by the runs that never saw it, as it is and through MP3 at 32 kbit/s, Opus at 12 kbit/s and
a band of 4 kHz (8 kHz sample rate). Runs go on where they stopped; scores are kept.

    python benchmarks/augmentation.py --corpus CORPUS --work FOLDER [--jobs 2] [--only plain ...]

Writes `benchmarks/results/augmentation.json` and the table in `docs/training.md`.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
AUGMENT = {
    "plain": "",
    "RawBoost": "rawboost:5:0.7",
    "codecs": "codecs:0.5",
    "RawBoost + codecs": "rawboost:5:0.7,codecs:0.5",
}
CONDITIONS = ("clean", "MP3 32 kbit/s", "Opus 12 kbit/s", "8 kHz")
NEW = "clean, generator and speaker unseen"
START = "<!-- augmentation: written by benchmarks/augmentation.py -->"
END = "<!-- end of augmentation -->"
SEEDS, FOLDS = (1, 2, 3), (0, 1, 2, 3)
WIDTHS = {"widths": [16, 32, 64, 96]}
OPTIONS = (
    "--steps 400 --batch-s 96 --crop-s 2 4 --learning-rate 2e-3 --warm-up 0.07 --final-rate 0.05 "
    "--weight-decay 0.02 --clip-norm 5 --moving-average 0.99 --precision bf16 --workers 0 --save-every 100"
).split()


def run_name(augment: str, seed: int, fold: int) -> str:
    """Folder of a run."""
    return f"{augment.replace(' + ', '-').lower()}-seed{seed}-fold{fold}"


def write_folds(corpus: Path, work: Path) -> tuple[list[Utterance], list[Utterance]]:
    """One protocol a fold, of what may be trained on without it; the rows of `demos` and `packages`."""
    rows = list(demos.read(corpus / "demos"))
    engines = list(packages.read(corpus / "packages"))
    for fold in FOLDS:
        train = [replace(item, split="train") for item in rows if item.fold != fold] + engines
        protocol = work / f"fold-{fold}.csv"
        write_protocol(train, protocol, corpus)
        protocol.with_suffix(".json").write_text(json.dumps({"root": str(corpus)}))
    return rows, engines


def train(work: Path, augment: str, seed: int, fold: int) -> None:
    """One run, by the command that a user would give."""
    out = work / run_name(augment, seed, fold)
    command = [sys.executable, "-m", "earwitness.cli", "train", "post", str(work / f"fold-{fold}.csv")]
    command += ["--head", "logmel-cnn", "--head-options", json.dumps(WIDTHS), *OPTIONS]
    command += ["--augment", AUGMENT[augment], "--seed", str(seed), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{out.name}: {done.stderr.strip()}")
    print(out.name, done.stdout.strip().splitlines()[0], flush=True)


def disturbed(audio: np.ndarray, condition: str) -> np.ndarray:
    """A clip as it arrives under a condition, (samples,)."""
    if condition == "MP3 32 kbit/s":
        return transmit(audio, "mp3", 16_000, 32_000)
    if condition == "Opus 12 kbit/s":
        return transmit(audio, "opus", 16_000, 12_000)
    return lower_rate(audio, 8_000) if condition == "8 kHz" else audio


def score_fold(work: Path, rows: list[Utterance], fold: int, names: list[str]) -> None:
    """Scores of a held-out fold by its runs, all conditions: `NAME.npz` beside each run."""
    import torch

    from earwitness.decision.network import load_network, read_blueprint

    todo = [name for name in names if not (work / f"{name}.npz").exists()]
    held = [row for row in rows if row.fold == fold]
    found = {name: {} for name in todo}
    for condition in CONDITIONS if todo else ():
        clips = [disturbed(load(row.path), condition) for row in held]
        for name in todo:
            folder = work / name / "bundle"
            card = json.loads((folder / "model.json").read_text())
            network = load_network(read_blueprint(card, folder), folder / "model.safetensors")
            with torch.no_grad():
                waves = (torch.from_numpy(clip[: 30 * 16_000])[None] for clip in clips)
                scores = [float(network(wave, torch.tensor([wave.shape[1]]))[0][0]) for wave in waves]
            found[name][condition] = np.array(scores)
    for name, scores in found.items():
        np.savez(work / f"{name}.npz", allow_pickle=False, id=np.array([row.id for row in held]), **scores)


def mean_eer(scores: np.ndarray, bona_fide: np.ndarray) -> float:
    """Mean over seeds of the EER, scores (seeds, clips)."""
    return float(np.mean([eer(row[bona_fide], row[~bona_fide]) for row in scores]))


def summarise(work: Path, rows: list[Utterance], engines: list[Utterance], draws: int = 1_000) -> dict:
    """EERs by augmentation and condition, with intervals over pages, and differences to plain.

    `NEW` is clean, of clips whose architecture and named speaker stand nowhere in training.
    """
    rows = sorted(rows, key=lambda row: row.fold or 0)
    bona_fide = np.array([row.bona_fide for row in rows])
    pages = np.array([row.group for row in rows])
    parts = {condition: np.ones(len(rows), bool) for condition in CONDITIONS} | {NEW: unseen(rows, engines)}
    members = [np.flatnonzero(pages == page) for page in np.unique(pages)]
    tables: dict[tuple[str, str], np.ndarray] = {}
    for augment in AUGMENT:
        runs = [[work / f"{run_name(augment, seed, fold)}.npz" for fold in FOLDS] for seed in SEEDS]
        if not all(path.exists() for seed in runs for path in seed):
            continue
        for condition in parts:
            column = "clean" if condition == NEW else condition
            loaded = [np.concatenate([np.load(path)[column] for path in seed]) for seed in runs]
            tables[augment, condition] = np.stack(loaded)
    rng = np.random.default_rng(0)
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in tables}
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        for key, scores in tables.items():
            part = chosen[parts[key[1]][chosen]]
            samples[key].append(mean_eer(scores[:, part], bona_fide[part]))
    result: dict = {"clips": len(rows), "pages": len(members), "seeds": len(SEEDS), "draws": draws, "eer": []}
    for (augment, condition), scores in tables.items():
        low, high = np.quantile(samples[augment, condition], [0.025, 0.975])
        part = parts[condition]
        real, fake = part & bona_fide, part & ~bona_fide
        entry = {"augment": augment, "condition": condition, "bona_fide": real.sum(), "spoof": fake.sum()}
        entry |= {"eer": mean_eer(scores[:, part], bona_fide[part]), "low": low, "high": high}
        entry["by_seed"] = [eer(row[real], row[fake]) for row in scores]
        if augment != "plain" and ("plain", condition) in tables:
            gaps = np.array(samples[augment, condition]) - np.array(samples["plain", condition])
            plain = mean_eer(tables["plain", condition][:, part], bona_fide[part])
            entry["against_plain"] = [entry["eer"] - plain, *np.quantile(gaps, [0.025, 0.975])]
        result["eer"].append(entry)
    return json.loads(json.dumps(result, default=float))


def table(result: dict) -> str:
    """The result as Markdown: EER % with intervals; in brackets the difference to plain."""
    conditions = [*CONDITIONS, NEW]
    lines = ["| trained with | " + " | ".join(conditions) + " |", "|---|" + "---|" * len(conditions)]
    for augment in dict.fromkeys(entry["augment"] for entry in result["eer"]):
        cells = []
        for entry in (entry for entry in result["eer"] if entry["augment"] == augment):
            cell = f"{100 * entry['eer']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
            if "against_plain" in entry:
                gap, low, high = (100 * value for value in entry["against_plain"])
                cell += f" ({gap:+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(cell)
        lines.append(f"| {augment} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=AUGMENT, default=list(AUGMENT))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows, engines = write_folds(arguments.corpus.resolve(), arguments.work)
    plans = [(a, seed, fold) for seed in SEEDS for a in arguments.only for fold in FOLDS]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda plan: train(arguments.work, *plan), plans))
    for fold in FOLDS:
        names = [run_name(augment, seed, fold) for seed in SEEDS for augment in arguments.only]
        score_fold(arguments.work, rows, fold, names)
    result = summarise(arguments.work, rows, engines)
    (ROOT / "benchmarks" / "results" / "augmentation.json").write_text(json.dumps(result, indent=1) + "\n")
    page = ROOT / "docs" / "training.md"
    head, rest = page.read_text().split(START, 1)
    page.write_text(f"{head}{START}\n{table(result)}\n{END}{rest.split(END, 1)[1]}")
    print(table(result))


if __name__ == "__main__":
    main()
