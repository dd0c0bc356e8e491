"""A corpus of two classes and a front end of two layers, small enough to train in a blink."""

import json
from pathlib import Path

import numpy as np


def make_corpus(
    folder: Path, count: int = 24, seed: int = 0, datasets: tuple[str, ...] = ("one", "two")
) -> Path:
    """Buzzes (bona fide) and hisses (spoof) of 0.6 to 2 s as WAV, with a protocol; returns the protocol."""
    import soundfile

    rng = np.random.default_rng(seed)
    header = (
        "ID,Label,Duration,SampleRate,Path,Attack,Speaker,Proportion,AudioChannel,AudioEncoding,"
        "AudioBitSample,Language,Dataset,Group"
    )
    rows = [header]
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        samples = int(rng.uniform(0.6, 2.0) * 16_000)
        time = np.arange(samples) / 16_000
        genuine = i % 2 == 0
        pitch = rng.uniform(90, 220)
        voice = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
        audio = 0.1 * (voice if genuine else rng.standard_normal(samples)) + 0.02 * rng.standard_normal(
            samples
        )
        soundfile.write(folder / f"{i}.wav", audio.astype(np.float32), 16_000)
        label, attack, split = ("real", "-", "train") if genuine else ("fake", f"A{i % 3}", "train")
        split = "valid" if i % 6 in (4, 5) else split
        name = ("one", "two")[i // 2 % 2]
        rows.append(
            f"{name}-{i},{label},{samples / 16_000:.2f},16000,$ROOT/{i}.wav,{attack},s{i % 4},{split},"
            f"1,PCM_S,16,EN,{name},g{i % 4}"
        )
    protocol = folder / "protocol.csv"
    protocol.write_text("\n".join(rows) + "\n")
    return protocol


def make_bundle(folder: Path, front_end: str = "wav2vec2-large", head: str | None = "linear") -> Path:
    """A bundle with random weights, of a tiny front end and perhaps a head."""
    import torch
    from safetensors.torch import save_file
    from tiny import ARCHITECTURES, shake

    from earwitness.decision.bundle import WEIGHTS, file_digest
    from earwitness.decision.importer import make_card
    from earwitness.decision.network import Blueprint, Network

    torch.manual_seed(5)
    network = Network(Blueprint(head or "linear", ARCHITECTURES[front_end]))
    shake(network)
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if head is None:
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("front_end.")}
    folder.mkdir(parents=True)
    save_file(tensors, folder / WEIGHTS)
    card = make_card("tiny", Blueprint(head, ARCHITECTURES[front_end]), "none")
    card["files"] = {WEIGHTS: file_digest(folder / WEIGHTS)}
    (folder / "model.json").write_text(json.dumps(card))
    return folder
