"""`earwitness embed` and `earwitness drift`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors
from earwitness.operations.drift_options import LEAST, DriftOptions

drift_app = typer.Typer(
    help="Has what comes in left what the detector was built on?",
    no_args_is_help=True,
    rich_markup_mode=None,
)
TABLE = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="A CSV with the columns id and score, and beside it NAME.npy with the embeddings.",
    ),
]
REFERENCE = Annotated[Path, typer.Option("--reference", metavar="FILE", help="What `drift reference` wrote.")]
HTML = Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a report as one page.")]
MODEL = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="A bundle's folder, or a name of `earwitness models list`."),
]
EMBED_HELP = """\b
The table (NAME.csv, NAME.npy) is what `drift`, `discover`, `select` and `update` work on. Files that stand in
it already and have not changed are not heard again. A protocol's labels, generators and groups come along.

\b
Exit codes:
  0  every recording has its row
  1  some could not be read or hold no speech
  2  wrong usage, or a table of another model

\b
Examples:
  earwitness embed inbox/ --out incoming.csv
  earwitness embed development.csv --out reference-data.csv
"""


def embed(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Audio files, folders, or protocols.")],
    out: Annotated[Path, typer.Option(metavar="TABLE", help="The CSV to write or to add to.")],
    source: Annotated[str, typer.Option(metavar="NAME", help="Where the files come from.")] = "-",
    model: MODEL = None,
    as_json: AS_JSON = False,
) -> None:
    """Recordings to a table of scores and embeddings."""
    with plain_errors("what was heard is kept; the same command goes on"):
        from earwitness.operations.embed import run_embed

        raise typer.Exit(run_embed(paths, out, model, source, as_json))


REFERENCE_HELP = """\b
Give development data that the detector was not trained on, and enough of it: windows without drift are drawn
from half of it. Where the column `source` names speakers, pages or uploaders, that half is of other sources,
so that new sources alone are no drift; without it the smallest change counts.

\b
Examples:
  earwitness drift reference development.csv --out reference.npz --window 256
"""


@drift_app.command("reference", epilog=REFERENCE_HELP)
def drift_reference(
    table: TABLE,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The reference to write (.npz).")],
    window: Annotated[
        int, typer.Option(metavar="N", min=LEAST, help="Samples of a window.")
    ] = DriftOptions.window,
    rate: Annotated[
        float, typer.Option(metavar="SHARE", help="Of windows without drift that may alarm.")
    ] = DriftOptions.rate,
    run_length: Annotated[
        float,
        typer.Option(metavar="N", help="Windows until the running sum alarms without drift, on average."),
    ] = DriftOptions.run_length,
    threshold: Annotated[
        float, typer.Option(metavar="SCORE", help="Scores beneath it are called fake.")
    ] = DriftOptions.threshold,
    as_json: AS_JSON = False,
) -> None:
    """Make what incoming samples are compared with."""
    with plain_errors():
        from earwitness.operations.drift_command import run_reference

        windows = max(DriftOptions.windows * DriftOptions.rate / max(rate, 1e-6), 200)
        options = DriftOptions(window, rate, run_length, windows=round(windows), threshold=threshold)
        run_reference(table, out, options, as_json)


CHECK_HELP = """\b
All samples of the table are one window; the null is drawn for its size.

\b
Exit codes:
  0  no drift
  2  wrong usage, or samples of another model
  3  drift

\b
Examples:
  earwitness drift check monday.csv --reference reference.npz --html drift.html
"""


@drift_app.command("check", epilog=CHECK_HELP)
def drift_check(table: TABLE, reference: REFERENCE, html: HTML = None, as_json: AS_JSON = False) -> None:
    """Compare one batch with the reference."""
    with plain_errors():
        from earwitness.operations.drift_command import run_check

        raise typer.Exit(run_check(table, reference, html, as_json))


WATCH_HELP = """\b
Give a table that grows, or a folder of recordings, which is embedded into FOLDER/incoming.csv first. Started
again (each night, say), it goes on where it was; with --every it waits for more itself.

\b
Exit codes:
  0  no alarm
  1  no alarm, but some recordings could not be read
  2  wrong usage, or samples of another model
  3  the running sum, or two windows one after the other, say drift

\b
Examples:
  earwitness drift watch inbox/ --reference reference.npz --state watch/
  earwitness drift watch scored.csv --reference reference.npz --state watch/ --every 600
"""


@drift_app.command("watch", epilog=WATCH_HELP)
def drift_watch(
    incoming: Annotated[
        Path, typer.Argument(metavar="INCOMING", help="A table of samples, or a folder of audio.")
    ],
    reference: REFERENCE,
    state: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the watch keeps its log and report.")],
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Look again after so long; 0: look once.")
    ] = 0,
    model: MODEL = None,
    as_json: AS_JSON = False,
) -> None:
    """Judge what came in since the last look, window by window."""
    with plain_errors("the watch goes on where it was"):
        from earwitness.operations.drift_command import run_watch

        raise typer.Exit(run_watch(incoming, reference, state, every, model, as_json))
