"""`earwitness update`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

UPDATE_HELP = """\b
A round: embed what came in -> drift -> new generators -> what is worth a label -> (labels) -> knowledge base
-> candidate -> gates -> promote or keep. Steps that are done are not done again; when a round waits for
labels, fill in its task.csv (or name --answers) and give the command again.

\b
Exit codes:
  0  the round is done (promoted or kept), or nothing came in
  2  wrong usage, or something cannot be used
  5  labels are wanted

\b
Examples:
  earwitness update --example > newsroom.toml
  earwitness update newsroom.toml --dry-run
  earwitness update newsroom.toml --answers label-studio-export.json
"""


def update(
    config: Annotated[Path | None, typer.Argument(metavar="SETTINGS", help="A TOML file.")] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labels, ours or exported from Label Studio.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="Print settings to begin with.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Make the detector better by what came in, if the gates agree."""
    with plain_errors("the steps that are done are kept; the same command goes on"):
        from earwitness.errors import InputError
        from earwitness.operations.loop_config import EXAMPLE, read_loop

        if example:
            typer.echo(EXAMPLE, nl=False)
            return
        if config is None:
            raise InputError("usage", "name the settings; `earwitness update --example` shows some")
        from earwitness.operations.update import run_update

        raise typer.Exit(run_update(read_loop(config), answers, dry_run, as_json))
