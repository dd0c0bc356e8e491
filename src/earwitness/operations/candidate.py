"""A candidate for the champion's place: taught by new labels, calibrated on development data.

The ridge of the calibration is one over the number of recordings: where the classes do not overlap in so
many, it says no more than so many can tell.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.protocol import Utterance, read_protocol, write_protocol
from earwitness.decision.bundle import (
    GRAPH,
    GRAPH_DATA,
    file_digest,
    read_card,
    unfinished,
    write_card,
)
from earwitness.decision.calibration import Calibration, posterior_of_fake
from earwitness.decision.correction import correct_graph, fit_correction
from earwitness.decision.detector import model_digest
from earwitness.errors import ModelError
from earwitness.operations.calibrate import CalibrationOptions, fit
from earwitness.operations.samples import Samples, joined

FOLDS = 5
RATES = (0.002, 0.2)  # least and most of the rates that thresholds are set by


def make_head(
    champion: Path,
    development: Samples,
    labelled: Samples,
    out: Path,
    about: dict[str, Any],
) -> None:
    """A bundle with a corrected score and the champion's embedding.

    The calibration is fitted on development scores that did not teach the correction they went through.

    Args:
        champion: its bundle, which needs a graph and a calibration.
        development, labelled: as the champion scores them (LLRs), with labels; the first are replay, too.
        out: the new bundle's folder.
        about: further fields of the card.

    Raises:
        InputError: `bad-samples`: labels of one class only.
        ModelError: the champion has no graph or no calibration.
    """
    card = read_card(champion)
    if GRAPH not in card["files"] or not card["calibration"]:
        what = "graph: `earwitness models export` makes one" if card["calibration"] else "calibration"
        raise ModelError(f"{champion}: method head needs a bundle with a {what}")
    clip = Calibration(**card["calibration"]["clip"])
    llr = out_of_fold(development, labelled)
    data = joined([labelled, development])
    new = np.arange(len(data)) < len(labelled)
    correction = fit_correction(data.scores, data.embeddings, data.labels == 1, new)
    labels = development.labels
    found, thresholds = fit(
        llr[labels == 1], llr[labels == 0], rates_of(card["thresholds"], development), 1 / len(llr)
    )
    renewed = Calibration(found.scale * clip.scale, found.offset + found.scale * clip.offset)
    with unfinished(out) as folder:
        correct_graph(champion / GRAPH, folder / GRAPH, correction, clip.scale)
        files = {GRAPH: file_digest(folder / GRAPH)}
        if GRAPH_DATA in card["files"]:
            shutil.copyfile(champion / GRAPH_DATA, folder / GRAPH_DATA)
            files[GRAPH_DATA] = card["files"][GRAPH_DATA]
        card |= about
        card["files"] = files
        card["embedding_of"] = card.get("embedding_of") or read_space(champion)
        card["calibration"] = {**card["calibration"], "clip": asdict(renewed)}
        card["thresholds"] = asdict(thresholds)
        write_card(folder, card)


def out_of_fold(development: Samples, labelled: Samples) -> np.ndarray:
    """Corrected LLRs of the development data (n,), each fold by a correction that it did not teach."""
    folds = np.random.default_rng(0).permutation(len(development)) % FOLDS
    llr = np.empty(len(development))
    for fold in range(FOLDS):
        here = folds == fold
        data = joined([labelled, development.take(~here)])
        new = np.arange(len(data)) < len(labelled)
        correction = fit_correction(data.scores, data.embeddings, data.labels == 1, new)
        llr[here] = correction.apply(development.scores[here], development.embeddings[here])
    return llr


def rates_of(thresholds: Mapping[str, float], development: Samples) -> CalibrationOptions:
    """What the champion's thresholds do to development data, which a candidate's are to do as well."""
    p_fake = np.asarray(posterior_of_fake(development.scores, CalibrationOptions.prior))
    labels = development.labels
    missed = float((p_fake[labels == 1] >= thresholds["fake"]).mean())
    alarmed = float((p_fake[labels == 0] <= thresholds["genuine"]).mean())
    return CalibrationOptions(
        miss_rate=float(np.clip(missed, *RATES)), false_alarm_rate=float(np.clip(alarmed, *RATES))
    )


def read_space(bundle: Path) -> str:
    """The digest of the model whose embeddings a bundle gives."""
    card = read_card(bundle)
    return str(card.get("embedding_of") or model_digest(card))


def make_tuned(
    champion: Path,
    protocols: Sequence[Path],
    out: Path,
    method: str,
    more: Sequence[str],
    about: dict[str, Any],
) -> None:
    """A bundle fine-tuned by `earwitness train finetune`, not calibrated yet; a stopped run goes on.

    Args:
        champion: its bundle, with weights.
        protocols: new labels and replay.
        out: the new bundle's folder; the run is kept beside it.
        method: lora or full.
        more: further arguments of the command.
        about: fields of the card.

    Raises:
        ModelError: the training failed; its last line says why.
    """
    run = out.with_name("run")
    command = [sys.executable, "-m", "earwitness.cli", "train", "finetune", *map(str, protocols)]
    command += ["--from", str(champion), "--mode", method, "--out", str(run), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise ModelError(f"{run}: training failed: {why[:300]}")
    card = read_card(run / "bundle")
    with unfinished(out) as folder:
        for name in card["files"]:
            shutil.copyfile(run / "bundle" / name, folder / name)
        write_card(folder, {**card, **about, "calibration": None})


def calibrate_bundle(bundle: Path, development: Samples, options: CalibrationOptions) -> None:
    """Write calibration and thresholds onto a card, from raw scores of development data.

    Raises:
        InputError: `bad-scores`.
    """
    labels = development.labels
    clip, thresholds = fit(
        development.scores[labels == 1], development.scores[labels == 0], options, 1 / len(labels)
    )
    card = read_card(bundle)
    card["calibration"] = {
        "clip": asdict(clip),
        "timeline": asdict(clip),
        "prior": options.prior,
        "rates": {"miss": options.miss_rate, "false_alarm": options.false_alarm_rate},
        "fitted_on": f"{len(development)} recordings of development data",
    }
    card["thresholds"] = asdict(thresholds)
    write_card(bundle, card)


def training_protocols(labelled: Sequence[Utterance], replay: Path, folder: Path) -> list[Path]:
    """Protocols of the new labels and of the replay, every row of both to be trained on but each fifth valid.

    Raises:
        InputError: as `read_protocol`.
    """
    found = []
    for name, items in (("new", list(labelled)), ("replay", list(read_protocol(replay)))):
        path = folder / f"{name}.csv"
        parted = [
            replace(item, path=item.path.resolve(), split="valid" if i % 5 == 4 else "train")
            for i, item in enumerate(items)
        ]
        root = Path(parted[0].path.anchor)
        write_protocol(parted, path, root)
        path.with_suffix(".json").write_text(json.dumps({"root": str(root)}) + "\n", encoding="utf-8")
        found.append(path)
    return found
