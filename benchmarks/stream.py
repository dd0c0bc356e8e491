"""A simulated year: a detector of what was published by 2020, and what came after it in its order.

    python benchmarks/stream.py --cache CACHE --conditions CONDITIONS --front-end whisper-tiny \
        --corpus CORPUS --out STREAM

`CACHE` and `CONDITIONS` are those of `earwitness.training.embedded cache` and `benchmarks/conditions.py`. The
embedded model's recipe is fitted to part of the sample pages and engines that were published by 2020
(`STREAM/detector`); their other utterances are the development data (`development.csv`) and what comes in in
quiet months (`quiet.csv`). `new.csv` holds the later pages and engines, by episode; `benign-*.csv` changes
that are no new generator: new speakers, other languages, a codec, noise, another level. All are tables of
samples (`operations/samples.py`): scores are LLRs calibrated on the development data.
"""

import argparse
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conditions import file_name, some_of
from zero_day import embeddings_of

from earwitness.audio.protocol import Utterance
from earwitness.decision.calibration import fit_affine
from earwitness.operations.samples import Samples, read_samples, write_samples
from earwitness.training.cached import read_cache
from earwitness.training.embedded import Material, blueprint, fit
from earwitness.training.export import open_run, score_statistics
from earwitness.training.start import write_bundle

EPISODES = {  # what appears together, by the year in which it was published
    "2021 end-to-end": (
        "jaywalnut310/vits-demo tienmanhptit1312/FlowVocoder-demo-pages keonlee9420/PortaSpeech "
        "keonlee9420/Comprehensive-Transformer-TTS"
    ),
    "2021 Thorsten": "thorstenMueller/Thorsten-Voice",
    "2021 YourTTS": "Edresson/YourTTS",
    "2022 small": "keonlee9420/DiffGAN-TTS MycroftAI/mimic3-voices neonbjb/tortoise-tts",
    "2022 FreeVC": "OlaWod/FreeVC-demo",
    "2022 BigVGAN": "bigvgan-demo/bigvgan-demo.github.io",
    "2023 Piper": "piper-vits",
    "2023 StyleTTS 2": "styletts2/styletts2.github.io",
    "2023 Vocos": "gemelo-ai/vocos",
    "2024 LanguageCodec": "languagecodec/languagecodec.github.io",
    "2024 VoiceCraft": "jasonppy/VoiceCraft_web",
    "2024 MaskGCT": "maskgct/maskgct.github.io fakemark-demo/fakemark-demo",
    "2024 E1 TTS": "e1tts/e1tts.github.io",
    "2024 Kokoro": "kokoro kokoro_more",
}
SPEAKERS = ("drascula", "warzone", "queen-joe")  # genuine groups that only come in later
LANGUAGES = ("klettres", "0ad")
CHANNELS = {
    "codec": "Opus 16 kbit/s",
    "noise": "noise 20 dB under",
    "level": "20 dB quieter",
}
PARTS = {"train": 0.45, "development": 0.25, "quiet": 0.30}


def episode_of(item: Utterance) -> str:
    """The episode that a recording belongs to, or '-'."""
    names = (name for name, groups in EPISODES.items() if item.group in groups.split())
    return next(names, "-")


def part_of(item: Utterance) -> str:
    """Where a recording stands: an episode's are `new`; utterances stay together, versions of one too."""
    if episode_of(item) != "-":
        return "new"
    for name, groups in (("benign-speakers", SPEAKERS), ("benign-languages", LANGUAGES)):
        if item.group.startswith(groups):
            return name
    key = zlib.crc32((item.source if item.source != "-" else item.id).encode()) / 2**32
    return "train" if key < PARTS["train"] else "development" if key < 1 - PARTS["quiet"] else "quiet"


def as_samples(items: Sequence[Utterance], statistics: np.ndarray, run, condition: str = "") -> Samples:
    """Recordings as samples, with raw scores; statistics (items, features)."""
    columns = {
        "label": ["real" if item.bona_fide else "fake" for item in items],
        "generator": [item.architecture for item in items],
        "source": [item.group for item in items],
        "speaker": [item.speaker for item in items],
        "episode": [episode_of(item) for item in items],
        "duration_s": [f"{item.duration_s or 0:.2f}" for item in items],
        "path": [str(item.path) for item in items],
    }
    ids = [f"{item.dataset}/{item.id}{condition}" for item in items]
    scores = score_statistics(run, statistics).astype(float)
    return Samples(ids, scores, embeddings_of(run, statistics), columns)


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated year, as tables of samples.")
    for name in ("cache", "conditions", "front-end", "corpus", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    items, statistics = read_cache(
        [given.cache / name for name in ("demos", "packages", "engines", "genuine")]
    )
    parts = np.array([part_of(item) for item in items])
    if not (given.out / "detector" / "model.json").exists():
        network, _ = fit(Material(items, statistics).rows(parts == "train"), given.front_end)
        about = {"name": "stream", "licence": "-", "training": {"recipe": "benchmarks/stream.py"}}
        shape = blueprint(network.head.embed[1].out_features)
        write_bundle(given.out / "detector", network, shape, network.state_dict(), about)
    run = open_run(given.out / "detector")
    found = {}
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        found[str(part)] = as_samples([items[i] for i in rows], statistics[0][rows], run)
    some = some_of(given.corpus)
    kept = np.array([part_of(item) not in ("new", "train") for item in some])
    for name, condition in CHANNELS.items():
        heard = np.load(given.conditions / file_name(condition))[kept]
        chosen = [item for item, keep in zip(some, kept, strict=True) if keep]
        found[f"benign-{name}"] = as_samples(chosen, heard, run, f" {condition}")
    development = found["development"]
    map_ = fit_affine(*(development.scores[development.labels == label] for label in (1, 0)))
    for name, samples in found.items():
        llr = np.asarray(map_.apply(samples.scores))
        write_samples(
            given.out / f"{name}.csv", Samples(samples.ids, llr, samples.embeddings, samples.columns)
        )
        labels = samples.labels
        print(f"{name}: {(labels == 1).sum()} genuine, {(labels == 0).sum()} fake", flush=True)


def read_stream(folder: Path) -> dict[str, Samples]:
    """What `main` wrote, by name."""
    names = [path.stem for path in folder.glob("*.csv")]
    return {name: read_samples(folder / f"{name}.csv") for name in sorted(names)}


if __name__ == "__main__":
    main()
