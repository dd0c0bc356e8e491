"""`earwitness attribute` and `earwitness tracer`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

tracer_app = typer.Typer(
    help="What `attribute` knows: learnt of fakes whose maker is known.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
MODEL = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="A bundle's folder, or a name of `earwitness models list`."),
]
ATTRIBUTE_HELP = """\b
A name says who made the recording if it is fake; whether it is fake is the verdict's to say, and stands
beside it. Of a generator that the tracer does not know, and often of one it knows from other surroundings,
the answer is 'none of these'; docs/attribution.md says how often a name is right.

\b
Exit codes:
  0  every file was answered
  1  some files could not be read (each has its record)
  2  wrong usage, or a tracer of another model

\b
Examples:
  earwitness attribute suspect.m4a
  earwitness attribute suspect.m4a --tracer tracer.npz
  earwitness attribute inbox/ --tracer tracer.npz --json > makers.jsonl
  earwitness scan inbox/ --attribute tracer.npz
"""


def attribute(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders, or '-' to read a list of paths from stdin."),
    ],
    tracer: Annotated[
        str, typer.Option("--tracer", metavar="FILE", help="What `tracer learn` wrote; own: the model's own.")
    ] = "own",
    model: MODEL = None,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, max=256, help="Files at a time; 0 is one for each processor.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the records of `scan`.")] = False,
) -> None:
    """Which known generator made a recording, if it is fake."""
    with plain_errors("what was said stands"):
        from earwitness.operations.attribute import run_attribute

        raise typer.Exit(run_attribute(paths, tracer, model, as_json, threads))


LEARN_HELP = """\b
SOURCE is a table of `earwitness embed` (.csv, with its .npy beside it), or a knowledge base. Only what is
labelled fake and has a name takes part. The names of architectures are in the column architecture, or else
generator; those of families in the column family. A protocol fills in what the table lacks, by path.

\b
Groups are what must never stand on both sides of a split: pages, data sets. They are left out in turn to
learn what is none of these, and to judge the tracer. A name that stands in one group only can be given, but
nobody knows how well.

\b
Examples:
  earwitness embed development.csv --out heard.csv
  earwitness tracer learn heard.csv --protocol development.csv --out tracer.npz
  earwitness tracer learn known.db --out tracer.npz --method knn --false-rejection 0.1
  earwitness tracer learn heard.csv --out families.npz --level family --group dataset
"""


@tracer_app.command("learn", epilog=LEARN_HELP)
def tracer_learn(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="Tables, or knowledge bases.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The tracer to write (.npz).")],
    level: Annotated[str, typer.Option(metavar="LEVEL", help="architecture or family.")] = "architecture",
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="linear, or knn: vote of the nearest.")
    ] = "linear",
    false_rejection: Annotated[
        float, typer.Option(metavar="SHARE", help="Of what is known that may be called none of these.")
    ] = 0.05,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="That keeps recordings apart [default: group, source or dataset]."
        ),
    ] = None,
    protocol: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Has names and groups, by path; can be given several times."),
    ] = None,
    model: MODEL = None,
    as_json: AS_JSON = False,
) -> None:
    """Learn who is who, and say how well that works on groups never heard."""
    with plain_errors():
        from earwitness.operations.tracers import options_of, run_learn

        options = options_of(level, method, false_rejection, group)
        run_learn(sources, out, options, model, protocol or [], as_json)


SHOW_HELP = """\b
Examples:
  earwitness tracer show tracer.npz
"""


@tracer_app.command("show", epilog=SHOW_HELP)
def tracer_show(
    tracer: Annotated[Path, typer.Argument(metavar="FILE", help="What `tracer learn` wrote.")],
    as_json: AS_JSON = False,
) -> None:
    """What a tracer knows."""
    with plain_errors():
        from earwitness.operations.tracers import run_show

        run_show(tracer, as_json)
