"""Train the countermeasure that ships inside the package.

A log-mel convolutional network (`decision/logmel_cnn.py`) on short crops, with room, noise,
band, codec and level augmentation, ramped in over the first third of the run (started at full
strength it hurt short runs). Batches are half bona fide, and pages are drawn by the square root
of their size, pages that hold one class only at a fraction of that, so that "which page is it"
says little about the class. The loss is binary cross-entropy of the clip score plus a share of
the same on every frame score. Weights are an exponential average over steps.

Four runs, each without one page fold, give the scores that calibration and every figure on the
card rest on; a fifth run on everything gives the weights that ship:

    python -m earwitness.training.embedded train --corpus CORPUS --out RUNS --fold 0   # ... 1 2 3
    python -m earwitness.training.embedded train --corpus CORPUS --out RUNS
    python -m earwitness.training.export --corpus CORPUS --runs RUNS --bundle src/earwitness/models/embedded

A run saves every `save_every` steps and goes on from there when started again; each step draws
from its own seed, so a resumed run sees the same batches.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from earwitness.audio.augment.chain import disturb
from earwitness.audio.augment.clips import crop
from earwitness.audio.corpora.demos import read as read_demos
from earwitness.audio.corpora.packages import read as read_packages
from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.audio.protocol import Utterance
from earwitness.audio.quality import QualityMeter
from earwitness.decision.logmel_cnn import LogMelCnn


@dataclass(frozen=True)
class Embedded:
    """Defaults found on page folds 0 and 1 within minutes of training, not searched further."""

    steps: int = 900
    batch: int = 32
    crop_s: tuple[float, float] = (2.0, 5.0)
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    warm_up: int = 60
    label_smoothing: float = 0.05
    frame_weight: float = 0.3
    demos_share: float = 0.7
    one_class_page: float = 0.3
    averaging: float = 0.99
    seed: int = 20261121
    save_every: int = 100


def read_corpus(root: Path) -> list[Utterance]:
    """Every utterance of `root/demos` and `root/packages`."""
    return [*read_demos(root / "demos"), *read_packages(root / "packages")]


def sampling_weights(rows: list[Utterance], options: Embedded) -> dict[bool, np.ndarray]:
    """Class -> probability of each row, (rows,)."""
    pages: dict[tuple[bool, str], list[int]] = {}
    for i, row in enumerate(rows):
        pages.setdefault((row.fold is not None, row.group), []).append(i)
    weights = {label: np.zeros((2, len(rows))) for label in (True, False)}
    for (demos, _), members in pages.items():
        by_class = {k: [i for i in members if rows[i].bona_fide is k] for k in (True, False)}
        single = demos and not all(by_class.values())
        for label, chosen in by_class.items():
            if chosen:
                page = np.sqrt(len(chosen)) * (options.one_class_page if single else 1.0)
                weights[label][int(demos), chosen] = page / len(chosen)
    shares = np.array([1 - options.demos_share, options.demos_share])[:, None]
    return {k: (shares * w / w.sum(1, keepdims=True)).sum(0) for k, w in weights.items()}


def draw_batch(
    rows: list[Utterance],
    audio: list[np.ndarray],
    weights: dict[bool, np.ndarray],
    options: Embedded,
    step: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Waveforms (batch, samples) and labels (batch,), 1 for bona fide, of one step."""
    rng = np.random.default_rng([options.seed, step])
    strength = min(1.0, step / (options.steps / 3))
    samples = int(rng.uniform(*options.crop_s) * SAMPLE_RATE)
    labels = np.arange(options.batch) % 2 == 0
    clips = []
    for label in labels:
        row = int(rng.choice(len(rows), p=weights[bool(label)]))
        clip = crop(audio[row].astype(np.float32) / 32_768, samples, rng)
        clips.append(disturb(clip, rng, strength))
    return torch.from_numpy(np.stack(clips)), torch.from_numpy(labels.astype(np.float32))


def loss_of(
    network: LogMelCnn, waveform: torch.Tensor, labels: torch.Tensor, options: Embedded
) -> torch.Tensor:
    """Cross-entropy of clip and frame scores against (smoothed) labels, a scalar."""
    lengths = torch.full((len(waveform),), waveform.shape[1])
    with torch.autocast("cpu", torch.bfloat16):
        scores, frame_scores, _ = network(waveform, lengths)
    target = labels * (1 - options.label_smoothing) + options.label_smoothing / 2
    clip = F.binary_cross_entropy_with_logits(scores.float(), target)
    frames = F.binary_cross_entropy_with_logits(frame_scores.float(), target[:, None].expand_as(frame_scores))
    return clip + options.frame_weight * frames


def score_rows(network: LogMelCnn, rows: list[Utterance], audio: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Clip scores (rows,) and per-row frame scores of the spoken part of undisturbed clips."""
    network.eval()
    scores, frames = [], []
    with torch.no_grad():
        for clip in audio:
            meter, samples = QualityMeter(), clip.astype(np.float32) / 32_768
            meter.update(samples)
            meter.finish()
            start, end = meter.spoken_part()  # as `earwitness scan` scores them
            wave = torch.from_numpy(samples[start:end])[None, : 30 * SAMPLE_RATE]
            score, frame_scores, _ = network(wave, torch.tensor([wave.shape[1]]))
            scores.append(float(score[0]))
            frames.append(frame_scores[0].numpy().astype(np.float32))
    return {
        "id": np.array([row.id for row in rows]),
        "score": np.array(scores),
        "frames": np.concatenate(frames),
        "frame_counts": np.array([len(f) for f in frames]),
    }


def train(corpus: Path, out: Path, fold: int | None, options: Embedded = Embedded()) -> None:
    """One run; writes `out/fold-K.pt` (or `all.pt`) and, with a fold, its scores as .npz."""
    # Data: everything in memory as 16-bit samples, about 470 MB.
    rows = read_corpus(corpus)
    audio = [(load(row.path) * 32_767).astype(np.int16) for row in rows]
    kept = [i for i, row in enumerate(rows) if fold is None or row.fold != fold]
    held = [i for i, row in enumerate(rows) if fold is not None and row.fold == fold]
    train_rows, train_audio = [rows[i] for i in kept], [audio[i] for i in kept]
    weights = sampling_weights(train_rows, options)

    # Model and optimiser.
    torch.manual_seed(options.seed)
    network = LogMelCnn()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.averaging), use_buffers=True)
    optimiser = torch.optim.AdamW(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    name = "all" if fold is None else f"fold-{fold}"
    out.mkdir(parents=True, exist_ok=True)
    state_file, first = out / f"{name}.state", 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        first = state["step"]

    # Loop.
    started, total = time.monotonic(), 0.0
    for step in range(first, options.steps):
        rise = min(1.0, (step + 1) / options.warm_up)
        fall = 0.5 * (1 + np.cos(np.pi * step / options.steps))
        optimiser.param_groups[0]["lr"] = float(options.learning_rate * rise * fall)
        waveform, labels = draw_batch(train_rows, train_audio, weights, options, step)
        network.train()
        loss = loss_of(network, waveform, labels, options)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(network)
        total += float(loss.detach())
        if (step + 1) % 25 == 0:
            left = (time.monotonic() - started) / (step + 1 - first) * (options.steps - step - 1)
            print(f"{name} step {step + 1} loss {total / 25:.3f} left {left:.0f} s", flush=True)
            total = 0.0
        if (step + 1) % options.save_every == 0:
            state = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "random": torch.get_rng_state(),
                "step": step + 1,
            }
            torch.save(state, state_file.with_suffix(".part"))
            state_file.with_suffix(".part").replace(state_file)

    # Evaluation on the held-out pages, and save.
    torch.save({"weights": average.module.state_dict(), "options": asdict(options)}, out / f"{name}.pt")
    if held:
        network.load_state_dict(average.module.state_dict())
        scores = score_rows(network, [rows[i] for i in held], [audio[i] for i in held])
        np.savez_compressed(out / f"{name}.npz", allow_pickle=False, **scores)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description="Train the embedded countermeasure.")
    parser.add_argument("command", choices=["train"])
    parser.add_argument("--corpus", type=Path, required=True, help="folder with demos/ and packages/")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs")
    parser.add_argument("--fold", type=int, choices=range(4), help="page fold to hold out")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments.corpus, arguments.out, arguments.fold)


if __name__ == "__main__":
    main()
