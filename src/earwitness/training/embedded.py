"""Train the countermeasure that ships inside the package.

Three layers of Whisper tiny's encoder, frozen (`training/whisper_weights.py`), under the pooled head
(`decision/heads/pooled.py`). The statistics are computed once, of whole recordings and of disturbed crops
(`training/cached.py`); what is learnt is linear, and has a closed form: each kind of evidence (means;
deviations and changes; lines in windows of 128 ms; of 256 ms) gets a ridge regression of its own, and the
score is their mean. Apart, none can lean on what the others say of a page, which is worth 1.5 points of EER
on pages not seen; a hidden layer, and training the encoder on, are worth less than nothing there
(`docs/log.md`). Classes count alike, data sets and pages by the square root of their size.

The embedding: these partial scores; the same regressions of which generator it sounds like, at unit
variance; and the principal components of the lines. All are needed to find the like of a generator that
training has not seen.

Four fits, each without one page fold, give the scores that calibration and every figure on the card rest
on; one on everything gives the weights that ship:

    python -m earwitness.training.embedded cache PROTOCOL... --front-end whisper-tiny --out CACHE
    python -m earwitness.training.embedded fit CACHE/* --front-end whisper-tiny --out RUNS
    python -m earwitness.training.export --corpus CORPUS --runs RUNS --bundle src/earwitness/models/embedded
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.protocol import Utterance
from earwitness.decision.heads.pooled import BOUND, WINDOWS, columns
from earwitness.decision.network import Blueprint, Network
from earwitness.training.cached import STATES, architecture, cache, load_front_end, read_cache
from earwitness.training.sampling import sampling_weights
from earwitness.training.start import write_bundle

FOLDS = (0, 1, 2, 3)
PROMPTS = ("asterisk", "prompt")  # groups of telephone prompts
LICENCE = "see LICENSE and NOTICE.md: Whisper's encoder is MIT, copyright 2022 OpenAI"
SPREAD = 1e-5  # added to variances, as the head does
COMPONENTS = 256  # of the lines, in the embedding
LINES_LOUDER = 1.5  # their share of an embedding's length, over that of the rest


@dataclass(frozen=True)
class Fit:
    """How heads are fitted."""

    ridge: float = 0.3  # in units of the weight of all recordings together
    balance: float = 0.5  # exponent of the size of data sets and pages
    nearest: str = "demos"  # the data set most like what will be scored,
    share: float = 0.6  # and its part of the weight
    whole: float = 0.7  # weight of the undisturbed recordings; the rest is that of the crops
    least: int = 5  # recordings of a generator to be told from others
    generators: int = 252  # at most


def blueprint(embedding: int) -> Blueprint:
    """The network that ships."""
    return Blueprint("pooled", architecture(), STATES, {"embedding": embedding, "drop": 0.0})


def kinds_of_evidence() -> list[np.ndarray]:
    """Columns of the statistics, (features,) each: means; deviations and changes; means of the spectrum
    upside down; lines, a window each.

    Deviations of the spectrum upside down are left out: they move by what begins 10 ms earlier or later.
    """
    where = {name: np.r_[part] for name, part in columns(architecture().width, len(STATES)).items()}
    lines = np.split(where["lines"], np.cumsum([size // 2 for size in WINDOWS])[:-1])
    spread = np.append(where["deviations"], where["changes"])
    return [where["means"], spread, where["upside"], *lines]


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


def version_weights(items: Sequence[Utterance], versions: int, options: Fit) -> Iterator[Tensor]:
    """Weight of each recording in each version, (items,); one in all, half of it bona fide."""
    both = class_weights(items, True, options) + class_weights(items, False, options)
    weights = torch.from_numpy(both / both.sum()).float()
    for version in range(versions):
        share = options.whole if version == 0 else (1 - options.whole) / (versions - 1)
        yield weights * (share if versions > 1 else 1.0)


def class_weights(items: Sequence[Utterance], label: bool, options: Fit) -> np.ndarray:
    """Weight of each recording of a class, (items,), one in all; other classes have none."""
    weights = sampling_weights(items, options.balance)[label]
    near = np.array([item.dataset == options.nearest for item in items])
    for part, share in ((near, options.share), (~near, 1 - options.share)):
        if 0 < weights[part].sum() < 1:
            weights[part] *= share / weights[part].sum()
    return weights


def targets(items: Sequence[Utterance], options: Fit) -> tuple[Tensor, list[str]]:
    """What is asked of each recording, (items, 1 + generators), and the generators.

    First 1 if bona fide, else -1; then for each generator 1 if it made this recording, else 0.
    """
    counts = Counter(item.architecture for item in items if not item.bona_fide)
    names = [name for name, count in counts.most_common(options.generators) if count >= options.least]
    columns = [[1.0 if item.bona_fide else -1.0 for item in items]]
    columns += [[float(not item.bona_fide and item.architecture == name) for item in items] for name in names]
    return torch.tensor(columns).T, names


def ridge(features: Tensor, wanted: Tensor, weights: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weighted ridge regression with a free offset: (features, targets) and (targets,).

    Args:
        features: (rows, features). wanted: (rows, targets). weights: (rows,), of sum one.
        penalty: of the squared weights.
    """
    middle, offset = weights @ features, weights @ wanted
    root = torch.sqrt(weights)[:, None]
    left, right = root * (features - middle), root * (wanted - offset)
    if len(left) < left.shape[1]:
        square = left @ left.T
        square.diagonal().add_(penalty)
        found = left.T @ torch.cholesky_solve(right, torch.linalg.cholesky(square))
    else:
        square = left.T @ left
        square.diagonal().add_(penalty)
        found = torch.cholesky_solve(left.T @ right, torch.linalg.cholesky(square))
    return found, offset - middle @ found


def components(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal components at unit variance: (count, features) and (count,), to be added to the product."""
    middle = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - middle).T @ (rows - middle) / len(rows))
    found = (vectors[:, -count:] * torch.rsqrt(values[-count:].clamp(min=SPREAD))).T
    return found, -(found @ middle)


def fit(material: Material, front_end: Path, options: Fit = Fit()) -> tuple[Network, list[str]]:
    """The network with a head fitted to the material, ready to score; and what its embedding names."""
    mean, variance = standard(material)
    versions = len(material.statistics)
    wanted, names = targets(material.items, options)
    wanted = wanted.repeat(versions, 1)
    weights = torch.cat(list(version_weights(material.items, versions, options)))
    known = torch.nonzero(weights)[:, 0]
    kinds, scale = kinds_of_evidence(), torch.rsqrt(variance + SPREAD)
    first = len(kinds) + len(names)
    network = Network(blueprint(first + COMPONENTS))
    network.front_end = load_front_end(front_end)
    head: Any = network.head
    sounds_like = torch.zeros(len(known), len(names))
    with torch.no_grad():
        head.standardise.running_mean.copy_(mean)
        head.standardise.running_var.copy_(variance)
        embed, classify = head.embed[1], head.classify
        for part in (embed.weight, embed.bias, classify.weight, classify.bias):
            part.zero_()
        for i, kind in enumerate(kinds):
            flat = np.concatenate([part[:, kind] for part in material.statistics]).astype(np.float32)
            rows = ((torch.from_numpy(flat) - mean[kind]) * scale[kind]).clamp(-BOUND, BOUND)[known]
            found, offset = ridge(rows, wanted[known], weights[known], options.ridge)
            scores = rows @ found[:, 0] + offset[0]
            unit = torch.sqrt(weights[known] @ scores**2)
            sounds_like += rows @ found[:, 1:] + offset[1:]
            kind = torch.from_numpy(kind)
            embed.weight[i, kind], embed.bias[i] = found[:, 0] / unit, offset[0] / unit
            embed.weight[len(kinds) : first, kind] = found[:, 1:].T
            embed.bias[len(kinds) : first] += offset[1:]
            classify.weight[:, i] = torch.tensor([-0.5, 0.5]) / len(kinds)
        centred = sounds_like - weights[known] @ sounds_like
        spread = torch.sqrt(weights[known] @ centred**2).clamp(min=SPREAD)
        embed.weight[len(kinds) : first] /= spread[:, None]
        embed.bias[len(kinds) : first] /= spread
        lines = np.concatenate(kinds[-len(WINDOWS) :])
        whole = torch.from_numpy(material.statistics[0][:, lines].astype(np.float32))
        found, offset = components(((whole - mean[lines]) * scale[lines]).clamp(-BOUND, BOUND), COMPONENTS)
        loud = LINES_LOUDER * (first / COMPONENTS) ** 0.5
        embed.weight[first:, torch.from_numpy(lines)], embed.bias[first:] = loud * found, loud * offset
        embed.weight.copy_(embed.weight.half().float())  # so that half the bytes hold them
    return network.eval(), names


def fit_all(folders: Sequence[Path], front_end: Path, out: Path, options: Fit = Fit()) -> None:
    """A bundle of each of `splits`; what is there stays."""
    torch.set_num_threads(1)
    material = Material(*read_cache(folders))
    for name, wanted in splits(material.items).items():
        if (out / name / "model.json").exists():
            continue
        part = material.rows(wanted)
        network, names = fit(part, front_end, options)
        about = {
            "name": name,
            "licence": LICENCE,
            "training": {
                "recipe": "earwitness.training.embedded",
                "options": asdict(options),
                **described(part),
            },
            "embedding": [
                *(f"evidence {i}" for i in range(len(kinds_of_evidence()))),
                *names,
                *(f"lines {i}" for i in range(COMPONENTS)),
            ],
        }
        out.mkdir(parents=True, exist_ok=True)
        size = len(about["embedding"])
        write_bundle(out / name, network, blueprint(size), network.state_dict(), about)
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
    caching.add_argument("--versions", type=int, default=3)
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
