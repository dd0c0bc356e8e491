"""A plan as people see it."""

from collections.abc import Sequence

from rich.console import Console

from earwitness.operations.corpus import show_table
from earwitness.operations.plan import STATE_BYTES, Plan
from earwitness.operations.plan_options import Job, PlanOptions


def figure(value: float) -> str:
    """Three digits, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(job: Job, training: bool, options: PlanOptions, plans: Sequence[Plan]) -> None:
    """What is asked, a column for each size, and the rates behind it."""
    console = Console(highlight=False, soft_wrap=True)
    one = plans[0]
    what = "post-training of" if training else "scoring with"
    within = f", within {job.within_h:g} h" if job.within_h else ""
    console.print(f"{what} {job.model}, {one.rate.how}{within}\n", markup=False)
    rows = training_rows(options, plans) if training else scoring_rows(plans)
    show_table(("", *(f"{plan.hours:,.0f} h" for plan in plans)), rows, len(plans))
    console.print()
    stages = [
        (name, figure(rate.value), "GPU" if rate is one.rate and one.unit == "GPU" else "core", rate)
        for name, rate in one.stages.items()
    ]
    show_table(
        ("stage", "times real time a", "", "", "source"),
        [(name, value, unit, rate.kind, rate.source) for name, value, unit, rate in stages],
    )
    console.print()
    for line in remarks(job, options, plans):
        console.print(line, markup=False)


def scoring_rows(plans: Sequence[Plan]) -> list[tuple[str, ...]]:
    """Rows of a scoring plan."""
    memory = plans[0].rate.memory_mib
    return [
        ("machines", *(f"{plan.machines:,}" for plan in plans)),
        ("hours", *(f"{plan.wall_h:,.1f}" for plan in plans)),
        (f"{plans[0].unit}-hours", *(f"{plan.unit_hours:,.0f}" for plan in plans)),
        ("audio, TB", *(f"{plan.audio_tb:,.1f}" for plan in plans)),
        ("reading, Gbit/s", *(f"{plan.reading_gbit_s:,.1f}" for plan in plans)),
        ("records, TB", *(f"{plan.kept_tb:,.3g}" for plan in plans)),
        *([("memory of a worker, MiB", *(f"{memory:,.0f}" for _ in plans))] if memory else []),
        ("machines, USD", *(f"{plan.money:,.0f}" for plan in plans)),
        ("storage of a month, USD", *(f"{plan.storage_money:,.0f}" for plan in plans)),
        ("bottleneck", *(plan.bottleneck for plan in plans)),
    ]


def training_rows(options: PlanOptions, plans: Sequence[Plan]) -> list[tuple[str, ...]]:
    """Rows of a plan of post-training."""
    return [
        (f"machines of {options.gpus or 8} GPUs", *(f"{plan.machines:,}" for plan in plans)),
        ("hours", *(f"{plan.wall_h:,.1f}" for plan in plans)),
        ("GPU-hours", *(f"{plan.unit_hours:,.0f}" for plan in plans)),
        ("seconds in a batch", *(f"{plan.batch_s:,.0f}" for plan in plans)),
        ("steps", *(f"{plan.steps:,}" for plan in plans)),
        ("audio, TB", *(f"{plan.audio_tb:,.1f}" for plan in plans)),
        ("reading, Gbit/s", *(f"{plan.reading_gbit_s:,.2f}" for plan in plans)),
        ("checkpoint and best weights, GB", *(f"{1e3 * plan.kept_tb:,.1f}" for plan in plans)),
        ("state on a GPU, copied, GB", *(f"{plan.copied_gb:,.1f}" for plan in plans)),
        ("state on a GPU, sharded, GB", *(f"{plan.sharded_gb:,.1f}" for plan in plans)),
        ("machines, USD", *(f"{plan.money:,.0f}" for plan in plans)),
        ("storage of a month, USD", *(f"{plan.storage_money:,.0f}" for plan in plans)),
        ("bottleneck", *(plan.bottleneck for plan in plans)),
    ]


def remarks(job: Job, options: PlanOptions, plans: Sequence[Plan]) -> list[str]:
    """What binds, what ten times as much changes, and what was assumed."""
    one, ten = plans
    bound = ", ".join(
        f"{name} {value:,.0f}" for name, value in sorted(one.limits.items(), key=lambda x: x[1])
    )
    together = (
        f"{one.machines:,} machines together do" if one.machines > 1 and one.steps else "one machine does"
    )
    lines = [f"hours of audio an hour that {together}: {bound}"]
    if one.unit == "GPU" and one.bottleneck in one.stages and one.bottleneck not in ("scoring", "training"):
        lines.append(f"{one.busy_cores:,.0f} cores would keep the GPUs of a machine busy")
    if not one.in_time:
        lines.append(f"not within {job.within_h:g} h: {one.bottleneck} gives no more, whatever the machines")
    if ten.bottleneck != one.bottleneck:
        lines.append(f"ten times as much: the bottleneck moves from {one.bottleneck} to {ten.bottleneck}")
    elif ten.machines == one.machines:
        lines.append("ten times as much takes ten times as long; the bottleneck stays")
    else:
        lines.append(
            f"ten times as much takes {ten.machines:,} machines for {one.machines:,}; the bottleneck stays, "
            f"and the storage must give {ten.reading_gbit_s:,.1f} of its {options.store_gbit:g} Gbit/s"
        )
    if one.copied_gb:
        lines.append(f"state: {STATE_BYTES} bytes a parameter; activations come on top, by batch and length")
    if any(rate.kind == "estimated" for rate in one.stages.values()):
        lines.append("estimated: nobody measured it; see the source, and measure before money is spent on it")
    return [
        *lines,
        f"machines work {100 * options.efficiency:g} % of the time; prices are examples of November 2026",
    ]
