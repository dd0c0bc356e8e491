"""`earwitness watermark card`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import plain_errors

CARD_HELP = """\b
Marks recordings of the protocols, fake and genuine, distorts and attacks them, and says what can still be
read: an HTML page, schemes side by side. Each scheme also overwrites the marks of the others. Use recordings
that no scheme was trained on. It takes a while: with --resume a run that was stopped goes on.

\b
Exit codes:
  0  everything was measured
  1  some recordings or conditions could not be (the page says which)
  2  wrong usage, or schemes or protocols that cannot be used

\b
Examples:
  earwitness watermark card held-out.csv --scheme timbre --out card.html
  earwitness watermark card held-out.csv --scheme timbre --scheme ./mine --out card.html --json card.json
  earwitness watermark card held-out.csv --scheme timbre --out card.html --resume measured/
"""


def card(
    protocols: Annotated[list[Path], typer.Argument(metavar="PROTOCOL", help="Labelled recordings.")],
    scheme: Annotated[
        list[str],
        typer.Option(metavar="NAME_OR_FOLDER", help="A scheme of `watermark list`; give it again for more."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")],
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write all figures.")] = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Of each recording, from its begin; 1 to 20.")
    ] = 5.0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Recordings to mark.")] = 120,
    strength: Annotated[float, typer.Option(metavar="X", help="Of the marks; 1 is the scheme's own.")] = 1.0,
    average: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Windows of 1 s that an attacker averages; give it again for more."),
    ] = None,
    distortion: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this one of the catalogue; give it again for more."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep what is measured here; started again, go on with it."),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="FOLDER", help="What $ROOT stands for.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all draws.")] = 0,
    jobs: Annotated[int, typer.Option(metavar="N", min=0, max=256, help="Processes; 0: all processors.")] = 0,
) -> None:
    """Measure what marks survive, how they sound, and how often they are wrong."""
    with plain_errors("what was measured is kept with --resume"):
        from earwitness.operations.watermark_card import Outputs, run_card
        from earwitness.operations.watermark_trials import CardOptions

        options = CardOptions(
            seconds=seconds,
            limit=limit,
            strength=strength,
            average=tuple(average) if average else CardOptions.average,
            seed=seed,
        )
        outputs = Outputs(out, json, resume)
        raise typer.Exit(run_card(protocols, scheme, outputs, options, distortion or (), root, jobs))
