"""`earwitness plan`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors
from earwitness.cli.flags import with_flags
from earwitness.operations.plan_options import PlanOptions

PLAN_HELP = """\b
Every figure says whether it was measured, where, or estimated from the work of the front end. Give the file
of an `earwitness bench` with --bench, and your own prices. More: docs/scale.md.

\b
Examples:
  earwitness plan --hours 1e6
  earwitness plan --hours 1e6 --within 3d --front-end mms-300m --precision int8 --core-hour 0.03
  earwitness plan --hours 1e6 --front-end mms-300m --device gpu --gpu h100 --cores 32
  earwitness plan --train 74000 --front-end xls-r-2b --shard --recompute
  earwitness plan --train 74000 --front-end mms-300m --within 24h --bench bench.json --json
"""


@with_flags(PlanOptions)
def plan(
    hours: Annotated[float | None, typer.Option(metavar="H", help="Hours of audio to score.")] = None,
    train: Annotated[float | None, typer.Option(metavar="H", help="Hours of audio to post-train on.")] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="24h, or days: 3d or 3 [default: 24h for scoring, one machine for training]."
        ),
    ] = None,
    front_end: Annotated[
        str | None, typer.Option(metavar="NAME", help="A front end; see docs/detectors.md.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Or a model [default: the one inside the package].")
    ] = None,
    bench: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON of `earwitness bench`.")] = None,
    as_json: AS_JSON = False,
    options: PlanOptions = PlanOptions(),
) -> None:
    """What so much audio takes: machines, hours, storage, money, and what holds it up."""
    with plain_errors():
        from earwitness.operations.plan import run_plan

        run_plan((hours, train), within, (front_end, model), options, bench, as_json)
