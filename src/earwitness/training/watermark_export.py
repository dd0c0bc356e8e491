"""A trained watermark to a folder that needs no torch: two graphs, the messages, and a card.

    python -m earwitness.training.watermark_export RUN --unmarked PROTOCOL... --name NAME --out FOLDER

The threshold of presence comes from recordings that nobody marked and that the run has not heard, as they are
and disturbed (`evidence.watermark.fit_presence`). A factor on the mark, found on some of them, makes strength
1 of every scheme as loud: `SNR_DB` on average.
"""

import argparse
import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.augment.distortions import distort, training_names
from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError, ModelError
from earwitness.evidence.watermark import WINDOW_S, Presence, Scheme, embed, fit_presence
from earwitness.evidence.watermark_bundle import CARD, FACTORS, GENERATOR, MESSAGES, READER, open_folder
from earwitness.training.checkpoints import load as load_checkpoint
from earwitness.training.export import halve
from earwitness.training.fakemark import make, restore
from earwitness.training.magnitudes import BINS
from earwitness.training.marking import ADDED, SIGNED, read
from earwitness.training.marking_hosts import Hosts, Marking
from earwitness.training.marking_steps import State
from earwitness.training.runs import read_json
from earwitness.training.seanet import HOP

VERSIONS = 4  # of each unmarked recording: as it is, and disturbed
FALSE_ALARM = 1e-4  # a tenth of what is promised: what is met later differs from what this was fitted to
SNR_DB = 21.0  # at which Timbre's own marks lie; those of FakeMark-T lie above their hosts
HOSTS, ROUNDS = 48, 3  # recordings that the factor is found on; it settles fast
LOOSE = Presence(0.0, 1.0, 0.01)  # while the threshold is not known
LICENCE = "Apache-2.0; Whisper's encoder, in the reader of FakeMark, is MIT, copyright 2022 OpenAI"


class Reader(nn.Module):
    """The reader of a scheme with bits, as its graph has it."""

    def __init__(self, scheme: Any, network: nn.Module) -> None:
        super().__init__()
        self.scheme, self.network = scheme, network

    def forward(self, audio: Tensor) -> Any:
        return self.network(audio) if self.scheme == "timbre" else read(self.scheme, self.network, audio)


def write_graphs(how: Marking, state: State, folder: Path) -> None:
    """Write generator and reader for one clip of any length.

    Raises:
        ModelError: a network cannot be expressed.
    """
    waveform, spectrum = torch.randn(1, HOP * 100) * 0.1, torch.rand(1, BINS, 130)
    message = torch.randn(1, state.messages.shape[1])
    if how.scheme in ADDED:
        host, out = {"host": waveform}, "proposed"
    else:
        host, out = {"magnitude": spectrum}, "factor"
    write_graph(state.generator, {**host, "message": message}, [out], folder / GENERATOR)
    if how.scheme == "timbre":
        write_graph(Reader(how.scheme, state.reader), {"magnitude": spectrum}, ["says"], folder / READER)
        return
    reader = state.reader if how.scheme in SIGNED else Reader(how.scheme, state.reader)
    write_graph(reader, {"waveform": waveform}, ["marked", "says"], folder / READER)


def write_graph(network: nn.Module, given: dict[str, Tensor], outputs: list[str], target: Path) -> None:
    """Write a network that takes these inputs in this order, of any length along the last axis.

    Large weights are in half precision. The exporter is the older one of torch: the newer unrolls LSTMs.
    """
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    network.eval()
    free = {name: {tensor.ndim - 1: f"{name}_steps"} for name, tensor in given.items() if name != "message"}
    free |= {name: {2 if name == "factor" else 1: f"{name}_steps"} for name in outputs}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                tuple(given.values()),
                str(target),
                input_names=list(given),
                output_names=outputs,
                dynamic_axes=free,
                opset_version=17,
                dynamo=False,
            )
    except Exception as error:  # the exporter raises a dozen kinds
        raise ModelError(f"{target}: cannot be expressed as a graph: {str(error)[:300]}") from error
    halve(target)


def unmarked_scores(scheme: Scheme, items: Sequence[Utterance]) -> np.ndarray:
    """Scores of windows that nobody marked, each recording as it is and disturbed, (windows,)."""
    rng, names, scores = np.random.default_rng(3), training_names(), []
    for item in items:
        try:
            audio = load(item.path)[: round(WINDOW_S * SAMPLE_RATE)]
        except InputError:
            continue
        for version in range(VERSIONS if len(audio) >= SAMPLE_RATE else 0):
            changed = distort(audio, names[rng.integers(len(names))], rng) if version else audio
            scores.append(scheme.read(changed).score)
    return np.array(scores)


def find_gain(scheme: Scheme, items: Sequence[Utterance]) -> float:
    """The factor at which marks lie `SNR_DB` under their hosts, on average; within what a card may say."""
    hosts, gain = some_of(items), 1.0
    for _ in range(ROUNDS):
        decibels = []
        for number, host in enumerate(hosts):
            message = scheme.messages[number % len(scheme.names)]
            added = embed(scheme, host, SAMPLE_RATE, message, gain) - host
            decibels.append(10 * np.log10(np.mean(host**2) / max(float(np.mean(added**2)), 1e-12)))
        gain = float(np.clip(gain * 10 ** ((np.mean(decibels) - SNR_DB) / 20), *FACTORS["gain"]))
    return round(gain, 3)


def some_of(items: Sequence[Utterance]) -> list[np.ndarray]:
    """Some of the recordings, a second or longer."""
    clips = []
    for item in items[:: max(1, len(items) // HOSTS)]:
        with suppress(InputError):
            clips.append(load(item.path)[: round(WINDOW_S * SAMPLE_RATE)])
    return [clip for clip in clips if len(clip) >= SAMPLE_RATE]


def find_scale(scheme: Scheme, items: Sequence[Utterance]) -> float:
    """The factor that makes log-odds of what is read of bits, by marks as they are and disturbed."""
    if scheme.bits is None:
        return 1.0
    rng, names, margins = np.random.default_rng(4), training_names(), []
    for number, host in enumerate(some_of(items)):
        who = number % len(scheme.names)
        marked = embed(scheme, host, SAMPLE_RATE, scheme.messages[who])
        for heard in (marked, distort(marked, names[rng.integers(len(names))], rng)):
            margins.append(scheme.bits[who] * scheme.read(heard).says)
    return likeliest(np.concatenate(margins))


def likeliest(margins: np.ndarray) -> float:
    """The factor at which what was read of bits, positive where right, (n,), is most likely."""
    scales = np.geomspace(*FACTORS["scale"], 400)
    costs = [np.logaddexp(0, -scale * margins).mean() for scale in scales]
    return round(float(scales[int(np.argmin(costs))]), 3)


def write_card(
    folder: Path,
    name: str,
    how: Marking,
    state: State,
    named: list[str],
    presence: Presence,
    factors: dict[str, float],
) -> None:
    """Write `watermark.json` for the files that lie beside it."""
    card = {
        "schema": 1,
        "name": name,
        "version": "1",
        "kind": how.scheme,
        "names": named,
        "bits": None if how.scheme in SIGNED else state.messages.int().tolist(),
        "presence": asdict(presence),
        **factors,
        "files": {file: file_digest(folder / file) for file in (GENERATOR, READER, MESSAGES)},
        "training": {**asdict(how), "done": state.step},
        "licence": LICENCE,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def export(
    run: Path, unmarked: Sequence[Utterance], name: str, folder: Path, front_end: Path | None
) -> Scheme:
    """The finished folder of a run, opened again.

    Raises:
        InputError: the folder is no run, or too few unmarked recordings.
        ModelError: a network cannot be expressed.
    """
    config = read_json(run / "config.json")
    kept: dict[str, Any] = {key: config[key] for key in asdict(Marking())}
    for key, value in kept.items():
        kept[key] = tuple(value) if isinstance(value, list) else value  # as JSON has no tuples
    how = Marking(**kept)
    named = config["named"]
    state = make(how, Hosts([[] for _ in named], [], named), front_end)
    restore(state, load_checkpoint(run / "checkpoint.pt"))
    folder.mkdir(parents=True, exist_ok=True)
    write_graphs(how, state, folder)
    np.save(folder / MESSAGES, state.messages.numpy().astype("<f4"))
    write_card(folder, name, how, state, named, LOOSE, {})
    scheme = open_folder(folder)
    presence = fit_presence(unmarked_scores(scheme, unmarked), FALSE_ALARM)
    factors = {"gain": find_gain(scheme, unmarked)}
    write_card(folder, name, how, state, named, presence, factors)
    if how.scheme == "timbre":  # its bits are read by squared error, others' by cross-entropy
        factors["scale"] = find_scale(open_folder(folder), unmarked)
        write_card(folder, name, how, state, named, presence, factors)
    return open_folder(folder)


def main() -> None:
    """Parse and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--unmarked", nargs="+", type=Path, required=True)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from", dest="front_end", type=Path, help="bundle that the run began from")
    given = parser.parse_args()
    torch.set_num_threads(1)
    items = read_protocols(given.unmarked, given.root)
    print(export(given.run, items, given.name, given.out, given.front_end).presence)


if __name__ == "__main__":
    main()
