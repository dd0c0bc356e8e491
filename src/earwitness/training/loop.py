"""The loop that all recipes share: batches in, updates, validations, checkpoints; exact to resume.

`accelerate` puts the network on its device, casts, scales gradients of float16 and spreads the
work over processes (DDP or FSDP). A step's loss is the mean over the whole batch of all
processes, so their number does not change it.
"""

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from earwitness.audio.augment.chain import Chain
from earwitness.audio.protocol import Utterance
from earwitness.decision.network import Network
from earwitness.errors import InputError
from earwitness.features.encoders import layers_of
from earwitness.training import checkpoints
from earwitness.training.clips import Batches, Clips
from earwitness.training.objectives import interpolate
from earwitness.training.options import LoopOptions
from earwitness.training.runs import Log
from earwitness.training.sampling import SAMPLE_RATE, Packing, Share
from earwitness.training.schedules import MovingAverage, learning_rate, mean_of
from earwitness.training.trainee import Task, Trainee
from earwitness.training.validation import Lengths, Middles, Spliced, Trials, gather, judge, score_items

LOG_STEPS = 50  # at most this many between two lines of the log
VALID_BATCH_S = 60.0


@dataclass
class Progress:
    """What a run has done so far; all of it stands in its checkpoints."""

    step: int = 0
    place: tuple[int, int] = (0, 0)
    audio_s: float = 0.0
    seconds: float = 0.0
    best: list[dict[str, Any]] = field(default_factory=list)  # {"step", "eer", "file"}, best first
    applied: Counter[str] = field(default_factory=Counter)  # augmentation -> clips that it ran on
    changed: Counter[str] = field(default_factory=Counter)  # augmentation -> clips that it changed
    clips: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)  # ID -> reason


Report = Callable[[Progress, dict[str, Any]], None]


@dataclass
class Machine:
    """What runs the steps."""

    accelerator: Any
    trainee: nn.Module
    optimiser: Any
    average: MovingAverage | None
    lengths: Lengths
    task: Task

    @property
    def share(self) -> Share:
        """Which process this is."""
        return Share(self.accelerator.process_index, self.accelerator.num_processes)


def make_accelerator(options: LoopOptions) -> Any:
    """An `Accelerator` of the wanted precision, on GPUs where there are any.

    Raises:
        InputError: `usage`: the launcher is told to shard as well.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise InputError("usage", "accelerate launch: set distributed_type MULTI_GPU; --shard does its FSDP")
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    return Accelerator(
        cpu=not torch.accelerator.is_available(),  # else several processes on a CPU do not find each other
        mixed_precision="no" if precision == "fp32" else precision,
        # Heads leave parts of a front end alone, and blocks are dropped.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def prepare(
    network: Network,
    beside: Mapping[str, Network],
    task: Task,
    packing: Packing,
    options: LoopOptions,
    accelerator: Any,
) -> Machine:
    """Put a network on its device or devices, with its optimiser and what stands beside it."""
    if network.front_end is not None:
        network.front_end.recompute = options.recompute
    trainee: nn.Module = Trainee(network, task.losses, **beside).train()
    shard = options.shard and accelerator.num_processes > 1
    if shard:
        trainee = spread(trainee.to(accelerator.device), network)
    optimiser = torch.optim.AdamW(
        [tensor for tensor in trainee.parameters() if tensor.requires_grad],
        lr=options.learning_rate,
        eps=1e-6,
        weight_decay=options.weight_decay,
    )
    optimiser = accelerator.prepare(optimiser)
    trainee = trainee if shard else accelerator.prepare(trainee)
    lengths = Lengths(packing.fixed_samples, not network.head.MASKED)
    average = MovingAverage(trainee, options.moving_average) if options.moving_average else None
    return Machine(accelerator, trainee, optimiser, average, lengths, task)


def spread(trainee: nn.Module, network: Network) -> nn.Module:
    """Shard the weights over the processes, block by block (FSDP2); `accelerate` does not on CPUs."""
    if network.front_end is not None:
        for layer in layers_of(network.front_end.body):
            fully_shard(layer)
    fully_shard(trainee)
    return trainee


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch for one step of one process: dropout and drawn bottlenecks depend on nothing else."""
    torch.manual_seed(int(np.random.SeedSequence([seed, 3, step, rank]).generate_state(1)[0]))


def update(machine: Machine, batches: Sequence[Clips], step: int, options: LoopOptions) -> float:
    """One update of the weights; returns this process's part of the loss.

    Raises:
        InputError: `diverged`: the loss is not a number.
    """
    accelerator, trainee = machine.accelerator, machine.trainee
    seed_step(options.seed, step, accelerator.process_index)
    rate = learning_rate(step, options.steps, options.learning_rate, options.warm_up, options.final_rate)
    for group in machine.optimiser.param_groups:
        group["lr"] = rate
    loss = 0.0
    for k, clips in enumerate(batches):
        last = k + 1 == len(batches)
        with nullcontext() if last else accelerator.no_sync(trainee):
            tensors = [clips.waveform, clips.lengths, clips.labels]
            tensors += [] if clips.frames is None else [clips.frames]
            with accelerator.autocast():
                losses = trainee(*(tensor.to(accelerator.device) for tensor in tensors))
            # DDP takes the mean over processes; their shares of a batch may differ by a pair.
            part = losses.sum() * accelerator.num_processes / (clips.total * len(batches))
            accelerator.backward(part)
            loss += float(part.detach())
    if not math.isfinite(loss):
        raise InputError(
            "diverged",
            f"the loss is {loss} at step {step + 1}; lower --learning-rate or use --precision fp32",
        )
    accelerator.clip_grad_norm_(trainee.parameters(), options.clip_norm)
    machine.optimiser.step()
    machine.optimiser.zero_grad()
    if machine.average:
        machine.average.update(trainee)
    if machine.task.refresh and (step + 1) % machine.task.refresh == 0:
        accelerator.unwrap_model(trainee).refresh()
    return loss


def load_batches(
    items: Sequence[Utterance],
    packing: Packing,
    chain: Chain,
    machine: Machine,
    progress: Progress,
    options: LoopOptions,
) -> Iterator[list[Clips]]:
    """The batches of each update that is still to be made."""
    left = (options.steps - progress.step) * options.accumulate
    data = Batches(items, packing, chain, machine.share, progress.place, left, machine.task.frames)
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=options.workers, prefetch_factor=4 if options.workers else None
    )
    waiting: list[Clips] = []
    for clips in loader:
        waiting.append(clips)
        if len(waiting) == options.accumulate:
            yield waiting
            waiting = []


def count(progress: Progress, batches: Sequence[Clips]) -> None:
    """Note what a step has used; audio is that of all processes, as far as this one can tell."""
    for clips in batches:
        progress.audio_s += float(clips.lengths.sum()) / SAMPLE_RATE * clips.total / len(clips.lengths)
        progress.clips += len(clips.lengths)
        progress.applied.update(clips.applied)
        progress.changed.update(clips.changed)
        progress.unreadable.update(clips.unreadable)
    progress.place = batches[-1].next_place


def validate(
    machine: Machine, items: Sequence[Utterance], options: LoopOptions
) -> tuple[dict[str, float], Trials]:
    """EERs by data set, and what they were made of, on every process."""
    accelerator, trainee = machine.accelerator, machine.trainee
    # DDP's own forward would wait for all processes; sharded weights are gathered in every forward
    # pass, so there all processes score everything.
    module = trainee if options.shard else accelerator.unwrap_model(trainee)
    share = Share() if options.shard else machine.share
    mine = range(share.rank, len(items), share.world)
    reader = Spliced(items, machine.task.frames, options) if machine.task.frames else Middles(items)
    with machine.average.applied(trainee) if machine.average else nullcontext(), accelerator.autocast():
        found = score_items(module, items, mine, reader, VALID_BATCH_S, machine.lengths, accelerator.device)
        if isinstance(trainee, FSDPModule):
            trainee.reshard()  # else the outermost weights stay gathered
    trials = gather(items, found if share.world == 1 else gather_object(found))
    return judge(items, trials), trials


def keep_if_best(
    machine: Machine, progress: Progress, figure: float, run: Path, options: LoopOptions
) -> None:
    """Write the weights beside the best so far if they are among them."""
    from safetensors.torch import save_file

    ranked = sorted(
        [*progress.best, {"step": progress.step, "eer": figure, "file": f"step-{progress.step}.safetensors"}],
        key=lambda entry: (entry["eer"], entry["step"]),
    )[: options.keep_best]
    if any(entry["step"] == progress.step for entry in ranked):
        weights = final_weights(machine)
        if machine.accelerator.is_main_process:
            path = run / "best" / f"step-{progress.step}.safetensors"
            part = path.with_suffix(".part")
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, part)
            part.replace(path)
    progress.best = ranked


def final_weights(machine: Machine) -> dict[str, Tensor]:
    """What has been trained: the moving average where there is one, else the weights as they are."""
    with machine.average.applied(machine.trainee) if machine.average else nullcontext():
        found = checkpoints.changed_weights(machine.trainee)
    return {name: tensor for name, tensor in found.items() if name.startswith("network.")}


def save(machine: Machine, progress: Progress, run: Path) -> None:
    """Write the checkpoint, then let go of weights that are no longer among the best."""
    state: dict[str, Any] = {
        "weights": checkpoints.changed_weights(machine.trainee),
        "average": final_weights(machine) if machine.average else {},
        "optimiser": checkpoints.optimiser_state(machine.trainee, machine.optimiser.optimizer),
        "scaler": machine.accelerator.scaler.state_dict() if machine.accelerator.scaler else {},
        "progress": {
            **vars(progress),
            "applied": dict(progress.applied),
            "changed": dict(progress.changed),
        },
    }
    if machine.accelerator.is_main_process:
        checkpoints.save(run / "checkpoint.pt", state)
        kept = {entry["file"] for entry in progress.best}
        for path in (run / "best").iterdir():
            if path.name not in kept:
                path.unlink()
    machine.accelerator.wait_for_everyone()


def resume(machine: Machine, run: Path) -> Progress:
    """Put a checkpoint back, if there is one.

    Raises:
        ModelError: it is damaged, or of another network.
    """
    path = run / "checkpoint.pt"
    if not path.exists():
        return Progress()
    state = checkpoints.load(path)
    if machine.average:
        checkpoints.restore_weights(machine.trainee, state["average"], "network.")
        machine.average = MovingAverage(machine.trainee, machine.average.decay)
    checkpoints.restore_weights(machine.trainee, state["weights"])
    checkpoints.restore_optimiser(machine.trainee, machine.optimiser.optimizer, state["optimiser"])
    if machine.accelerator.scaler:
        machine.accelerator.scaler.load_state_dict(state["scaler"])
    found = state["progress"]
    counts = {name: Counter(found[name]) for name in ("applied", "changed")}
    return Progress(**{**found, "place": tuple(found["place"]), **counts})


@dataclass(frozen=True)
class Fitted:
    """What a finished loop leaves."""

    main: bool  # whether this process writes
    weights: dict[str, Tensor]  # what was trained, by the names of `Trainee`
    progress: Progress
    figures: dict[str, float]  # EERs of the validation, empty without one
    trials: Trials | None  # of the validation


def fit(
    network: Network,
    beside: Mapping[str, Network],
    task: Task,
    train: Sequence[Utterance],
    valid: Sequence[Utterance],
    packing: Packing,
    chain: Chain,
    options: LoopOptions,
    run: Path,
    report: Report,
    accelerator: Any,
) -> Fitted:
    """Train, from the last checkpoint in `run` where there is one; `beside` are the task's other networks.

    `report(progress, entry)` is called on the main process with every line of the log.

    Raises:
        InputError: `diverged`, `unreadable`, or `bad-protocol` where validation has one class.
        ModelError: the checkpoint cannot be used.
    """
    machine = prepare(network, beside, task, packing, options, accelerator)
    began = final_weights(machine) if task.interpolate < 1 else {}
    progress = resume(machine, run)
    log = Log(run / "log.jsonl", progress.step) if machine.accelerator.is_main_process else None

    def note(entry: dict[str, Any]) -> None:
        if log:
            log(entry)
            report(progress, entry)

    every, losses = max(1, min(options.steps // 200, LOG_STEPS)), []
    started = time.monotonic() - progress.seconds
    for batches in load_batches(train, packing, chain, machine, progress, options):
        losses.append(update(machine, batches, progress.step, options))
        progress.step += 1
        progress.seconds = time.monotonic() - started
        count(progress, batches)
        last = progress.step == options.steps
        if progress.step % every == 0 or last:
            mean = machine.accelerator.reduce(torch.tensor(np.mean(losses)), "mean")
            hours = {"audio_s": round(progress.audio_s, 1), "seconds": round(progress.seconds, 1)}
            note({"step": progress.step, "loss": float(mean), **hours})
            losses = []
        if valid and (progress.step % options.validate_every == 0 or last):
            figures, _ = validate(machine, valid, options)
            keep_if_best(machine, progress, figures["mean"], run, options)
            note({"step": progress.step, "eer": figures})
        if progress.step % options.save_every == 0 or progress.step % options.validate_every == 0 or last:
            save(machine, progress, run)
    return finish(machine, progress, valid, options, run, began)


def finish(
    machine: Machine,
    progress: Progress,
    valid: Sequence[Utterance],
    options: LoopOptions,
    run: Path,
    began: Mapping[str, Tensor],
) -> Fitted:
    """Take the best weights or their mean, or go back from there to how they began; judge them once more."""
    from safetensors.torch import load_file

    main = machine.accelerator.is_main_process
    if machine.share.world > 1:
        progress.unreadable = dict(gather_object(list(progress.unreadable.items())))
    weights = final_weights(machine)
    if valid:
        weights = mean_of([load_file(run / "best" / entry["file"]) for entry in progress.best])
    if machine.task.interpolate < 1 and weights:
        weights = between(began, weights, machine.task.interpolate)
    if not valid:
        return Fitted(main, weights, progress, {}, None)
    checkpoints.restore_weights(machine.trainee, weights, "network.")
    machine.average = None
    figures, trials = validate(machine, valid, options)
    return Fitted(main, weights, progress, figures, trials)


def between(began: Mapping[str, Tensor], weights: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the way from how training began; of adapters B alone moves, so that B A moves in a line."""
    inner = {name: began[name] for name in weights if ".lora_A" not in name}
    return interpolate(inner, {name: weights[name] for name in inner}, share) | {
        name: tensor for name, tensor in weights.items() if name not in inner
    }
