"""What every recipe does around its loop: check the data first, keep a record, write what came of it."""

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from earwitness.audio.augment.chain import parse_chain
from earwitness.audio.io import open_file, open_recording
from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.decision.network import Blueprint, Network
from earwitness.errors import InputError
from earwitness.metrics.detection import eer
from earwitness.metrics.intervals import grouped_bootstrap
from earwitness.training import runs
from earwitness.training.loop import Fitted, Report, fit, make_accelerator
from earwitness.training.options import LoopOptions, check_options
from earwitness.training.sampling import Packing, find_twins, inner_group
from earwitness.training.start import (
    Start,
    adapters_of,
    build,
    fixed_samples,
    needs_equal_lengths,
    plan_network,
    write_bundle,
)
from earwitness.training.trainee import Task


@dataclass(frozen=True)
class Recipe:
    """What one recipe does differently from the next.

    `adapt` says what of the network is trained: it freezes, or adds adapters, in place, or goes on with
    those in the file it is given. `task` says what it is trained for. `unfinished` tells why nobody should
    scan with what comes of it: a front end then loses its head, and another network's card says so.
    """

    name: str
    adapt: Callable[[Network, Path | None], None] = lambda network, adapters: None
    task: Callable[[Blueprint], Task] = lambda blueprint: Task()
    check: Callable[[dict[str, Any]], None] = lambda card: None  # of the bundle it begins from
    unfinished: str = ""
    localisation: Mapping[str, float] | None = None  # for the card: how frames that were taught are read


@dataclass(frozen=True)
class Data:
    """Which protocols, and where their recordings are."""

    train: Sequence[Path]
    valid: Sequence[Path] = ()
    root: Path | None = None


def read_data(data: Data) -> tuple[list[Utterance], list[Utterance]]:
    """Recordings to train on, and to validate on.

    Of the training protocols, rows of the split `valid` are validated on and rows of `test` are left
    alone; of the validation protocols all rows count, whatever their split.

    Raises:
        InputError: a protocol is wrong, names a recording on both sides, or lacks a class.
    """
    rows = read_protocols(data.train, data.root)
    train = [item for item in rows if item.split in ("train", "-")]
    valid = [item for item in rows if item.split == "valid"]
    valid += read_protocols(data.valid, data.root) if data.valid else []
    names = ", ".join(map(str, data.train))
    for label, name in ((True, "real"), (False, "fake")):
        if not any(item.bona_fide == label for item in train):
            raise InputError("bad-protocol", f"{names}: no row for training is {name}")
    both = {item.path for item in train} & {item.path for item in valid}
    if both:
        raise InputError(
            "bad-protocol", f"{names}: {min(both)} stands in training and in validation; see `corpus check`"
        )
    return train, valid


def check_audio(items: Sequence[Utterance], data: Data) -> None:
    """Open every recording's header before anything is trained.

    Raises:
        InputError: `unreadable`, naming protocol and row of the first that cannot be opened.
    """

    def look(item: Utterance) -> str | None:
        try:
            with open_file(item.path) as file, open_recording(file, item.path.name):
                return None
        except InputError as error:
            return error.message

    with ThreadPoolExecutor(8) as pool:
        looked = zip(items, pool.map(look, items), strict=True)
        console = Console(stderr=True)
        for item, problem in track(
            looked, "checking recordings", len(items), console=console, disable=not console.is_terminal
        ):
            if problem:
                where = row_of(item, [*data.train, *data.valid])
                raise InputError("unreadable", f"{where}: {item.path}: {problem}")


def row_of(item: Utterance, protocols: Sequence[Path]) -> str:
    """Protocol and row of a recording, for people."""
    for path in protocols:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                if (row.get("ID") or "").strip() == item.id:
                    return f"{path}, row {number}"
    return ", ".join(map(str, protocols))


def run_recipe(
    recipe: Recipe,
    data: Data,
    start: Start,
    run: Path,
    options: LoopOptions,
    report: Report,
) -> dict[str, Any]:
    """Train from `start` on `data` into the folder `run`, or go on where it stopped; returns its result.

    Raises:
        InputError: the data, an option or the folder is wrong, or training diverged.
        ModelError: the model to begin from cannot be used.
    """
    # What is wrong is said before anything heavy begins.
    check_options(options)
    chain = parse_chain(options.augment)
    blueprint, weights, card = plan_network(start)
    recipe.check(card)
    task = recipe.task(blueprint)
    train, valid = read_data(data)
    if options.twins and not find_twins(train):
        raise InputError(
            "usage",
            "--twins: no fake shares its `source` with a genuine recording of its data set; leave it out, or "
            "make some with `earwitness corpus synthesise`",
        )
    own_head = weights is not None and bool(card["architecture"]["head"] == blueprint.head) and not start.head
    about_data = {"train": runs.describe(train), "valid": runs.describe(valid) if valid else None}
    config = {
        "recipe": recipe.name,
        **asdict(options),
        "start": {**asdict(start), "sha256": card["files"]["model.safetensors"] if card else None},
        "architecture": blueprint.as_card(),
        "data": about_data,
    }
    runs.check_same(run, config)
    accelerator = make_accelerator(options)
    least = 2 * accelerator.num_processes * (fixed_samples(blueprint) or 16_000 * options.crop_s[1]) / 16_000
    if options.batch_s < least:
        raise InputError(
            "usage", f"--batch-s {options.batch_s:g}: must hold two crops a process, {least:g} s"
        )
    if accelerator.is_main_process:
        if not (run / "checkpoint.pt").exists():
            check_audio([*train, *valid], data)
        runs.begin(run, config)
    accelerator.wait_for_everyone()
    if (run / "result.json").exists():
        return runs.read_json(run / "result.json")

    def make() -> Network:
        network = build(blueprint, weights, own_head, options.drop, options.seed)
        recipe.adapt(network, adapters_of(card, weights))
        return network

    network = make()
    beside = {name: make() for name in task.beside}
    packing = Packing(
        options.batch_s,
        options.crop_s,
        options.balance,
        options.seed,
        fixed_samples(blueprint),
        needs_equal_lengths(network),
        options.twins,
    )
    fitted = fit(network, beside, task, train, valid, packing, chain, options, run, report, accelerator)
    if not fitted.main:
        return {}
    result = describe_result(fitted, valid, about_data)
    write_lists(run, fitted, valid)
    if not (run / "bundle").exists():
        licence = f"that of the data and of {card['name']}: {card['licence']}" if card else "that of the data"
        before = card.get("training", {}).get("recipes", [])
        training = {"recipes": [*before, recipe.name], "options": asdict(options), **result}
        about = {"name": run.resolve().name, "licence": licence, "training": training}
        about["source"] = {"from": card["name"], "sha256": card["files"]["model.safetensors"]} if card else {}
        kept = blueprint
        if recipe.unfinished and blueprint.front_end:
            kept = replace(blueprint, head=None, options={})
        elif recipe.unfinished:
            about["unfinished"] = recipe.unfinished
        about |= {"localisation": dict(recipe.localisation)} if recipe.localisation else {}
        write_bundle(run / "bundle", make(), kept, fitted.weights, about)
    runs.write_json(run / "result.json", result)
    return result


def describe_result(fitted: Fitted, valid: Sequence[Utterance], about_data: dict[str, Any]) -> dict[str, Any]:
    """Figures of a finished run as JSON."""
    progress = fitted.progress
    shares = {
        name: {"ran": round(count / progress.clips, 4), "changed": round(progress.changed[name] / count, 4)}
        for name, count in sorted(progress.applied.items())
    }
    result: dict[str, Any] = {
        "steps": progress.step,
        "audio_hours": round(progress.audio_s / 3600, 3),
        "seconds": round(progress.seconds, 1),
        "finished": time.strftime("%Y-%m-%d"),
        "augmented": shares,  # of all clips it ran on, and of those changed
        "unreadable": len(progress.unreadable),
        "best": progress.best,
        "data": about_data,
        "eer": {},
    }
    if fitted.trials:
        scores, bona_fide, rows = vars(fitted.trials).values()
        known = np.isfinite(scores)
        groups = np.array([inner_group(item) for item in valid])[rows]
        datasets = np.array([item.dataset for item in valid])[rows]
        for name in fitted.figures:
            here = known & (datasets == name) if name in datasets else known
            if name != "mean":
                value, low, high = grouped_bootstrap(
                    eer, scores[here], bona_fide[here], groups[here], draws=500
                )
                result["eer"][name] = {"value": value, "low": low, "high": high}
        result["eer"]["mean"] = {"value": fitted.figures["mean"]}
        result["unscored"] = int((~known).sum())
    return json.loads(json.dumps(result))


def write_lists(run: Path, fitted: Fitted, valid: Sequence[Utterance]) -> None:
    """The validation's scores in the ASVspoof 5 format, and recordings that could not be decoded."""
    if fitted.trials and len(fitted.trials.scores) == len(valid):
        with (run / "valid-scores.tsv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(["filename", "cm-score"])
            for item, score in zip(valid, fitted.trials.scores, strict=True):
                if np.isfinite(score):
                    writer.writerow([item.id, f"{score:.9g}"])
    if fitted.progress.unreadable:
        with (run / "unreadable.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["ID", "reason"])
            writer.writerows(fitted.progress.unreadable.items())
