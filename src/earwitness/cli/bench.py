"""`earwitness bench`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

BENCH_HELP = """\b
Sections: start, engines, decoding, cores, length, knowledge. What cannot run here says why. Without --audio a
made voice is scored: figures of speed hold, but nothing is said of how far int8 moves scores. Run it on a
quiet machine. `earwitness plan --bench FILE` reckons with the file. More: docs/scale.md.

\b
Examples:
  earwitness bench --quick
  earwitness bench --out bench.json --plot bench.png
  earwitness bench --only engines --front-end w2v-small,mms-300m --audio recordings/
"""


def bench(
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A bundle's folder or name [default: the own model].")
    ] = None,
    front_end: Annotated[
        str, typer.Option(metavar="NAMES", help="Also the engines with these, their weights random.")
    ] = "",
    only: Annotated[str, typer.Option(metavar="SECTIONS", help="Only these, with commas between.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes, rough figures.")] = False,
    audio: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Recordings of speech to measure with.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: a .png or .svg.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """Measure this machine: start, engines, decoding, cores, length, knowledge base."""
    with plain_errors(
        f"what was measured is in {out}" if out else "nothing was kept, for there was no --out"
    ):
        from earwitness.operations.bench import run_bench

        run_bench(model, front_end, only, quick, audio, out, plot, as_json)
