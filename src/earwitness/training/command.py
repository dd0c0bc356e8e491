"""`earwitness train` as people see it: progress with time left, a table at the end."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from earwitness.errors import needs_extra
from earwitness.operations.show import clock, visible
from earwitness.training.options import Grpo, LoopOptions, MixFrame, PostTraining

StartFields = tuple[str | None, str | None, dict[str, Any], str]  # model, head, its options, states


def run(
    protocols: Sequence[Path],
    valid: Sequence[Path],
    root: Path | None,
    out: Path,
    start: StartFields,
    options: LoopOptions,
) -> None:
    """Train by the recipe that the options belong to, and print what came of it.

    Raises:
        InputError: as the recipe.
        ModelError: as the recipe.
        MissingExtra: torch or another package is not installed.
    """
    with needs_extra("train"):
        from earwitness.training.recipe import Data
        from earwitness.training.start import Start

        recipe = recipe_of(options)
        data = Data(protocols, valid, root)
        show(out, options, lambda report: recipe(data, Start(*start), out, options, report))


def recipe_of(options: LoopOptions) -> Callable[..., dict[str, Any]]:
    """The function of a recipe; importing it takes torch."""
    if isinstance(options, PostTraining):
        from earwitness.training.post_train import post_train

        return post_train
    if isinstance(options, MixFrame):
        from earwitness.training.mix_frame import mix_frame

        return mix_frame
    if isinstance(options, Grpo):
        from earwitness.training.grpo import grpo

        return grpo
    from earwitness.training.finetune import finetune

    return finetune


def show(run: Path, options: LoopOptions, train: Callable[[Any], dict[str, Any]]) -> None:
    """Run `train` with a reporter, log to MLflow where asked for, print the result."""
    tracker: Any = None
    if options.track:
        with needs_extra("tracking"):
            import mlflow  # noqa: F401  # found missing now, not after the first steps

    def report(progress: Any, entry: dict[str, Any]) -> None:
        nonlocal tracker
        reporter(progress, entry)
        if options.track:
            from earwitness.training.tracking import Tracker

            tracker = tracker or Tracker(options.track, run, asdict(options))  # the folder is there now
            tracker(entry)

    with Reporter(options.steps) as reporter:
        result = train(report)
    if result:
        if tracker:
            tracker.finish(result)
        print_result(run, result)


class Reporter:
    """Loss, EER, audio hours an hour and time left: a bar on a terminal, else a line for each entry."""

    def __init__(self, steps: int) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.steps, self.eer, self.loss = steps, "", ""
        self.bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task("", total=steps)

    def __enter__(self) -> "Reporter":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, progress: Any, entry: dict[str, Any]) -> None:
        """Show one entry of the log."""
        head = f"step {entry['step']:>{len(str(self.steps))}}/{self.steps}"
        if "eer" in entry:
            self.eer = f"   EER {100 * entry['eer']['mean']:.2f} %"
            sets = [f"{visible(k)} {100 * v:.2f}" for k, v in entry["eer"].items() if k != "mean"]
            self.console.print(f"{head}   validated{self.eer}   ({', '.join(sets)})", markup=False)
            return
        rate = entry["audio_s"] / max(entry["seconds"], 1e-9)
        left = (self.steps - entry["step"]) * entry["seconds"] / entry["step"]
        line = f"loss {entry['loss']:.4f}{self.eer}   {rate:.0f} audio h/h   {clock(left)} left"
        if self.bar.disable:
            self.console.print(f"{head}   {line}")
        else:
            self.bar.update(self.task, completed=entry["step"], description=line)


def print_result(run: Path, result: dict[str, Any]) -> None:
    """The table at the end."""
    console = Console(highlight=False, soft_wrap=True)
    if result["eer"]:
        table = Table("validation", "EER %", "95 % interval", box=None, pad_edge=False)
        for name, row in result["eer"].items():
            span = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}" if "low" in row else ""
            table.add_row(visible(name), f"{100 * row['value']:.2f}", span)
        console.print(table)
    console.print(
        f"\n{result['steps']} steps, {result['audio_hours']} h of audio in {clock(result['seconds'])}"
        + (f", {result['unreadable']} recordings unreadable (unreadable.csv)" if result["unreadable"] else "")
    )
    bundle = visible(str(run / "bundle"))
    console.print(f"detector: {bundle}   (earwitness scan --model {bundle} ...)", markup=False)
