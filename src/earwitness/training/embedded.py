"""Train the countermeasure that ships inside the package.

Whisper tiny's encoder, frozen (`training/whisper_weights.py`), under the pooled head
(`decision/heads/pooled.py`). The statistics of disturbed crops are computed once (`training/cached.py`), and
small heads are fitted to them from different seeds, which stand side by side in one head as their mean.
Batches are half bona fide, data sets and pages are drawn by the square root of their size, and a share of
the pairs are two versions of one utterance, disturbed alike. Four fits, each without one page fold, give
the scores that calibration and every figure on the card rest on; a fifth on everything gives the weights
that ship:

    python -m earwitness.training.embedded cache PROTOCOL... --front-end whisper-tiny --out CACHE
    python -m earwitness.training.embedded fit CACHE/* --front-end whisper-tiny --out RUNS
    python -m earwitness.training.export --corpus CORPUS --runs RUNS --bundle src/earwitness/models/embedded
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.audio.protocol import Utterance
from earwitness.decision.heads.pooled import BOUND
from earwitness.decision.network import Blueprint, Network
from earwitness.training.cached import architecture, cache, load_front_end, read_cache
from earwitness.training.sampling import find_twins, sampling_weights
from earwitness.training.start import write_bundle

FOLDS = (0, 1, 2, 3)
PROMPTS = ("asterisk", "prompt")  # groups of telephone prompts
LICENCE = "see LICENSE and NOTICE.md: Whisper's encoder is MIT, copyright 2022 OpenAI"


@dataclass(frozen=True)
class Fit:
    """How heads are fitted."""

    members: int = 4
    hidden: int = 128
    steps: int = 800
    pairs: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    drop: float = 0.5
    smoothing: float = 0.05
    balance: float = 0.5
    twins: float = 0.3
    seed: int = 20261121


def blueprint(options: Fit = Fit()) -> Blueprint:
    """The network that ships."""
    sizes = architecture()
    head = {"embedding": options.members * options.hidden, "drop": options.drop}
    return Blueprint("pooled", sizes, tuple(range(sizes.layers + 1)), head)


@dataclass(frozen=True)
class Material:
    """What heads are fitted to."""

    items: list[Utterance]
    statistics: np.ndarray  # (versions, items, features) float16

    def rows(self, wanted: np.ndarray) -> "Material":
        """Those where `wanted` (items,) is true."""
        chosen = np.flatnonzero(wanted)
        return Material([self.items[i] for i in chosen], self.statistics[:, chosen])


def standard(material: Material) -> tuple[Tensor, Tensor]:
    """Mean and variance of every feature, (features,) each, over all versions."""
    versions = material.statistics
    count = versions.shape[0] * versions.shape[1]
    mean = np.sum([part.sum(0, dtype=np.float64) for part in versions], axis=0) / count
    centred = ((part - mean.astype(np.float32)) ** 2 for part in versions)
    variance = np.sum([part.sum(0, dtype=np.float64) for part in centred], axis=0) / count
    return torch.from_numpy(mean).float(), torch.from_numpy(variance).float()


class Draws:
    """Pairs of rows, genuine and fake, and the versions of either."""

    def __init__(self, material: Material, options: Fit, rng: np.random.Generator) -> None:
        self.material, self.options, self.rng = material, options, rng
        self.weights = sampling_weights(material.items, options.balance)
        self.twins = find_twins(material.items) if options.twins else {}
        self.fakes = np.array(list(self.twins), dtype=np.int64)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Statistics (2 * pairs, features) and labels (2 * pairs,), 1 for bona fide."""
        rng, pairs, versions = self.rng, self.options.pairs, len(self.material.statistics)
        alike = int(pairs * self.options.twins) if len(self.fakes) else 0
        sides = []
        for label in (True, False):
            rows = rng.choice(len(self.material.items), pairs - alike, p=self.weights[label])
            sides.append((rows, rng.integers(0, versions, pairs - alike)))
        if alike:
            share = self.weights[False][self.fakes]
            fakes = rng.choice(self.fakes, alike, p=share / share.sum())
            genuine = np.array([rng.choice(self.twins[int(row)]) for row in fakes])
            version = rng.integers(0, versions, alike)
            sides = [
                (np.append(rows, more), np.append(known, version))
                for (rows, known), more in zip(sides, (genuine, fakes), strict=True)
            ]
        rows, known = (np.concatenate(column) for column in zip(*sides, strict=True))
        drawn = torch.from_numpy(self.material.statistics[known, rows].astype(np.float32))
        return drawn, (torch.arange(2 * pairs) < pairs).float()


def fit_member(draws: Draws, mean: Tensor, variance: Tensor, seed: int) -> nn.Sequential:
    """One small head on standardised statistics: (batch, features) -> logit of bona fide (batch, 1)."""
    options = draws.options
    torch.manual_seed(seed)
    member = nn.Sequential(
        nn.Dropout(options.drop),
        nn.Linear(len(mean), options.hidden),
        nn.GELU(),
        nn.Dropout(options.drop),
        nn.Linear(options.hidden, 1),
    )
    optimiser = torch.optim.AdamW(
        member.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, options.steps + 1)
    scale = torch.rsqrt(variance + 1e-5)
    for _ in range(options.steps):
        statistics, labels = draws.draw()
        logits = member(((statistics - mean) * scale).clamp(-BOUND, BOUND))[:, 0]
        target = labels * (1 - options.smoothing) + options.smoothing / 2
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(logits, target).backward()
        optimiser.step()
        schedule.step()
    return member.eval()


def fit(material: Material, front_end: Path, options: Fit) -> Network:
    """The network with a head fitted to the material, ready to score."""
    mean, variance = standard(material)
    members: list[Any] = [
        fit_member(
            Draws(material, options, np.random.default_rng([options.seed, m])),
            mean,
            variance,
            options.seed + m,
        )
        for m in range(options.members)
    ]
    network = Network(blueprint(options))
    network.front_end = load_front_end(front_end)
    head: Any = network.head
    with torch.no_grad():
        head.standardise.running_mean.copy_(mean)
        head.standardise.running_var.copy_(variance)
        head.embed[1].weight.copy_(torch.cat([member[1].weight for member in members]))
        head.embed[1].bias.copy_(torch.cat([member[1].bias for member in members]))
        outward = torch.cat([member[4].weight for member in members], dim=1) / (2 * len(members))
        offset = torch.cat([member[4].bias for member in members]).mean() / 2
        head.classify[1].weight.copy_(torch.cat([-outward, outward]))
        head.classify[1].bias.copy_(torch.stack([-offset, offset]))
    return network.eval()


def fit_all(folders: Sequence[Path], front_end: Path, out: Path, options: Fit = Fit()) -> None:
    """A bundle of each of `splits`; what is there stays."""
    torch.set_num_threads(1)
    material = Material(*read_cache(folders))
    for name, wanted in splits(material.items).items():
        if (out / name / "model.json").exists():
            continue
        part = material.rows(wanted)
        network = fit(part, front_end, options)
        about = {
            "name": name,
            "licence": LICENCE,
            "training": {
                "recipe": "earwitness.training.embedded",
                "options": asdict(options),
                **described(part),
            },
        }
        out.mkdir(parents=True, exist_ok=True)
        write_bundle(out / name, network, blueprint(options), network.state_dict(), about)
        print(
            f"{name}: fitted to {len(part.items)} recordings in {len(part.statistics)} versions", flush=True
        )


def splits(items: Sequence[Utterance]) -> dict[str, np.ndarray]:
    """Run -> which recordings it is fitted to, (items,).

    `fold-K` never saw the pages of a fold, `fresh-K` neither pages nor generators nor named speakers of it,
    `no-prompts` no telephone prompts.
    """
    folds = np.array([-1 if item.fold is None else item.fold for item in items])
    generators, speakers = (
        np.array([getattr(item, key) for item in items]) for key in ("architecture", "speaker")
    )
    prompts = np.array([item.group.startswith(PROMPTS) for item in items])
    wanted = {"all": np.ones(len(items), bool), "no-prompts": ~prompts}
    for fold in FOLDS:
        wanted[f"fold-{fold}"] = out = folds != fold
        known = [np.isin(names, np.setdiff1d(names[~out], ["-"])) for names in (generators, speakers)]
        wanted[f"fresh-{fold}"] = out & ~known[0] & ~known[1]
    return wanted


def described(material: Material) -> dict[str, Any]:
    """Counts, for the card."""
    genuine = sum(item.bona_fide for item in material.items)
    return {
        "genuine": genuine,
        "fake": len(material.items) - genuine,
        "generators": len({item.generator for item in material.items if not item.bona_fide}),
        "hours": round(sum(item.duration_s or 0 for item in material.items) / 3600, 2),
        "versions": len(material.statistics),
    }


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(description="Train the embedded countermeasure.")
    commands = parser.add_subparsers(dest="command", required=True)
    caching = commands.add_parser("cache", help="compute what heads are fitted to")
    caching.add_argument("protocols", type=Path, nargs="+")
    caching.add_argument("--root", type=Path)
    caching.add_argument("--versions", type=int, default=6)
    caching.add_argument("--jobs", type=int, default=0, help="processes; 0: one for each processor")
    fitting = commands.add_parser("fit", help="fit heads to caches")
    fitting.add_argument("folders", type=Path, nargs="+")
    for command in (caching, fitting):
        command.add_argument("--front-end", type=Path, required=True, help="bundle of whisper_weights")
        command.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.command == "cache":
        cache(given.protocols, given.root, given.front_end, given.out, given.versions, given.jobs)
    else:
        fit_all(given.folders, given.front_end, given.out)


if __name__ == "__main__":
    main()
